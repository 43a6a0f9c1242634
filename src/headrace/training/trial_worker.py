"""One candidate on one fold: fitted, asked, compiled; or a part of the chosen one on all rows. Runs in the search's own
process or in a child of it.

Loads no table engine: a child that is killed for its memory or its time takes nothing else with it.
"""

from __future__ import annotations

import math
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Objective, Task
from headrace.training.families import MEAN, AsksInSteps, Fitted, Params, Shortens, load_from
from headrace.training.imbalance import corrected
from headrace.training.learn import Rows, learn
from headrace.training.metrics import measure, metric_of

TRAIN_SAMPLE = 20_000
"""Training rows, evenly spaced, that the training score is measured on, at most: as many as are asked in validation,
but not fewer than `FEWEST_SAMPLED`. On all of them it took up to half of the time of the fit, and on every fold more
than all else beside it."""
FEWEST_SAMPLED = 1_000
CHECKED_ROWS = 5_000
"""Validation rows on which a model's compiled graph is compared with its library."""


@dataclass(frozen=True, slots=True)
class EncodedFold:
    """A fold as matrices, encoded with what its own training rows taught."""

    levels: tuple[int | None, ...]
    X_train: NDArray[np.float32]
    y_train: NDArray[Any]
    X_validation: NDArray[np.float32]
    y_validation: NDArray[Any]
    validation: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be fitted."""

    family: str
    """`module:Class`."""
    params: Params
    task: Task
    n_classes: int
    metric: str
    imbalance: str
    seed: int
    threads: int
    limit: float
    """How far the compiled graph may be from its library."""
    compiled: tuple[int, ...] = ()
    """The folds whose models are compiled."""
    kept: bool = False
    """Whether the folds' models are put away."""
    trained: tuple[int, ...] = ()
    """The folds whose training rows are asked too."""
    objective: Objective = MEAN
    seconds: float | None = None
    """After so long a fit that learns step by step ends with what it has; None: it takes what it needs."""
    shares: tuple[float, ...] = ()
    """Shares of its steps after which a model that learns step by step is asked too."""
    only_fits: bool = False
    """Whether there are no validation rows: how long it learns is known, and it is put away."""


@dataclass(frozen=True, slots=True)
class FoldAnswer:
    """What came of it."""

    scores: NDArray[np.float64]
    """Of the validation rows."""
    score: float
    """Higher is better."""
    train_score: float | None
    """Of training rows; None: they were not asked, or it is undefined on them."""
    settled: Params
    fit_s: float
    took_s: float
    """From the fit to the graph."""
    onnx: bytes
    """Empty: it was not asked for, or the family does not compile."""
    kept: bytes
    """The model in its library's own data format; empty: it was not asked for, and has no shorter forms."""
    shift: NDArray[np.float64] | None
    """By how much the odds of each class were brought back."""
    shorter: tuple[FoldAnswer, ...] = ()
    """The same model after each of the job's shares of its steps, neither compiled nor put away: of most nobody will
    ask, and of those of which somebody does, `kept` has them; empty: it does not learn step by step."""


def fit_fold(job: Job, number: int, fold: EncodedFold, clock: Callable[[], float]) -> FoldAnswer:
    """Fit, ask, measure and compile; raises what the library raises, `ArithmeticError` for answers that cannot be."""
    family = load_from(job.family)
    started = clock()
    fitted, shift = learn(
        job.imbalance,
        family,
        Rows(fold.X_train, fold.y_train),
        job.params,
        task=job.task,
        objective=job.objective,
        n_classes=job.n_classes,
        levels=fold.levels,
        seed=job.seed,
        threads=job.threads,
        check=None if job.only_fits else Rows(fold.X_validation, fold.y_validation),
        seconds=job.seconds,
    )
    fit_s = clock() - started
    if job.only_fits:
        return FoldAnswer(np.zeros(0), math.nan, None, fitted.settled, fit_s, fit_s, b"", fitted.keep(), shift)
    shorter = [fitted.shortened(share) for share in job.shares] if isinstance(fitted, Shortens) else []
    models = [corrected(model, shift) for model in (fitted, *shorter)]

    def asked(X: NDArray[np.float32]) -> Sequence[NDArray[np.float64]]:
        if shorter and shift is None and isinstance(fitted, AsksInSteps):
            return fitted.predict_after(X, (1.0, *job.shares))
        return [model.predict(X) for model in models]

    trained: Sequence[NDArray[np.float64] | None] = [None] * len(models)
    if number in job.trained:
        trained = asked(fold.X_train[_sample(fold)])
    told = zip(models, asked(fold.X_validation), trained, strict=True)
    compiles = family.compiles and number in job.compiled
    keeps = job.kept or (compiles and bool(shorter))
    whole, *parts = [
        _answer(job, fold, *each, compiles=compiles and not place, keeps=keeps and not place, shift=shift, fit_s=fit_s)
        for place, each in enumerate(told)
    ]
    return replace(whole, shorter=tuple(parts), took_s=clock() - started)


def _sample(fold: EncodedFold) -> NDArray[np.intp]:
    """The training rows that are asked."""
    wanted = min(TRAIN_SAMPLE, max(len(fold.y_validation), FEWEST_SAMPLED), len(fold.y_train))
    return np.linspace(0, len(fold.y_train) - 1, wanted).astype(np.intp)


def _answer(
    job: Job,
    fold: EncodedFold,
    fitted: Fitted,
    scores: NDArray[np.float64],
    trained: NDArray[np.float64] | None,
    *,
    compiles: bool,
    keeps: bool,
    shift: NDArray[np.float64] | None,
    fit_s: float,
) -> FoldAnswer:
    """What a fitted model says of the fold, measured, compiled and put away as is asked.

    Parameters
    ----------
    scores, trained : its answers for the validation rows, and for the `_sample` of the training rows; None: not asked
    """
    metric = metric_of(job.metric, job.task)
    if not np.isfinite(scores).all():
        raise FloatingPointError("its answers are not all finite")
    score = measure(metric, fold.y_validation, scores, job.task)
    if not np.isfinite(score):
        raise FloatingPointError(f"its {metric.name} is not finite")
    train_score = None if trained is None else measure(metric, fold.y_train[_sample(fold)], trained, job.task)
    onnx = fitted.to_onnx() if compiles else b""
    if onnx:
        from headrace.training.measure import largest_difference

        asked = fold.X_validation[:CHECKED_ROWS]
        difference = largest_difference(onnx, asked, scores[:CHECKED_ROWS])
        if not difference <= job.limit:
            raise ArithmeticError(f"compiled, it is {difference:.3g} from its library; the limit is {job.limit:.3g}")
    return FoldAnswer(
        scores=scores,
        score=score,
        train_score=train_score if train_score is not None and np.isfinite(train_score) else None,
        settled=fitted.settled,
        fit_s=fit_s,
        took_s=fit_s,
        onnx=onnx,
        kept=fitted.keep() if keeps else b"",
        shift=shift,
    )


def serve(connection: Any, folder: str, _: list[int]) -> None:
    """A child's life: fold numbers and jobs come in, answers or reasons go out, until the pipe closes."""
    import time

    _be_first_to_go()
    folds: dict[int, EncodedFold] = {}
    while True:
        try:
            number, job = connection.recv()
        except (EOFError, OSError):
            return
        if _is_alone(connection):
            return
        try:
            if number not in folds:
                folds[number] = load_fold(folder, number)
            answer: FoldAnswer | str = fit_fold(job, number, folds[number], time.monotonic)
        except Exception as error:
            answer = failure(error)
        try:
            connection.send(answer)
        except OSError:  # who asked has gone
            return


def _is_alone(connection: Any) -> bool:
    """Whether who asked does not wait any more."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLHUP)
    return bool(poller.poll(0))


def failure(error: BaseException) -> str:
    """What is noted of a failed trial: one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


def save_fold(folder: str, number: int, fold: EncodedFold) -> None:
    """Write a fold where children can map it."""
    for name in ("X_train", "y_train", "X_validation", "y_validation", "validation"):
        _save(Path(folder, f"{number}-{name}.npy"), getattr(fold, name))
    levels = np.array([-1 if n is None else n for n in fold.levels], np.int64)
    _save(Path(folder, f"{number}-levels.npy"), levels)


def _save(path: Path, array: NDArray[Any]) -> None:
    """As `np.save`, which would say how many items it could not write, and not that the disk is full."""
    head = BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(head, header)
    with path.open("wb") as file:
        file.write(head.getvalue())
        file.write(array.tobytes("F" if header["fortran_order"] else "C"))


def load_fold(folder: str, number: int) -> EncodedFold:
    """The fold that `save_fold` wrote; its matrices are mapped, so that children share one copy."""

    def part(name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(Path(folder, f"{number}-{name}.npy"), mmap_mode="r")
        return array

    return EncodedFold(
        levels=tuple(None if n < 0 else n for n in part("levels").tolist()),
        X_train=part("X_train"),
        y_train=part("y_train"),
        X_validation=part("X_validation"),
        y_validation=part("y_validation"),
        validation=part("validation"),
    )


def _be_first_to_go() -> None:
    """Linux: when memory runs out, the child is ended and not the run."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return
