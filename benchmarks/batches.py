"""A table of 100,000 rows asked as one Parquet file and as Arrow, beside JSON of 100 rows a request and no server.

The model and the rows are those of `benchmarks.serving`. One worker and what reads batches share core 0, the client has
core 1. Single rows are asked 100 times a second by a client of their own, alone and beside a batch.

usage: python -m benchmarks.batches [--times N] [--rows N]
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.harness import record, table
from benchmarks.serving.__main__ import make
from benchmarks.serving.client import ask
from benchmarks.serving.servers import PORT, gets, pss_mb, running

PATH: Final = "/v1/deployments/late/predict"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
ASKED_A_SECOND: Final = 100
JSON_ROWS: Final = 100
ALONE_S: Final = 5.0


def post(key: str, kind: str, data: bytes) -> tuple[float, bytes]:
    """Seconds until the whole answer is there, and the answer."""
    connection = http.client.HTTPConnection("localhost", PORT, timeout=300)
    began = time.perf_counter()
    connection.request("POST", PATH, data, {"authorization": f"Bearer {key}", "content-type": kind})
    answer = connection.getresponse()
    told = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, told[:500]
    connection.close()
    return took, told


class Single(threading.Thread):
    """Asks one row at a time, at fixed instants, whatever the last answer took."""

    def __init__(self, key: str, body: bytes) -> None:
        super().__init__(daemon=True)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._body, self._ended = body, threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("localhost", PORT, timeout=60)
        due = time.perf_counter()
        while not self._ended.is_set():
            due += 1.0 / ASKED_A_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("POST", PATH, self._body, self._headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            self.took_ms.append((time.perf_counter() - due) * 1e3)  # from when it was due: a late one counts as late

    def end(self) -> list[float]:
        """What each took."""
        self._ended.set()
        self.join()
        return sorted(self.took_ms)


def beside(key: str, body: bytes, work: Callable[[], Any]) -> tuple[float, float, int]:
    """Median and 99th percentile in ms of single rows while something else is done, and how many there were."""
    single = Single(key, body)
    single.start()
    work()
    took = single.end()
    return statistics.median(took), took[int(len(took) * 0.99)], len(took)


PREDICT: Final = """
import sys, time, polars as pl, headrace
rows = pl.read_parquet("batch.parquet")
model = headrace.load("late@champion")
model.predict(rows.head(1000))
began = time.perf_counter()
found = model.predict(rows)
print(time.perf_counter() - began)
"""


def main(arguments: Sequence[str]) -> None:
    """Make, serve, ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        about = make(folder)
        with (folder / "headrace.toml").open("a") as definition:
            definition.write("batch = true\n")
        rows = pl.read_csv(folder / "rows.csv", infer_schema_length=None).drop("late")
        rows = pl.concat([rows] * -(-given.rows // rows.height)).head(given.rows)
        rows.write_parquet(folder / "batch.parquet")
        stream = io.BytesIO()
        rows.write_ipc_stream(stream)
        sent = {PARQUET: (folder / "batch.parquet").read_bytes(), ARROW: stream.getvalue()}
        one = json.dumps(rows.row(0, named=True)).encode()
        found: dict[str, list[float]] = {}
        headrace = str(Path(sys.executable).with_name("headrace"))
        for _ in range(given.times):
            told = subprocess.run(
                ["taskset", "-c", "0", sys.executable, "-c", PREDICT], cwd=folder, check=True, capture_output=True
            )
            found.setdefault("load(…).predict(frame)", []).append(float(told.stdout.split()[-1]))
            began = time.perf_counter()
            command = ["taskset", "-c", "0", headrace, "predict", "late@champion", "batch.parquet", "-o", "out.parquet"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            found.setdefault("headrace predict, a file, with its start", []).append(time.perf_counter() - began)
        with running([headrace, "serve", "--workers", "1"], folder, lambda: gets(PORT, "/readyz")) as (pid, _):
            time.sleep(3)
            key = about["key"]
            for kind in sent:
                post(key, kind, sent[kind])
            for _ in range(given.times):
                for kind, name in ((PARQUET, "one Parquet file"), (ARROW, "one Arrow stream")):
                    took, _ = post(key, kind, sent[kind])
                    found.setdefault(name, []).append(took)
                many = ask(PORT, PATH, folder / "many.txt", key, connections=4, seconds=4)
                rate = many["requests"] / many["duration_us"] * 1e6 * JSON_ROWS
                found.setdefault(f"JSON, {JSON_ROWS} rows a request, 4 connections", []).append(given.rows / rate)
            held = pss_mb(pid)
            alone = beside(key, one, lambda: time.sleep(ALONE_S))
            with_batch = beside(key, one, lambda: [post(key, PARQUET, sent[PARQUET]) for _ in range(2)])
        lines = [
            (name, f"{given.rows / (s := statistics.median(took)):,.0f}", f"{s:.2f}") for name, took in found.items()
        ]
        body = (
            f"{given.rows:,} rows of {rows.width} columns ({len(sent[PARQUET]) / 1e6:.1f} MB Parquet, "
            f"{len(sent[ARROW]) / 1e6:.1f} MB Arrow), {about['trees']} trees, medians of {given.times}. "
            f"One worker and what reads batches on core 0, the client on core 1; every answer is logged before it "
            f"leaves. The server holds {held:,.0f} MB (PSS) afterwards.\n\n"
            + table(["asked as", "rows/s", "seconds"], lines)
            + f"\n\nSingle rows, {ASKED_A_SECOND} a second, from when each was due:\n\n"
            + table(
                ["", "median ms", "p99 ms", "rows"],
                [
                    ("alone", f"{alone[0]:.2f}", f"{alone[1]:.2f}", str(alone[2])),
                    ("beside a batch", f"{with_batch[0]:.2f}", f"{with_batch[1]:.2f}", str(with_batch[2])),
                ],
            )
        )
        record("Batches", "python -m benchmarks.batches", body, libraries=["onnxruntime", "uvloop", "pyarrow"])


if __name__ == "__main__":
    main(sys.argv[1:])
