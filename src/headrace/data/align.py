"""Alignment: from rows as read to rows of the contract. The order is rename, types, joins, derived columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from headrace.data.bounds import INSTANTS, NUMBERS, TEXTS, bound_of, value_of
from headrace.data.errors import BesideMissing, CastRefused, ContractError, UnitRefused
from headrace.definition.model import ColumnRule, Source
from headrace.definition.reading import converted_columns, needed_beside
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.signatures import PROMOTIONS
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

    from headrace.data.cast import Cast

ROW = "_hr_row"
"""Name of the row number while rows are aligned and checked."""


def table_types(
    source: Source, types: Mapping[str, Type], statics: Mapping[str, Mapping[str, Type]]
) -> dict[str, Type]:
    """Types of the accepted table: the source's columns, then those of its joins, then the derived ones.

    Parameters
    ----------
    types
        The locked types, after `rename`; the contract's own types win.
    statics
        Types of the accepted tables that `source.needs` names.

    Raises
    ------
    ContractError : a rule, join, derived column or check that these columns cannot have; all of them at once.
    """
    found = base_types(source, types)
    problems = _unit_problems(source, found, statics)
    for join in source.joins:
        other = statics.get(join.source, {})
        for left, right in join.key:
            if left not in found or right not in other:
                column, table = (left, source.name) if left not in found else (right, join.source)
                problems.append(f"join {join.name!r}: source {table!r} has no column {column!r}")
            elif not _joinable(found[left], other[right]):
                problems.append(f"join {join.name!r}: {left!r} is {found[left]}, {right!r} is {other[right]}")
        problems += [
            f"join {join.name!r}: source {join.source!r} has no column {name!r}"
            for name in join.take
            if name not in other
        ]
        found |= {f"{join.name}_{name}": other[name] for name in join.take if name in other}
    for name, text in source.derive:
        try:
            found[name] = parse(text, found).type
        except ExpressionError as error:
            problems.append(f"derived column {name!r}: {error.message}\n{error.caret()}")
    problems += [*_rule_problems(source, found), *_reference_problems(source, found, statics)]
    if problems:
        raise ContractError(
            f"source {source.name!r}: " + "\n".join(problems),
            fix=f"correct [sources.{source.name}] in headrace.toml",
            source=source.name,
            problems=problems,
        )
    return found


def base_types(source: Source, types: Mapping[str, Type]) -> dict[str, Type]:
    """Types of the source's own columns: the contract's where it states one, else the locked ones."""
    return {name: source.rule(name).type or type_ for name, type_ in types.items()}


def _unit_problems(source: Source, base: Mapping[str, Type], statics: Mapping[str, Mapping[str, Type]]) -> list[str]:
    """What of these rules the columns cannot have."""
    problems = []
    for name, rule in source.columns:
        for needed in needed_beside(source, rule):
            if needed not in base:
                problems.append(f"columns.{name}: there is no column {needed!r} to read it by")
            elif needed == source.event_time and base[needed] not in (Type.TIMESTAMP, Type.DATE):
                problems.append(f"columns.{name}: dated rates need an instant, {needed!r} is {base[needed]}")
    rates = source.rates
    if rates is not None and rates.source is not None:
        table = statics.get(rates.source, {})
        wanted = ((rates.currency, (Type.STRING, Type.CATEGORY)), (rates.rate or "", NUMBERS))
        for column, types in wanted:
            if table.get(column) not in types:
                found = f"is {table[column]}" if column in table else "is not there"
                problems.append(f"[currencies]: column {column!r} of source {rates.source!r} {found}")
    return problems


def _joinable(left: Type, right: Type) -> bool:
    return left == right or (left in TEXTS and right in TEXTS)


def _rule_problems(source: Source, found: Mapping[str, Type]) -> list[str]:
    named = [("unique", name) for name in source.unique]
    named += [("event_time", source.event_time)] if source.event_time is not None else []
    named += [("known", source.known.after)] if source.known is not None else []
    named += [(f"columns.{name}: known", rule.known.after) for name, rule in source.columns if rule.known is not None]
    problems = [f"{key}: there is no column {name!r}" for key, name in named if name not in found]
    for name, rule in source.columns:
        if name not in found:
            problems.append(f"columns: there is no column {name!r}")
        elif wrong := _column_problems(rule, found[name]):
            problems += [f"columns.{name}: {problem}" for problem in wrong]
        elif rule.type is not None and rule.type != found[name] and not _joinable(rule.type, found[name]):
            problems.append(f"columns.{name}: the contract says {rule.type}, derive gives {found[name]}")
    for check in source.checks:
        problems += _expression_problems(f"check {check.name!r}: where", check.where, Type.BOOLEAN, found)
        for name, text in check.repair:
            if name not in found:
                problems.append(f"check {check.name!r}: there is no column {name!r} to repair")
            else:
                problems += _expression_problems(f"check {check.name!r}: repair of {name!r}", text, found[name], found)
    return problems


def _expression_problems(what: str, text: str, wanted: Type, found: Mapping[str, Type]) -> list[str]:
    """Why an expression over the table's columns does not give a value of the type wanted."""
    try:
        type_ = parse(text, found).type
    except ExpressionError as error:
        return [f"{what}: {error.message}\n{error.caret()}"]
    if type_ is wanted or _joinable(type_, wanted) or (type_, wanted) in PROMOTIONS:
        return []
    return [f"{what} is {type_}, it must be {'true or false' if wanted is Type.BOOLEAN else wanted}"]


def _column_problems(rule: ColumnRule, type_: Type) -> list[str]:
    """What of a column's rule does not go with its type."""
    zone = rule.zone or "UTC"
    problems = []
    for word, bound in (("min", rule.min), ("max", rule.max)):
        if bound is not None and type_ not in (*NUMBERS, *INSTANTS):
            problems.append(f"min and max are for numbers, dates and timestamps, the column is {type_}")
        elif bound is not None and bound_of(bound, type_, zone) is None:
            problems.append(f"{word} is no {type_}")
    if (rule.min_length is not None or rule.max_length is not None) and type_ not in TEXTS:
        problems.append(f"min_length and max_length are for texts, the column is {type_}")
    if rule.monotone is not None and type_ not in (*NUMBERS, *INSTANTS, Type.DURATION):
        problems.append(f"monotone is for numbers and times, the column is {type_}")
    for repair in rule.repair:
        if repair.how in ("strip", "lower", "upper", "truncate", "recode") and type_ not in TEXTS:
            problems.append(f"the repair {repair.how!r} is for texts, the column is {type_}")
        elif repair.default is not None and value_of(repair.default, type_, zone) is None:
            problems.append(f"the default is no {type_}")
    return problems


def _reference_problems(
    source: Source, found: Mapping[str, Type], statics: Mapping[str, Mapping[str, Type]]
) -> list[str]:
    """What foreign keys and sums say of columns that are not there, or cannot be compared."""
    problems = []
    for rule in source.foreign_keys:
        other = found if rule.source == source.name else statics.get(rule.source, {})
        for here, there in rule.key:
            what = f"foreign key {rule.name!r}"
            if here not in found or there not in other:
                column, table = (here, source.name) if here not in found else (there, rule.source)
                problems.append(f"{what}: source {table!r} has no column {column!r}")
            elif not _joinable(found[here], other[there]):
                problems.append(f"{what}: {here!r} is {found[here]}, {there!r} is {other[there]}")
    for total in source.equal_sums:
        for table, column, types in (
            (source.name, total.column, found),
            (total.source, total.equals, statics.get(total.source, {})),
        ):
            if types.get(column) not in (*NUMBERS, Type.DURATION):
                said = f"is {types[column]}" if column in types else "is not there"
                problems.append(f"check {total.name!r}: {column!r} of source {table!r} {said}, a sum is of numbers")
    for same in source.distributions:
        problems += [f"check {same.name!r}: there is no column {c!r}" for c in same.columns if c not in found]
    return problems


def column_casts(
    source: Source, schema: Mapping[str, pl.DataType], types: Mapping[str, Type], *, missing: Sequence[str]
) -> dict[str, Cast]:
    """The cast of each column of `types` that `schema` (after `rename`) has.

    `missing` are the texts that mean null in every column; a column's own come on top."""
    from headrace.data.cast import cast_of

    casts = {}
    for name, type_ in types.items():
        if name in schema:
            rule = source.rule(name)
            casts[name] = cast_of(name, schema[name], type_, rule, missing=(*missing, *rule.missing))
    return casts


def with_joins(frame: pl.LazyFrame, source: Source, statics: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Add `NAME_COLUMN` of each static join, in the order of the rows; a key that is null or not there gives nulls."""
    import polars as pl

    for join in source.joins:
        keys = [f"_hr_key_{n}" for n in range(len(join.key))]
        right = statics[join.source].select(
            *(pl.col(theirs).alias(key) for key, (_, theirs) in zip(keys, join.key, strict=True)),
            *(pl.col(name).alias(f"{join.name}_{name}") for name in join.take),
        )
        frame = frame.join(
            right, left_on=[ours for ours, _ in join.key], right_on=keys, how="left", maintain_order="left"
        )
    return frame


def with_derived(
    frame: pl.LazyFrame, source: Source, types: Mapping[str, Type], wanted: Sequence[str] | None = None
) -> pl.LazyFrame:
    """Add the derived columns, each after those that it uses; with `wanted`, only those.

    `types` are the table's."""
    from headrace.language.columns import to_polars

    for name, text in source.derive:
        if wanted is None or name in wanted:
            frame = frame.with_columns(to_polars(parse(text, types)).alias(name))
    return frame


def align_request(
    frame: pl.LazyFrame,
    source: Source,
    types: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
    wanted: Sequence[str],
    *,
    first_row: int = 1,
) -> pl.LazyFrame:
    """Rows of a request, aligned as the source's rows are: rename, cast, join, derive of whatever is there.

    Parameters
    ----------
    frame
        Rows as read: columns of any type, text included; columns beside the source's are dropped.
    types
        The locked types, after `rename`.
    statics
        The accepted tables that `source.needs` names.
    wanted
        The columns to give, in order: the source's, joined or derived ones. One that is neither there nor derived from
        what is there is left out, and the caller says what it means.
    first_row
        The number of the frame's first row, for errors.

    Raises
    ------
    CastRefused : when the rows are read (`collect` or a sink), for the first cell that is not of its type.
    UnitRefused : likewise, for the first amount whose unit or rate is not known.
    BesideMissing : the rows have a column, and lack the one that says in which unit or zone it is.
    """
    base, renamed = base_types(source, types), _renamed(frame, source)
    _refuse_without_beside(source, renamed.collect_schema().names())
    present, casts = _guarded(renamed, source, base, first_row)
    present = _converted(present, source, casts, statics, first_row)
    available, known, joins = set(casts), dict(base), []
    for join in source.joins:
        known |= {f"{join.name}_{name}": type_ for name, type_ in _types_of(statics[join.source], join.take).items()}
        if all(ours in available for ours, _ in join.key):
            joins.append(join)
            available |= {f"{join.name}_{name}" for name in join.take}
    derived = []
    for name, text in source.derive:
        known[name] = parse(text, known).type
        if name not in available and references(text) <= available:
            derived.append(name)
            available.add(name)
    joined = with_joins(present, structs.replace(source, joins=tuple(joins)), statics)
    return with_derived(joined, source, known, derived).select([name for name in wanted if name in available])


def _renamed(frame: pl.LazyFrame, source: Source) -> pl.LazyFrame:
    """The frame under the contract's names; a request may use the names as read or those after `rename`."""
    names = frame.collect_schema().names()
    return frame.rename({old: new for old, new in source.rename if old in names and new not in names})


def _types_of(table: pl.LazyFrame, columns: Sequence[str]) -> dict[str, Type]:
    from headrace.language.values import type_of_dtype

    schema = table.collect_schema()
    found = {name: type_of_dtype(schema[name]) for name in columns}
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def _guarded(
    frame: pl.LazyFrame, source: Source, types: Mapping[str, Type], first_row: int
) -> tuple[pl.LazyFrame, list[str]]:
    """The cast columns, which raise `CastRefused` when they are read and a cell does not fit; and their names."""
    import polars as pl

    from headrace.data.cast import plain

    schema = {name: plain(type_) for name, type_ in frame.collect_schema().items() if name in types}
    for name, type_ in schema.items():
        if type_ is None:
            raise CastRefused.at(column=name, expected=types[name], row=first_row)
    held = {name: type_ for name, type_ in schema.items() if type_ is not None}
    casts = column_casts(source, held, types, missing=source.missing)
    read = frame.select(pl.col(name).cast(type_) for name, type_ in held.items()).with_row_index(ROW, offset=first_row)
    cast = read.with_columns(
        *(one.value.alias(f"_hr_value_{name}") for name, one in casts.items()),
        *(
            one.present.is_not_null().alias(f"_hr_present_{name}")
            for name, one in casts.items()
            if one.present is not None
        ),
    )
    values = []
    for name, one in casts.items():
        value = pl.col(f"_hr_value_{name}")
        values.append((value if one.present is None else _refusing(name, types[name])).alias(name))
    return cast.select(values), list(casts)


def _refuse_without_beside(source: Source, columns: Sequence[str]) -> None:
    for name, rule in source.columns:
        for needed in needed_beside(source, rule) if name in columns else ():
            if needed not in columns:
                raise BesideMissing(name, needed)


def _converted(
    frame: pl.LazyFrame,
    source: Source,
    present: Sequence[str],
    statics: Mapping[str, pl.LazyFrame],
    first_row: int,
) -> pl.LazyFrame:
    """The frame with amounts in the unit that they are kept in; raises when they are read and one has no known unit."""
    import polars as pl

    def checked(name: str) -> Callable[[Sequence[pl.Series]], pl.Series]:
        def check(parts: Sequence[pl.Series]) -> pl.Series:
            rows, before, after = parts
            misfits = rows.filter(before.is_not_null() & after.is_null())
            if len(misfits):
                raise UnitRefused.at(column=name, row=int(misfits[0]))
            return after

        return check

    if not converted_columns(source):
        return frame
    from headrace.data.units import conversions

    rows, values = frame.with_row_index(ROW, offset=first_row), []
    for one in conversions(source, present, statics):
        value = one.value
        if one.may_fail:
            parts = [pl.col(ROW), pl.col(one.column), one.value]
            value = pl.map_batches(parts, checked(one.column), return_dtype=pl.Float64, is_elementwise=True)
        values.append(value.alias(one.column))
    return rows.with_columns(values).drop(ROW)


def _refusing(name: str, type_: Type) -> pl.Expr:
    """The cast value; raises for the first cell of a batch that was there and is null after the cast."""
    import polars as pl

    from headrace.language.values import dtype

    def checked(parts: Sequence[pl.Series]) -> pl.Series:
        rows, value, present = parts
        misfits = rows.filter(present & value.is_null())
        if len(misfits):
            raise CastRefused.at(column=name, expected=type_, row=int(misfits[0]))
        return value

    columns = [ROW, f"_hr_value_{name}", f"_hr_present_{name}"]
    return pl.map_batches(columns, checked, return_dtype=dtype(type_), is_elementwise=True)
