"""Which rate to try next, and what the stages say that were run: doubled until it is too much, then halved between.

Pure: stages in, a rate out, so that the search can be tried on servers that never were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Found = Literal["within", "slow", "much", "far too much"]
"""within: all was answered, in time; slow: not in time; much: the server was saturated; far too much: so far that
no chance was at play, or the generator had no time left."""
NARROW: Final = 1.06
"""Rates that are nearer to each other than this factor are not told apart in stages of seconds."""
_TIMES: Final = 3
"""What one stage says against a rate is tried again: of three the majority counts, as one stall is no limit."""
_LEAST: Final = 64
"""How far below the first rate is looked when even that is too much."""


class Tried(msgspec.Struct, frozen=True):
    """A stage, as far as the search looks at it."""

    rate: float
    """Offered."""
    found: Found


def next_rate(tried: Sequence[Tried], *, first: float, most: float, stages: int) -> float | None:
    """The rate of the next stage; None when nothing is left to learn.

    Parameters
    ----------
    first, most : the rate to begin with, and the greatest
    stages : that may be run at most
    """
    if len(tried) >= stages:
        return None
    if not tried:
        return min(first, most)
    by_rate = _by_rate(tried)
    for rate, found in by_rate.items():
        if _is_open(found):
            return rate
    top = max(by_rate)
    if top < most and not any(_is_much(found) for found in by_rate.values()):
        return rounded(min(2 * top, most))
    within, beyond = bracket(tried)
    if beyond is None:
        return None
    if within is None:
        return rounded(beyond / 2) if beyond > 1.5 * first / _LEAST else None
    middle = rounded((within * beyond) ** 0.5)
    return middle if beyond / within > NARROW and within < middle < beyond else None


def bracket(tried: Sequence[Tried]) -> tuple[float | None, float | None]:
    """The greatest rate that is within the bounds with none beyond them below it, and the least rate beyond them."""
    judged = {rate: _is_within(found) for rate, found in _by_rate(tried).items()}
    beyond = min((rate for rate, good in judged.items() if not good), default=None)
    within = max((rate for rate, good in judged.items() if good and (beyond is None or rate < beyond)), default=None)
    return within, beyond


def saturated(tried: Sequence[Tried]) -> list[float]:
    """The rates that were too much, rising."""
    return sorted(rate for rate, found in _by_rate(tried).items() if _is_much(found))


def rounded(rate: float) -> float:
    """Three digits, so that tables are read with ease.

    >>> rounded(12_345.6), rounded(0.98765)
    (12300.0, 0.988)
    """
    return float(f"{rate:.3g}")


def _by_rate(tried: Sequence[Tried]) -> dict[float, list[Found]]:
    found: dict[float, list[Found]] = defaultdict(list)
    for each in tried:
        found[each.rate].append(each.found)
    return found


def _is_within(found: Sequence[Found]) -> bool:
    return 2 * found.count("within") > len(found)


def _is_much(found: Sequence[Found]) -> bool:
    much = found.count("much") + found.count("far too much")
    return "far too much" in found or 2 * much > len(found)


def _is_open(found: Sequence[Found]) -> bool:
    """One stage speaks against the rate, and may have been bad luck."""
    against = len(found) - found.count("within")
    return against == 1 and "far too much" not in found and len(found) < _TIMES
