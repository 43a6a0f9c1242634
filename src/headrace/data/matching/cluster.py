"""Clusters: which records are one, from the scores of pairs, without letting a chain of half-likely pairs grow.

Records that are joined by pairs above the threshold are a group. Inside a group of three or more every pair is
compared, and the group is built up from its likeliest pair: two parts become one when some pair between them passes the
threshold and all pairs between them, on average, speak more for a match than against it (average linkage). A group of
more than `LARGEST` records is first taken apart at its weakest pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Indexes = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST: Final = 60
"""Records of a group that are all compared with one another."""


def components(count: int, left: Indexes, right: Indexes) -> Indexes:
    """Record → the smallest record that pairs lead to."""
    root = np.arange(count, dtype=np.int64)
    while True:
        low = np.minimum(root[left], root[right])
        before = root.copy()
        np.minimum.at(root, left, low)
        np.minimum.at(root, right, low)
        np.minimum.at(root, before[left], low)
        np.minimum.at(root, before[right], low)
        root = root[root]
        if np.array_equal(root, before):
            return root


def cluster(
    count: int,
    left: Indexes,
    right: Indexes,
    weight: Floats,
    weigh: Callable[[Indexes, Indexes], Floats],
    apart: frozenset[tuple[int, int]] = frozenset(),
) -> Indexes:
    """Record → the first record of its cluster.

    Parameters
    ----------
    left, right, weight
        Pairs that pass the threshold, and their weights with the prior in bits.
    weigh
        Weights of any pairs.
    apart
        Pairs, the smaller record first, that are never in one cluster.
    """
    found = np.arange(count, dtype=np.int64)
    for members, pairs in _groups(left, right, weight):
        if len(members) == 2 and not apart:
            found[members] = members[0]
            continue
        a, b = np.triu_indices(len(members), 1)
        scores = weigh(members[a], members[b])
        matrix = np.zeros((len(members), len(members)))
        matrix[a, b] = matrix[b, a] = scores
        place = {int(record): n for n, record in enumerate(members)}
        links = np.zeros(matrix.shape, np.bool_)
        for pair in pairs:
            i, j = place[int(left[pair])], place[int(right[pair])]
            links[i, j] = links[j, i] = True
            matrix[i, j] = matrix[j, i] = weight[pair]
        barred = [(place[one], place[other]) for one, other in sorted(apart) if one in place and other in place]
        for part in _linked(matrix, links, barred):
            found[members[part]] = members[part[0]]
    return found


def _groups(left: Indexes, right: Indexes, weight: Floats) -> list[tuple[Indexes, Indexes]]:
    """Members of every group and the pairs between them; too large ones taken apart at their weakest pairs."""
    groups: list[tuple[Indexes, Indexes]] = []
    waiting = [np.arange(len(left), dtype=np.int64)]
    while waiting:
        pairs = waiting.pop()
        records, numbers = np.unique(np.concatenate([left[pairs], right[pairs]]), return_inverse=True)
        half = len(pairs)
        root = components(len(records), numbers[:half], numbers[half:])
        by_root = np.argsort(root, kind="stable")
        member_ends = np.flatnonzero(np.diff(root[by_root], append=-1)) + 1
        of_pair = root[numbers[:half]]
        pairs_by_root = np.argsort(of_pair, kind="stable")
        pair_ends = np.flatnonzero(np.diff(of_pair[pairs_by_root], append=-1)) + 1
        member_start = pair_start = 0
        for member_end, pair_end in zip(member_ends, pair_ends, strict=True):
            members = records[by_root[member_start:member_end]]
            inner = pairs[pairs_by_root[pair_start:pair_end]]
            member_start, pair_start = int(member_end), int(pair_end)
            if len(members) <= LARGEST:
                groups.append((members, inner))
                continue
            strongest = inner[np.lexsort((right[inner], left[inner], -weight[inner]))]
            if kept := strongest[: len(strongest) * 3 // 4].tolist():
                waiting.append(np.sort(np.array(kept, dtype=np.int64)))
    return groups


def _linked(matrix: Floats, links: NDArray[np.bool_], barred: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Parts of one group, by average linkage."""
    parts: dict[int, list[int]] = {n: [n] for n in range(len(matrix))}
    sums, linked, bars = matrix.copy(), links.copy(), np.zeros(links.shape, np.bool_)
    for one, other in barred:
        bars[one, other] = bars[other, one] = True
    sizes = np.ones(len(matrix))
    while True:
        means = np.where(linked & ~bars, sums / np.outer(sizes, sizes), -np.inf)
        np.fill_diagonal(means, -np.inf)
        best = int(np.argmax(means))
        i, j = sorted(divmod(best, len(matrix)))
        if not means[i, j] > 0:
            return [sorted(part) for part in parts.values()]
        parts[i] += parts.pop(j)
        sums[i] += sums[j]
        sums[:, i] += sums[:, j]
        for table in (linked, bars):
            table[i] |= table[j]
            table[:, i] |= table[:, j]
        linked[j], linked[:, j] = False, False
        sizes[i] += sizes[j]
