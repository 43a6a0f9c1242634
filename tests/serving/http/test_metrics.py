"""The page of metrics, judged by Prometheus's own tool and by what was asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running

from headrace.serving.batch.counts import OUTCOMES, BatchCounts, BatchProcess, Outcome
from headrace.serving.batch.messages import Format
from headrace.serving.http.metrics import metrics_text
from headrace.serving.messages import ArmCounts, Ping
from headrace.serving.model import LATENCY_EDGES_US, Counts

FORMATS: list[Format] = ["arrow", "parquet"]


def judged(page: str) -> None:
    """Whether Prometheus reads it, and has no objection to names, types or units."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "scripts/setup.sh dev installs it"
    found = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def count(page: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name that carry the labels."""
    total = 0.0
    for line in page.splitlines():
        matched = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if matched is not None:
            told = dict(re.findall(r'(\w+)="([^"]*)"', matched[1] or ""))
            total += float(matched[2]) if labels.items() <= told.items() else 0.0
    return total


def test_prometheus_takes_a_page_of_nothing() -> None:
    judged(metrics_text(Ping()).decode())


def full() -> str:
    """A page with something of everything."""
    arm = ArmCounts(deployment="delays", arm="v1", counts=Counts(rows=3, latency_us=(1,) * (len(LATENCY_EDGES_US) + 1)))
    batches = BatchCounts.of_answered("arrow", rows=3, took_s=0.07) + BatchCounts.of_refused("parquet", "too-busy")
    process = BatchProcess(answers=True, restarts=2)
    told = Ping(totals=(arm,), statuses={429: 1}, batches=batches, batch_process=process, handshakes={"late": 7})
    return metrics_text(told).decode()


def test_batches_are_told_of_where_they_are_answered() -> None:
    nothing = metrics_text(Ping(batch_process=BatchProcess(answers=False, restarts=0))).decode()
    judged(nothing)
    assert count(nothing, "headrace_batches_total", format="parquet", outcome="answered") == 0
    assert nothing.count("headrace_batches_total{") == 6  # a counter begins at nothing, and is there from the start
    assert "headrace_batch" not in metrics_text(Ping()).decode()

    page = full()
    judged(page)
    assert [count(page, "headrace_batch_seconds_bucket", format="arrow", le=le) for le in ("0.05", "0.1", r"+Inf")] == [
        *(0, 1, 1)
    ]
    assert count(page, "headrace_batch_seconds_sum", format="arrow") == pytest.approx(0.07)


def test_handshakes_are_told_of_where_there_is_tls() -> None:
    page = full()
    judged(page)
    assert count(page, "headrace_tls_handshakes_total", outcome="late") == 7
    assert "headrace_tls" not in metrics_text(Ping()).decode()


@given(st.lists(st.tuples(st.sampled_from(FORMATS), st.sampled_from(OUTCOMES), st.integers(0, 9)), max_size=12))
def test_what_workers_counted_is_added_up(ends: list[tuple[Format, Outcome, int]]) -> None:
    total = BatchCounts()
    for name, outcome, n in ends:
        match outcome:
            case "answered":
                total += BatchCounts.of_answered(name, rows=n, took_s=n / 8)
            case "refused":
                total += BatchCounts.of_refused(name, f"code-{n}")
            case "left":
                total += BatchCounts.of_left(name)
    page = metrics_text(Ping(batches=total, batch_process=BatchProcess(answers=True, restarts=0))).decode()
    for name in FORMATS:
        for outcome in OUTCOMES:
            told = count(page, "headrace_batches_total", format=name, outcome=outcome)
            assert told == sum(end[:2] == (name, outcome) for end in ends)
        answered = [n for each, outcome, n in ends if (each, outcome) == (name, "answered")]
        assert count(page, "headrace_batch_rows_total", format=name) == sum(answered)
        assert count(page, "headrace_batch_seconds_sum", format=name) == sum(answered) / 8
        assert count(page, "headrace_batch_seconds_bucket", format=name, le="0.5") == sum(n <= 4 for n in answered)
    refused = Counter(f"code-{n}" for _, outcome, n in ends if outcome == "refused")
    assert {code: count(page, "headrace_batches_refused_total", reason=code) for code in refused} == refused


def test_every_name_is_documented_with_its_type_and_labels() -> None:
    page, told = full(), dict[str, tuple[str, str]]()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        [labels, *_] = re.findall(rf"^{name}(?:_sum)?(?:\{{(.*)\}})? ", page, re.MULTILINE)
        told[name] = kind, ", ".join(f"`{label}`" for label in re.findall(r'(\w+)="', labels))
    text = (Path(__file__).parents[3] / "docs/reference/server-metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(headrace_\w+)` \| (\w+) \|(.*?)\| .+ \|$", text, re.MULTILINE)
    assert {name: (kind, labels.strip()) for name, kind, labels in rows} == told


def test_prometheus_takes_the_page_and_it_counts_every_row_and_refusal_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    place.deploy(place.version(2, task="multiclass"), name="kinds")
    running = Running(place, workers=2)
    try:
        running.wait_for("ready")
        clients = [Client(running) for _ in range(4)]
        for client in clients:
            for _ in range(10):
                assert client.predict(ROW)[0] == 200
            assert client.predict([ROW, ROW], name="kinds")[0] == 200
            assert client.predict(ROW | {"vip": "so"})[0] == 422
            assert client.ask("GET", "/nowhere")[0] == 404
        until = time.monotonic() + 30
        while True:
            page = clients[0].ask("GET", "/metrics")[2]
            if count(page, "headrace_predictions_total") == 48:
                break
            assert time.monotonic() < until, page
            time.sleep(0.05)
        judged(page)
        assert count(page, "headrace_predictions_total", deployment="delays", arm="v1") == 40
        assert count(page, "headrace_prediction_seconds_count", deployment="delays") == 40
        assert count(page, "headrace_prediction_seconds_count", deployment="kinds") == 4
        assert count(page, "headrace_prediction_seconds_bucket", deployment="kinds", le=r"+Inf") == 4
        assert count(page, "headrace_requests_refused_total", status="422") == 4
        assert count(page, "headrace_requests_refused_total", status="404") == 4
        assert count(page, "headrace_workers") == 2
        assert count(page, "headrace_prediction_failures_total") == pytest.approx(0)
    finally:
        running.end()
