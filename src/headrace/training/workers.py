"""Where folds are fitted: here, or in children that may crash, never end, or run out of memory."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final, Protocol

from headrace.training.nursery import Child, nursery
from headrace.training.trial_worker import EncodedFold, FoldAnswer, Job, failure, fit_fold, save_fold

Clock = Callable[[], float]
"""Seconds from some instant, never going back."""
Outcomes = list[FoldAnswer | str]
"""What each fold answered, or why it failed."""

LONGEST_S: Final = 3600.0
"""Seconds that one fit may take where the budget does not say."""


class OutOfTime(Exception):
    """The budget ended in the middle of a fit."""


class Executor(Protocol):
    """Fits folds."""

    @property
    def width(self) -> int:
        """Folds that are fitted at a time."""
        ...

    def give(self, folds: Iterable[EncodedFold]) -> None:
        """The folds, once, before the first job."""
        ...

    def run(self, job: Job, folds: Sequence[int], until: float | None) -> Outcomes:
        """The job on these folds, at most `width` of them, in their order.

        Raises `OutOfTime` at the instant `until` of the clock; None: no such instant."""
        ...


class Inline:
    """Fits in this process, one after the other: what crashes takes the search with it."""

    width = 1

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._folds: Sequence[EncodedFold] = ()

    def give(self, folds: Iterable[EncodedFold]) -> None:
        """See `Executor.give`."""
        self._folds = tuple(folds)

    def run(self, job: Job, folds: Sequence[int], until: float | None) -> Outcomes:
        """See `Executor.run`; a fit that has begun goes on to its end."""
        answers: Outcomes = []
        for number in folds:
            if until is not None and self._clock() >= until:
                raise OutOfTime
            try:
                answers.append(fit_fold(job, number, self._folds[number], self._clock))
            except Exception as error:
                answers.append(failure(error))
        return answers


class Workers:
    """Fits in children, `width` at a time, each with its share of the threads. Use as a context.

    Parameters
    ----------
    folder : where folds are written for the children to map; who owns it sweeps it when the run was killed
    """

    def __init__(self, threads: int, clock: Clock, folder: Path) -> None:
        self.width = max(threads, 1)
        self._threads, self._clock = max(threads, 1), clock
        self._nursery = nursery()  # loads while the caller still encodes
        self._folder = tempfile.TemporaryDirectory(prefix="folds-", dir=folder, ignore_cleanup_errors=True)
        self._children: list[Child | None] = [None] * self.width

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for place in range(self.width):
            self._end(place)
        self._folder.cleanup()

    def give(self, folds: Iterable[EncodedFold]) -> None:
        """See `Executor.give`; they are written where the children map them."""
        for number, fold in enumerate(folds):
            save_fold(self._folder.name, number, fold)

    def run(self, job: Job, folds: Sequence[int], until: float | None) -> Outcomes:
        """See `Executor.run`; a fit that has not ended then is killed."""
        share = max(self._threads // len(folds), 1)
        limit = self._clock() + LONGEST_S if until is None else until
        asked: dict[Connection, int] = {}
        answers: dict[int, FoldAnswer | str] = {}
        for place, number in enumerate(folds):
            try:
                child = self._child(place)
                child.connection.send((number, replace(job, threads=share)))
                asked[child.connection] = place
            except OSError:
                answers[place] = self._lost(place)
        while asked:
            left = limit - self._clock()
            ready = wait(list(asked), timeout=max(left, 0.0))
            for connection in [each for each in asked if each in ready]:
                place = asked.pop(connection)
                try:
                    answers[place] = connection.recv()
                except (EOFError, OSError):
                    answers[place] = self._lost(place)
            if not ready and left <= 0:
                for place in asked.values():
                    self._end(place)
                if until is not None:
                    raise OutOfTime
                answers |= dict.fromkeys(asked.values(), f"it had not ended after {LONGEST_S:,.0f} s")
                break
        return [answers[place] for place in range(len(folds))]

    def _child(self, place: int) -> Child:
        child = self._children[place]
        if child is None:
            try:
                child = self._nursery.fork(self._folder.name)
            except OSError:  # somebody has killed it
                self._nursery.close()
                self._nursery = nursery()
                child = self._nursery.fork(self._folder.name)
            self._children[place] = child
        return child

    def _end(self, place: int) -> None:
        child, self._children[place] = self._children[place], None
        if child is not None:
            child.end()

    def _lost(self, place: int) -> str:
        child, self._children[place] = self._children[place], None
        if child is None:
            return "no process could be started for it"
        code = child.fate()
        killed = " (killed: most often for want of memory)" if code == -signal.SIGKILL else ""
        return f"its process ended with code {code}{killed}"
