"""What of a budget in seconds is spent, over all executions of a search that is killed and goes on.

A finished trial records how much was spent by its end. What was under way at a kill is lost, and was spent all the
same: so a thread records at every tick how far the time is, and an execution that goes on counts one tick more, for
what may have been spent since the last word. All executions together then spend the budget and no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Protocol

import msgspec

from headrace.errors import HeadraceError
from headrace.training.errors import BudgetTooSmall, NothingFitted

LONGEST_TICK_S: Final = 1.0
SHARE: Final = 0.02
"""Of the budget that a tick is at most."""
_TRIAL, _SPENT = "trial-", "spent-"


class Ledger(Protocol):
    """Where it is recorded, and found again after a kill."""

    def recorded(self) -> Mapping[str, bytes]: ...
    def record(self, part: str, data: bytes) -> None: ...


class _Spent(msgspec.Struct, frozen=True):
    """What is read of a record."""

    spent_s: float
    is_over: bool = False
    """The search ended by an error of its own: who tries again has the whole time again."""


def tick_s(seconds: float) -> float:
    """How often the time is recorded under a budget of so many seconds; what a kill loses at most.

    Examples
    --------
    >>> tick_s(20.0), tick_s(600.0)
    (0.4, 1.0)
    """
    return min(LONGEST_TICK_S, SHARE * seconds)


@contextmanager
def counted(ledger: Ledger, clock: Callable[[], float], started: float, *, seconds: float | None) -> Iterator[float]:
    """The instant from which the budget counts: `started`, less what executions before it spent beyond their trials.

    Parameters
    ----------
    started : when this execution began, by the clock
    seconds : the budget; None: it is not in seconds, and nothing is recorded

    Notes
    -----
    What finished trials account for is taken off by who replays them.

    Raises
    ------
    BudgetTooSmall : all is spent already, and no trial had ended.
    """
    if seconds is None:
        yield started
        return
    trials_s, spent_s, number = _spent_before(ledger.recorded(), tick_s(seconds))
    zero = started - spent_s

    def say(now_s: float, *, is_over: bool = False) -> None:
        nonlocal number
        ledger.record(f"{_SPENT}{number}", msgspec.json.encode(_Spent(now_s, is_over)))
        number += 1

    def beat() -> None:
        while not ended.wait(tick_s(seconds)):
            with suppress(HeadraceError):  # the catalog does not answer: the search will hear of it by itself
                say(clock() - zero)

    if spent_s >= seconds and not trials_s:
        say(0.0, is_over=True)
        raise BudgetTooSmall(seconds=seconds, spent=spent_s)
    say(spent_s)
    ended = threading.Event()
    beats = threading.Thread(target=beat, name="spending", daemon=True)
    beats.start()
    is_over = False
    try:
        yield zero + trials_s
    except (BudgetTooSmall, NothingFitted):
        is_over = True
        raise
    finally:
        ended.set()
        beats.join()
        if is_over:
            with suppress(HeadraceError):
                say(0.0, is_over=True)


def _spent_before(records: Mapping[str, bytes], tick: float) -> tuple[float, float, int]:
    """Seconds that finished trials account for, seconds that are spent, and the number of the next record."""
    trials_s = spent_s = 0.0
    number = 0
    for name, data in records.items():
        if name.startswith(_TRIAL):
            trials_s = max(trials_s, msgspec.json.decode(data, type=_Spent).spent_s)
        elif name.startswith(_SPENT):
            said = msgspec.json.decode(data, type=_Spent)
            spent_s = 0.0 if said.is_over else max(spent_s, said.spent_s + tick)
            number += 1
    return trials_s, max(trials_s, spent_s), number
