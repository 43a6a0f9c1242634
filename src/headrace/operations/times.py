"""A schedule's times in the catalog: each is decided once, whoever looks, and settled with the run that it started.

A time is `due`, then `running`, then `done` or `failed`; or it is `missed`. Its run begins and ends in the same
transactions as the time changes its state, under the project's lease: no time has two runs that are done, and a time
whose process died is known to be unfinished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from headrace.definition.model import Schedule
from headrace.errors import HeadraceError, TroubleOutside, WrongUse
from headrace.operations.due import decide, passed
from headrace.runs.model import RunId
from headrace.stores.catalog import Catalog, Reader, Row, Where, Writer

Cause = Literal["time", "files"]
TimeState = Literal["due", "running", "done", "failed", "missed"]


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """One time, or several missed ones in a row."""

    cause: Cause
    due_us: int
    until_us: int
    """The last of several; else `due_us`."""
    times: int
    state: TimeState
    tries: int
    run: str | None
    error: str | None
    changed_us: int


class TimeSettled(WrongUse):
    """A time that needs no run any more."""

    code = "time-settled"

    def __init__(self, state: str | None) -> None:
        super().__init__(
            f"this time of the schedule is {state or 'unknown'}; only one that is due can be run",
            fix="headrace schedule lists them; headrace run runs at any time",
            state=state,
        )


class TriesSpent(WrongUse):
    """A time whose runs died or failed as often as is allowed."""

    code = "tries-spent"

    def __init__(self, tries: int) -> None:
        super().__init__(f"it was tried {tries} times, and may not be again", fix="headrace run", tries=tries)


class Times:
    """The times of one project.

    Parameters
    ----------
    clock
        Microseconds since 1970 UTC. When it jumps ahead, times come early, once; when it jumps back, none comes twice.
    """

    def __init__(self, catalog: Catalog, project: str, schedule: Schedule, *, clock: Callable[[], int]) -> None:
        self._catalog = catalog
        self._owner: Row = {"project": project}
        self._schedule = schedule
        self.clock = clock
        self._spec = "\n".join((schedule.zone, *schedule.cron))

    def decide(self) -> list[Time]:
        """Decide about every time that has passed since the last look; what was decided now.

        A schedule that is new, or whose `cron` changed, begins now: it has missed nothing.
        """
        now_us = self.clock()
        with self._catalog.read() as reader:
            found = reader.get("schedules", self._owner)
        if self._is_known(found) and not passed(self._schedule, self._since(found), now_us):
            return []
        with self._catalog.write() as writer:
            found = writer.get("schedules", self._owner)
            if not self._is_known(found):
                begun: Row = {"spec": self._spec, "decided_us": max(now_us, self._since(found))}
                if not writer.insert_if_absent("schedules", {**self._owner, **begun}):
                    writer.update("schedules", self._owner, begun)
                return []
            times = passed(self._schedule, self._since(found), now_us)
            if not times:  # another process was faster
                return []
            writer.update("schedules", self._owner, {"decided_us": times[-1]})
            decision = decide(self._schedule, times, now_us)
            if self._schedule.catch_up != "all":  # those that still wait for their first try are overtaken
                waiting: Row = {**self._owner, "cause": "time", "state": "due", "tries": 0}
                writer.update("schedule_times", waiting, {"state": "missed", "changed_us": now_us})
            if decision.missed is not None:
                first, last, count = decision.missed
                self._insert(writer, "time", first, now_us, state="missed", until_us=last, times=count)
            for due_us in decision.run:
                self._insert(writer, "time", due_us, now_us)
            return _read(writer, {**self._owner, "changed_us": now_us})

    def arrived(self, files: str) -> bool:
        """Make a time due for new files; False when this state of them (a digest) is the last one noted."""
        now_us = self.clock()
        with self._catalog.write() as writer:
            found = writer.get("schedules", self._owner)
            if found is not None and found["files"] == files:
                return False
            noted: Row = {"files": files}
            begun: Row = {**self._owner, "spec": self._spec, "decided_us": now_us, **noted}
            if not writer.insert_if_absent("schedules", begun):
                writer.update("schedules", self._owner, noted)
            newest = writer.select("schedule_times", {**self._owner, "cause": "files"}, order_by=("-due_us",), limit=1)
            if newest and newest[0]["state"] == "due":
                return False  # it will see them
            after = int(newest[0]["due_us"] or 0) + 1 if newest else 0  # also when the clock was set back
            self._insert(writer, "files", max(now_us, after), now_us)
            return True

    def noted_files(self) -> str | None:
        """The last noted state of the files."""
        with self._catalog.read() as reader:
            found = reader.get("schedules", self._owner)
        return None if found is None or found["files"] is None else str(found["files"])

    def pending(self) -> list[Time]:
        """Times to be run, the oldest first: due ones, and those whose run has not ended."""
        with self._catalog.read() as reader:
            return _read(reader, {**self._owner, "state": ["due", "running"]})

    def get(self, cause: str, due_us: int) -> Time | None:
        """One time."""
        with self._catalog.read() as reader:
            found = _read(reader, {**self._owner, "cause": cause, "due_us": due_us})
        return found[0] if found else None

    def ticket(self, time: Time) -> TimeTicket:
        """What a run for this time is given."""
        return TimeTicket({**self._owner, "cause": time.cause, "due_us": time.due_us}, self._schedule.retry.times)

    def unsettled(self, time: Time, error: str, *, tries: int, may_retry: bool) -> None:
        """A try ended without settling the time: its stores could not be reached, or it took too long."""
        state = "due" if may_retry and tries <= self._schedule.retry.times else "failed"
        self._settle(time, {"state": state, "tries": tries, "error": error})

    def give_up(self, time: Time) -> None:
        """The tries of a time are spent; its run, which has not ended, is fenced."""
        self._settle(time, {"state": "failed", "error": time.error or f"its process died, {time.tries} times"})

    def _settle(self, time: Time, values: Row) -> None:
        """Compare and set."""
        seen: Row = {**self._owner, "cause": time.cause, "due_us": time.due_us, "state": time.state, "run": time.run}
        with self._catalog.write() as writer:
            writer.update("schedule_times", seen, {**values, "changed_us": self.clock()})

    def _is_known(self, found: Row | None) -> bool:
        return found is not None and found["spec"] == self._spec

    def _since(self, found: Row | None) -> int:
        return 0 if found is None else int(found["decided_us"] or 0)

    def _insert(self, writer: Writer, cause: Cause, due_us: int, now_us: int, **other: int | str) -> None:
        row: Row = {**self._owner, "cause": cause, "due_us": due_us, "until_us": due_us, "times": 1}
        row |= {"state": "due", "tries": 0, "run": None, "error": None, "changed_us": now_us, **other}
        writer.insert_if_absent("schedule_times", row)


class TimeTicket:
    """Settles a time with its run: `headrace.runs.runner.Ticket`."""

    def __init__(self, where: Row, retries: int) -> None:
        self._where = where
        self._retries = retries

    def begin(self, writer: Writer, run_id: RunId, now_us: int) -> None:
        """Count the try; refuse a time that is settled, or that died too often."""
        row = writer.get("schedule_times", self._where)
        if row is None or row["state"] not in ("due", "running"):
            raise TimeSettled(None if row is None else str(row["state"]))
        tries = int(row["tries"] or 0)
        if tries > self._retries:
            raise TriesSpent(tries)
        begun: Row = {"state": "running", "run": run_id, "tries": tries + 1, "changed_us": now_us}
        writer.update("schedule_times", self._where, begun)

    def end(self, writer: Writer, run_id: RunId, now_us: int, error: BaseException | None) -> None:
        """Done; due again after trouble outside, or when it was stopped by a person; else failed."""
        where = {**self._where, "state": "running", "run": run_id}
        row = writer.get("schedule_times", where)
        if row is None:
            return
        tries, values = int(row["tries"] or 0), Row(state="done", error=None)
        if error is not None and not isinstance(error, Exception):
            values = Row(state="due", tries=tries - 1, error="stopped")
        elif error is not None:
            text = f"{error.code}: {error.message}" if isinstance(error, HeadraceError) else type(error).__name__
            may_retry = isinstance(error, TroubleOutside) and tries <= self._retries
            values = Row(state="due" if may_retry else "failed", error=text)
        writer.update("schedule_times", where, {**values, "changed_us": now_us})


def list_times(reader: Reader, project: str, limit: int = 20) -> list[Time]:
    """The newest times of a project, newest first."""
    rows = reader.select("schedule_times", {"project": project}, order_by=("-due_us", "cause"), limit=limit)
    return [_time(row) for row in rows]


def _read(reader: Reader, where: Where) -> list[Time]:
    return [_time(row) for row in reader.select("schedule_times", where, order_by=("due_us", "cause"))]


def _time(row: Row) -> Time:
    return msgspec.convert({name: row[name] for name in Time.__struct_fields__}, Time)
