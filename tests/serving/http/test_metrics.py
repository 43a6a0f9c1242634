"""The page of metrics, judged by Prometheus's own tool and by what was asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running

from headrace.serving.http.metrics import metrics_text
from headrace.serving.messages import Ping


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
