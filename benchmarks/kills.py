"""Budgets under kill -9: random searches, each killed at random instants and continued until it ends.

Every search runs as `headrace run` runs it, in a process of its own, on a small table, under a random budget in
seconds, in trials or in money. After each kill another process looks into the stores: every trial that was recorded
before is there, and the best one so far is loaded and asked. When the search has ended, what all its executions took
together is held against the budget, and its trials against those that were recorded on the way.

What a kill may cost beside the budget is one tick: a fiftieth of the budget, a second at most. What comes after the
budget (the candidates together as one more) belongs to the search, and is counted with it.

usage: python -m benchmarks.kills [SEARCHES [SEED]] [--json]      --json prints every search and records nothing
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.harness import newest, record, table

SEARCHES: Final = 200
MOST_KILLS: Final = 3
SECONDS: Final = (5, 10)
"""Budgets in seconds, from and to: a process needs two to load what it fits with."""
TRIALS: Final = (2, 12)
ROWS: Final = 240
PRELOADED: Final = (
    *("polars", "sqlalchemy.dialects.sqlite", "alembic.command", "onnx", "onnxruntime", "optuna"),
    *("scipy.optimize", "scipy.stats"),
    *("headrace.app", "headrace.pipeline", "headrace.data.check", "headrace.data.snapshot", "headrace.features.build"),
    *("headrace.features.frame", "headrace.training.search", "headrace.stores.catalog.sqlite"),
    *("headrace.stores.objects.local", "headrace.data.page", "zstandard"),
)
DEFINITION: Final = """format = 1
[project]
name = "killed"
label = "yes"
task = "binary"
[sources.rows]
read = "data/rows.csv"
[features]
auto = false
[split]
by = "stratified"
trust = true
folds = 3
[training]
families = ["linear", "lightgbm"]
budget = "{budget}"
seed = {seed}
"""
Unit = Literal["seconds", "trials", "usd"]


@dataclass
class Search:
    """One search, over all its executions."""

    unit: Unit
    budget: float
    """In its unit."""
    limit_s: float | None
    """Seconds that the budget pays for; None: it is in trials."""
    kills: int = 0
    took_s: list[float] = field(default_factory=list)
    """By the clock, each execution of the search from its beginning to its end or its kill."""
    trials: int = 0
    ended: str = ""
    """`done`, or the code of the error that it ended by."""
    recorded: dict[str, str] = field(default_factory=dict)
    """What was seen of its record: part and digest."""
    lost: list[str] = field(default_factory=list)
    """What was recorded and is not there any more, or not the same."""
    unloadable: list[str] = field(default_factory=list)
    """Why the best so far could not be loaded."""
    looks: int = 0
    """How often there was a best so far, and it was asked."""

    @property
    def spent_s(self) -> float:
        """All executions together."""
        return sum(self.took_s)

    @property
    def over(self) -> float:
        """By how much more was spent than the budget, in ticks of it, or in trials."""
        from headrace.training.spending import tick_s

        if self.limit_s is None:
            return max(self.trials - self.budget, 0.0)
        return (self.spent_s - self.limit_s) / tick_s(self.limit_s)


def write_rows(path: Path) -> None:
    """A small table of which something can be learnt."""
    draw = random.Random(7)
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["a", "b", "c", "yes"])
        for _ in range(ROWS):
            a, b, c = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice("xyz")
            lines.writerow([f"{a:.6f}", f"{b:.6f}", c, str(a + (c == "x") + draw.gauss(0, 1) > 0.8).lower()])


class _Reporter:
    """Tells the parent when the search of a run begins, and ends the process with it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.failed_at = 0.0

    def tell(self, what: str, **facts: Any) -> None:
        os.write(self._pipe, json.dumps({"what": what, "at": time.monotonic()} | facts).encode() + b"\n")

    def stage_started(self, name: str) -> None:
        if name == "search":
            self.tell("began")

    def stage_ended(self, name: str, state: str, _: object) -> None:
        if name != "search":
            return
        if state == "failed":
            self.failed_at = time.monotonic()
            return
        self.tell("ended", code="done")
        os._exit(0)

    def stage_moved(self, *_: object) -> None:
        """Nothing."""

    def say(self, _: str) -> None:
        """Nothing."""


def execute(root: Path, pipe: int) -> None:
    """A run up to the end of its search; in a process of its own."""
    from headrace.app import Project
    from headrace.errors import HeadraceError

    reporter = _Reporter(pipe)
    try:
        Project.open(root, environment=environment(root)).run(progress=reporter)
    except HeadraceError as error:
        reporter.tell("ended", code=error.code, at=reporter.failed_at or time.monotonic())


def environment(root: Path) -> dict[str, str]:
    """With a key folder of the search's own."""
    return {**os.environ, "HEADRACE_CONFIG": str(root / "keys")}


def look(root: Path, pipe: int) -> None:
    """What the stores hold of the search under way, and whether its best trial can be used; in a process of its own."""
    import hashlib

    from headrace.app import Project

    project = Project.open(root, environment=environment(root))
    with project.catalog.read() as reader:
        rows = reader.select("parts", {"project": project.name}, order_by=("seq",))
    parts = {str(row["part"]): bytes(row["data"]) for row in rows if isinstance(row["data"], bytes)}
    trials = {name: data for name, data in parts.items() if name.startswith("trial-")}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in trials.items()}
    why, asked = "", False
    try:
        asked = ask_the_best(project, [json.loads(data)["trial"] for data in trials.values()])
    except Exception as error:  # whatever it is: it could not be loaded
        why = f"{type(error).__name__}: {error}"
    line = json.dumps({"digests": digests, "why": why, "asked": asked})
    os.write(pipe, line.encode() + b"\n")


def ask_the_best(project: Any, trials: Sequence[Mapping[str, Any]]) -> bool:
    """Load the model of the best trial, and hold its answers out of fold; False when there is none yet."""
    import msgspec
    import numpy as np
    import zstandard

    from headrace.scoring.graph import Graph
    from headrace.training.answers import unpack_answers
    from headrace.training.model import Trial, is_candidate

    usable = [one for one in (msgspec.convert(trial, Trial) for trial in trials) if is_candidate(one)]
    if not usable:
        return False
    best = max(usable, key=lambda one: one.score or 0.0)
    assert best.graph is not None
    assert best.answers is not None
    graph = zstandard.decompress(project.objects.get_verified(best.graph.key, best.graph.sha256))
    answers = unpack_answers(project.objects.get_verified(best.answers.key, best.answers.sha256))
    model = Graph(graph)
    said = model.raw(np.zeros((4, model.width), np.float32), threads=1)
    if not (np.isfinite(said).all() and len(answers.rows) and np.isfinite(answers.scores).all()):
        raise ArithmeticError("its answers are not finite")
    return True


def in_child(work: Callable[[int], None]) -> tuple[int, int]:
    """Do the work in a forked process; its id, and where it writes."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read_end)
        try:
            work(write_end)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write_end)
    return child, read_end


def ask(work: Callable[[int], None]) -> dict[str, Any]:
    """What the work wrote, one line."""
    child, pipe = in_child(work)
    with os.fdopen(pipe) as lines:
        text = lines.read()
    os.waitpid(child, 0)
    answer: dict[str, Any] = json.loads(text)
    return answer


def one_search(fresh: Path, root: Path, draw: random.Random, unit: Unit) -> Search:
    """A search under a random budget, killed up to `MOST_KILLS` times."""
    shutil.copytree(fresh, root)
    search = random_budget(draw, unit)
    said = {
        "seconds": f"{search.budget:.0f}s",
        "trials": f"{search.budget:.0f} trials",
        "usd": f"{search.budget:.8f} USD",
    }
    (root / "headrace.toml").write_text(DEFINITION.format(budget=said[unit], seed=draw.randrange(1000)))
    longest_s = search.limit_s or 1.0 + 0.3 * search.budget
    wanted = draw.randint(1, MOST_KILLS)
    while search.ended == "":
        wait_s = draw.uniform(0.0, longest_s) if search.kills < wanted else None
        execution(search, root, wait_s)
        seen = ask(lambda pipe: look(root, pipe))
        if seen["digests"] or not search.ended:  # an ended search has its trials in its outcome
            search.lost += [part for part, digest in search.recorded.items() if seen["digests"].get(part) != digest]
        search.recorded |= seen["digests"]
        search.unloadable += [seen["why"]] if seen["why"] else []
        search.looks += bool(seen["asked"])
    if search.ended == "done":
        settle(search, root)
    return search


def random_budget(draw: random.Random, unit: Unit) -> Search:
    """A budget of that unit."""
    if unit == "trials":
        return Search(unit, draw.randint(*TRIALS), None)
    seconds = float(draw.randint(*SECONDS))
    if unit == "seconds":
        return Search(unit, seconds, seconds)
    from headrace.cost.prices import affordable_s, load_prices
    from headrace.stages.learning import RESERVED_BYTES

    a_dollar_s = affordable_s(load_prices(), 1.0, cores=2, memory_bytes=RESERVED_BYTES, at_us=time.time_ns() // 1000)
    usd = round(seconds / a_dollar_s, 8)
    return Search(unit, usd, usd * a_dollar_s)


def execution(search: Search, root: Path, kill_after_s: float | None) -> None:
    """One execution, killed so long after its search began, or to its end."""
    import select

    child, pipe = in_child(lambda pipe: execute(root, pipe))
    began: float | None = None
    with os.fdopen(pipe, "rb", buffering=0) as lines:
        while True:
            left = None
            if began is not None and kill_after_s is not None:
                left = max(began + kill_after_s - time.monotonic(), 0.0)
            if not select.select([lines], [], [], left)[0]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                search.kills += 1
                search.took_s.append(time.monotonic() - (began or 0.0))
                return
            line = lines.readline()
            if not line:
                raise SystemExit("a run ended without a word")
            said = json.loads(line)
            if said["what"] == "began":
                began = float(said["at"])
                continue
            search.ended = said["code"]
            search.took_s.append(float(said["at"]) - (began or float(said["at"])))
            os.waitpid(child, 0)
            return


def settle(search: Search, root: Path) -> None:
    """Hold the outcome against what was recorded on the way."""
    said = ask(lambda pipe: outcome(root, pipe))
    search.trials = len(said)
    search.lost += [part for part in search.recorded if part not in said]


def outcome(root: Path, pipe: int) -> None:
    """The trials of the ended search by the names that they were recorded under; in a process of its own."""
    from headrace.app import Project
    from headrace.training.model import SearchResult

    found = newest(Project.open(root, environment=environment(root)), "search", SearchResult)
    names = [f"trial-{trial.number}" for trial in found.trials if trial.form != "ensemble" and not trial.shortened]
    os.write(pipe, json.dumps(names).encode() + b"\n")


def searches(count: int, seed: int, folder: Path) -> list[Search]:
    """So many random searches; of five two have a budget in seconds, two in trials, one in money."""
    for module in PRELOADED:
        importlib.import_module(module)
    draw = random.Random(seed)
    fresh = folder / "fresh"
    write_rows(fresh / "data" / "rows.csv")
    units: tuple[Unit, ...] = ("seconds", "trials", "seconds", "trials", "usd")
    done = []
    for number in range(count):
        root = folder / str(number)
        done.append(one_search(fresh, root, draw, units[number % len(units)]))
        shutil.rmtree(root)
    return done


def report(done: Sequence[Search]) -> str:
    """The tables."""
    rows: list[Sequence[object]] = []
    for unit in ("seconds", "trials", "usd"):
        own = [one for one in done if one.unit == unit]
        if not own:
            continue
        over = [one.over for one in own]
        rows.append(
            (
                {"seconds": "seconds", "trials": "trials", "usd": "USD"}[unit],
                len(own),
                sum(one.kills for one in own),
                f"{statistics.median(over):+.2f}",
                f"{max(over):+.2f}",
                sum(one.over > 1.0 for one in own) if unit != "trials" else sum(one.over > 0 for one in own),
                sum(len(one.lost) for one in own),
                f"{sum(one.looks for one in own)} of {sum(one.looks + len(one.unloadable) for one in own)}",
                sum(one.ended == "done" for one in own),
            )
        )
    headings = ["budget in", "searches", "kills", "over budget, median", "most", "by more than a tick", "trials lost"]
    headings += ["best so far loaded", "ended with candidates"]
    return (
        "Searches killed at random instants and continued. Over budget: what all executions of a search took together "
        "less its budget, in ticks (a fiftieth of the budget, a second at most), or trials too many.\n\n"
        + table(headings, rows)
    )


def main(arguments: Sequence[str]) -> None:
    """Measure, and record or print."""
    numbers = [int(each) for each in arguments if each != "--json"]
    count, seed = (*numbers, *(SEARCHES, 0)[len(numbers) :])
    with tempfile.TemporaryDirectory() as folder:
        done = searches(count, seed, Path(folder))
    if "--json" in arguments:
        print("\n".join(json.dumps({**asdict(one), "over": one.over}) for one in done))
        return
    record("Budgets under kills", "python -m benchmarks.kills", report(done), libraries=["lightgbm", "optuna"])


if __name__ == "__main__":
    main(sys.argv[1:])
