"""kill -9 at any instant, and run again: it goes on, and ends where an undisturbed run ends."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.runs.conftest import DRIVER, Ask

from headrace.stores.catalog.open import open_catalog


class State(NamedTuple):
    """What is in the stores, without instants and run ids."""

    outcomes: dict[str, str]
    outcome_objects: set[tuple[str, str]]
    parts: list[str]
    stored: dict[str, bytes]
    runs: list[str]
    stages_running: int


def state_of(root: Path) -> State:
    catalog = open_catalog("catalog.db", root)
    try:
        with catalog.read() as reader:
            return State(
                {str(row["name"]): str(row["outcome"]) for row in reader.select("outcomes")},
                {(str(row["fingerprint"]), str(row["key"])) for row in reader.select("outcome_objects")},
                [str(row["part"]) for row in reader.select("parts", order_by=("seq",))],
                {
                    str(path.relative_to(root / "objects")): path.read_bytes()
                    for path in (root / "objects").rglob("*")
                    if path.is_file() and "#" not in str(path.relative_to(root))
                },
                [str(row["state"]) for row in reader.select("runs", order_by=("started_us",))],
                len(reader.select("stages", {"state": "running"})),
            )
    finally:
        catalog.close()


def executed(root: Path) -> list[str]:
    log = root / "executed.log"
    return [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def undisturbed(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], State]:
    """The answer and the stores of a run that nobody killed."""
    root = tmp_path_factory.mktemp("undisturbed")
    answer = ask("run", root)
    assert executed(root) == ["snapshot", "search", "trial 0", "trial 1", "trial 2", "package"]
    return answer, state_of(root)


def check_goes_on(ask: Ask, root: Path, whole: tuple[dict[str, Any], State]) -> None:
    """Run again after a kill: no finished work is done twice, and everything ends as in the undisturbed run."""
    before, done_before = state_of(root), executed(root)
    answer = ask("run", root)
    after, done_after = state_of(root), executed(root)[len(done_before) :]
    assert not answer["killed"]
    assert answer["package"] == whole[0]["package"]
    assert not set(before.outcomes) & set(done_after), "a finished stage was computed again"
    assert not set(before.parts) & set(done_after), "a recorded part was computed again"
    assert max(Counter(done_after).values(), default=0) <= 1
    assert after.outcomes == whole[1].outcomes
    assert after.outcome_objects == whole[1].outcome_objects
    assert after.parts == []
    assert after.stages_running == 0
    assert after.runs[-1] == "done"
    assert set(after.runs[:-1]) <= {"interrupted", "done"}
    assert [path.name for path in (root / "work").iterdir()] == ["lock"]
    ask("collect", root)
    assert state_of(root).stored == whole[1].stored


@pytest.mark.parametrize("part", range(8))
def test_killed_at_any_boundary_a_run_goes_on(
    part: int, ask: Ask, tmp_path: Path, undisturbed: tuple[dict[str, Any], State]
) -> None:
    boundaries = undisturbed[0]["burnt"]
    assert boundaries > 60
    for kill_at in range(part, boundaries, 8):
        root = tmp_path / str(kill_at)
        root.mkdir()
        assert ask("run", root, kill_at=kill_at)["killed"]
        check_goes_on(ask, root, undisturbed)


def test_killed_at_random_instants_a_run_goes_on(
    ask: Ask, tmp_path: Path, undisturbed: tuple[dict[str, Any], State]
) -> None:
    instants = random.Random(20261123)
    (tmp_path / "timed").mkdir()
    started = time.monotonic()
    ask("run", tmp_path / "timed", slow_s=0.01)
    whole_s = time.monotonic() - started
    kills = 0
    for number in range(1000):
        root = tmp_path / str(number)
        root.mkdir()
        # again and again, until one gets through: later kills meet what earlier ones left
        while ask("run", root, slow_s=0.01, kill_after_s=instants.uniform(0, whole_s))["killed"]:
            kills += 1
            if kills % 5 == 0:
                break
        check_goes_on(ask, root, undisturbed)
        if kills >= 30:
            return
    pytest.fail("30 kills were not reached")


def test_a_killed_collector_leaves_no_row_without_its_object(
    ask: Ask, tmp_path: Path, undisturbed: tuple[dict[str, Any], State]
) -> None:
    for kill_at in range(40):
        root = tmp_path / str(kill_at)
        root.mkdir()
        assert ask("run", root, kill_at=undisturbed[0]["burnt"] // 2)["killed"]
        catalog = open_catalog("catalog.db", root)
        with catalog.write() as writer:
            writer.delete("runs", {"state": ["running", "interrupted"]})  # now nothing needs what it made
        catalog.close()
        assert state_of(root).stored
        killed = ask("collect", root, kill_at=kill_at)["killed"]
        left = state_of(root)
        assert {key for _, key in left.outcome_objects} <= left.stored.keys()
        ask("collect", root)
        assert state_of(root).stored == {}
        check_goes_on(ask, root, undisturbed)
        if not killed:
            assert kill_at > 5
            return
    pytest.fail("the collector never ended")


def test_two_processes_at_once_one_runs_and_one_is_told(ask: Ask, tmp_path: Path) -> None:
    other = [sys.executable, "-W", "error", str(DRIVER)]
    request = f'{{"act": "run", "root": "{tmp_path}", "slow_s": 0.6}}\n'
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdin is not None
        assert slow.stdout is not None
        slow.stdin.write(request)
        slow.stdin.close()
        while "search" not in executed(tmp_path):
            time.sleep(0.01)
        assert ask("run", tmp_path)["error"] == "run-in-progress"
        refused = ask("collect", tmp_path)
        assert (refused["error"], refused["exit_code"]) == ("run-in-progress", 2)
        assert "package" in slow.stdout.read()
    assert state_of(tmp_path).runs == ["done"]


def test_two_machines_at_once_end_with_one_outcome(
    ask: Ask, tmp_path: Path, undisturbed: tuple[dict[str, Any], State]
) -> None:
    other = [sys.executable, "-W", "error", str(DRIVER)]
    request = f'{{"act": "run", "root": "{tmp_path}", "workdir": "elsewhere", "slow_s": 0.3}}\n'
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdin is not None
        assert slow.stdout is not None
        slow.stdin.write(request)
        slow.stdin.close()
        while "snapshot" not in executed(tmp_path):
            time.sleep(0.01)
        answer = ask("run", tmp_path)
        assert "package" in slow.stdout.read()
    assert answer["package"] == undisturbed[0]["package"]
    state = state_of(tmp_path)
    assert state.runs == ["done", "done"]
    assert state.outcomes == undisturbed[1].outcomes
    assert state.stored == undisturbed[1].stored
    assert state.parts == []
