"""A prediction server on one core beside the limit, FastAPI and tools for serving models: requests a second, latency,
its tail, CPU, memory, and how many answers are wrong.

A LightGBM on 18 columns of flights, weather and planes (100,000 rows). Ours is `headrace serve` as
it comes: keys, limits, metrics, sticky assignment, each answer in the log before it leaves. The limit is a constant
answer from a bare protocol on uvloop and httptools. LitServe, BentoML, Ray Serve, MLflow and MLServer are there in the
best forms that were found for them (`benchmarks/peers/serving_*.py`), from PyPI in environments of their own; one that
cannot be installed or started has a line that says so. Servers run on core 0, wrk on core 1, keep-alive, 1,000 real
rows. Before a server is timed, 400 rows one by one and 10 requests of 100 rows are held against what the model answers
in a process of its own; wrong answers are counted, and the server is timed all the same.
What 100 rows of a request take is held against the model alone (`in_process`), the tail of the latency at 50 and 80 %
of what is answered at most against the limit's at the same rate (`tail`). `ready` is the second start of a server,
until it has answered a row: the first deploys the champion, or saves a model in the tool's form.

usage: python -m benchmarks.serving [--seconds S] [--times N] [--contenders A,B]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.harness import FLIGHTS, ROOT, record
from benchmarks.serving import in_process, tables, tail
from benchmarks.serving.client import BATCHES, SINGLE, answers, ask, wrong
from benchmarks.serving.contenders import CONTENDERS, OURS, PEERS, Contender, Row, python_of
from benchmarks.serving.servers import PORT, Trouble, cpu_s, next_port, pss_mb, running
from benchmarks.serving.tables import CONNECTIONS

NUMBERS: Final = (
    "sched_dep_time", "sched_arr_time", "distance", "month", "weekday", "temp", "humid", "wind_speed", "precip",
    "visib", "plane_year", "seats",
)  # fmt: skip
SHORT: Final = ("carrier", "origin", "engine", "type")
LONG: Final = ("dest", "manufacturer")
ROWS: Final = 100_000
TREES: Final = 200
LEAVES: Final = 31
BODIES: Final = 1_000
BATCH: Final = 100
DEFINITION: Final = f"""
format = 1
[project]
name = "late"
label = "late"
task = "binary"
source = "rows"
request = {json.dumps([*NUMBERS, *SHORT, *LONG])}
[sources.rows]
read = "rows.csv"
[sources.rows.columns]
{chr(10).join(f'{name} = {{ type = "float" }}' for name in NUMBERS)}
{chr(10).join(f'{name} = {{ type = "category" }}' for name in (*SHORT, *LONG))}
[features]
[split]
by = "random"
holdout = 0.1
folds = 2
[training]
families = ["lightgbm"]
budget = "1 trials"
metric = "roc_auc"
[serving]
port = {PORT}
sticky = ["carrier", "origin", "dest"]
"""


def make(folder: Path) -> dict[str, Any]:
    """Rows, a project with one version, and what the peers need; what is known of the model."""
    data = FLIGHTS / "data"
    if not (data / ".complete").exists():
        subprocess.run([sys.executable, "prepare.py"], cwd=FLIGHTS, check=True)
    whole = {"infer_schema_length": None, "null_values": ["", "NA"]}
    flights = pl.read_csv(data / "flights" / "*.csv", **whole)  # type: ignore[arg-type]
    weather = pl.read_parquet(data / "weather.parquet")
    planes = pl.read_ndjson(data / "planes.ndjson", infer_schema_length=None).rename({"year": "plane_year"})
    taken = ["origin", "time_hour", "temp", "humid", "wind_speed", "precip", "visib"]
    rows = (
        flights.with_columns(
            pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC"),
            weekday=pl.date("year", "month", "day").dt.weekday(),
            late=pl.col("arr_delay") > 30,
        )
        .filter(pl.col("late").is_not_null())
        .join(_hours(weather).select(taken), on=["origin", "time_hour"], how="left")
        .join(
            planes.select("tailnum", "plane_year", "seats", "engine", "manufacturer", "type"), on="tailnum", how="left"
        )
        .select("late", *(pl.col(name).cast(pl.Float64) for name in NUMBERS), *SHORT, *LONG)
        .sample(ROWS + BODIES * (1 + BATCH // 25), shuffle=True, seed=0)
    )
    assert rows["temp"].null_count() < ROWS // 10, "the weather is there"
    rows.head(ROWS).write_csv(folder / "rows.csv")
    asked = rows.tail(-ROWS).drop("late").to_dicts()
    (folder / "one.txt").write_text("\n".join(json.dumps(row) for row in asked[:BODIES]))
    many = [asked[start : start + BATCH] for start in range(BODIES, len(asked), BATCH)]
    (folder / "many.txt").write_text("\n".join(json.dumps(each) for each in many))
    (folder / "peers.json").write_text(
        json.dumps({"numbers": NUMBERS, "short": SHORT, "long": LONG, "trees": TREES, "leaves": LEAVES})
    )
    (folder / "headrace.toml").write_text(DEFINITION)
    headrace = str(Path(sys.executable).with_name("headrace"))
    subprocess.run([headrace, "run"], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([headrace, "models", "export", "late@champion", "package"], cwd=folder, check=True, stdout=2)
    shutil.copy(folder / "package" / "model.onnx", folder / "model.onnx")
    encoder = json.loads((folder / "package" / "encoder.json").read_text())
    columns = [(each.get("of") or each["name"], each["encoding"].get("levels")) for each in encoder["columns"]]
    (folder / "columns.json").write_text(json.dumps(columns))
    made = subprocess.run(
        [headrace, "keys", "create", "--verb", "predict", "--json"], cwd=folder, check=True, capture_output=True
    )
    import onnx

    graph = onnx.load(folder / "model.onnx").graph
    ids = next(each.ints for node in graph.node for each in node.attribute if each.name == "nodes_treeids")
    return {"key": json.loads(made.stdout)["key"], "trees": len(set(ids)), "nodes": len(ids), "columns": len(columns)}


def _hours(weather: pl.DataFrame) -> pl.DataFrame:
    """One row an airport and hour."""
    return weather.unique(["origin", "time_hour"], keep="first", maintain_order=True)


def expect(folder: Path) -> None:
    """What the model answers, by itself."""
    scorer = in_process.load(folder / "package")
    one, many = read(folder)
    expected = {
        "one": [each.probability for each in scorer.predict(one[:SINGLE])],
        "many": [[each.probability for each in scorer.predict(rows)] for rows in many[:BATCHES]],
    }
    (folder / "expected_package.json").write_text(json.dumps(expected))


def read(folder: Path) -> tuple[list[Row], list[list[Row]]]:
    """The rows that are asked one by one, and those of a request together."""
    one, many = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()] for name in ("one.txt", "many.txt")
    )
    return one, many


def fit(folder: Path, python: str) -> None:
    """The pipeline that peers with scikit-learn share."""
    if not (folder / "pipeline.joblib").exists():
        try:
            subprocess.run([python, "-W", "ignore", str(PEERS / "serving_sklearn.py"), str(folder)], check=True)
        except subprocess.CalledProcessError as error:
            raise Trouble("its pipeline cannot be fitted") from error


@contextmanager
def serving(contender: Contender, folder: Path, key: str) -> Iterator[tuple[int, int, float]]:
    """A contender that answers: process, port, and seconds until it had answered a row."""
    python, port = python_of(contender.environment), next_port()
    row = read(folder)[0][0]
    peers = {"HOME": str(folder)} if contender.environment else {}  # what a peer keeps for its user goes with the rest
    command = contender.command(python, folder, port)
    with running(command, folder, lambda: answers(port, contender, row, key), environment=peers) as (pid, ready_s):
        yield pid, port, ready_s


def measure(contender: Contender, folder: Path, key: str, seconds: int, times: int) -> dict[str, Any]:
    """One contender: whether it is right, requests a second at 16 and at 64 connections, and of many rows."""
    one, many = read(folder)
    if contender.model == "sklearn":
        fit(folder, python_of(contender.environment))
    bodies = folder / "bodies"
    bodies.mkdir(exist_ok=True)
    (bodies / "one.txt").write_text("\n".join(json.dumps(contender.ask_one(row)) for row in one))
    (bodies / "many.txt").write_text("\n".join(json.dumps(contender.ask_many(rows)) for rows in many))
    with serving(contender, folder, key) as (_, _, first_s):
        pass
    with serving(contender, folder, key) as (pid, port, ready_s):
        found: dict[str, Any] = {"first_s": first_s, "ready_s": ready_s}
        if contender.model:
            expected = json.loads((folder / f"expected_{contender.model}.json").read_text())
            singles = list(zip(one[:SINGLE], expected["one"][:SINGLE], strict=True))
            batches = list(zip(many[:BATCHES], expected["many"][:BATCHES], strict=True))
            found["wrong"], found["wrong_many"] = wrong(port, contender, key, singles, batches)

        def timed(where: str, name: str, connections: int) -> dict[str, float]:
            before = cpu_s(pid)
            told = ask(port, where, bodies / name, key, connections=connections, seconds=seconds)
            return told | {
                "cpu_us": (cpu_s(pid) - before) / told["requests"] * 1e6,
                "rate": told["requests"] / told["duration_us"] * 1e6,
            }

        ask(port, contender.one, bodies / "one.txt", key, connections=16, seconds=2)
        for connections in CONNECTIONS:
            runs = [timed(contender.one, "one.txt", connections) for _ in range(times)]
            for fact in ("rate", "p50_us", "p99_us", "cpu_us"):
                found[f"{fact} {connections}"] = statistics.median(run[fact] for run in runs)
        if contender.many:
            runs = [timed(contender.many, "many.txt", 16) for _ in range(times)]
            found["many"] = statistics.median(run["rate"] for run in runs)
            found["many_cpu_us"] = statistics.median(run["cpu_us"] for run in runs)
        return found | {"pss_mb": pss_mb(pid)}


def main(arguments: Sequence[str]) -> None:
    """Make, serve, ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="default: %(default)s")
    given = parser.parse_args(arguments)
    names = given.contenders.split(",")
    if unknown := set(names) - set(CONTENDERS):
        parser.error(f"no contender is called {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}")
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        about = make(folder)
        expect(folder)
        keys = {"headrace": about["key"]}
        found: dict[str, dict[str, Any] | Trouble] = {}
        for name in names:
            try:
                found[name] = measure(CONTENDERS[name], folder, keys.get(name, ""), given.seconds, given.times)
            except Trouble as trouble:
                said = (folder / "server.log").read_text(errors="replace") if (folder / "server.log").exists() else ""
                print(said[-4_000:], file=sys.stderr)
                if name in OURS:
                    raise SystemExit(f"{name}: {trouble}") from trouble
                found[name] = trouble
            print(name, found[name], file=sys.stderr)
        alone = model_alone(folder)
        parts = [tables.report(found, about, TREES, BATCH), tables.report_many(found, alone, BATCH)]
        if set(OURS) <= set(names):
            parts.append(tail.report(measure_tails(folder, about["key"], given.seconds, given.times)))
    body = "\n\n".join(parts)
    if names == list(CONTENDERS):
        record("Serving", "python -m benchmarks.serving", body, libraries=["onnxruntime", "uvloop", "httptools"])
    else:
        print(body)


def model_alone(folder: Path) -> dict[str, float]:
    """What a request's rows take in a process that has the core to itself."""
    command = [sys.executable, "-m", "benchmarks.serving.in_process", str(folder / "package"), str(folder / "many.txt")]
    told = subprocess.run(["taskset", "-c", "0", *command], cwd=ROOT, check=True, capture_output=True, text=True)
    alone: dict[str, float] = json.loads(told.stdout)
    return alone


def measure_tails(folder: Path, key: str, seconds: int, times: int) -> dict[str, dict[float, dict[str, float]]]:
    """The limit's, ours, and those of a limit that takes as long as ours, at the rates that ours gives."""

    def measured(contender: Contender, key: str, most: float | None) -> tuple[float, dict[float, dict[str, float]]]:
        with serving(contender, folder, key) as (_, port, _):
            asks = tail.crew(port, contender.one, key, folder / "one.txt")
            return tail.measure(asks, most, seconds=seconds, times=times)

    most, ours = measured(CONTENDERS["headrace"], key, None)
    limits, limit = measured(CONTENDERS["limit"], "", most)
    longer_us = 1e6 / most - 1e6 / limits
    _, counting = measured(replace(CONTENDERS["limit"], after=(f"{longer_us:.2f}",)), "", most)
    return {"limit": limit, "headrace": ours, "limit, counting": counting}


if __name__ == "__main__":
    main(sys.argv[1:])
