"""Target encoding: a level as the mean label of its training rows, with training rows kept from their own labels.

A category of many levels whose mean labels were learnt from the very rows that are then encoded tells the model their
labels: it looks excellent in training and worthless on new rows. So a training row is encoded from *other* rows only:

* rows that are drawn into parts: from the rows of the other parts;
* rows in time: from the rows whose label was known before the row's own prediction was asked for, strictly, as a window
  over the label would be.

Rows that were no training rows (validation, holdout, requests) are encoded from all training rows. The mean to which
levels of few rows are drawn is one number for all: a mean that left each part out would differ from part to part,
and by its differences tell a tree which part a row is in, and so something of its label.

Labels are added as whole numbers in two limbs, exactly, so that no order of rows changes a value.

Micci-Barreca, "A Preprocessing Scheme for High-Cardinality Categorical Attributes", SIGKDD Explorations 3(1), 2001;
Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018, on values from the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.features.exact import scale_of, whole_numbers

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_LIMB: Final = 32
_MASK: Final = 2**32 - 1
_BASE: Final = 2.0**32


@dataclass(frozen=True, slots=True)
class Parts:
    """Training rows in parts that are encoded from each other."""

    number: NDArray[np.intp]
    """The part of each row, from 0."""


@dataclass(frozen=True, slots=True)
class Past:
    """Training rows that are encoded from what was known before each."""

    asked_us: Ints
    """When each row's prediction was asked for."""
    known_us: Ints
    """When its label became known."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What target encodings learn from."""

    y: NDArray[Any]
    """int64 0 and 1, int64 class codes, or finite float64; one a training row."""
    classes: tuple[str, ...]
    """More than two of them: each class has an encoding of its own."""
    apart: Parts | Past
    """How a row is kept from its own label."""

    def codes(self) -> tuple[int | None, ...]:
        """The classes that are encoded: None stands for the label itself."""
        return tuple(range(len(self.classes))) if len(self.classes) > 2 else (None,)


class LabelSums:
    """Labels, or the membership of one class, as whole numbers that are added exactly."""

    def __init__(self, labels: Labels, class_code: int | None) -> None:
        y = labels.y if class_code is None else (labels.y == class_code).astype(np.int64)
        self._scale = 0
        if y.dtype.kind == "f":
            self._scale = scale_of(float(np.abs(y).max(initial=0.0)))
            y = whole_numbers(y, self._scale)
        self._high, self._low = y >> _LIMB, y & _MASK
        self._apart = labels.apart
        self.overall = float(self._mean(self._total(self._high), self._total(self._low), np.array([len(y)]))[0])
        """The mean of all labels."""

    def values(self, codes: Ints, n_codes: int, smoothing: float) -> Floats:
        """The value of every code, shape (n_codes,), from all rows."""
        rows = np.bincount(codes, minlength=n_codes)
        high, low = (_by_group(limb, codes, n_codes) for limb in (self._high, self._low))
        return self._drawn(high, low, rows, smoothing)

    def apart(self, codes: Ints, n_codes: int, smoothing: float) -> Floats:
        """The value of every row, shape (rows,), from other rows."""
        if isinstance(self._apart, Past):
            return self._from_past(self._apart, codes, smoothing)
        part = self._apart.number
        n_parts = int(part.max(initial=0)) + 1
        places = codes * n_parts + part

        def others(numbers: Ints) -> Ints:
            own = _by_group(numbers, places, n_codes * n_parts)
            left: Ints = own.reshape(n_codes, n_parts).sum(axis=1)[codes] - own[places]
            return left

        return self._drawn(others(self._high), others(self._low), others(np.ones_like(codes)), smoothing)

    def _from_past(self, past: Past, codes: Ints, smoothing: float) -> Floats:
        """Events sorted by (code, known): each row asks for the sum of a run of them."""
        instants = np.unique(past.known_us)
        width = len(instants) + 1
        event = codes * width + np.searchsorted(instants, past.known_us)
        order = np.argsort(event, kind="stable")
        event = event[order]
        start = np.searchsorted(event, codes * width)
        stop = np.searchsorted(event, codes * width + np.searchsorted(instants, past.asked_us))

        def run(numbers: Ints) -> Ints:
            sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers[order])])
            found: Ints = sums[stop] - sums[start]
            return found

        return self._drawn(run(self._high), run(self._low), stop - start, smoothing)

    def _drawn(self, high: Ints, low: Ints, rows: Ints, smoothing: float) -> Floats:
        """Sums of labels over `rows` rows, drawn to the overall mean."""
        total = self._float(high, low) + smoothing * self.overall
        weight = rows + smoothing
        return np.where(weight > 0, total / np.maximum(weight, np.finfo(np.float64).tiny), self.overall)

    def _mean(self, high: Ints, low: Ints, rows: Ints) -> Floats:
        return self._float(high, low) / np.maximum(rows, 1)

    def _float(self, high: Ints, low: Ints) -> Floats:
        carried = high + (low >> _LIMB)
        return np.ldexp(carried.astype(np.float64) * _BASE + (low & _MASK).astype(np.float64), -self._scale)

    @staticmethod
    def _total(limb: Ints) -> Ints:
        total: Ints = limb.sum(keepdims=True)
        return total


def _by_group(numbers: Ints, groups: Ints, n_groups: int) -> Ints:
    """Exact sums by group; `bincount` would add floats."""
    sums = np.zeros(n_groups, np.int64)
    np.add.at(sums, groups, numbers)
    return sums
