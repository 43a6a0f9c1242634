"""The loop of `headrace schedule run`: decides, runs what is due, waits, and says what it does as events.

Everything of the world comes in as an argument, so that tests run years of it on a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headrace.definition.model import Schedule
from headrace.errors import TroubleOutside
from headrace.operations.arrivals import Arrivals
from headrace.operations.due import next_time
from headrace.operations.times import Time, Times

LONGEST_WAIT_S = 60.0
"""Then the clock is looked at again: it may have been set."""
BUSY_WAIT_S = 15.0


class Attempt(NamedTuple):
    """How one try ended."""

    exit_code: int
    code: str = ""
    """Of the error."""
    message: str = ""
    timed_out: bool = False


class Log(Protocol):
    """A structlog logger."""

    def info(self, event: str, **facts: Any) -> Any: ...


@dataclass
class Loop:
    """One schedule at work."""

    times: Times
    schedule: Schedule
    attempt: Callable[[Time], Attempt]
    log: Log
    monotonic: Callable[[], float]
    wait: Callable[[float], bool]
    """Sleep so many seconds; True when the loop shall end."""
    random: Callable[[], float]
    """From 0 to 1, for jitter."""
    arrivals: Arrivals | None = None
    _not_before: dict[tuple[str, int], float] = field(default_factory=dict)

    def run(self, *, once: bool = False) -> bool:
        """Work until told to stop; with `once`, until nothing is due. True when every time that was run is done."""
        self.log.info("schedule_started", cron=list(self.schedule.cron), zone=self.schedule.zone, do=self.schedule.do)
        all_done = True
        while True:
            try:
                pause_s, done = self._step()
            except TroubleOutside as error:  # the catalog does not answer
                self.log.info("schedule_waits", code=error.code, message=error.message)
                pause_s, done = BUSY_WAIT_S, None
            all_done = all_done and done is not False
            if once and pause_s > 0 and not self._has_work():
                return all_done
            if pause_s > 0 and self.wait(pause_s):
                self.log.info("schedule_stopped")
                return all_done

    def _has_work(self) -> bool:
        is_settling = self.arrivals is not None and self.arrivals.is_settling(self.times.noted_files())
        return is_settling or bool(self.times.pending())

    def _step(self) -> tuple[float, bool | None]:
        """Seconds to wait, and whether a time was done (True), failed (False) or neither."""
        for time in self.times.decide():
            self.log.info("time_decided", state=time.state, **_facts(time))
        found = None if self.arrivals is None else self.arrivals.settled(self.times.noted_files())
        if found is not None and self.times.arrived(found):
            self.log.info("files_arrived")
        now = self.monotonic()
        ready = [time for time in self.times.pending() if self._not_before.get(_key(time), now) <= now]
        if not ready:
            return self._pause(now), None
        return self._try(ready[0])

    def _try(self, time: Time) -> tuple[float, bool | None]:
        self.log.info("run_started", **_facts(time))
        ended = self.attempt(time)
        after = self.times.get(time.cause, time.due_us)
        if ended.code == "run-in-progress":  # by hand, or on another machine: no try of ours
            self.log.info("run_waits", message=ended.message, **_facts(time))
            self._not_before[_key(time)] = self.monotonic() + BUSY_WAIT_S
            return 0.0, None
        if ended.code == "tries-spent":
            self.times.give_up(time)
        elif ended.exit_code == 130:
            pass  # stopped by a person; it stays due
        elif after is not None and after.state in ("due", "running"):
            is_counted = after.tries > time.tries
            if ended.timed_out or not is_counted:
                text, tries = f"{ended.code}: {ended.message}", after.tries + (not is_counted)
                self.times.unsettled(after, text, tries=tries, may_retry=ended.timed_out or ended.exit_code == 3)
        after = self.times.get(time.cause, time.due_us) or time
        self.log.info(
            "run_ended", state=after.state, exit_code=ended.exit_code, code=ended.code or None, **_facts(after)
        )
        if after.state in ("due", "running"):
            backoff_s = self._backoff_s(after.tries)
            self._not_before[_key(time)] = self.monotonic() + backoff_s
            self.log.info("retry_in", seconds=round(backoff_s, 1), **_facts(after))
            return 0.0 if ended.exit_code != 130 else BUSY_WAIT_S, None
        self._not_before.pop(_key(time), None)
        return 0.0, after.state == "done"

    def _backoff_s(self, tries: int) -> float:
        """Doubles with each try, up to its greatest, and is then between half of that and all of it."""
        retry = self.schedule.retry
        whole_us = min(retry.backoff_us * 2.0 ** min(max(0, tries - 1), 40), retry.backoff_max_us)
        return whole_us / 1e6 * (0.5 + 0.5 * self.random())

    def _pause(self, now: float) -> float:
        later = [self._not_before.get(_key(time), now) for time in self.times.pending()]
        pauses = [LONGEST_WAIT_S, *(at - now for at in later)]
        due_us = next_time(self.schedule, now_us := self.times.clock())
        if due_us is not None:
            pauses.append((due_us - now_us) / 1e6)
        if self.arrivals is not None:
            pauses.append(max(1.0, self.schedule.settle_us / 2e6))
        return max(0.01, min(pauses))


def _key(time: Time) -> tuple[str, int]:
    return time.cause, time.due_us


def _facts(time: Time) -> dict[str, Any]:
    from datetime import UTC, datetime

    due = datetime.fromtimestamp(time.due_us // 1_000_000, UTC).isoformat()
    facts: dict[str, Any] = {"cause": time.cause, "due": due, "tries": time.tries}
    facts |= {"times": time.times} if time.times > 1 else {}
    return facts | ({"run": time.run} if time.run else {}) | ({"error": time.error} if time.error else {})
