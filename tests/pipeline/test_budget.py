"""A search that is killed at random instants and goes on spends its budget and no more, and loses no trial."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEARCHES = 5
BUSY_S = 20.0
"""Slack for a machine that runs other tests as well: each execution's last step waits its turn. How exactly a budget is
kept is told by the bench on a quiet machine, and what is counted by tests/training/test_spending.py."""


@pytest.mark.heavy
def test_random_searches_under_kill_9_keep_to_their_budget_and_lose_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.kills", str(SEARCHES), "11", "--json"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    done = [json.loads(line) for line in said.splitlines()]
    assert [one["unit"] for one in done] == ["seconds", "trials", "seconds", "trials", "usd"]
    assert sum(one["kills"] for one in done) >= SEARCHES - 1
    for one in done:
        assert one["lost"] == []
        assert one["unloadable"] == []
        assert one["ended"] in ("done", "budget-too-small")
        if one["unit"] == "trials":
            assert one["ended"] == "done"
            assert one["trials"] <= one["budget"]
        else:
            assert sum(one["took_s"]) <= one["limit_s"] + BUSY_S
