"""Weights in bits, learnt without labels.

`unmatched` shares come from pairs drawn at random, nearly all of which are not one. `matched` shares come from each
pass's pairs by expectation maximisation over the columns that are no part of its key (those that are agree by
construction); the passes' answers are averaged by how many matches each has seen. Within a pass the unmatched shares
are learnt too and then forgotten: rows that share the start of an e-mail address share names more often than others.
Splink learns alike, but for that last part (Linacre et al., "Splink: Free software for probabilistic record linkage at
scale", IJPDS 2022). The odds that two rows are one at all follow last, from the scores of all candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from headrace.data.matching.block import Pass
from headrace.data.matching.compare import LEVELS, NULL, Comparer
from headrace.data.matching.model import Level, Weights
from headrace.data.matching.records import Records
from headrace.definition.model import MatchKind

Floats = NDArray[np.float64]

LEAST_RECORDS: Final = 200
LEAST_MATCHES: Final = 20.0
"""Expected matches that a pass must show before it teaches anything."""
SAMPLE: Final = 400_000
"""Random pairs that tell what pairs look like that are not one."""
TAUGHT: Final = 100_000
"""Pairs of a pass that it learns from, evenly taken."""
SELDOM: Final = 0.1
"""Share of equal values below which a column tells related pairs from those that are one."""
ROUNDS: Final = 60
_MOST_AT_ONCE: Final = 7
"""Comparisons whose levels are counted together: one byte each of a 64-bit number."""
STRENGTH: Final = 20.0
"""How many matched pairs the default shares count for beside those seen."""

DEFAULT_MATCHED: Final[dict[MatchKind, tuple[float, ...]]] = {
    "exact": (0.9, 0.1),
    "text": (0.75, 0.03, 0.08, 0.05, 0.09),
    "name": (0.75, 0.07, 0.08, 0.03, 0.04, 0.03),
    "email": (0.8, 0.05, 0.05, 0.1),
    "phone": (0.8, 0.05, 0.02, 0.13),
    "date": (0.88, 0.06, 0.03, 0.03),
    "number": (0.8, 0.08, 0.05, 0.07),
    "geo": (0.6, 0.15, 0.08, 0.07, 0.1),
}
"""Shares of the levels among pairs that are one, where the rows do not teach them."""

DEFAULT_UNMATCHED: Final[dict[MatchKind, tuple[float, ...]]] = {
    "exact": (0.02, 0.98),
    "text": (0.01, 0.0001, 0.001, 0.01, 0.9789),
    "name": (0.0005, 0.0001, 0.0005, 0.004, 0.006, 0.9889),
    "email": (0.0001, 0.0005, 0.0004, 0.999),
    "phone": (0.0001, 0.0001, 0.0008, 0.999),
    "date": (0.0001, 0.001, 0.004, 0.9949),
    "number": (0.01, 0.01, 0.08, 0.9),
    "geo": (0.0001, 0.0005, 0.002, 0.02, 0.9774),
}
"""The same among pairs that are not: what a few rows are seen beside."""
PSEUDO_PAIRS: Final = 2000.0
"""How many pairs the default shares count for beside those seen …"""
PSEUDO_ROWS: Final = 200.0
"""… and how many rows, where the frequency of one value is in question."""


def unmatched_shares(records: Records, comparers: Sequence[Comparer]) -> list[Floats]:
    """Shares of the levels among pairs that are not one: of equal values by counting, of the others by sampling."""
    left, right = random_pairs(len(records), SAMPLE)
    shares = []
    for comparer in comparers:
        names = LEVELS[comparer.column.kind]
        counts = comparer.column.counts.astype(np.float64)
        rows = counts.sum()
        pairs = rows * (rows - 1) / 2
        default = np.array(DEFAULT_UNMATCHED[comparer.column.kind])
        equal = ((counts * (counts - 1)).sum() / 2 + PSEUDO_PAIRS * default[0]) / (pairs + PSEUDO_PAIRS)
        found = comparer.levels(left, right)
        counted = np.bincount(found[(found != NULL) & (found != 0)], minlength=len(names))[: len(names)]
        seen: Floats = counted + PSEUDO_PAIRS * default
        seen[0] = 0
        share = seen / seen.sum() * (1 - min(float(equal), 0.99))
        share[0] = min(float(equal), 0.99)
        shares.append(share)
    return shares


def random_pairs(records: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of different records, the same every time: all of them when there are few."""
    if records < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if records * (records - 1) // 2 <= most:
        left, right = np.triu_indices(records, 1)
        return left.astype(np.int64), right.astype(np.int64)
    count = np.arange(2 * most, dtype=np.uint64)
    drawn = (_scrambled(count) % np.uint64(records)).astype(np.int64)
    left, right = drawn[:most], drawn[most:]
    return left[left != right], right[left != right]


def _scrambled(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: the same bits on every machine and in every version."""
    with np.errstate(over="ignore"):
        z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def learn(
    records: Records, comparers: Sequence[Comparer], passes: Sequence[Pass]
) -> tuple[tuple[Weights, ...], tuple[str, ...]]:
    """The weights of every comparison, and what could not be learnt."""
    unmatched = unmatched_shares(records, comparers)
    notes: tuple[str, ...]
    if len(records) < LEAST_RECORDS:
        notes = (f"{len(records)} distinct records are too few to learn from: stated default weights are used",)
        taught: dict[int, Floats] = {}
    else:
        taught = _taught(comparers, passes, unmatched)
        untaught = [one.column.name for n, one in enumerate(comparers) if n not in taught]
        notes = (f"stated default weights are used for {', '.join(untaught)}: too few matches",) if untaught else ()
    weights = []
    for n, (comparer, share) in enumerate(zip(comparers, unmatched, strict=True)):
        matched = taught.get(n, np.array(DEFAULT_MATCHED[comparer.column.kind]))
        weights.append(_weights(comparer, matched, share, learnt=n in taught))
    return tuple(weights), notes


def _weights(comparer: Comparer, matched: Floats, unmatched: Floats, *, learnt: bool) -> Weights:
    bits = _falling(matched, unmatched)
    levels = tuple(
        Level(name=name, matched=round(float(m), 9), unmatched=round(float(u), 12), bits=float(b))
        for name, m, u, b in zip(LEVELS[comparer.column.kind], matched, unmatched, bits, strict=True)
    )
    return Weights(column=comparer.column.name, kind=comparer.column.kind, levels=levels, learnt=learnt)


def _falling(matched: Floats, unmatched: Floats) -> Floats:
    """Bits of the levels: values that are more alike never speak less for a match, whatever a small sample says.

    Neighbouring levels that would are one (pooled adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for m, u in zip(matched.tolist(), unmatched.tolist(), strict=True):
        pool = (m, u, 1)
        while pools and pools[-1][0] / pools[-1][1] < pool[0] / pool[1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    bits: Floats = np.concatenate([np.full(n, np.log2(m / u)) for m, u, n in pools])
    return np.round(bits, 6)


def _taught(comparers: Sequence[Comparer], passes: Sequence[Pass], unmatched: Sequence[Floats]) -> dict[int, Floats]:
    """Comparison → shares among matched pairs, of those that some pass teaches."""
    sums: dict[int, Floats] = {}
    for one in passes:
        keyed = {column for column, _ in one.told.parts}
        free = [n for n, comparer in enumerate(comparers) if comparer.column.name not in keyed][:_MOST_AT_ONCE]
        if len(free) < 2:
            continue
        found = _sampled_levels(one, [comparers[n] for n in free])
        matched, expected = _expectation_maximisation(
            found,
            [np.array(DEFAULT_MATCHED[comparers[n].column.kind]) for n in free],
            [unmatched[n] for n in free],
        )
        if expected < LEAST_MATCHES:
            continue
        for n, share in zip(free, matched, strict=True):
            sums[n] = sums.get(n, np.zeros(len(share))) + expected * share
    taught = {n: total / total.sum() for n, total in sums.items()}
    return {n: share for n, share in taught.items() if share[0] > unmatched[n][0]}


def _sampled_levels(one: Pass, comparers: Sequence[Comparer]) -> Mapping[tuple[int, ...], int]:
    """How often each combination of levels is seen among the pass's pairs, or an even sample of them."""
    stride = max(1, -(-one.told.pairs // TAUGHT))
    counts: dict[tuple[int, ...], int] = {}
    for left, right in one.pairs():
        _count_patterns(counts, comparers, left[::stride], right[::stride])
    return dict(sorted(counts.items()))


def _count_patterns(
    counts: dict[tuple[int, ...], int],
    comparers: Sequence[Comparer],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> None:
    packed = np.zeros(len(left), np.int64)
    for comparer in comparers:
        packed = packed * (NULL + 1) + comparer.levels(left, right)
    for value, times in zip(*np.unique(packed, return_counts=True), strict=True):
        rest, pattern = int(value), []
        for _ in comparers:
            rest, level = divmod(rest, NULL + 1)
            pattern.append(level)
        key = tuple(reversed(pattern))
        counts[key] = counts.get(key, 0) + int(times)


def _expectation_maximisation(
    patterns: Mapping[tuple[int, ...], int], start: Sequence[Floats], unmatched: Sequence[Floats]
) -> tuple[list[Floats], float]:
    """Shares among matched pairs, and how many pairs are expected to be matched."""
    seen = np.array(list(patterns), dtype=np.int64)
    times = np.array(list(patterns.values()), dtype=np.float64)
    if not len(times):
        return list(start), 0.0
    matched, others, share = list(start), list(unmatched), 0.1
    for _ in range(ROUNDS):
        likely = share * _likelihood(seen, matched)
        held = times * likely / np.maximum(likely + (1 - share) * _likelihood(seen, others), 1e-300)
        share = min(max(float(held.sum() / times.sum()), 1e-9), 1 - 1e-9)
        matched = _shares(seen, held, start)
        others = _shares(seen, times - held, unmatched)
    return matched, float(share * times.sum())


def learn_related(
    comparers: Sequence[Comparer], weights: Sequence[Weights], left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[tuple[Weights, ...], float]:
    """The weights told apart from what related pairs look like, and how many pairs are expected to be related.

    Members of a household share an address, a telephone and a surname: evidence that is independent neither among the
    pairs that are one nor among all the others, as the plain model takes it to be. So the likely pairs are parted into
    two classes once more; the one whose pairs agree in less is a third hypothesis.

    Parameters
    ----------
    left, right
        The pairs that the plain weights find likely.
    """
    if not all(one.learnt for one in weights) or len(comparers) > _MOST_AT_ONCE or not len(left):
        return tuple(weights), 0.0
    patterns: dict[tuple[int, ...], int] = {}
    _count_patterns(patterns, comparers, left, right)
    seen = np.array(sorted(patterns), dtype=np.int64)
    times = np.array([patterns[one] for one in sorted(patterns)], dtype=np.float64)
    matched = [np.array([level.matched for level in one.levels]) for one in weights]
    unmatched = [np.array([level.unmatched for level in one.levels]) for one in weights]
    start = [matched, [(m + u) / 2 for m, u in zip(matched, unmatched, strict=True)]]
    shares, odds = start, np.array([0.7, 0.3])
    for _ in range(ROUNDS):
        likely = np.array([part * _likelihood(seen, one) for part, one in zip(odds, shares, strict=True)])
        held = times * likely / np.maximum(likely.sum(axis=0), 1e-300)
        odds = np.clip(held.sum(axis=1) / times.sum(), 1e-9, 1.0)
        shares = [_shares(seen, one, expected) for one, expected in zip(held, start, strict=True)]
    expected = odds * times.sum()
    ones, related = shares
    # what is not one is seldom equal in that which tells things apart; badly written matches are seldom equal in all
    apart = [r[0] < SELDOM and m[0] > 3 * SELDOM for m, r in zip(ones, related, strict=True)]
    if expected.min() < LEAST_MATCHES or sum(apart) < 2:
        return tuple(weights), 0.0
    told = []
    for comparer, m, u, r in zip(comparers, ones, unmatched, related, strict=True):
        made = _weights(comparer, m, u, learnt=True)
        levels = [replace(level, related=round(float(x), 9)) for level, x in zip(made.levels, r, strict=True)]
        told.append(replace(made, levels=tuple(levels)))
    return tuple(told), float(expected[1])


def _shares(seen: NDArray[np.int64], times: Floats, expected: Sequence[Floats]) -> list[Floats]:
    """Shares of the levels, with `STRENGTH` pairs of the expected ones beside those seen."""
    shares = []
    for n, prior in enumerate(expected):
        is_there = seen[:, n] != NULL
        total = np.bincount(seen[is_there, n], weights=times[is_there], minlength=len(prior)) + STRENGTH * prior
        shares.append(total / total.sum())
    return shares


def _likelihood(seen: NDArray[np.int64], shares: Sequence[Floats]) -> Floats:
    product = np.ones(len(seen))
    for n, share in enumerate(shares):
        product *= np.append(share, np.ones(NULL + 1 - len(share)))[seen[:, n]]
    return product


def bits_of(weights: Weights) -> Floats:
    """Level → bits; a missing value says nothing."""
    table = np.zeros(NULL + 1)
    table[: len(weights.levels)] = [level.bits for level in weights.levels]
    return table


def frequency_bits(comparer: Comparer, weights: Weights) -> Floats:
    """Code → what equal values of that code add to a pair's weight: the rarer, the more.

    The chance that another row has the value by accident takes the place of the chance that any two rows agree."""
    counts = comparer.column.counts.astype(np.float64)
    rows = float(counts.sum())
    usual = PSEUDO_ROWS * DEFAULT_UNMATCHED[comparer.column.kind][0]
    others = np.maximum(counts - 2, 0) + min(1.0, rows / PSEUDO_ROWS)  # a value seen twice may be a match or chance
    chance = (others + usual) / (rows + PSEUDO_ROWS)
    bits = np.log2(weights.levels[0].matched) - np.log2(chance)
    found: Floats = np.round(np.maximum(bits, weights.levels[1].bits), 6)
    return found


def related_ratio(weights: Weights) -> Floats:
    """Level → bits by which it speaks for one rather than for related; zeros when that is not known."""
    table = np.zeros(NULL + 1)
    for n, level in enumerate(weights.levels):
        if level.related is not None:
            table[n] = round(float(np.log2(level.matched / level.related)), 6)
    return table
