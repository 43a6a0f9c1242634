"""Runners over real stores, and a server of runs that can be killed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.cost.prices import load_prices
from headrace.runs.model import Progress
from headrace.runs.progress import SilentProgress
from headrace.runs.runner import Runner
from headrace.stores.catalog import Catalog
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.local import LocalObjectStore

DRIVER = Path(__file__).parent / "driver.py"

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    """Ask the server of killable runs: `ask("run", root, kill_at=3)`."""
    command = [sys.executable, "-W", "error", str(DRIVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        stdin, stdout = server.stdin, server.stdout
        assert stdin is not None
        assert stdout is not None

        def send(act: str, root: Path, **how: Any) -> dict[str, Any]:
            stdin.write(json.dumps({"act": act, "root": str(root), **how}) + "\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
            assert answer["killed"] or answer["status"] == 0
            return answer

        yield send
        stdin.close()
        server.wait()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """The real SQLite catalog."""
    opened = open_catalog("catalog.db", tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    """The real local object store."""
    return LocalObjectStore(tmp_path / "objects")


@pytest.fixture
def ticks() -> Callable[[], int]:
    """A clock that moves one second at each look."""
    return itertools.count(1_790_000_000_000_000, 1_000_000).__next__


@pytest.fixture
def make_runner(
    tmp_path: Path, catalog: Catalog, objects: ObjectStore, ticks: Callable[[], int]
) -> Callable[..., Runner]:
    """Runners of project "p" that share the stores, each as if of a new process."""
    names = (f"run-{n}" for n in itertools.count(1))

    def make(**other: Any) -> Runner:
        progress: Progress = SilentProgress()
        settings: dict[str, Any] = {
            "clock": ticks,
            "new_id": lambda: next(names),
            "prices": load_prices(),
            "progress": progress,
            "workdir": tmp_path / "work",
        }
        settings |= other
        return Runner(settings.pop("catalog", catalog), settings.pop("objects", objects), "p", **settings)

    return make
