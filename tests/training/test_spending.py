"""All executions of a search together spend its seconds, however often it is killed."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
from tests.training.samples import MemoryRecorder

from headrace.training.errors import BudgetTooSmall
from headrace.training.spending import counted, tick_s


class Still:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def killed_after(ledger: MemoryRecorder, work_s: float, *, seconds: float, trial_s: float | None = None) -> float:
    """An execution that works so long and is killed; how far its budget was when it began. `trial_s`: into it, a trial
    ended."""
    clock = Still()
    with (
        pytest.raises(KeyboardInterrupt),
        counted(ledger, clock, clock.now, seconds=seconds) as zero,
    ):
        trials_s = max((_spent(ledger, name) for name in ledger.parts if name.startswith("trial-")), default=0.0)
        began_s = clock.now - zero + trials_s
        if trial_s is not None:
            spent_s = msgspec.json.encode({"trial": None, "spent_s": began_s + trial_s})
            ledger.record(f"trial-{len(ledger.parts)}", spent_s)
        clock.now += work_s
        time.sleep(2.5 * tick_s(seconds))  # its thread sees the clock
        raise KeyboardInterrupt
    return began_s


def _spent(ledger: MemoryRecorder, name: str) -> float:
    return float(msgspec.json.decode(ledger.parts[name])["spent_s"])


def test_what_was_under_way_at_a_kill_was_spent_and_a_tick_more_at_most() -> None:
    ledger = MemoryRecorder()
    assert killed_after(ledger, 1.0, seconds=5.0) == 0.0
    assert killed_after(ledger, 0.5, seconds=5.0) == pytest.approx(1.0 + tick_s(5.0))
    assert killed_after(ledger, 0.0, seconds=5.0) == pytest.approx(1.5 + 2 * tick_s(5.0))


def test_a_kill_before_the_first_word_counts_a_tick_as_well() -> None:
    ledger = MemoryRecorder()
    began = [_began(ledger) for _ in range(4)]
    assert began == pytest.approx([0.0, 0.1, 0.2, 0.3])


def _began(ledger: MemoryRecorder) -> float:
    clock = Still()
    with pytest.raises(KeyboardInterrupt), counted(ledger, clock, clock.now, seconds=5.0) as zero:
        raise KeyboardInterrupt
    return clock.now - zero


def test_what_finished_trials_account_for_is_not_counted_twice() -> None:
    ledger = MemoryRecorder()
    killed_after(ledger, 2.0, seconds=5.0, trial_s=1.9)
    assert killed_after(ledger, 0.0, seconds=5.0) == pytest.approx(2.0 + tick_s(5.0))


def test_who_tries_again_after_an_error_has_the_whole_time() -> None:
    ledger = MemoryRecorder()
    clock = Still()
    with pytest.raises(BudgetTooSmall), counted(ledger, clock, clock.now, seconds=5.0):
        clock.now += 5.0
        raise BudgetTooSmall(seconds=5.0, spent=5.0)
    assert _began(ledger) == 0.0


def test_when_all_is_spent_before_a_trial_ended_the_search_does_not_begin() -> None:
    ledger = MemoryRecorder()
    killed_after(ledger, 4.95, seconds=5.0)
    clock = Still()
    with pytest.raises(BudgetTooSmall, match="ended after 5"), counted(ledger, clock, clock.now, seconds=5.0):
        pytest.fail("it began")
    assert _began(ledger) == 0.0


def test_a_budget_in_trials_records_nothing() -> None:
    ledger = MemoryRecorder()
    clock: Callable[[], float] = Still()
    with counted(ledger, clock, 100.0, seconds=None) as zero:
        assert zero == 100.0
    assert not ledger.parts
