"""Children that fit folds: they answer as this process does, and take nothing with them when they crash."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.samples import make_examples

from headrace.definition.model import Split, Task
from headrace.runs.meter import Meter
from headrace.training.families import Fitted
from headrace.training.folding import EncodedFolds
from headrace.training.metrics import metric_of
from headrace.training.splits import make_folds
from headrace.training.trial_worker import FoldAnswer, Job
from headrace.training.workers import LONGEST_S, SHORT_FIT_S, Executor, Inline, OutOfTime, Threads, Workers

BURNT_S = 0.5


class Odd:
    """A family that does what its parameter says."""

    tasks: frozenset[Task] = frozenset({"binary"})
    compiles = True
    bags = False

    def defaults(self) -> Sequence[Mapping[str, Any]]:
        return ({"does": "raise"},)

    def space(self) -> Mapping[str, Any]:
        return {}

    def restore(self, kept: bytes) -> Fitted:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, params: Mapping[str, Any], *, threads: int, **_: Any) -> Fitted:
        match params["does"]:
            case "count":
                raise RuntimeError(f"{threads} threads")
            case "raise":
                raise RuntimeError("no luck\nwith a second line")
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "be killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "hang":
                signal.pause()
            case "burn":
                held = np.ones(50_000_000 // 8)
                while time.process_time() < BURNT_S:
                    held += 1.0
                raise RuntimeError("it has burnt")
            case "print":
                print("a line of the model's own", flush=True)
                raise RuntimeError("it has printed")
            case "want memory":
                raise MemoryError
        raise AssertionError(params)


def job(family: str = "headrace.training.families.linear:Linear", **params: Any) -> Job:
    return Job(
        family=family,
        params=params or {"l2": 1.0},
        task="binary",
        n_classes=2,
        metric="roc_auc",
        imbalance="none",
        seed=0,
        threads=2,
        limit=1e-6,
        compiled=(1,),
        trained=(2,),
    )


def odd(does: str) -> Job:
    return job(f"{__name__}:Odd", does=does)


def folds() -> EncodedFolds:
    examples, split = make_examples(400), Split(by="random", folds=3)
    return EncodedFolds(examples, make_folds(examples, split), metric_of("roc_auc", "binary"), split=split)


def asked(executor: Executor, job: Job, folds: Sequence[int], until: float | None = None) -> list[Any]:
    """What came of the job on these folds, side by side."""
    fits = [executor.start(job, fold) for fold in folds]
    outcomes: dict[int, Any] = {}
    while len(outcomes) < len(fits):
        outcomes |= executor.wait(until)
    return [outcomes[fit] for fit in fits]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(2, time.monotonic, tmp_path_factory.mktemp("folds")) as made:
        made.give(folds())
        yield made


def test_children_answer_what_this_process_answers(workers: Workers) -> None:
    here = Inline(time.monotonic)
    here.give(folds())
    compiled: list[bool] = []
    trained: list[bool] = []
    for wave in ((0, 1), (2,)):
        for fold, other in zip(wave, asked(workers, job(), wave), strict=True):
            (own,) = asked(here, job(), (fold,))
            assert isinstance(own, FoldAnswer)
            assert isinstance(other, FoldAnswer)
            np.testing.assert_array_equal(own.scores, other.scores)
            assert own.onnx == other.onnx
            compiled.append(bool(own.onnx))
            trained.append(own.train_score is not None)
            assert (own.score, own.train_score, own.settled) == (other.score, other.train_score, other.settled)
    assert compiled == [False, True, False]
    assert trained == [False, False, True]


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("raise", "RuntimeError: no luck"),
        ("want memory", "MemoryError: "),
        ("crash", "its process ended with code -11"),
        ("be killed", "its process ended with code -9 (killed: most often for want of memory)"),
        ("exit", "its process ended with code 7"),
    ],
)
def test_a_fit_that_fails_says_why_and_the_next_one_works(workers: Workers, does: str, says: str) -> None:
    assert asked(workers, odd(does), (0, 1)) == [says, says]
    (after,) = asked(workers, job(), (0,))
    assert isinstance(after, FoldAnswer)


@pytest.mark.parametrize("does", ["raise", "crash"])
def test_what_waits_for_a_fit_that_fails_is_fitted(does: str, tmp_path: Path) -> None:
    """Each child is told of two at once; the second one answers what it answers alone."""
    with Workers(2, lambda: 0.0, tmp_path) as workers:  # nothing takes long
        workers.give(folds())
        alone = asked(workers, job(), (0, 1))
        fits = [workers.start(each, fold) for each in (odd(does), job()) for fold in (0, 1)]
        assert workers.free == 0
        outcomes: dict[int, Any] = {}
        while len(outcomes) < len(fits):
            outcomes |= workers.wait(None)
    assert [isinstance(outcomes[fit], str) for fit in fits] == [True, True, False, False]
    for fit, one in zip(fits[2:], alone, strict=True):
        np.testing.assert_array_equal(outcomes[fit].scores, one.scores)


def test_a_fit_that_does_not_end_is_killed_when_its_time_is_over(workers: Workers) -> None:
    with pytest.raises(OutOfTime):  # the fit alone would never end, nor would what waits for it
        asked(workers, odd("hang"), (0, 1, 2), time.monotonic() + 0.3)
    assert workers.free >= workers.width
    (after,) = asked(workers, job(), (0,))
    assert isinstance(after, FoldAnswer)


def test_only_the_fit_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    now = 0.0
    with Workers(2, lambda: now, tmp_path) as workers:
        workers.give(folds())
        asked(workers, job(), (0, 1))
        late = [workers.start(odd("hang"), fold) for fold in (0, 1)]
        behind = [workers.start(odd("raise"), fold) for fold in (0, 1)]
        now = LONGEST_S
        outcomes: dict[int, Any] = {}
        while len(outcomes) < 4:
            outcomes |= workers.wait(None)
    assert [outcomes[fit] for fit in late] == ["it had not ended after 3,600 s"] * 2
    assert [outcomes[fit] for fit in behind] == ["RuntimeError: no luck"] * 2


def test_a_child_is_told_of_the_next_fit_only_where_fits_are_short(tmp_path: Path) -> None:
    now = 0.0
    with Workers(2, lambda: now, tmp_path) as workers:
        workers.give(folds())
        assert workers.free == 2  # nobody knows yet
        for took_s, each in ((SHORT_FIT_S / 2, 2), (SHORT_FIT_S, 1), (0.0, 2)):
            fit = workers.start(odd("raise"), 0)
            now += took_s
            assert workers.wait(None).keys() == {fit}
            assert workers.free == 2 * each
        workers.start(odd("hang"), 0)
        assert workers.free == 3
        now += SHORT_FIT_S
        assert workers.free == 2  # what has not ended by now may be long
        fits = [workers.start(odd("raise"), fold) for fold in (0, 1)]
        outcomes: dict[int, Any] = {}
        while len(outcomes) < 2:
            outcomes |= workers.wait(None)
        assert outcomes.keys() == set(fits), "both stood at the other place"


def test_threads_of_this_process_answer_what_it_answers_one_after_the_other() -> None:
    here = Inline(time.monotonic)
    here.give(folds())
    with Threads(2, time.monotonic) as threads:
        threads.give(folds())
        assert asked(threads, odd("raise"), (0, 1)) == ["RuntimeError: no luck"] * 2
        assert threads.free == 2
        for fold, other in enumerate(asked(threads, job(), (0, 1))):
            (own,) = asked(here, job(), (fold,))
            assert isinstance(other, FoldAnswer)
            np.testing.assert_array_equal(own.scores, other.scores)
            assert own.onnx == other.onnx
        with pytest.raises(OutOfTime):
            asked(threads, odd("burn"), (0,), time.monotonic())
        assert threads.free == 2


@pytest.mark.parametrize(("threads", "width", "each"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (5, 3, 1), (8, 3, 2)])
def test_folds_side_by_side_share_out_the_threads_that_there_are(threads: int, width: int, each: int) -> None:
    with Threads(threads, time.monotonic) as executor:
        executor.give(folds())
        assert executor.width == executor.free == width
        assert asked(executor, odd("count"), (0,)) == [f"RuntimeError: {each} threads"]


SCRIPT = """
import os, sys, time
from pathlib import Path
print("began", flush=True)
from tests.training.test_workers import asked, folds, job, odd
from headrace.training.workers import Workers
workers = Workers(2, time.monotonic, Path(sys.argv[1]))
workers.give(folds())
assert not isinstance(asked(workers, job(), (0, 1))[0], str)
print(*(child.pid for child in workers._children), flush=True)
asked(workers, odd("hang"), (0, 1))
"""


def test_children_end_with_a_run_that_is_killed_and_never_run_its_script_again(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    run = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "began\n"
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2
    children = [os.pidfd_open(pid) for pid in pids]
    run.kill()
    run.wait()
    for child in children:
        ended, _, _ = select.select([child], [], [], 30)  # readable when the process has ended
        assert ended
        os.close(child)
    assert run.stdout.read() == ""
    run.stdout.close()


BROKEN = """
import os, select, sys, time
from pathlib import Path
from tests.training.test_workers import asked, folds, job, odd
from headrace.training.workers import Workers
with Workers(2, time.monotonic, Path(sys.argv[1])) as workers:
    workers.give(folds())
    print(*(type(answer).__name__ for answer in asked(workers, job(), (0, 1))))
    print(asked(workers, odd("print"), (0,))[0])
    children = [os.pidfd_open(child.pid) for child in workers._children]
    workers._nursery._process.kill()
    workers._nursery._process.wait()
    for child in children:  # they end with it; what is asked of new ones is answered
        select.select([child], [], [], 30)
    print(*(type(answer).__name__ for answer in asked(workers, job(), (0, 1))))
"""


def test_a_broken_library_and_the_end_of_what_starts_trials_end_no_search(tmp_path: Path) -> None:
    """A library that another family needs cannot be loaded; what starts trials is killed between two
    trials. What a model prints is no answer of the run."""
    (tmp_path / "catboost.py").write_text("raise ValueError('numpy.dtype size changed')")
    script = tmp_path / "script.py"
    script.write_text(BROKEN)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        check=True,
    )
    assert run.stdout.splitlines() == [
        "FoldAnswer FoldAnswer",
        "RuntimeError: it has printed",
        "FoldAnswer FoldAnswer",
    ]
    assert "a line of the model's own" in run.stderr


def test_folds_are_written_where_they_are_told_and_are_gone_afterwards(tmp_path: Path) -> None:
    with Workers(1, time.monotonic, tmp_path) as workers:
        workers.give(folds())
        asked(workers, job(), (1,))
        assert [path.name for path in tmp_path.glob("folds-*/*-X_train.npy")] == ["1-X_train.npy"]
    assert list(tmp_path.iterdir()) == []


def test_what_children_used_is_counted_of_the_stage_that_asked_them(tmp_path: Path) -> None:
    watch = Meter()
    with Workers(2, time.monotonic, tmp_path) as workers:
        workers.give(folds())
        assert asked(workers, odd("burn"), (0, 1)) == ["RuntimeError: it has burnt"] * 2
    used = watch.stop()
    assert used.cpu_s >= 2 * BURNT_S
    assert used.peak_memory_bytes >= 2 * 50_000_000  # each child holds more


LOADING = """
import sys, time
from pathlib import Path
from tests.training.test_workers import asked, folds, job
from headrace.training.workers import OutOfTime, Workers
given = folds()
with Workers(2, time.monotonic, Path(sys.argv[1])) as workers:
    workers.give(given)
    try:
        asked(workers, job(), (0, 1), time.monotonic() + 0.2)
    except OutOfTime:
        print("out of time", workers._nursery.has_answered(0))
with Workers(2, time.monotonic, Path(sys.argv[1])) as workers:
    workers.give(given)
    print(*(type(answer).__name__ for answer in asked(workers, job(), (0, 1))))
"""


def test_a_budget_ends_while_the_libraries_still_load_and_they_serve_the_next_search(tmp_path: Path) -> None:
    (tmp_path / "lightgbm.py").write_text("import time\ntime.sleep(8)\n")
    script = tmp_path / "script.py"
    script.write_text(LOADING)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert run.stdout.splitlines() == ["out of time False", "FoldAnswer FoldAnswer"]
    assert run.stderr == ""
