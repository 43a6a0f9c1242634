"""The columns of a source's files must be the same, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.data.errors import ColumnsDiffer, DuplicateColumn, ReservedColumn
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

RESERVED = frozenset({"_row", "_reasons", "_file", "_line", "_text"})
"""Columns of the quarantine, beside the source's own."""
_TEXTS = (Type.STRING, Type.CATEGORY)


def same_columns(source: str, files: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise unless every file has the first one's columns, in any order, and none twice."""
    reference_name, reference = files[0]
    for name, columns in files:
        twice = [column for column, count in Counter(columns).items() if count > 1]
        if twice:
            raise DuplicateColumn(source, name, twice)
        if set(columns) != set(reference):
            raise ColumnsDiffer(
                source,
                name,
                missing=[column for column in reference if column not in columns],
                extra=[column for column in columns if column not in reference],
                reference=reference_name,
            )
    reserved = [column for column in reference if column in RESERVED or column.startswith("_hr_")]
    if reserved:
        raise ReservedColumn(source, reserved)


def plain_columns(scan: pl.LazyFrame, types: Mapping[str, Type] | None = None) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """A scan's columns in the types that they are held in, and a warning for each that cannot be and is left out."""
    schema = scan.collect_schema()
    held, left_out = held_types("", [("", schema)], types)
    return scan.select(as_held(schema, held)), warnings_of(left_out)


def held_types(
    source: str,
    files: Sequence[tuple[str, Mapping[str, pl.DataType]]],
    types: Mapping[str, Type] | None = None,
) -> tuple[dict[str, pl.DataType], dict[str, pl.DataType]]:
    """Of files that know their columns' types: the type to hold each column in, and the columns that are left out.

    Decimals of at most twelve digits before the point and six after it are held as they are where `types` wants them
    so. Others are held as floats, which keep fifteen digits of them; as text, with all digits, where `types` wants
    text or decimals.

    Raises
    ------
    ColumnsDiffer, DuplicateColumn, ReservedColumn
    """
    same_columns(source, [(name, list(schema)) for name, schema in files])
    held, left_out = {}, {}
    schemas = [schema for _, schema in files]
    for name in schemas[0]:
        found = [schema[name] for schema in schemas]
        type_ = _held(found, None if types is None else types.get(name, Type.FLOAT))
        if type_ is None:
            left_out[name] = schemas[0][name]
        else:
            held[name] = type_
    return held, left_out


def _held(types: Sequence[pl.DataType], wanted: Type | None) -> pl.DataType | None:
    """One type for a column of several files: their own if they agree, a number's wider one, else text."""
    import polars as pl

    from headrace.data.cast import plain
    from headrace.language.values import dtype

    found = [plain(type_) for type_ in types]
    if any(type_.is_decimal() for type_ in types) and all(type_ is not None and type_.is_numeric() for type_ in found):
        if all(type_ == dtype(Type.DECIMAL) for type_ in found) and wanted in (None, Type.DECIMAL):
            return dtype(Type.DECIMAL)
        return pl.String() if wanted in (Type.DECIMAL, *_TEXTS) else pl.Float64()
    if any(type_ is None for type_ in found):
        return None
    different = {type_ for type_ in found if type_ is not None and type_ != pl.Null}
    if len(different) <= 1:
        return next(iter(different), pl.Null())
    return pl.Float64() if different == {pl.Int64(), pl.Float64()} else pl.String()


def as_held(schema: Mapping[str, pl.DataType], held: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The columns of a file with that schema, in the types they are held in."""
    import polars as pl

    from headrace.data.cast import as_text

    return [
        as_text(name, schema[name]) if type_ == pl.String else pl.col(name).cast(type_) for name, type_ in held.items()
    ]


def warnings_of(left_out: Mapping[str, pl.DataType]) -> tuple[str, ...]:
    """What is said of columns that are left out."""
    return tuple(f"column {name!r} is left out: Headrace reads no {type_}" for name, type_ in left_out.items())


def series_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Python values (from JSON or SQL) in the type that they share; as text where they differ."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    return pl.Series(name, [text_of(value) for value in values], dtype=pl.String)


def text_of(value: Any) -> str | None:
    """A value as text: text as it is, bytes in hexadecimal, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else msgspec.json.encode(value).decode()
