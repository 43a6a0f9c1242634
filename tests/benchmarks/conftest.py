"""A small flights project after its run, and a RESULTS.md of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.examples import flights

from benchmarks import harness
from headrace.app import Project


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the signing key of these tests is."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(autouse=True)
def own_keys(key_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No benchmark touches the user's own key, or a project that the environment names."""
    monkeypatch.setenv("HEADRACE_CONFIG", str(key_folder))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)


@pytest.fixture(scope="session")
def small_flights(tmp_path_factory: pytest.TempPathFactory, key_folder: Path) -> Path:
    """The flights of four days from two airports, after a run of two trials. Only to be read."""
    root = tmp_path_factory.mktemp("benchmarks") / "delays"
    flights(root, days=range(1, 5), origins=("LGA", "JFK"), change={r'^budget = ".*"': 'budget = "2 trials"'})
    Project.open(root, environment={"HEADRACE_CONFIG": str(key_folder)}).run()
    return root


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benchmarks of this test record what they find."""
    path = tmp_path / "RESULTS.md"
    monkeypatch.setattr(harness, "RESULTS", path)
    return path
