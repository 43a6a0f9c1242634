"""The rules of a contract as flags on rows: one boolean column a rule, true where a row fails it.

Cells that a column's rules call wrong are mended first, by the repairs that the column declares: only such cells, one
repair after the other until none of the rules is broken. What is still wrong then fails its rule as if there were no
repair. Mended cells are what joins, derived columns and all rules see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from headrace.data.align import ROW, column_casts, with_derived, with_joins
from headrace.data.bounds import TEXTS, bound_of, value_of
from headrace.data.cast import plain
from headrace.data.duplicates import Hashes, hash_of
from headrace.data.model import RuleKind
from headrace.data.units import conversions
from headrace.definition.model import ALL_TEXT, Check, ColumnRule, OnFail, Repair, Source
from headrace.definition.reading import converted_columns
from headrace.language.columns import to_polars
from headrace.language.parse import parse
from headrace.language.tree import Call, Column
from headrace.language.types import Type
from headrace.language.values import dtype


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract that single rows can fail, or a repair that single rows can need."""

    name: str
    kind: RuleKind
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
    """Aligned rows with their place (from 0, in the source) and a flag for each rule."""

    frame: pl.LazyFrame
    rules: tuple[Rule, ...]
    fields: tuple[str, ...]

    def noted(self, key: Sequence[str] = ()) -> tuple[pl.DataFrame, Hashes]:
        """Number and flags of every row that some rule flags, and the hash of every row's key: a few bytes a row.

        Both in one pass over the rows; without a key there are no hashes."""
        flags = [flag(n) for n in range(len(self.rules))]
        flagged = self.frame.filter(pl.any_horizontal([pl.lit(value=False), *flags])).select(ROW, *flags)
        wanted = [flagged, self.frame.select(hash_of(key))] if key else [flagged]
        noted, *hashes = pl.collect_all(wanted)
        return noted.sort(ROW), hashes[0].to_series().to_numpy() if hashes else np.empty(0, np.uint64)

    def accepted(self, *, without: pl.Series) -> pl.LazyFrame:
        """The rows but for those at the places of `without`, in order.

        By place and not by flag: what was found out once need not be computed again."""
        rows = self.frame
        if len(without):
            rows = rows.join(without.to_frame(ROW).lazy(), on=ROW, how="anti", maintain_order="left")
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
    raw
        The rows as read, with their place in `ROW`.
    base, fields
        Types of the source's own columns; of the whole table, with joins and derived columns.
    statics
        The accepted tables that `source.needs` names.
    """
    rules: list[Rule] = []
    aligned = _mended(_aligned(raw, source, base, statics, rules), source, base, rules)
    table = with_derived(with_joins(aligned, source, statics), source, fields)
    for check in source.checks:
        if check.repair:
            table = _mended_by(check, table, source, fields, statics, rules)
    table = _with_partners(table, source, statics)
    flags = []
    for rule, failed in _row_rules(source, fields):
        flags.append(failed.fill_null(value=False).alias(flag(len(rules))))
        rules.append(rule)
    return FlaggedRows(table.with_columns(flags), tuple(rules), tuple(fields))


def read_rows(
    raw: pl.LazyFrame, source: Source, base: Mapping[str, Type], statics: Mapping[str, pl.LazyFrame]
) -> FlaggedRows:
    """The source's own columns in their types and units, with flags of cells that do not fit, and no rule beside."""
    rules: list[Rule] = []
    frame = _aligned(raw.with_row_index(ROW), source, base, statics, rules)
    return FlaggedRows(frame, tuple(rules), tuple(base))


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
    missing = () if source.format in ALL_TEXT else source.missing  # the reader of texts has seen to them
    casts = column_casts(source, schema, base, missing=missing)
    misfits, repairs = [], []
    for name, cast in casts.items():
        if cast.present is not None:
            on_fail = source.rule(name).on_fail
            is_repair = on_fail == "warn"
            misfits.append(cast.present.is_not_null().alias(flag(len(rules))))
            kind = "code" if source.rule(name).codes else "type"
            rules.append(Rule(f"{kind}:{name}", "type", name, _refusing(on_fail), is_repair=is_repair))
    for name, cast in casts.items():
        if cast.nan is not None:
            repairs.append(cast.nan.alias(flag(len(rules))))
            rules.append(Rule(f"nan:{name}", "type", name, "warn", is_repair=True))
    values = [cast.value.alias(f"_hr_value_{name}") for name, cast in casts.items()]
    cast_rows = renamed.select(ROW, *values, *misfits, *repairs)
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
            is_repair = on_fail == "warn"
            rules.append(Rule(f"unit:{one.column}", "type", one.column, _refusing(on_fail), is_repair=is_repair))
    renamed = [pl.col(name).alias(name.removeprefix("_hr_value_")) for name in values]
    return aligned.with_columns(**values).with_columns(misfits).with_columns(renamed).drop(list(values))


def _refusing(on_fail: OnFail) -> OnFail:
    """What becomes of a row that breaks a rule in the end: what a repair could not mend is set aside."""
    return "quarantine" if on_fail == "repair" else on_fail


def _mended(aligned: pl.LazyFrame, source: Source, base: Mapping[str, Type], rules: list[Rule]) -> pl.LazyFrame:
    """The columns after their repairs, with a flag for each of those: whether it changed the cell."""
    for name, rule in source.columns:
        if not rule.repair:
            continue
        misfits = [pl.col(flag(n)) for n, one in enumerate(rules) if one.column == name and one.refuses]
        failing = [failed.fill_null(value=False) for _, failed in _cell_rules(name, rule, base[name])]
        wrong = pl.any_horizontal([pl.lit(value=False), *failing, *misfits])
        for repair in rule.repair:
            value = _repaired(repair, name, rule, base[name]).cast(dtype(base[name]))
            tried = aligned.with_columns(pl.when(wrong).then(value).otherwise(pl.col(name)).alias("_hr_mended"))
            mended = pl.col("_hr_mended")
            changed = [mended.ne_missing(pl.col(name)).alias(flag(len(rules))), mended.alias(name)]
            changed += [misfit & mended.is_null() for misfit in misfits]
            aligned = tried.with_columns(changed).drop("_hr_mended")
            rules.append(Rule(f"{repair.how}:{name}", "repair", name, "repair", is_repair=True))
    return aligned


def _repaired(repair: Repair, name: str, rule: ColumnRule, type_: Type) -> pl.Expr:
    """What a repair makes of a column's cells; nulls stay, but for `default`."""
    column, zone = pl.col(name), rule.zone or "UTC"
    if repair.how == "strip":
        return column.str.strip_chars()
    if repair.how == "lower":
        return column.str.to_lowercase()
    if repair.how == "upper":
        return column.str.to_uppercase()
    if repair.how == "truncate":
        return column.str.head(rule.max_length or 0)
    if repair.how == "recode":
        return column.replace(dict(repair.recode))
    if repair.how == "clip":
        low = None if rule.min is None else bound_of(rule.min, type_, zone)
        high = None if rule.max is None else bound_of(rule.max, type_, zone)
        if type_ is Type.INTEGER:
            low = math.ceil(low) if isinstance(low, float) else low
            high = math.floor(high) if isinstance(high, float) else high
        return column.clip(low, high)
    assert repair.default is not None  # the grammar's only other repair
    return pl.lit(value_of(repair.default, type_, zone))


def _mended_by(
    check: Check,
    table: pl.LazyFrame,
    source: Source,
    fields: Mapping[str, Type],
    statics: Mapping[str, pl.LazyFrame],
    rules: list[Rule],
) -> pl.LazyFrame:
    """The table after the repair of a row rule, with what was joined to and derived from the columns made anew."""
    holds = to_polars(parse(check.where, fields)).fill_null(value=False)
    tried = table.with_columns(
        pl.when(holds).then(pl.col(name)).otherwise(to_polars(parse(text, fields)).cast(dtype(fields[name])))
        .alias(f"_hr_mended_{name}")
        for name, text in check.repair
    )  # fmt: skip
    columns = [name for name, _ in check.repair]
    changed = pl.any_horizontal([pl.col(f"_hr_mended_{name}").ne_missing(pl.col(name)) for name in columns])
    mended = tried.with_columns(
        changed.alias(flag(len(rules))), *(pl.col(f"_hr_mended_{name}").alias(name) for name in columns)
    ).drop([f"_hr_mended_{name}" for name in columns])
    rules.append(Rule(f"repair:{check.name}", "repair", None, "repair", is_repair=True))
    if any(ours in columns for join in source.joins for ours, _ in join.key):
        joined = [f"{join.name}_{name}" for join in source.joins for name in join.take]
        mended = with_joins(mended.drop(joined), source, statics)
    return with_derived(mended, source, fields)


def _partner(number: int) -> str:
    return f"_hr_partner_{number}"


def _with_partners(table: pl.LazyFrame, source: Source, statics: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """The table with, for each foreign key, whether the row has a partner: true or null."""
    alone = table
    for n, rule in enumerate(source.foreign_keys):
        other = alone if rule.source == source.name else statics[rule.source]
        names = [f"_hr_key_{k}" for k in range(len(rule.key))]
        keys = other.select(pl.col(theirs).alias(name) for name, (_, theirs) in zip(names, rule.key, strict=True))
        known = keys.drop_nulls().unique().with_columns(pl.lit(value=True).alias(_partner(n)))
        ours = [here for here, _ in rule.key]
        table = table.join(known, left_on=ours, right_on=names, how="left", maintain_order="left")
    return table


def _row_rules(source: Source, fields: Mapping[str, Type]) -> Iterator[tuple[Rule, pl.Expr]]:
    """Rules over the whole table's columns, with what is true of a row that fails."""
    for name in source.unique:
        yield Rule(f"null-key:{name}", "null", name, "quarantine"), pl.col(name).is_null()
    for name, rule in source.columns:
        cells = list(_cell_rules(name, rule, fields[name]))
        yield from cells
        if rule.monotone is not None:
            yield _monotone(name, rule, [failed for _, failed in cells])
    for check in source.checks:
        holds = to_polars(parse(check.where, fields))
        yield Rule(f"check:{check.name}", "row", None, _refusing(check.on_fail)), ~holds.fill_null(value=False)
    for n, key in enumerate(source.foreign_keys):
        has_key = pl.all_horizontal(pl.col(here).is_not_null() for here, _ in key.key)
        yield Rule(f"check:{key.name}", "reference", None, key.on_fail), has_key & pl.col(_partner(n)).is_null()


def _cell_rules(name: str, rule: ColumnRule, type_: Type) -> Iterator[tuple[Rule, pl.Expr]]:
    """Rules that a cell keeps or breaks by itself; null breaks `not_null` alone."""
    column, zone, on_fail = pl.col(name), rule.zone or "UTC", _refusing(rule.on_fail)
    if rule.not_null:
        yield Rule(f"not_null:{name}", "null", name, on_fail), column.is_null()
    if rule.min is not None:
        yield Rule(f"min:{name}", "range", name, on_fail), column < pl.lit(bound_of(rule.min, type_, zone))
    if rule.max is not None:
        yield Rule(f"max:{name}", "range", name, on_fail), column > pl.lit(bound_of(rule.max, type_, zone))
    if rule.min_length is not None:
        yield Rule(f"min_length:{name}", "length", name, on_fail), column.str.len_chars() < rule.min_length
    if rule.max_length is not None:
        yield Rule(f"max_length:{name}", "length", name, on_fail), column.str.len_chars() > rule.max_length
    text = column if type_ in TEXTS else column.cast(pl.String)
    if type_ is Type.DECIMAL:
        text = to_polars(Call("to_string", (Column(name, type_),), Type.STRING))
    if rule.allowed is not None:
        yield Rule(f"allowed:{name}", "allowed", name, on_fail), ~text.is_in(list(rule.allowed))
    if rule.pattern is not None:
        whole = rf"\A(?:{rule.pattern})\z"
        yield Rule(f"pattern:{name}", "pattern", name, on_fail), ~text.str.contains(whole)


def _monotone(name: str, rule: ColumnRule, failing: Sequence[pl.Expr]) -> tuple[Rule, pl.Expr]:
    """The rule that no cell falls behind the furthest before it; cells that break another rule do not count."""
    column = pl.col(name)
    wrong = pl.any_horizontal([pl.lit(value=False), *(failed.fill_null(value=False) for failed in failing)])
    value = pl.when(~wrong).then(column)
    is_rising = rule.monotone in ("increasing", "strictly_increasing")
    furthest = (value.cum_max() if is_rising else value.cum_min()).forward_fill().shift(1)
    behind = value < furthest if is_rising else value > furthest
    if rule.monotone in ("strictly_increasing", "strictly_decreasing"):
        behind = behind | (value == furthest)
    return Rule(f"monotone:{name}", "monotone", name, _refusing(rule.on_fail)), behind
