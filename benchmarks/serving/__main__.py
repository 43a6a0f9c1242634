"""A prediction server on one core beside the limit and FastAPI: requests a second, latency and its tail, CPU, memory.

A LightGBM on 18 columns of flights, weather and planes (100,000 rows). Ours is `headrace serve` as
it comes: keys, limits, metrics, sticky assignment, each answer in the log before it leaves. The limit is a constant
answer from a bare protocol on uvloop and httptools. Servers run on core 0, wrk on core 1, keep-alive, 1,000 real rows.
What 100 rows of a request take is held against the model alone (`in_process`), the tail of the latency at 80 % of what
is answered at most against the limit's at the same rate (`tail`). `ready` is the second start of a server: the first
deploys the champion.

usage: python -m benchmarks.serving [--seconds S] [--times N] [--only SERVERS]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.harness import FLIGHTS, ROOT, record, table
from benchmarks.serving import tail

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
PEERS: Final = ROOT / "benchmarks" / "peers"
ENVIRONMENT: Final = ROOT / "benchmarks" / ".data" / "serving_fastapi"
PORT: Final = 18_200
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


def environment() -> str:
    """The Python of the peers."""
    interpreter = str(ENVIRONMENT / "bin" / "python")
    if not (ENVIRONMENT / "ready").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(ENVIRONMENT)], check=True)
        wanted = str(PEERS / "serving_fastapi.txt")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, "-r", wanted], check=True)
        (ENVIRONMENT / "ready").touch()
    return interpreter


@contextmanager
def running(command: Sequence[str], folder: Path, ready: str) -> Iterator[tuple[int, float]]:
    """A server on core 0: its process, and seconds until it was ready."""
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "server.log").open("wb"),
    )
    try:
        while not _answers(ready):
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.01)
        yield process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)


def _answers(path: str) -> bool:
    try:
        connection = http.client.HTTPConnection("localhost", PORT, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False


def ask(where: str, bodies: Path, key: str, *, connections: int, seconds: int) -> dict[str, Any]:
    """wrk on core 1."""
    found = subprocess.run(
        [
            "taskset", "-c", "1", "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency",
            "-s", str(Path(__file__).with_name("post.lua")), f"http://localhost:{PORT}",
        ],
        env=os.environ | {"BODIES": str(bodies), "WHERE": where, "KEY": key},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(re.findall(r"^JSON (.*)$", found.stdout, re.MULTILINE)[0])
    assert told["failed"] == 0, found.stdout
    return told


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended since
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Of all of them."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / tick


def pss_mb(pid: int) -> float:
    """Memory of all of them, what they share counted once."""
    total = 0
    for each in tree(pid):
        text = Path(f"/proc/{each}/smaps_rollup").read_text()
        total += int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
    return total / 1024


def contenders(folder: Path, key: str) -> dict[str, tuple[list[str], str, str, str, str]]:
    """Command, path that tells that it is ready, of one row, of many, and the key."""
    headrace = [str(Path(sys.executable).with_name("headrace")), "serve", "--workers", "1"]
    peer = [environment(), "-W", "ignore", str(PEERS / "serving_fastapi.py")]
    ours = "/v1/deployments/late/predict"
    return {
        "limit": ([sys.executable, str(PEERS / "serving_echo.py"), str(PORT)], "/", "/predict", "", ""),
        "headrace": (headrace, "/readyz", ours, ours, key),
        "FastAPI, ONNX": ([*peer, "onnx", str(folder), str(PORT)], "/docs", "/predict", "/predict_many", ""),
        "FastAPI, scikit-learn": ([*peer, "sklearn", str(folder), str(PORT)], "/docs", "/predict", "/predict_many", ""),
    }


def main(arguments: Sequence[str]) -> None:
    """Make, serve, ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default="")
    given = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        about = make(folder)
        found: dict[str, dict[str, Any]] = {}
        for name, (command, ready, one, many, key) in contenders(folder, about["key"]).items():
            if given.only and name not in given.only.split(","):
                continue
            with running(command, folder, ready) as (_, first_s):
                pass
            with running(command, folder, ready) as (pid, ready_s):
                found[name] = measure_one(pid, folder, one, many, key, given.seconds, given.times) | {
                    "ready_s": ready_s,
                    "first_s": first_s,
                }
            print(name, found[name], file=sys.stderr)
        alone = model_alone(folder)
        tails = measure_tails(folder, about["key"], given.seconds, given.times)
        print(alone, tails, file=sys.stderr)
    body = "\n\n".join([report(found, about), report_many(found, alone), tail.report(tails)])
    if given.only:
        print(body)
    else:
        record("Serving", "python -m benchmarks.serving", body, libraries=["onnxruntime", "uvloop", "httptools"])


def measure_one(pid: int, folder: Path, one: str, many: str, key: str, seconds: int, times: int) -> dict[str, Any]:
    """One server: requests a second at 16 and at 64 connections, and of many rows."""
    ask(one, folder / "one.txt", key, connections=16, seconds=2)
    found: dict[str, Any] = {}
    for connections in (16, 64):
        runs = []
        for _ in range(times):
            before = cpu_s(pid)
            told = ask(one, folder / "one.txt", key, connections=connections, seconds=seconds)
            told["cpu_us"] = (cpu_s(pid) - before) / told["requests"] * 1e6
            told["rate"] = told["requests"] / told["duration_us"] * 1e6
            runs.append(told)
        for fact in ("rate", "p50_us", "p99_us", "cpu_us"):
            found[f"{fact} {connections}"] = statistics.median(run[fact] for run in runs)
    if many:
        runs = []
        for _ in range(times):
            before = cpu_s(pid)
            told = ask(many, folder / "many.txt", key, connections=16, seconds=seconds)
            runs.append(told | {"cpu_us": (cpu_s(pid) - before) / told["requests"] * 1e6})
        found["many"] = statistics.median(run["requests"] / run["duration_us"] * 1e6 for run in runs)
        found["many_cpu_us"] = statistics.median(run["cpu_us"] for run in runs)
    return found | {"pss_mb": pss_mb(pid)}


def model_alone(folder: Path) -> dict[str, float]:
    """What a request's rows take in a process that has the core to itself."""
    command = [sys.executable, "-m", "benchmarks.serving.in_process", str(folder / "package"), str(folder / "many.txt")]
    told = subprocess.run(["taskset", "-c", "0", *command], cwd=ROOT, check=True, capture_output=True, text=True)
    alone: dict[str, float] = json.loads(told.stdout)
    return alone


def measure_tails(folder: Path, key: str, seconds: int, times: int) -> dict[str, dict[str, float]]:
    """The limit's and ours, at the rate that ours gives."""
    servers = contenders(folder, key)
    found: dict[str, dict[str, float]] = {}
    rate = None
    for name in ("headrace", "limit"):
        command, ready, one, _, theirs = servers[name]
        with running(command, folder, ready):
            asks = tail.crew(PORT, one, theirs, folder / "one.txt")
            found[name] = tail.measure(asks, rate, seconds=seconds, times=times)
        rate = found[name]["rate"]
    return {"limit": found["limit"], "headrace": found["headrace"]}


def report_many(found: Mapping[str, Mapping[str, Any]], alone: Mapping[str, float]) -> str:
    """What a request of many rows costs beside the model."""
    lines = [
        ("the graph alone, in process", f"{alone['graph_us']:,.0f}", f"{alone['graph_us'] / alone['predict_us']:.2f}"),
        ("`predict` of the rows, in process", f"{alone['predict_us']:,.0f}", "1.00"),
        *(
            (name, f"{one['many_cpu_us']:,.0f}", f"{one['many_cpu_us'] / alone['predict_us']:.2f}")
            for name, one in found.items()
            if "many_cpu_us" in one
        ),
    ]
    headings = [f"{BATCH} rows a request", "processor µs", "of predict"]
    return f"A request of {BATCH} rows, 16 connections, and the model alone with the same rows:\n\n" + table(
        headings, lines
    )


def report(found: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The table."""
    limit, ours = found.get("limit"), found.get("headrace")
    lines = [
        (
            name,
            f"{one['rate 16']:,.0f}",
            f"{one['rate 64']:,.0f}",
            "" if limit is None else " / ".join(f"{one[n] / limit[n]:.3f}" for n in ("rate 16", "rate 64")),
            "" if ours is None else f"{ours['rate 64'] / one['rate 64']:.1f}",
            f"{one['p50_us 16']:,.0f} / {one['p99_us 16']:,.0f}",
            f"{one['cpu_us 64']:,.1f}",
            f"{one['many']:,.0f}" if "many" in one else "–",
            f"{one['pss_mb']:,.0f}",
            f"{one['first_s']:.2f} / {one['ready_s']:.2f}",
        )
        for name, one in found.items()
    ]
    headings = [
        "server", "rows/s, 16 conn.", "64 conn.", "of the limit", "headrace ×", "p50 / p99 µs, 16", "CPU µs/row, 64",
        f"requests/s of {BATCH} rows", "PSS MB", "ready s, first / again",
    ]  # fmt: skip
    return (
        f"{about['trees']} trees ({about['nodes']:,} nodes) on {about['columns']} columns; the scikit-learn peer has "
        f"{TREES} of its own. Server on core 0, wrk on core 1. Ours with keys, limits, metrics, sticky assignment and "
        "every answer in the log before it leaves (`process`).\n\n" + table(headings, lines)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
