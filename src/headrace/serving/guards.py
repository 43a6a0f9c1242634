"""What watches a canary: errors, latency, scores, cost, each against the version that it is to replace.

A guard is *broken* only where it is so for certain, at whatever moment one looks; *near* where the canary seems to be
beyond the limit by more than two standard errors, which one who looked once would call certain; else *fine*.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, Literal

from headrace.serving.experiments import cuped
from headrace.serving.experiments.confidence import Estimate, Sample, difference, p_above
from headrace.serving.experiments.drift import p_beyond, psi
from headrace.serving.experiments.rates import Rate, p_more
from headrace.serving.model import Counts, Guard, Outcomes, Struct

ALPHA: Final = 0.01
"""The chance that a guard takes a canary back at one weight although it is just within the limit. A canary that is as
good as the other is further from it, and rarer taken back: `tests/serving/test_rollout.py` says how rarely."""
COST_ALPHA: Final = ALPHA / 4
"""The same for cost, where the usual limit is none more, so that a canary as good as the other is at it."""
BEST_AT: Final = 1_000
"""Observations at which means are told apart soonest."""

NEAR: Final = 2.0
"""Standard errors. With one a canary that is as good as the other would wait at its cost guard for very long."""

State = Literal["fine", "near", "broken"]


class Watched(Struct, frozen=True, kw_only=True):
    """What a guard sees of a canary."""

    kind: Literal["errors", "latency", "scores", "cost"]
    arm: str
    than: str
    """The arm that it is compared with."""
    limit: float
    found: float | None
    """In the unit of the limit; None: too little is known."""
    p: float
    """Of "it is within the limit"; valid at every look."""
    state: State
    is_near: bool
    """Whether it seems to be beyond the limit, be that certain or not."""
    words: str
    """`4.1 % against 0.2 % of v3`; `sentence` makes one of it."""
    rows: int
    """Of the arm, that this was seen on; entities for cost."""
    than_rows: int


def watch(
    guard: Guard,
    arm: str,
    than: str,
    counts: tuple[Counts, Counts],
    outcomes: tuple[Outcomes, Outcomes],
    *,
    alpha: float = ALPHA,
) -> Watched:
    """One guard's view of an arm beside another.

    Parameters
    ----------
    counts, outcomes : of the arm, and of the one that it is compared with
    """
    mine, theirs = counts
    match guard.kind:
        case "errors":
            seen = _errors(guard.limit, errors(mine), errors(theirs))
            rows = (errors(mine).n, errors(theirs).n)
        case "latency":
            seen = _latency(guard.limit, latency(mine), latency(theirs), alpha)
            rows = (mine.rows, theirs.rows)
        case "scores":
            seen = _scores(guard.limit, mine.scores, theirs.scores)
            rows = (sum(mine.scores), sum(theirs.scores))
        case _:
            seen = _cost(guard.limit, cuped.cost(outcomes[0]), cuped.cost(outcomes[1]), alpha)
            rows = (outcomes[0].n, outcomes[1].n)
    found, near, p, words = seen
    state: State = "broken" if p <= alpha else "near" if near else "fine"
    return Watched(
        kind=guard.kind,
        arm=arm,
        than=than,
        limit=guard.limit,
        found=found,
        p=p,
        state=state,
        is_near=near,
        words=words.format(than=than),
        rows=rows[0],
        than_rows=rows[1],
    )


def sentence(seen: Watched, *, broken: bool) -> str:
    """What was seen: `errors of v4: 4.1 % against 0.2 % of v3, beyond what 1 % more allows`."""
    said = f"{seen.kind} of {seen.arm}: {seen.words}"
    return f"{said}, beyond what {_allowance(seen.kind, seen.limit)} allows" if broken else said


def errors(counts: Counts) -> Rate:
    """What the arm itself did not answer, of all that came to it; what a fallback answered is among both rows and
    failures, and counts once."""
    bad = max(counts.failed, counts.fell_back)
    return Rate(counts.rows + bad - counts.fell_back, bad)


def latency(counts: Counts) -> Sample:
    """Microseconds that the arm itself took a row, as a sample."""
    return Sample(counts.rows - counts.fell_back, counts.row_sum_us, counts.row_squares_us)


_Seen = tuple[float | None, bool, float, str]
"""What was found, whether it is near the limit, the p-value, words."""


def _errors(limit: float, of: Rate, than: Rate) -> _Seen:
    if not of.n or not than.n:
        return None, False, 1.0, "nothing is known yet"
    found = of.share - than.share
    spread = sqrt(_binomial(of) + _binomial(than))
    words = f"{percent(of.share)} against {percent(than.share)} of {{than}}"
    return found, found - NEAR * spread > limit, p_more(of, than, by=limit), words


def _binomial(rate: Rate) -> float:
    """Variance of a share; one hit is added to both kinds, so that none seen is not taken for none at all."""
    share = (rate.hits + 1) / (rate.n + 2)
    return share * (1.0 - share) / rate.n


def _latency(limit: float, of: Sample, than: Sample, alpha: float) -> _Seen:
    if not of.n or than.mean <= 0.0:
        return None, False, 1.0, "nothing is known yet"
    beyond = difference(of, than, times=limit)
    words = f"{milliseconds(of.mean)} against {milliseconds(than.mean)} of {{than}} on average"
    return of.mean / than.mean, _near(beyond), p_above(beyond, alpha=alpha, best_at=BEST_AT), words


def _scores(limit: float, of: tuple[int, ...], than: tuple[int, ...]) -> _Seen:
    if not sum(of) or not sum(than) or len(of) != len(than):
        return None, False, 1.0, "nothing is known yet"
    found = psi(of, than)
    return found, found > limit, p_beyond(of, than, limit), f"population stability index {found:.2f} against {{than}}"


def _cost(limit: float, of: Sample, than: Sample, alpha: float) -> _Seen:
    if not of.n or not than.n:
        return None, False, 1.0, "no outcome is known yet"
    apart = difference(of, than)
    margin = limit * abs(than.mean)
    beyond = None if apart is None else apart._replace(value=apart.value - margin)
    found = (of.mean - than.mean) / abs(than.mean) if than.mean else None
    words = f"{of.mean:.4g} an entity against {than.mean:.4g} of {{than}}"
    return found, _near(beyond), p_above(beyond, alpha=alpha, best_at=BEST_AT), words


def _near(beyond: Estimate | None) -> bool:
    return beyond is not None and beyond.value > NEAR * sqrt(beyond.variance)


def _allowance(kind: str, limit: float) -> str:
    match kind:
        case "latency":
            return f"{limit:g} times"
        case "scores":
            return f"an index of {limit:g}"
        case _:
            return f"{percent(limit)} more"


def percent(share: float) -> str:
    """4.1 %, 0.02 %, 12 %.

    >>> [percent(share) for share in (0.041, 0.0002, 0.123, 0.01, 0.0, 0.998, 3.0)]
    ['4.1 %', '0.02 %', '12 %', '1 %', '0 %', '99.8 %', '300 %']
    """
    return f"{100.0 * share:.{2 if abs(share) < 0.9 else 3}g} %"


def milliseconds(us: float) -> str:
    """3.1 ms, 0.27 ms."""
    return f"{us / 1000.0:.3g} ms"
