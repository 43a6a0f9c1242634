"""Rows in, clusters and scored pairs out: the one function that sources and entities call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.data.matching.block import Indexes, candidate_pairs, choose_passes
from headrace.data.matching.cluster import cluster
from headrace.data.matching.compare import LEVELS, NULL, Comparer, comparer_of
from headrace.data.matching.model import Matching, Weights
from headrace.data.matching.records import MISSING, Records, records_of
from headrace.data.matching.weights import bits_of, frequency_bits, learn, learn_related, related_ratio
from headrace.definition.model import Match

Floats = NDArray[np.float64]
REVIEW_FROM: Final = 0.05
"""Pairs are kept for review from this probability up to the threshold."""
MOST_KEPT: Final = 20
"""Pairs kept for each record at the most, the likeliest; also bounds memory."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Which rows are one."""

    cluster: pl.Series
    """Row → the first row of its cluster (its own number when it is alone), from 0."""
    pairs: pl.DataFrame
    """`left`, `right` (rows from 0, of which each stands for all rows equal to it), `probability`, `bits` (with the
    prior), `answer` (same, different or null); then for each column `level:COLUMN` and `bits:COLUMN`, and `related`
    (bits that allow for related rows): these bits and `told.prior_bits` add up to `bits`. In order of rows."""
    told: Matching


@dataclass(frozen=True, slots=True)
class Answers:
    """What people said of pairs of rows, from 0."""

    same: Sequence[tuple[int, int]] = ()
    different: Sequence[tuple[int, int]] = ()


def match_rows(frame: pl.DataFrame, match: Match, answers: Answers | None = None) -> Matched:
    """Which rows of a table are about one thing.

    Depends on the rows and not on their order. Rows that are equal in every compared column, none of them null, are
    always one; equal rows with nulls are one when what they have is evidence enough.

    Parameters
    ----------
    frame
        The compared columns, others are not looked at. Some 250 bytes of memory a row beside it.
    answers
        Overrule what the weights say.
    """
    given = answers or Answers()
    records = records_of(frame, match.compare)
    comparers = [comparer_of(column) for column in records.columns]
    passes = choose_passes(records, match.block)
    weights, notes = learn(records, comparers, passes)
    scorer = Scorer(comparers, weights)
    floor = np.log2(max(len(records), 2)) - 8.0
    compared, lefts, rights, scores = 0, [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for left, right in candidate_pairs(passes):
        compared += len(left)
        at, score = scorer.above(left, right, floor)
        lefts.append(left[at])
        rights.append(right[at])
        scores.append(score)
    left, right, score = np.concatenate(lefts), np.concatenate(rights), np.concatenate(scores)
    likely = score >= floor + 4
    weights, related = learn_related(comparers, weights, left[likely], right[likely])
    if related:
        scorer = Scorer(comparers, weights, related / (len(records) * (len(records) - 1) / 2))
        score = scorer.weigh(left, right)
    prior = _prior_bits(score, len(records))
    least = float(np.log2(match.threshold) - np.log2(1 - match.threshold))
    same = _of_records(records, given.same)
    different = _of_records(records, given.different)
    found = _clusters(records, scorer, left, right, score + prior, prior, least, same, different)
    of_row = _rows(records, scorer, found, prior, least)
    told_left, told_right = _told_pairs(left, right, score + prior, found, same + different)
    pairs = _pairs(records, scorer, told_left, told_right, prior, same, different)
    sizes = np.bincount(of_row, minlength=frame.height)
    told = Matching(
        rows=frame.height,
        records=len(records),
        compared=compared,
        prior_bits=prior,
        related_bits=scorer.related_bits,
        threshold=match.threshold,
        weights=weights,
        passes=tuple(one.told for one in passes),
        clusters=int((sizes > 1).sum()),
        extra=int((sizes[sizes > 1] - 1).sum()),
        notes=notes,
    )
    return Matched(pl.Series("cluster", of_row, dtype=pl.Int64), pairs, told)


class Scorer:
    """Weights of pairs of records.

    Parameters
    ----------
    related
        Share of all pairs that are related and not one; None when there is no such class.
    """

    def __init__(self, comparers: Sequence[Comparer], weights: Sequence[Weights], related: float | None = None) -> None:
        self.comparers = comparers
        self.weights = weights
        self._bits = [bits_of(one) for one in weights]
        self._equal = [frequency_bits(one, weight) for one, weight in zip(comparers, weights, strict=True)]
        self.related_bits = None if related is None else round(float(np.log2(related) - np.log2(1 - related)), 6)
        self._ratio = [related_ratio(one) for one in weights]

    def evidence(self, left: Indexes, right: Indexes) -> list[tuple[NDArray[np.uint8], Floats]]:
        """Level and bits of each comparison."""
        found = []
        for comparer, table, equal in zip(self.comparers, self._bits, self._equal, strict=True):
            levels = comparer.levels(left, right)
            bits = table[levels]
            at = np.flatnonzero(levels == 0)
            bits[at] = equal[comparer.column.codes[left[at]]]
            found.append((levels, bits))
        return found

    def allowance(self, evidence: Sequence[tuple[NDArray[np.uint8], Floats]]) -> Floats:
        """Bits, 0 or less, that allow for pairs that are related and not one.

        With it the odds are those of one against either of the others: m / (u + r) = m / u · 1 / (1 + r / u)."""
        if self.related_bits is None or not evidence:
            return np.zeros(len(evidence[0][0]) if evidence else 0)
        odds = np.full(len(evidence[0][0]), self.related_bits)
        for (levels, bits), ratio in zip(evidence, self._ratio, strict=True):
            odds += bits - ratio[levels]
        allowed: Floats = np.round(-np.logaddexp2(0.0, odds), 6) + 0.0
        return allowed

    def weigh(self, left: Indexes, right: Indexes) -> Floats:
        """The sum of the evidence, without the prior."""
        evidence = self.evidence(left, right)
        total = self.allowance(evidence)
        for _, bits in evidence:
            total += bits
        return np.round(total, 6)

    def above(self, left: Indexes, right: Indexes, floor: float) -> tuple[Indexes, Floats]:
        """Positions and weights of the pairs that weigh `floor` or more.

        Whether values are equal is seen by their codes; only where that leaves a chance are they compared."""
        most = np.zeros(len(left))
        for comparer, table, equal in zip(self.comparers, self._bits, self._equal, strict=True):
            a, b = comparer.column.codes[left], comparer.column.codes[right]
            best = np.where(a == b, equal[a] if len(equal) else 0.0, table[1])
            most += np.where((a == MISSING) | (b == MISSING), 0.0, best)
        at = np.flatnonzero(most >= floor)
        weight = self.weigh(left[at], right[at])
        is_kept = weight >= floor
        return at[is_kept], weight[is_kept]


def _prior_bits(weight: Floats, records: int) -> float:
    """log2 of the odds that two records are one, such that the candidates' probabilities add up to it."""
    pairs = max(records * (records - 1) / 2, 1.0)
    share = min(0.5, 1.0 / max(records, 2))
    for _ in range(100):
        odds = np.exp2(np.clip(weight, -500, 500)) * (share / (1 - share))
        share = min(max(float((odds / (1 + odds)).sum()) + 0.5, 0.5) / pairs, 0.5)
    return round(float(np.log2(share) - np.log2(1 - share)), 6)


def _of_records(records: Records, rows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of rows as pairs of records, the smaller first."""
    found = [sorted((int(records.of_row[a]), int(records.of_row[b]))) for a, b in rows]
    return sorted({(a, b) for a, b in found if a != b})


def _clusters(
    records: Records,
    scorer: Scorer,
    left: Indexes,
    right: Indexes,
    weight: Floats,
    prior: float,
    least: float,
    same: Sequence[tuple[int, int]],
    different: Sequence[tuple[int, int]],
) -> Indexes:
    """Record → the first record of its cluster."""
    at = np.flatnonzero(weight >= least)
    left, right, weight = left[at], right[at], weight[at]
    if same or different:
        packed = left * len(records) + right
        ruled = np.array([a * len(records) + b for a, b in (*same, *different)], dtype=np.int64)
        is_left = ~np.isin(packed, ruled)
        left = np.append(left[is_left], np.array([a for a, _ in same], dtype=np.int64))
        right = np.append(right[is_left], np.array([b for _, b in same], dtype=np.int64))
        weight = np.append(weight[is_left], np.full(len(same), 1e6))

    def weigh(a: Indexes, b: Indexes) -> Floats:
        return scorer.weigh(a, b) + prior

    return cluster(len(records), left, right, weight, weigh, frozenset(different))


def _rows(
    records: Records,
    scorer: Scorer,
    found: Indexes,
    prior: float,
    least: float,
) -> Indexes:
    """Row → the first row of its cluster; rows of one record that say too little to be one stay apart."""
    is_whole = np.ones(len(records), np.bool_)
    for column in records.columns:
        is_whole &= column.codes != MISSING
    every = np.arange(len(records))
    is_one = is_whole | (scorer.weigh(every, every) + prior >= least)
    is_alone = np.bincount(found, minlength=len(found))[found] == 1
    split = ~is_one & is_alone & (records.rows_of > 1)
    rows = np.arange(len(records.of_row), dtype=np.int64)
    first = np.full(len(records), len(rows), np.int64)
    np.minimum.at(first, found[records.of_row], rows)
    return np.where(split[records.of_row], rows, first[found[records.of_row]])


def _told_pairs(
    left: Indexes, right: Indexes, weight: Floats, found: Indexes, answered: Sequence[tuple[int, int]]
) -> tuple[Indexes, Indexes]:
    """Pairs to report: those inside clusters, those near the threshold, and those that people spoke of."""
    review = float(np.log2(REVIEW_FROM) - np.log2(1 - REVIEW_FROM))
    at = np.flatnonzero((weight >= review) | (found[left] == found[right]))
    ranked = at[np.lexsort((right[at], left[at], -weight[at]))]
    most = MOST_KEPT * max(len(found), 1)
    left = np.append(left[ranked[:most]], np.array([a for a, _ in answered], dtype=np.int64))
    right = np.append(right[ranked[:most]], np.array([b for _, b in answered], dtype=np.int64))
    packed = np.unique(left * max(len(found), 1) + right)
    return packed // max(len(found), 1), packed % max(len(found), 1)


def _pairs(
    records: Records,
    scorer: Scorer,
    left: Indexes,
    right: Indexes,
    prior: float,
    same: Sequence[tuple[int, int]],
    different: Sequence[tuple[int, int]],
) -> pl.DataFrame:
    evidence = scorer.evidence(left, right)
    allowance = scorer.allowance(evidence)
    total = prior + allowance
    for _, bits in evidence:
        total += bits
    total = np.round(total, 6)
    probability = np.round(1 / (1 + np.exp2(-np.clip(total, -500, 500))), 9)
    first = np.full(len(records), len(records.of_row), np.int64)
    np.minimum.at(first, records.of_row, np.arange(len(records.of_row)))
    said = {**dict.fromkeys(different, "different"), **dict.fromkeys(same, "same")}
    answer = (
        [said.get(pair) for pair in zip(left.tolist(), right.tolist(), strict=True)] if said else [None] * len(left)
    )
    columns: dict[str, pl.Series] = {
        "left": pl.Series(np.minimum(first[left], first[right]), dtype=pl.Int64),
        "right": pl.Series(np.maximum(first[left], first[right]), dtype=pl.Int64),
        "probability": pl.Series(probability, dtype=pl.Float64),
        "bits": pl.Series(total, dtype=pl.Float64),
        "answer": pl.Series(answer, dtype=pl.String),
    }
    for comparer, (levels, bits) in zip(scorer.comparers, evidence, strict=True):
        names = np.array([*LEVELS[comparer.column.kind], *[""] * NULL], dtype=object)[: NULL + 1]
        names[NULL] = "missing"
        columns[f"level:{comparer.column.name}"] = pl.Series(names[levels].tolist(), dtype=pl.String)
        columns[f"bits:{comparer.column.name}"] = pl.Series(bits, dtype=pl.Float64)
    columns["related"] = pl.Series(allowance, dtype=pl.Float64)
    return pl.DataFrame(columns).sort("left", "right")
