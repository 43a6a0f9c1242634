"""Whether two arms score differently: the population stability index, and for certain only where it is.

PSI(p, q) = Σ (p − q) ln(p / q). With no drift at all it is about (1/n + 1/m) χ²(bins − 1) (Yurdakul, "Statistical
properties of population stability index", 2018), so that a fixed limit fires on small samples. Here it must exceed its
limit for certain. Merging bins never raises it (it is an f-divergence: data processing), so the index of any run of
bins against all others is a lower bound; and that is one of two rates, which have bounds exact at every look and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, fsum, log

from headrace.serving.experiments.rates import Rate, evidence_above, evidence_below

_STEPS = 40
_WORTH_ASKING = 2.0
"""Evidence of any difference, below which there is none of a large one either: such a question adds nothing."""
_MOST = 600.0
"""Evidence beyond which a float holds no more."""


def psi(of: Sequence[int], to: Sequence[int]) -> float:
    """The index of two histograms, less what chance alone gives on average; at least 0.

    Half a count is added to every bin, so that an empty one is no infinity.

    Parameters
    ----------
    of, to : counts by the same edges

    Examples
    --------
    >>> psi([100, 200, 100], [1000, 2000, 1000])
    0.0
    >>> round(psi([300, 100, 100], [1000, 2000, 1000]), 2)
    0.59
    """
    n, m = sum(of), sum(to)
    bins = len(of)
    if n == 0 or m == 0:
        return 0.0
    found = 0.0
    for a, b in zip(of, to, strict=True):
        p, q = (a + 0.5) / (n + 0.5 * bins), (b + 0.5) / (m + 0.5 * bins)
        found += (p - q) * log(p / q)
    return max(0.0, found - (bins - 1) * (1.0 / n + 1.0 / m))


def p_beyond(of: Sequence[int], to: Sequence[int], limit: float) -> float:
    """The p-value of "the index of the two distributions is at most `limit`", valid at every look and size.

    Of every run of neighbouring bins against the rest, in both directions, the two shares would have to be further
    apart than the limit allows. The mean of the evidence over all such questions is evidence too. A drift that only
    moves scores along is seen from about 1.6 times the limit on, as no two bins tell all of it.

    Examples
    --------
    >>> p_beyond([5, 1, 4], [1000, 2000, 1000], 0.25)
    1.0
    >>> p_beyond([150, 0, 0], [1000, 2000, 1000], 0.25) < 1e-6
    True
    """
    n, m = sum(of), sum(to)
    if n == 0 or m == 0:
        return 1.0
    questions = len(of) * (len(of) - 1)
    found = 0.0
    for a, b in _runs(of, to):
        mine, theirs = Rate(n, a), Rate(m, b)
        if _index(_inside(mine.share), _inside(theirs.share)) > limit:
            if mine.share < theirs.share:  # the rest is the larger share
                mine, theirs = Rate(n, n - a), Rate(m, m - b)
            if evidence_above(mine, theirs.share) > _WORTH_ASKING:
                found += exp(min(_apart(mine, theirs, limit), _MOST))
    return min(1.0, questions / found) if found > 0.0 else 1.0


def _runs(of: Sequence[int], to: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Counts in every run of neighbouring bins without the last bin: the others are their complements."""
    for first in range(len(of) - 1):
        a = b = 0
        for place in range(first, len(of) - 1):
            a, b = a + of[place], b + to[place]
            yield a, b


def _apart(more: Rate, less: Rate, limit: float) -> float:
    """ln of the evidence that the first share is above what an index of `limit` allows above the second.

    For every value q of the second, half of the stronger of two: that it is below q, or the first above what q allows.
    The one falls and the other rises in q; where they meet is the least.
    """
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if evidence_above(more, _allowed(middle, limit)) >= evidence_below(less, middle):
            low = middle
        else:
            high = middle
    return evidence_above(more, _allowed(high, limit)) - log(2.0)


def _allowed(q: float, limit: float) -> float:
    """The largest share whose index against q is at most the limit."""
    q = _inside(q)
    low, high = q, 1.0 - 1e-12
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if _index(middle, q) <= limit:
            low = middle
        else:
            high = middle
    return high


def _index(p: float, q: float) -> float:
    """The index of two shares and their rests; inside (0, 1)."""
    return fsum(((p - q) * log(p / q), (q - p) * log((1.0 - p) / (1.0 - q)))) if p != q else 0.0


def _inside(share: float) -> float:
    return min(max(share, 1e-9), 1.0 - 1e-9)
