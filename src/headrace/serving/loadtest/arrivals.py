"""When requests are due: a schedule made before the first is sent, and never changed by answers."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pattern = Literal["poisson", "constant"]
"""poisson: as independent users come; constant: evenly spaced."""
_NS: float = 1e9


def arrivals(pattern: Pattern, rate: float, seconds: float, seed: int, *, phase: float = 0.0) -> NDArray[np.int64]:
    """Nanoseconds after the start at which a request is due, rising, all within the stage.

    Parameters
    ----------
    rate : requests a second, > 0
    seed : of the Poisson process; of a constant schedule, nothing depends on it
    phase : of a constant schedule: the part in [0, 1) of the time between two requests by which the first is later, so
        that generators that share a rate do not ask at the same instants

    Notes
    -----
    A Poisson process on an interval is a Poisson number of independent uniform instants, and several processes together
    are one of their summed rate: generators that share a rate need not know of each other.

    Examples
    --------
    >>> arrivals("constant", 4.0, 1.0, seed=0).tolist()
    [0, 250000000, 500000000, 750000000]
    >>> [arrivals("constant", 2.0, 1.0, seed=0, phase=phase).tolist() for phase in (0.0, 0.5)]
    [[0, 500000000], [250000000, 750000000]]
    """
    if pattern == "constant":
        n = max(0.0, np.ceil(rate * seconds - phase - 1e-9))
        return ((np.arange(n) + phase) * (_NS / rate)).astype(np.int64)
    random = np.random.default_rng(seed)
    return np.sort(random.integers(0, max(1, round(seconds * _NS)), size=random.poisson(rate * seconds)))
