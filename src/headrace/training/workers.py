"""Where folds are fitted: here, or in children that may crash, never end, or run out of memory."""

from __future__ import annotations

import atexit
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final, Protocol

from headrace.runs.meter import used_beside
from headrace.runs.nursery import Child, Ended, Nursery
from headrace.training.trial_worker import EncodedFold, FoldAnswer, Job, failure, fit_fold, save_fold

Clock = Callable[[], float]
"""Seconds from some instant, never going back."""
Outcome = FoldAnswer | str
"""What a fold answered, or why it failed."""

LONGEST_S: Final = 3600.0
"""Seconds that one fit may take where the budget does not say."""
SHORT_FIT_S: Final = 0.5
"""After fits that took less a child is told of the next one too: while the search judges what another has answered it
would wait for about as long. Longer ones hardly gain, and an older trial's folds would stand behind a newer one's."""

LOADED: Final = (
    "headrace.training.trial_worker",
    "lightgbm",
    "catboost",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "onnx",
    "onnxruntime",
)
"""What the children of a search find loaded."""
_ONE: list[Nursery] = []
_ONE_LOCK = threading.Lock()


def nursery() -> Nursery:
    """Where all searches of this process have their children from, started when there is none; returns at once, while
    it still loads."""
    with _ONE_LOCK:
        if not _ONE or not _ONE[0].lives:
            _ONE[:] = [Nursery("headrace.training.trial_worker:serve", LOADED)]
            atexit.register(_ONE[0].close)
        return _ONE[0]


class OutOfTime(Exception):
    """The budget ended in the middle of a fit."""


class Folds(Protocol):
    """Encoded folds, each made when it is first asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> EncodedFold: ...


class Executor(Protocol):
    """Fits folds."""

    @property
    def width(self) -> int:
        """Folds that are fitted at a time."""
        ...

    @property
    def free(self) -> int:
        """Folds that can be begun now, be it that they wait until another one ends."""
        ...

    def give(self, folds: Folds) -> None:
        """The folds, once, before the first job."""
        ...

    def start(self, job: Job, fold: int) -> int:
        """Begin to fit the job on the fold, where there is room for it; the number of the fit."""
        ...

    def wait(self, until: float | None) -> Mapping[int, Outcome]:
        """What came of the fits, at least one, that have ended by now, by their numbers.

        Raises `OutOfTime` at the instant `until` of the clock; None: no such instant. Then no fit is left."""
        ...


class Inline:
    """Fits in this process, one after the other: what crashes takes the search with it."""

    width = 1

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._folds: Folds = ()
        self._encoded: dict[int, EncodedFold] = {}
        self._begun: tuple[int, Job, int] | None = None
        self._fits = count()

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return 1 if self._begun is None else 0

    def give(self, folds: Folds) -> None:
        """See `Executor.give`."""
        self._folds, self._encoded = folds, {}

    def start(self, job: Job, fold: int) -> int:
        """See `Executor.start`; it is fitted when it is waited for."""
        assert self._begun is None, "started where there is a free place"
        number = next(self._fits)
        self._begun = (number, job, fold)
        return number

    def wait(self, until: float | None) -> Mapping[int, Outcome]:
        """See `Executor.wait`; a fit that has begun goes on to its end."""
        assert self._begun is not None, "waited for what was started"
        (number, job, fold), self._begun = self._begun, None
        if until is not None and self._clock() >= until:
            raise OutOfTime
        if fold not in self._encoded:
            self._encoded[fold] = self._folds[fold]
        try:
            return {number: fit_fold(job, fold, self._encoded[fold], self._clock)}
        except Exception as error:
            return {number: failure(error)}


class Threads:
    """Fits in threads of this process, which share out those that there are: for libraries that learn outside of the
    interpreter and change nothing that other fits share. Use as a context."""

    def __init__(self, threads: int, clock: Clock) -> None:
        self.width = self._threads = max(threads, 1)
        self._clock = clock
        self._pool = ThreadPoolExecutor(self.width)
        self._folds: Folds = ()
        self._encoded: dict[int, EncodedFold] = {}
        self._begun: dict[int, Future[Outcome]] = {}
        self._fits = count()

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return self.width - len(self._begun)

    def give(self, folds: Folds) -> None:
        """See `Executor.give`."""
        self._folds, self._encoded = folds, {}
        self.width = min(self._threads, max(len(folds), 1))

    def start(self, job: Job, fold: int) -> int:
        """See `Executor.start`."""
        own = replace(job, threads=self._threads // self.width)
        if fold not in self._encoded:
            self._encoded[fold] = self._folds[fold]
        number, encoded = next(self._fits), self._encoded[fold]

        def fit() -> Outcome:
            try:
                return fit_fold(own, fold, encoded, self._clock)
            except Exception as error:
                return failure(error)

        self._begun[number] = self._pool.submit(fit)
        return number

    def wait(self, until: float | None) -> Mapping[int, Outcome]:
        """See `Executor.wait`; a fit that has begun goes on to its end."""
        left = None if until is None else max(until - self._clock(), 0.0)
        done, _ = wait_for(self._begun.values(), timeout=left, return_when=FIRST_COMPLETED)
        if not done:
            self._begun.clear()
            raise OutOfTime
        return {number: self._begun.pop(number).result() for number, fit in list(self._begun.items()) if fit in done}


@dataclass(slots=True)
class _Fit:
    """A fit that a child has been asked for."""

    number: int
    asked: tuple[int, Job]
    began: float
    """Of one that waits for the one before it: when it was asked for."""
    is_known: bool = False
    """Whether the child has been told."""


class Workers:
    """Fits in children, as many at a time as there are threads; of short ones one more may wait at each. Use as a
    context.

    Parameters
    ----------
    folder : where folds are written for the children to map; who owns it sweeps it when the run was killed
    longest_s : seconds that one fit may take
    """

    def __init__(self, threads: int, clock: Clock, folder: Path, *, longest_s: float = LONGEST_S) -> None:
        self.width = max(threads, 1)
        self._longest_s = longest_s
        self._clock = clock
        self._nursery = nursery()  # loads while the caller still encodes
        self._folder = tempfile.TemporaryDirectory(prefix="folds-", dir=folder, ignore_cleanup_errors=True)
        self._folds: Folds = ()
        self._saved: set[int] = set()
        self._children: list[Child | None] = [None] * self.width
        self._fits: list[deque[_Fit]] = [deque() for _ in range(self.width)]
        """By place, the one that is fitted first."""
        self._ended: dict[int, Outcome] = {}
        """Not told yet."""
        self._numbers = count()
        self._took_s = float("inf")
        """The fit that was answered last."""
        self._cpu_s = 0.0
        self._memory = [0] * self.width
        """Most bytes that a child at each place held."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for place in range(self.width):
            self._end(place)
        used_beside(self._cpu_s, sum(self._memory))
        self._folder.cleanup()

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return sum(map(self._room, self._fits))

    def _room(self, fits: deque[_Fit]) -> int:
        """How many fits more a place takes: one behind another where that is not known to be long."""
        if self._took_s >= SHORT_FIT_S:
            return 0 if fits else 1
        if fits and self._clock() - fits[0].began >= SHORT_FIT_S:
            return 0
        return 2 - len(fits)

    def give(self, folds: Folds) -> None:
        """See `Executor.give`; each is written, when it is first needed, where the children map it."""
        assert not self._saved, "folds are given once"
        self._folds = folds

    def start(self, job: Job, fold: int) -> int:
        """See `Executor.start`."""
        # behind the fit that began last, where no place is free: one that began long ago may go on as long
        place = min(range(self.width), key=lambda n: (len(self._fits[n]), *(-fit.began for fit in self._fits[n])))
        fit = _Fit(next(self._numbers), (fold, replace(job, threads=1)), self._clock())
        if fold not in self._saved:
            save_fold(self._folder.name, fold, self._folds[fold])
            self._saved.add(fold)
        self._fits[place].append(fit)
        self._ask(place, fit)
        if not self._fits[place][0].is_known:  # the child has ended since its last fit, which is no fault of this one
            self._end(place)
            self._ask_anew(place)
        return fit.number

    def wait(self, until: float | None) -> Mapping[int, Outcome]:
        """See `Executor.wait`; a fit that has not ended then is killed."""
        while not self._ended:
            busy = {self._connection(place): place for place, fits in enumerate(self._fits) if fits}
            limit = min(fits[0].began for fits in self._fits if fits) + self._longest_s
            left = (limit if until is None else min(until, limit)) - self._clock()
            ready = wait(list(busy), timeout=max(left, 0.0))
            for connection, place in busy.items():
                if connection in ready:
                    self._receive(place)
            if not ready and left <= 0:
                self._end_late_ones(until)
        ended, self._ended = self._ended, {}
        return ended

    def _connection(self, place: int) -> Connection:
        child = self._children[place]
        assert child is not None, "a fit has its child"
        return child.connection

    def _ask(self, place: int, fit: _Fit) -> None:
        """Send it to the child of the place."""
        try:
            self._child(place).connection.send(fit.asked)
            fit.is_known = True
        except OSError:
            fit.is_known = False

    def _ask_anew(self, place: int) -> None:
        """Ask a new child for the fits of the place, whose child has gone."""
        fits = self._fits[place]
        for fit in tuple(fits):
            self._ask(place, fit)
            if not fits[0].is_known:
                self._close(place, self._lost(place))
        if fits:
            fits[0].began = self._clock()

    def _receive(self, place: int) -> None:
        """The answer of the child of the place, which is there, or has gone."""
        fits = self._fits[place]
        try:
            outcome = self._connection(place).recv()
            # by the child's own clock: since it answered the search may have judged another
            is_answer = isinstance(outcome, FoldAnswer)
            self._took_s = outcome.took_s if is_answer else self._clock() - fits[0].began
            self._close(place, outcome)
        except (EOFError, OSError):
            if fits[0].is_known:
                self._close(place, self._lost(place))
            else:
                self._end(place)
            self._ask_anew(place)
        if fits:
            fits[0].began = self._clock()

    def _close(self, place: int, outcome: Outcome) -> None:
        self._ended[self._fits[place].popleft().number] = outcome

    def _end_late_ones(self, until: float | None) -> None:
        """Kill the fits that have taken too long; all of them at the instant `until`, which is raised."""
        now = self._clock()
        is_over = until is not None and now >= until
        for place, fits in enumerate(self._fits):
            if fits and (is_over or now - fits[0].began >= self._longest_s):
                self._end(place)
                if is_over:
                    fits.clear()
                    continue
                self._close(place, f"it had not ended after {self._longest_s:,.0f} s")
                self._ask_anew(place)
        if is_over:
            raise OutOfTime

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
            self._count(place, child.end())

    def _lost(self, place: int) -> str:
        child, self._children[place] = self._children[place], None
        if child is None:
            return "no process could be started for it"
        ended = child.fate()
        self._count(place, ended)
        code = ended.code
        killed = " (killed: most often for want of memory)" if code == -signal.SIGKILL else ""
        return f"its process ended with code {code}{killed}"

    def _count(self, place: int, ended: Ended) -> None:
        self._cpu_s += ended.cpu_s
        self._memory[place] = max(self._memory[place], ended.memory_bytes)
