"""The rules of a contract as flags on rows: one boolean column a rule, true where a row fails it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from headrace.data.align import ROW, column_casts, with_derived, with_joins
from headrace.data.cast import plain
from headrace.data.units import conversions
from headrace.definition.model import ColumnRule, OnFail, Source
from headrace.definition.reading import converted_columns
from headrace.language.columns import to_polars
from headrace.language.parse import parse
from headrace.language.types import Type

Kind = Literal["shape", "type", "range", "allowed", "pattern", "null", "unique", "row"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract that single rows can fail, or a repair that single rows can need."""

    name: str
    kind: Kind
    column: str | None
    on_fail: OnFail
    is_repair: bool = False
    """A failing row is mended and accepted."""

    @property
    def refuses(self) -> bool:
        """Whether a failing row is not accepted."""
        return not self.is_repair and self.on_fail != "warn"


@dataclass(frozen=True, slots=True)
class FlaggedRows:
    """Aligned rows with their number (from 0, in the snapshot) and a flag for each rule."""

    frame: pl.LazyFrame
    rules: tuple[Rule, ...]
    fields: tuple[str, ...]

    def noted(self) -> pl.DataFrame:
        """Number and flags of every row that some rule flags; a few bytes a row."""
        flags = [flag(n) for n in range(len(self.rules))]
        if not flags:
            return pl.DataFrame(schema={ROW: pl.UInt32})
        return self.frame.filter(pl.any_horizontal(flags)).select(ROW, *flags).collect().sort(ROW)

    def accepted(self, *, everything: bool) -> pl.LazyFrame:
        """The rows that no rule refuses, in order; `everything`: no row is refused, so that flags need no computing."""
        refusing = [pl.col(flag(n)) for n, rule in enumerate(self.rules) if rule.refuses]
        rows = self.frame if everything or not refusing else self.frame.filter(~pl.any_horizontal(refusing))
        return rows.select(self.fields)


def flag(number: int) -> str:
    """Name of the flag of the rule at a position."""
    return f"_hr_flag_{number}"


def flag_rows(
    raw: pl.LazyFrame,
    source: Source,
    base: Mapping[str, Type],
    fields: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
) -> FlaggedRows:
    """Align the rows of a snapshot and flag what the contract says of each; nothing is read yet.

    Parameters
    ----------
    base, fields
        Types of the source's own columns; of the whole table, with joins and derived columns.
    """
    rules: list[Rule] = []
    aligned = _aligned(raw, source, base, statics, rules)
    table = with_derived(with_joins(aligned, source, statics), source, fields)
    flags = []
    for rule, failed in _row_rules(source, fields):
        flags.append(failed.fill_null(value=False).alias(flag(len(rules))))
        rules.append(rule)
    return FlaggedRows(table.with_columns(flags), tuple(rules), tuple(fields))


def _aligned(
    raw: pl.LazyFrame,
    source: Source,
    base: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
    rules: list[Rule],
) -> pl.LazyFrame:
    """The source's own columns in their types, with flags of misfits and of NaN that became null."""
    names = raw.collect_schema().names()
    renamed = raw.rename({old: new for old, new in source.rename if old in names})
    schema = {name: held for name, type_ in renamed.collect_schema().items() if (held := plain(type_)) is not None}
    missing = () if source.format == "csv" else source.missing  # the CSV reader has seen to them
    casts = column_casts(source, schema, base, missing=missing)
    misfits, repairs = [], []
    for name, cast in casts.items():
        if cast.present is not None:
            on_fail = source.rule(name).on_fail
            is_repair = on_fail == "warn"
            misfits.append(cast.present.is_not_null().alias(flag(len(rules))))
            kind = "code" if source.rule(name).codes else "type"
            rules.append(Rule(f"{kind}:{name}", "type", name, on_fail, is_repair=is_repair))
    for name, cast in casts.items():
        if cast.nan is not None:
            repairs.append(cast.nan.alias(flag(len(rules))))
            rules.append(Rule(f"nan:{name}", "type", name, "warn", is_repair=True))
    values = [cast.value.alias(f"_hr_value_{name}") for name, cast in casts.items()]
    cast_rows = renamed.with_row_index(ROW).select(ROW, *values, *misfits, *repairs)
    present = {rule.column: n for n, rule in enumerate(rules) if not rule.name.startswith("nan:")}
    aligned = cast_rows.select(
        ROW,
        *(pl.col(f"_hr_value_{name}").alias(name) for name in casts),
        *(pl.col(flag(n)) & pl.col(f"_hr_value_{name}").is_null() for name, n in present.items()),
        *(pl.col(flag(n)) for n, rule in enumerate(rules) if rule.name.startswith("nan:")),
    )
    return _converted(aligned, source, list(casts), statics, rules)


def _converted(
    aligned: pl.LazyFrame,
    source: Source,
    present: Sequence[str],
    statics: Mapping[str, pl.LazyFrame],
    rules: list[Rule],
) -> pl.LazyFrame:
    """The columns in the units that they are kept in, with flags of amounts whose unit or rate is not known."""
    if not converted_columns(source):
        return aligned
    values: dict[str, pl.Expr] = {}
    misfits: list[pl.Expr] = []
    for one in conversions(source, present, statics):
        after = f"_hr_value_{one.column}"
        values[after] = one.value
        if one.may_fail:
            on_fail = source.rule(one.column).on_fail
            is_lost = pl.col(one.column).is_not_null() & pl.col(after).is_null()
            misfits.append(is_lost.alias(flag(len(rules))))
            rules.append(Rule(f"unit:{one.column}", "type", one.column, on_fail, is_repair=on_fail == "warn"))
    renamed = [pl.col(name).alias(name.removeprefix("_hr_value_")) for name in values]
    return aligned.with_columns(**values).with_columns(misfits).with_columns(renamed).drop(list(values))


def _row_rules(source: Source, fields: Mapping[str, Type]) -> Iterator[tuple[Rule, pl.Expr]]:
    """Rules over the whole table's columns, with what is true of a row that fails."""
    for name in source.unique:
        yield Rule(f"null-key:{name}", "null", name, "quarantine"), pl.col(name).is_null()
    for name, rule in source.columns:
        yield from _column_rules(name, rule, fields[name])
    for check in source.checks:
        holds = to_polars(parse(check.where, fields))
        yield Rule(f"check:{check.name}", "row", None, check.on_fail), ~holds.fill_null(value=False)


def _column_rules(name: str, rule: ColumnRule, type_: Type) -> Iterator[tuple[Rule, pl.Expr]]:
    column = pl.col(name)
    if rule.min is not None:
        yield Rule(f"min:{name}", "range", name, rule.on_fail), column < rule.min
    if rule.max is not None:
        yield Rule(f"max:{name}", "range", name, rule.on_fail), column > rule.max
    text = column if type_ in (Type.STRING, Type.CATEGORY) else column.cast(pl.String)
    if rule.allowed is not None:
        yield Rule(f"allowed:{name}", "allowed", name, rule.on_fail), ~text.is_in(list(rule.allowed))
    if rule.pattern is not None:
        whole = rf"\A(?:{rule.pattern})\z"
        yield Rule(f"pattern:{name}", "pattern", name, rule.on_fail), ~text.str.contains(whole)
