"""Workers that begin while the disk under the log is full refuse or count, as is said, and go on by themselves."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running
from tests.serving.log.test_full_disk import fill

from headrace.serving.log.epochs import SPARES
from headrace.serving.log.reader import verify
from headrace.testing.faults import small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Path]:
    """What a server keeps for itself, on a disk of four MiB."""
    with small_disk(tmp_path / "serving", size_bytes=4 << 20) as folder:
        yield folder


def begun(place: Place) -> tuple[Running, Path]:
    """A server whose worker has seen to those that come after it; the log."""
    place.deploy(place.version(1))
    running, log = Running(place), Path(place.settings().log)
    running.wait_for("ready")
    running.wait_until(lambda: len(list(log.glob("#spare-*/gap"))) == SPARES, "spares")
    return running, log


def killed(running: Running) -> None:
    """Its worker is, and another one takes requests."""
    before = running.workers()
    os.kill(before[0], signal.SIGKILL)
    running.wait_until(lambda: (now := running.workers()) != before and len(now) == 1, "another worker")


def asked(running: Running, n: int = 20) -> list[tuple[int, str | None]]:
    """Status and code of so many answers."""
    client = Client(running)
    return [(status, body.get("code")) for status, _, body in (client.predict(ROW) for _ in range(n))]


def test_a_gap_is_counted_by_workers_that_begin_on_a_full_disk(tmp_path: Path, serving: Path) -> None:
    running, log = begun(Place(tmp_path, on_full="gap"))
    try:
        assert asked(running) == [(200, None)] * 20
        filler = fill(serving)
        for lives in (1, 2):
            killed(running)
            assert asked(running) == [(200, None)] * 20
            assert running.wait_for("log_full", lives)["on_full"] == "gap"
            assert verify(log).missing == {"full": 20 * lives}
        filler.unlink()
        assert asked(running) == [(200, None)] * 20
    finally:
        running.end()
    found = verify(log)
    assert (found.predictions, found.missing, found.problems) == (40, {"full": 40}, [])
    assert not running.faults()


def test_workers_that_begin_on_a_full_disk_refuse_and_say_why(tmp_path: Path, serving: Path) -> None:
    running, log = begun(Place(tmp_path, on_full="refuse"))
    try:
        filler = fill(serving)
        killed(running)
        assert asked(running) == [(507, "prediction-log-full")] * 20
        assert Client(running).ask("GET", "/healthz")[0] == 200
        assert running.wait_for("log_full")["on_full"] == "refuse"
        filler.unlink()
        assert asked(running) == [(200, None)] * 20
    finally:
        running.end()
    found = verify(log)
    assert (found.predictions, dict(found.missing), found.problems) == (20, {}, [])
    assert not running.faults()


@pytest.mark.parametrize("on_full", ["refuse", "gap"])
def test_a_server_that_begins_on_a_full_disk_goes_on_once_there_is_space(
    tmp_path: Path, serving: Path, on_full: Literal["refuse", "gap"]
) -> None:
    place = Place(tmp_path, on_full=on_full)
    running, log = begun(place)
    assert running.end() == 0
    for spare in log.glob("#spare-*"):  # as if no server that makes them had been here
        shutil.rmtree(spare)
    filler = fill(serving)
    running = Running(place)
    try:
        running.wait_for("ready")
        told = asked(running)
        assert set(told) == {(200, None) if on_full == "gap" else (507, "prediction-log-full")}
        filler.unlink()

        def is_logged() -> bool:
            told.extend(asked(running, 1))
            return verify(log).predictions > 0

        running.wait_until(is_logged, "logged")
    finally:
        assert running.end() == 0
    found = verify(log)
    assert found.predictions + found.missing["full"] == told.count((200, None))
    assert (found.missing["full"] > 0) == (on_full == "gap")
    assert not running.faults()


def test_answers_that_found_no_place_to_be_counted_are_told_at_the_end(tmp_path: Path, serving: Path) -> None:
    place = Place(tmp_path, on_full="gap")
    running, log = begun(place)
    assert running.end() == 0
    for spare in log.glob("#spare-*"):
        shutil.rmtree(spare)
    fill(serving)
    running = Running(place)
    try:
        assert asked(running) == [(200, None)] * 20
    finally:
        assert running.end() == 0
    assert running.wait_for("answers_uncounted")["answers"] == 20


def test_a_log_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "log").write_text("no folder")
    place.deploy(place.version(1))
    running = Running(place)
    try:
        assert running.wait_for("log_unavailable", 2)["error"] == "prediction-log-unavailable"
        running.wait_for("worker_lost", 2)
    finally:
        running.end()
    assert not running.faults()
