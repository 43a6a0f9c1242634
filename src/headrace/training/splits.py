"""Folds for cross-validation: pure functions from what is known of the rows to positions, equal for equal seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Split
from headrace.training.data import Examples, known_in_time
from headrace.training.errors import FoldsImpossible

FEWEST_FOLDS: Final = 2
ENOUGH_ROWS: Final = 8_000
"""Answers out of fold by which candidates can be told apart, weighed and calibrated."""
ENOUGH_OF_A_CLASS: Final = 400
"""Of them of the rarest class."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Positions of rows, ascending: what a model learns from, and what it is then asked."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]


def make_folds(examples: Examples, split: Split) -> tuple[Fold, ...]:
    """The folds of the definition's split that can be used.

    A fold is left out when its training rows have one class (or one value) only, or when it has no validation row.

    Raises
    ------
    FoldsImpossible : none is left.
    """
    folds = _folds(examples, split)
    usable = tuple(f for f in folds if len(f.validation) and len(np.unique(examples.y[f.train])) > 1)
    if not usable:
        why = "the rows to learn from have one class or value only"
        if not folds:
            why = "there are too few rows"
        elif not any(len(f.validation) for f in folds):
            why = "every row that would be asked is of a group that comes before it too"
        raise FoldsImpossible(why, by=split.by, folds=split.folds, rows=len(examples))
    return _enough(usable, examples) if split.few else usable


def _enough(folds: tuple[Fold, ...], examples: Examples) -> tuple[Fold, ...]:
    """The last of the folds, as many as say enough about a candidate: each that is left out is a fit that another
    candidate can have."""
    for number in range(FEWEST_FOLDS, len(folds)):
        asked = examples.y[np.concatenate([fold.validation for fold in folds[-number:]])]
        if len(asked) < ENOUGH_ROWS:
            continue
        if examples.task == "regression":
            return folds[-number:]
        counts = np.bincount(asked.astype(np.intp), minlength=len(examples.classes))
        if counts.min() >= ENOUGH_OF_A_CLASS:
            return folds[-number:]
    return folds


def _folds(examples: Examples, split: Split) -> list[Fold]:
    match split.by:
        case "time":
            if examples.time_us is None:
                raise FoldsImpossible("[project] time is not set", by=split.by, folds=split.folds, rows=len(examples))
            return time_folds(
                examples.time_us,
                split.folds,
                label_known_us=examples.label_known_us,
                embargo_us=split.embargo_us,
                groups=None if split.group is None else examples.groups,
            )
        case "group":
            if examples.groups is None:
                raise FoldsImpossible("there is no group column", by=split.by, folds=split.folds, rows=len(examples))
            strata = None if examples.task == "regression" else examples.y
            return group_folds(examples.groups, split.folds, seed=split.seed, strata=strata)
        case "stratified" if examples.task != "regression":
            return stratified_folds(examples.y, split.folds, seed=split.seed, twins=examples.twins)
        case "stratified":
            return stratified_folds(_tenths(examples.y), split.folds, seed=split.seed, twins=examples.twins)
        case _:
            return random_folds(len(examples), split.folds, seed=split.seed, twins=examples.twins)


def time_folds(
    time_us: NDArray[np.int64],
    folds: int,
    *,
    label_known_us: NDArray[np.int64] | None = None,
    embargo_us: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> list[Fold]:
    """Expanding folds: rows are cut into `folds` + 1 blocks of about equal size in time; fold i learns from the blocks
    before block i + 1 and is asked about that block. Fewer folds when there are fewer distinct instants.

    Rows of one instant never straddle a cut. With `label_known_us`, a row whose label was not known before the block
    began, less the embargo, is not learnt from: at that moment nobody could have. With `groups`, a block is asked about
    its rows of groups that no row learnt from is of.
    """
    order = np.argsort(time_us, kind="stable")
    ordered = time_us[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1  # where a new instant begins
    if not len(changes):
        return []
    wanted = np.arange(1, folds + 1) * len(ordered) / (folds + 1)
    after = np.clip(np.searchsorted(changes, wanted), 1, len(changes) - 1) if len(changes) > 1 else np.zeros(folds, int)
    before = np.maximum(after - 1, 0)
    nearest = np.where(wanted - changes[before] <= changes[after] - wanted, before, after)
    cuts = np.unique(changes[nearest])
    result = []
    for start, end in zip(cuts, [*cuts[1:], len(ordered)], strict=True):
        train, asked = order[:start], order[start:end]
        known = None if label_known_us is None else label_known_us[train]
        train = train[known_in_time(time_us[train], int(ordered[start]), label_known_us=known, embargo_us=embargo_us)]
        if groups is not None:
            asked = asked[~np.isin(groups[asked], groups[train])]
        result.append(Fold(np.sort(train), np.sort(asked)))
    return result


def random_folds(n: int, folds: int, *, seed: int, twins: NDArray[np.int64] | None = None) -> list[Fold]:
    """Every row is asked once; sizes differ by one at most. Rows of equal `twins` stay together, and count as one."""
    if twins is not None:
        _, unit = np.unique(twins, return_inverse=True)
        return _by_part(_random_parts(int(unit.max(initial=-1)) + 1, folds, seed)[unit], folds)
    return _by_part(_random_parts(n, folds, seed), folds)


def _random_parts(n: int, folds: int, seed: int) -> NDArray[np.intp]:
    part = np.empty(n, np.intp)
    part[_generator(seed).permutation(n)] = np.arange(n) % folds
    return part


def stratified_folds(
    strata: NDArray[Any], folds: int, *, seed: int, twins: NDArray[np.int64] | None = None
) -> list[Fold]:
    """Every row is asked once; each stratum is spread as evenly as its size allows. Rows of equal `twins` stay
    together, and count as one, of the first one's stratum."""
    if twins is not None:
        _, first, unit = np.unique(twins, return_index=True, return_inverse=True)
        return _by_part(_stratified_parts(strata[first], folds, seed)[unit], folds)
    return _by_part(_stratified_parts(strata, folds, seed), folds)


def _stratified_parts(strata: NDArray[Any], folds: int, seed: int) -> NDArray[np.intp]:
    shuffled = _generator(seed).permutation(len(strata))
    part = np.empty(len(strata), np.intp)
    part[shuffled[np.argsort(strata[shuffled], kind="stable")]] = np.arange(len(strata)) % folds
    return part


def group_folds(groups: NDArray[np.int64], folds: int, *, seed: int, strata: NDArray[Any] | None = None) -> list[Fold]:
    """Every row is asked once, all rows of a group in the same fold; the largest groups are placed first, each into the
    fold with the fewest rows so far.

    With `strata` the groups that have rows of the rarest stratum are placed first, by how many, each into the fold with
    the fewest of these so far, among equals the fewest rows; then those of the next, so that a rare class is in as many
    folds as there are groups with it.
    """
    names, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = _generator(seed).permutation(len(names))
    home = np.full(len(names), -1, np.intp)
    filled = [0.0] * folds
    for held in _by_rarity(code, sizes, strata):
        own = np.bincount(home[home >= 0], held[home >= 0], folds).tolist()
        for group in shuffled[np.argsort(-held[shuffled], kind="stable")].tolist():
            if home[group] < 0 and held[group]:
                fold = min(range(folds), key=lambda i: (own[i], filled[i]))
                home[group] = fold
                own[fold] += held[group]
                filled[fold] += sizes[group]
    return _by_part(home[code], folds)


def _by_rarity(
    code: NDArray[np.intp], sizes: NDArray[np.intp], strata: NDArray[Any] | None
) -> list[NDArray[np.float64]]:
    """For every stratum, the rarest first, how many of its rows each group has; without strata, how many of any."""
    if strata is None:
        return [sizes.astype(np.float64)]
    _, stratum, rows = np.unique(strata, return_inverse=True, return_counts=True)
    rarest_first = np.argsort(rows, kind="stable").tolist()
    return [np.bincount(code[stratum == place], minlength=len(sizes)).astype(np.float64) for place in rarest_first]


def _by_part(part: NDArray[np.intp], folds: int) -> list[Fold]:
    return [Fold(np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(folds) if (part == i).any()]


def _tenths(y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Ten equal parts of a numeric label by rank."""
    rank = np.empty(len(y), np.intp)
    rank[np.argsort(y, kind="stable")] = np.arange(len(y))
    return rank * 10 // len(y)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
