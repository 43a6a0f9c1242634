"""The ledger: what was done to every row that was read. Its sums hold to the row by construction, and are asserted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.align import ROW
from headrace.data.corrections import Rows
from headrace.data.duplicates import REASON
from headrace.data.model import ColumnProfile, QualityReport, RuleResult, Snapshot
from headrace.data.places import Places
from headrace.data.rules import Rule, flag
from headrace.definition.model import Source

REASONS = "_reasons"


class Ledger:
    """Entries for the rows of which something is to be said.

    Parameters
    ----------
    rules
        The rules, in the order in which a row's first reason is looked for.
    noted
        `FlaggedRows.noted()`.
    rows
        The rows that were judged.
    """

    def __init__(self, rules: Sequence[Rule], noted: pl.DataFrame, rows: Rows, snapshot: Snapshot) -> None:
        self._rules = rules
        self._noted = noted
        self._malformed = rows.places
        self._replayed = rows.replayed
        self._read = snapshot.rows + snapshot.malformed_rows
        self.places = Places(snapshot.files)
        refusing = [flag(n) for n, rule in enumerate(rules) if rule.refuses]
        is_refused = (
            noted.select(pl.any_horizontal(refusing)).to_series()
            if refusing
            else pl.repeat(False, noted.height, eager=True)
        )
        self._refused = noted.filter(is_refused)
        self._mended = noted.filter(~is_refused)
        self._duplicates = pl.DataFrame(schema={ROW: pl.UInt32, REASON: pl.String})

    @property
    def has_refused(self) -> bool:
        """Whether some rule refuses a row."""
        return not self._refused.is_empty()

    @property
    def aside(self) -> pl.Series:
        """Places of the rows that are refused or entered as duplicates."""
        return pl.concat([self._refused[ROW], self._duplicates[ROW]])

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Of each row that is one, in the source's order, whether it is not set aside so far."""
        is_kept = np.ones(self._read, np.bool_)
        is_kept[self.aside.to_numpy()] = False
        return np.delete(is_kept, self._malformed["row"].to_numpy() - 1)

    def add_duplicates(self, duplicates: pl.DataFrame) -> None:
        """Enter what `find_duplicates` found among the rows that were not refused."""
        if self.has_refused or not self._malformed.is_empty():
            is_kept = np.ones(self._read, np.bool_)
            is_kept[self._refused[ROW].to_numpy()] = False
            is_kept[self._malformed["row"].to_numpy() - 1] = False
            rows = np.flatnonzero(is_kept)[duplicates[ROW].to_numpy()]
            duplicates = duplicates.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32))
        self._duplicates = duplicates
        self._mended = self._mended.join(duplicates, on=ROW, how="anti")

    def quarantined(self) -> pl.DataFrame:
        """Place (from 0, in the source) and reasons of every row that is set aside, in order; malformed ones apart."""
        reasons = [
            pl.when(pl.col(flag(n))).then(pl.lit(rule.name)) for n, rule in enumerate(self._rules) if rule.refuses
        ]
        texts = pl.concat_list(reasons).list.drop_nulls() if reasons else pl.lit([], dtype=pl.List(pl.String))
        refused = self._refused.select(ROW, texts.alias(REASONS))
        duplicates = self._duplicates.select(ROW, pl.concat_list(REASON).alias(REASONS))
        return pl.concat([refused, duplicates]).sort(ROW)

    def mended(self) -> pl.DataFrame:
        """`_row` (from 1), `_repairs` (rules) and `_replayed` of every accepted row that is not as it was read."""
        rules = {rule.name: flag(n) for n, rule in enumerate(self._rules) if rule.is_repair}
        rows = self._mended.filter(pl.any_horizontal(rules.values())) if rules else self._mended.clear()
        names = [pl.when(pl.col(column)).then(pl.lit(name)) for name, column in rules.items()]
        texts = pl.concat_list(names).list.drop_nulls() if names else pl.lit([], dtype=pl.List(pl.String))
        mended = rows.with_columns(texts.alias("_repairs")).select(ROW, "_repairs")
        aside = pl.concat([self._refused[ROW], self._duplicates[ROW]]).implode()
        replayed = self._replayed.filter(~self._replayed.is_in(aside)).cast(pl.UInt32).alias(ROW).to_frame()
        both = mended.join(replayed.with_columns(_replayed=True), on=ROW, how="full", coalesce=True).sort(ROW)
        return both.select(
            (pl.col(ROW).cast(pl.Int64) + 1).alias("_row"),
            pl.col("_repairs").fill_null([]),
            pl.col("_replayed").fill_null(value=False),
        )

    def report(
        self,
        source: Source,
        snapshot: Snapshot,
        columns: Sequence[ColumnProfile],
        *,
        accepted: int,
        table: Sequence[RuleResult] = (),
        warnings: Sequence[str] = (),
    ) -> QualityReport:
        """The report of one source.

        Parameters
        ----------
        accepted
            The number of rows in the accepted table.
        table
            What the rules of the whole table found.
        """
        reasons = self._reasons()
        repairs = {rule.name: flag(n) for n, rule in enumerate(self._rules) if rule.is_repair}
        replayed = self._replayed.filter(~self._replayed.is_in(self.aside.implode()))
        is_mended = pl.any_horizontal(repairs.values()) if repairs else pl.lit(value=False)
        mended = self._mended.filter(is_mended & ~pl.col(ROW).is_in(replayed.implode())).height
        quarantined = self._refused.height + self._duplicates.height + self._malformed.height
        read = self._read
        if not read == accepted + quarantined or sum(reasons.values()) != quarantined:
            raise AssertionError(f"the ledger of {source.name!r} does not add up: {read=} {accepted=} {quarantined=}")
        return QualityReport(
            source=source.name,
            read=read,
            accepted=accepted - mended - len(replayed),
            repaired=mended,
            replayed=len(replayed),
            quarantined=quarantined,
            reasons=tuple((name, count) for name, count in reasons.items() if count),
            repairs=tuple((name, n) for name, column in repairs.items() if (n := int(self._mended[column].sum()))),
            rules=(*self._rule_results(source), *null_share_results(source, columns, accepted), *table),
            columns=tuple(columns),
            warnings=(*snapshot.warnings, *warnings),
        )

    def _reasons(self) -> dict[str, int]:
        """Rule → rows quarantined first for it."""
        found: dict[str, int] = {}
        shapes = self._malformed.group_by("reason").len().sort("reason")
        found.update((f"shape:{reason}", count) for reason, count in shapes.iter_rows())
        is_left = pl.repeat(True, self._refused.height, eager=True)
        for n, rule in enumerate(self._rules):
            if rule.refuses:
                is_first = is_left & self._refused[flag(n)]
                found[rule.name] = int(is_first.sum())
                is_left = is_left & ~self._refused[flag(n)]
        return found | dict(self._duplicates.group_by(REASON).len().sort(REASON).iter_rows())

    def _rule_results(self, source: Source) -> list[RuleResult]:
        results = [self._shape_result()]
        for n, rule in enumerate(self._rules):
            if rule.name.startswith("nan:"):
                continue
            rows = self._noted.filter(pl.col(flag(n)))[ROW].to_numpy()
            results.append(self._result(rule.name, rule, rows))
        if source.unique:
            rule = Rule("unique", "unique", None, source.on_duplicate)
            results.append(self._result("unique", rule, np.sort(self._duplicates[ROW].to_numpy())))
        return results

    def _result(self, name: str, rule: Rule, rows: NDArray[np.uint32]) -> RuleResult:
        first = int(rows[0]) + 1 if len(rows) else None
        return RuleResult(
            rule=name,
            kind=rule.kind,
            column=rule.column,
            on_fail=rule.on_fail,
            failed=len(rows),
            first_row=first,
            detail="" if first is None else f"first: {self.places.describe(first)}",
            passed=not len(rows),
        )

    def _shape_result(self) -> RuleResult:
        rows = self._malformed.height
        first = self._malformed.row(0, named=True) if rows else None
        return RuleResult(
            rule="shape",
            kind="shape",
            on_fail="quarantine",
            failed=rows,
            first_row=None if first is None else first["row"],
            detail="" if first is None else f"first: line {first['line']} of {first['file']}, {first['reason']}",
            passed=not rows,
        )


def null_share_results(source: Source, columns: Sequence[ColumnProfile], rows: int) -> list[RuleResult]:
    """`max_null` rules, of the accepted rows. They are of the table: where the column says `quarantine`, they fail."""
    nulls: Mapping[str, int] = {column.name: column.nulls for column in columns}
    results = []
    for name, rule in source.columns:
        if rule.max_null is None:
            continue
        share = nulls[name] / rows if rows else 0.0
        has_passed = share <= rule.max_null
        results.append(
            RuleResult(
                rule=f"max_null:{name}",
                kind="null",
                column=name,
                on_fail="warn" if rule.on_fail == "warn" else "fail",
                failed=0 if has_passed else nulls[name],
                detail=f"{share:.4%} of the accepted rows are null, at most {rule.max_null:.4%} may be",
                passed=has_passed,
            )
        )
    return results
