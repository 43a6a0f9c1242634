"""Finished projects, a key folder of the tests' own, and a server of runs that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples import copy_finished, shared_folder

ROOT = Path(__file__).parents[2]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the signing key of these tests is."""
    return shared_folder(tmp_path_factory) / "keys"


@pytest.fixture(autouse=True)
def own_keys(key_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key, or a project that the environment names."""
    monkeypatch.setenv("HEADRACE_CONFIG", str(key_folder))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)


@pytest.fixture
def delays(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the flights example, small, after its first run."""
    return copy_finished("flights", shared_folder(tmp_path_factory), tmp_path / "delays")


@pytest.fixture
def biopsies(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the second example after its first run."""
    return copy_finished("tumours", shared_folder(tmp_path_factory), tmp_path / "tumours")


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
