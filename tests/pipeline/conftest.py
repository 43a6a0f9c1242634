"""Finished projects to copy, a key folder of the tests' own, and a server of runs that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples import flights, tumours

from headrace.app import Project

ROOT = Path(__file__).parents[2]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the signing key of these tests is."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(autouse=True)
def own_keys(key_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key, or a project that the environment names."""
    monkeypatch.setenv("HEADRACE_CONFIG", str(key_folder))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)


@pytest.fixture(scope="session")
def flights_done(tmp_path_factory: pytest.TempPathFactory, key_folder: Path) -> Path:
    """The flights example, small, after its first run. Only to be copied."""
    root = flights(tmp_path_factory.mktemp("flights") / "delays")
    Project.open(root, environment={**os.environ, "HEADRACE_CONFIG": str(key_folder)}).run()
    return root


@pytest.fixture
def delays(flights_done: Path, tmp_path: Path) -> Path:
    """A copy of the flights example after its first run."""
    return Path(shutil.copytree(flights_done, tmp_path / "delays"))


@pytest.fixture(scope="session")
def tumours_done(tmp_path_factory: pytest.TempPathFactory, key_folder: Path) -> Path:
    """The second example after its first run. Only to be copied."""
    root = tumours(tmp_path_factory.mktemp("tumours") / "tumours", text='\n[training]\nbudget = "2 trials"\n')
    Project.open(root, environment={**os.environ, "HEADRACE_CONFIG": str(key_folder)}).run()
    return root


@pytest.fixture
def biopsies(tumours_done: Path, tmp_path: Path) -> Path:
    """A copy of the second example after its first run."""
    return Path(shutil.copytree(tumours_done, tmp_path / "tumours"))


@pytest.fixture(scope="session")
def ask(key_folder: Path) -> Iterator[Ask]:
    """Ask the server of killable runs: `ask(root, kill_at="search: after trial-1")`."""
    command = [sys.executable, "-W", "error", "-m", "tests.pipeline.driver"]
    env = {**os.environ, "HEADRACE_CONFIG": str(key_folder)}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        stdin, stdout = server.stdin, server.stdout
        assert stdin is not None
        assert stdout is not None

        def send(root: Path, **how: Any) -> dict[str, Any]:
            stdin.write(json.dumps({"root": str(root), **how}) + "\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
            assert answer["killed"] or answer["status"] == 0
            return answer

        yield send
        stdin.close()
        server.wait()
