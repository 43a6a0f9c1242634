"""What a worker takes of the machine's memory, and what becomes of one that would take more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running, children

from headrace.serving.limits import Limits

MEBIBYTE = 1024**2


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    return place


def data_limit(pid: int) -> int | None:
    text = Path(f"/proc/{pid}/limits").read_text()
    found = re.findall(r"^Max data size +(\S+)", text, re.MULTILINE)[0]
    return None if found == "unlimited" else int(found)


def first_to_go(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_workers_alone_are_bounded_and_the_first_that_the_kernel_ends(place: Place) -> None:
    place.memory_bytes = 256 * MEBIBYTE
    running = Running(place)
    running.wait_for("ready")
    [nursery] = children(running.process.pid)
    [worker] = running.workers()
    limit = data_limit(worker)
    assert limit is not None
    assert 256 * MEBIBYTE < limit < 1024 * MEBIBYTE  # and what it was forked with
    assert data_limit(nursery) == data_limit(running.process.pid) != limit
    assert first_to_go(worker) == 500
    assert first_to_go(nursery) == first_to_go(running.process.pid) < 500
    running.end()


@pytest.mark.parametrize("mebibytes", [24, 48])
def test_who_asks_for_more_than_there_is_gets_no_answer_and_everybody_else_does(place: Place, mebibytes: int) -> None:
    """Eight megabytes of rows: their bytes alone are too much, or what becomes of them."""
    place.memory_bytes, place.limits = mebibytes * MEBIBYTE, Limits(rows=10_000)
    running = Running(place)
    running.wait_for("ready")
    everybody = [running.process.pid, *children(running.process.pid)]
    row = json.dumps(ROW | {"carrier": "x" * 600}).encode()
    rows = b"[" + b",".join([row] * 10_000) + b"]"
    for _ in range(3):
        try:
            status = Client(running).predict(rows)[0]
        except OSError:  # the worker has ended: another comes
            status = 500
        assert status >= 500
        assert Client(running).predict(ROW)[0] == 200
    assert [running.process.pid, *children(running.process.pid)] == everybody
    running.end()
    place.memory_bytes = None
    enough = Running(place)
    enough.wait_for("ready")
    assert Client(enough).predict(rows)[0] == 200
    enough.end()
