"""A server between its fewest and its most workers: more while it is asked much, fewer afterwards, nobody refused."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running, change

from headrace.serving.revisions import deploy_whole

QUICK = {"BUSY": 0.1, "AIM": 0.05, "IDLE": 0.04, "DOWN_TURNS": 5, "TURN_S": 0.2}
"""Of `headrace.serving.scaling`: a test's clients keep a worker less busy than those of the world do."""


def test_workers_come_and_go_with_what_is_asked(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    running = Running(place, workers=1, most=3, scaling=QUICK)
    stop = threading.Event()
    statuses: list[int] = []
    versions: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            client = Client(running)
            for _ in range(50):  # new connections go to new workers too
                status, _, answer = client.predict(ROW)
                statuses.append(status)
                versions.append(answer["version"])
            client.connection.close()

    try:
        running.wait_for("ready")
        assert len(running.workers()) == 1
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert running.wait_for("workers")["wanted"] > 1
        until = time.monotonic() + 60
        while len(running.workers()) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(running.workers()) == 3
        place.write(deploy_whole(place.deployments.get("delays"), place.version(2), change()))
        running.wait_for("serving", 2)
        assert Client(running).predict(ROW)[2]["version"] == 2
        stop.set()
        for thread in threads:
            thread.join()
        running.wait_for("worker_left", 2, within_s=60)
        until = time.monotonic() + 60
        while len(running.workers()) > 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(running.workers()) == 1
        assert Client(running).predict(ROW)[0] == 200
        assert set(statuses) == {200}
        assert set(versions) == {1, 2}
        assert not [each for each in running.events() if each["event"] == "worker_lost"]
    finally:
        stop.set()
        assert running.end() == 0
