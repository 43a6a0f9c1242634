"""Fuzzy duplicates within one source: from accepted rows to rows of which each is about another thing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from msgspec.structs import replace
from numpy.typing import NDArray

from headrace.data.align import ROW, with_derived
from headrace.data.blocks import row_count, sink
from headrace.data.check import scan
from headrace.data.corrections import rows_of
from headrace.data.errors import ContractError
from headrace.data.ledger import REASONS
from headrace.data.matching.answers import Answer, rows_of_answers
from headrace.data.matching.find import Matched, match_rows
from headrace.data.matching.model import MatchedSource
from headrace.data.model import CheckedSource, QualityReport, RuleResult, Snapshot, Table
from headrace.data.places import Places
from headrace.data.profile import profile
from headrace.definition.model import ALL_TEXT, Match, MatchKind, Source
from headrace.language.types import Type
from headrace.runs.model import ObjectRef, StageContext

REASON: Final = "duplicate-fuzzy"
RULE: Final = "match"
_FITTING: Final[Mapping[MatchKind, tuple[Type, ...]]] = {
    "date": (Type.DATE, Type.TIMESTAMP, Type.STRING, Type.CATEGORY),
    "number": (Type.INTEGER, Type.DECIMAL, Type.FLOAT),
    **dict.fromkeys(("text", "name", "email", "geo"), (Type.STRING, Type.CATEGORY)),
    "phone": (Type.STRING, Type.CATEGORY, Type.INTEGER),
}


def match_source(
    source: Source,
    checked: CheckedSource,
    snapshot: Snapshot,
    answers: tuple[Answer, ...],
    ctx: StageContext,
) -> MatchedSource:
    """Find the rows that are about one thing, and set all but one of each aside, as `on_match` says.

    The row that has most of its values stays; of equal ones the last.

    Raises
    ------
    ContractError : a compared column is not there, or its values are of another kind.
    """
    match = source.match
    assert match is not None, "the caller has seen to it"
    types = {field.name: field.type for field in checked.table.fields}
    _refuse_misfits(source, match, types)
    table = scan(checked.table.ref, ctx)
    compared = table.select(name for name, _ in match.compare).collect()
    matched = match_rows(compared, match, rows_of_answers(compared, answers))
    ctx.progress(checked.table.rows, checked.table.rows, note=source.name)
    numbers = row_numbers(checked, ctx)
    clusters = _clusters(matched, table, numbers)
    kept = matched.pairs.with_columns(
        left=pl.Series(numbers[matched.pairs["left"].to_numpy()], dtype=pl.Int64),
        right=pl.Series(numbers[matched.pairs["right"].to_numpy()], dtype=pl.Int64),
    )
    found = checked
    if match.on_match != "warn" and matched.told.extra:
        found = _set_aside(source, checked, snapshot, clusters, types, ctx)
    else:
        found = replace(checked, report=_report(checked.report, match, matched.told.extra))
    ctx.count(rows_in=checked.table.rows, rows_out=found.table.rows)
    return MatchedSource(
        checked=found,
        clusters=_keep(clusters.drop("at"), ctx, "clusters"),
        pairs=_keep(kept, ctx, "pairs"),
        told=matched.told,
    )


def _refuse_misfits(source: Source, match: Match, types: Mapping[str, Type]) -> None:
    problems = []
    for name, kind in match.compare:
        if name not in types:
            problems.append(f"match.compare: there is no column {name!r}")
        elif kind in _FITTING and types[name] not in _FITTING[kind]:
            expected = " or ".join(one.value for one in _FITTING[kind])
            problems.append(f"match.compare: {name!r} is {types[name].value}, {kind!r} compares {expected}")
    if problems:
        raise ContractError(
            f"source {source.name!r}: " + "\n".join(problems),
            fix=f"correct [sources.{source.name}.match] in headrace.toml; columns: {', '.join(types)}",
            source=source.name,
            problems=problems,
        )


def row_numbers(checked: CheckedSource, ctx: StageContext) -> NDArray[np.int64]:
    """Accepted row → its number in the source, from 1: all that are not in the quarantine, in order."""
    is_kept = np.ones(checked.report.read, np.bool_)
    if checked.quarantine is not None:
        aside = scan(checked.quarantine, ctx).select("_row").collect()["_row"].to_numpy()
        is_kept[aside - 1] = False
    return np.flatnonzero(is_kept).astype(np.int64) + 1


def _clusters(matched: Matched, table: pl.LazyFrame, numbers: NDArray[np.int64]) -> pl.DataFrame:
    """`cluster`, `row` (number in the source), `stays`, `at` (place in the table) of every row that is not alone.

    In order of clusters, the row that stays first; clusters are numbered from 1 in order of their first rows."""
    cluster = matched.cluster.to_numpy()
    sizes = np.bincount(cluster, minlength=len(cluster))
    at = np.flatnonzero(sizes[cluster] > 1)
    filled = table.select(pl.sum_horizontal(pl.all().is_not_null()).alias("filled")).collect()["filled"].to_numpy()
    _, number = np.unique(cluster[at], return_inverse=True)
    order = np.lexsort((-at, -filled[at].astype(np.int64), number))
    at, number = at[order], number[order] + 1
    return pl.DataFrame(
        {
            "cluster": pl.Series(number, dtype=pl.Int64),
            "row": pl.Series(numbers[at], dtype=pl.Int64),
            "stays": pl.Series(np.diff(number, prepend=0) > 0, dtype=pl.Boolean),
            "at": pl.Series(at, dtype=pl.UInt32),
        }
    )


def _set_aside(
    source: Source,
    checked: CheckedSource,
    snapshot: Snapshot,
    clusters: pl.DataFrame,
    types: Mapping[str, Type],
    ctx: StageContext,
) -> CheckedSource:
    match = source.match
    assert match is not None, "the caller has seen to it"
    table = scan(checked.table.ref, ctx).with_row_index(ROW)
    extra = clusters.filter(~pl.col("stays")).sort("at")
    kept = table.join(extra.lazy().select(pl.col("at").alias(ROW)), on=ROW, how="anti", maintain_order="left")
    filled: NDArray[np.int64] = np.empty(0, np.int64)
    if match.on_match == "merge":
        merged, filled = _merged(table, clusters, source, types)
        names = list(types)
        joined = kept.join(merged.lazy(), on=ROW, how="left", suffix="_hr_merged", maintain_order="left")
        kept = joined.select(pl.coalesce(name, f"{name}_hr_merged").alias(name) for name in names)
    else:
        kept = kept.drop(ROW)
    target = ctx.workdir / "accepted.parquet"
    sink(kept, target)
    rows = row_count(target)
    if rows + extra.height != checked.table.rows:
        raise AssertionError(f"the ledger of {source.name!r} does not add up: {rows=} {extra.height=}")
    report = _report(checked.report, match, extra.height)
    assert checked.mended is not None, "check keeps it where a source matches"
    mended = scan(checked.mended, ctx).collect()
    report = _counted(report, extra, mended, filled)
    columns = profile(target, types)
    aside = _quarantine(source, checked, snapshot, extra, ctx)
    ref = ctx.keep(target, "tables", ".parquet")
    return replace(
        checked,
        table=Table(source=source.name, ref=ref, rows=rows, fields=checked.table.fields),
        quarantine=ctx.keep(aside, "quarantine", ".parquet"),
        report=replace(report, columns=columns),
    )


def _merged(
    table: pl.LazyFrame, clusters: pl.DataFrame, source: Source, types: Mapping[str, Type]
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The rows that stay, with what they lack from the others, the fullest first; and the numbers of those changed."""
    places = clusters.with_row_index("order").select("order", "cluster", "row", pl.col("at").alias(ROW))
    rows = places.lazy().join(table, on=ROW, how="inner").collect().sort("order")
    names = list(types)
    merged = rows.group_by("cluster", maintain_order=True).agg(
        pl.col(ROW).first(),
        pl.col("row").first(),
        pl.sum_horizontal(pl.col(names).first().is_not_null()).alias("before"),
        *(pl.col(name).drop_nulls().first() for name in names),
    )
    derived = [name for name, _ in source.derive]
    if derived:
        merged = with_derived(merged.drop(derived).lazy(), source, types).collect()
    after = merged.select(pl.sum_horizontal(pl.col(names).is_not_null())).to_series()
    changed = merged.filter(after != merged["before"])["row"].to_numpy()
    return merged.select(ROW, *names), changed


def _report(report: QualityReport, match: Match, extra: int) -> QualityReport:
    result = RuleResult(
        rule=RULE,
        kind="match",
        on_fail="warn" if match.on_match == "warn" else "quarantine",
        failed=extra,
        detail=f"rows that are, with a probability of {match.threshold:g} or more, about what another row is about",
        passed=not extra,
    )
    return replace(report, rules=(*report.rules, result))


def _counted(
    report: QualityReport, extra: pl.DataFrame, mended: pl.DataFrame, filled: NDArray[np.int64]
) -> QualityReport:
    """The ledger with the rows set aside: of those accepted or repaired before, none is counted twice."""
    left = mended.filter(~pl.col("_row").is_in(extra["row"].implode()))
    newly = int((~np.isin(filled, left["_row"].to_numpy())).sum())
    replayed = int(left["_replayed"].sum())
    repaired = left.height - replayed + newly
    quarantined = report.quarantined + extra.height
    counts = dict(left.explode("_repairs").group_by("_repairs").len().iter_rows())
    repairs = [(name, counts[name]) for name, _ in report.repairs if name in counts]
    repairs += [(RULE, len(filled))] if len(filled) else []
    return replace(
        report,
        accepted=report.read - quarantined - repaired - replayed,
        repaired=repaired,
        replayed=replayed,
        quarantined=quarantined,
        reasons=(*report.reasons, (REASON, extra.height)),
        repairs=tuple(repairs),
    )


def _quarantine(
    source: Source, checked: CheckedSource, snapshot: Snapshot, extra: pl.DataFrame, ctx: StageContext
) -> Path:
    """The quarantine with the rows set aside, as they were read."""
    numbers = extra["row"].sort()
    names = pl.Series([name for name, _ in snapshot.files], dtype=pl.String)
    files = pl.Series([None] * len(numbers), dtype=pl.String)
    if len(names):
        files = names.gather(Places(snapshot.files).file_indexes(numbers.to_numpy()))
    marked = pl.DataFrame(
        {
            ROW: (numbers - 1).cast(pl.UInt32),
            "_row": numbers,
            REASONS: pl.Series([[REASON]] * len(numbers), dtype=pl.List(pl.String)),
            "_file": files,
        }
    )
    malformed = None if snapshot.malformed is None else scan(snapshot.malformed, ctx)
    corrected = [scan(ref, ctx).collect() for ref in checked.corrections]
    missing = source.missing if source.format in ALL_TEXT else ()
    raw = rows_of(scan(snapshot.ref, ctx), malformed, corrected, missing).frame
    cells = [pl.col(name).cast(pl.String) for name in snapshot.columns]
    nothing = (pl.lit(None, pl.Int64).alias("_line"), pl.lit(None, pl.String).alias("_text"))
    aside = raw.join(marked.lazy(), on=ROW, how="inner", maintain_order="left")
    aside = aside.select("_row", REASONS, "_file", *nothing, *cells)
    if checked.quarantine is not None:
        before = scan(checked.quarantine, ctx)
        aside = before.merge_sorted(aside.select(before.collect_schema().names()), key="_row")
    target = ctx.workdir / "quarantine.parquet"
    sink(aside, target)
    return target


def _keep(frame: pl.DataFrame, ctx: StageContext, kind: str) -> ObjectRef:
    target = ctx.workdir / f"{kind}.parquet"
    frame.write_parquet(target)
    return ctx.keep(target, "matches", ".parquet")
