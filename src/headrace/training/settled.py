"""What stopping early found on several sets of rows, as one point of a family's space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace.training.families import Params


def settle(settled: Sequence[Params]) -> dict[str, Any]:
    """One point of the space for a model of all rows: what the folds agree on, else the median."""
    point = dict(settled[0])
    for name, first in point.items():
        found = [each[name] for each in settled]
        if any(each != first for each in found):
            middle = float(np.median(found))
            point[name] = round(middle) if isinstance(first, int) else middle
    return point
