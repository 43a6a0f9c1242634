"""`headrace schedule` as a person and a service type it: real processes, real time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.app import Project

DEFINITION = """format = 1
[project]
name = "rows"
[sources.rows]
read = "data/*.csv"
[[sources.rows.checks]]
name = "small"
where = "a < 100"
on_fail = "fail"
[schedule]
do = "check"
"""


def headrace(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.csv").write_text("a\n1\n2\n")
    (tmp_path / "headrace.toml").write_text(DEFINITION + 'when = "new_files"\nsettle = "200ms"\n')
    return tmp_path


def test_new_files_are_checked_once_and_a_broken_contract_is_not_tried_again(project: Path) -> None:
    first = headrace("schedule", "run", "--once", cwd=project)
    assert first.returncode == 0, first.stderr + first.stdout
    assert [e["state"] for e in events(first.stdout) if e["event"] == "run_ended"] == ["done"]
    again = headrace("schedule", "run", "--once", cwd=project)
    assert [e["event"] for e in events(again.stdout)] == ["schedule_started"]
    (project / "data" / "two.csv").write_text("a\n100\n")
    broken = headrace("schedule", "run", "--once", cwd=project)
    assert broken.returncode == 1
    ended = [e for e in events(broken.stdout) if e["event"] == "run_ended"]
    assert [(e["state"], e["code"], e["tries"]) for e in ended] == [("failed", "contract-broken", 1)]
    shown = json.loads(headrace("schedule", "--json", cwd=project).stdout)
    assert [(t["cause"], t["state"]) for t in shown["times"]] == [("files", "failed"), ("files", "done")]
    assert "contract-broken" in headrace("schedule", cwd=project).stdout


def test_missed_times_are_caught_up_and_trouble_outside_is_tried_again(project: Path) -> None:
    definition = DEFINITION + 'cron = "0 * * * *"\nretry = { times = 1, backoff = "10ms" }\n'
    (project / "headrace.toml").write_text(definition)
    assert headrace("schedule", "run", "--once", cwd=project).returncode == 0
    with Project.open(project) as opened, opened.catalog.write() as writer:  # the loop was away for five hours
        row = writer.get("schedules", {"project": "rows"})
        assert row is not None
        writer.update("schedules", {"project": "rows"}, {"decided_us": int(row["decided_us"] or 0) - 5 * 3_600_000_000})
    (project / ".headrace" / "objects").write_text("where a folder should be")
    ended = headrace("schedule", "run", "--once", cwd=project)
    assert ended.returncode == 1
    assert [e["event"] for e in events(ended.stdout) if e["event"].startswith("retry")] == ["retry_in"]
    shown = json.loads(headrace("schedule", "--json", cwd=project).stdout)
    newest, missed = shown["times"]
    assert (missed["state"], missed["times"]) == ("missed", 4)
    assert (newest["cause"], newest["state"], newest["tries"]) == ("time", "failed", 2)
    assert newest["error"].startswith("store-unavailable")
    assert len(shown["next_us"]) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(project: Path, number: signal.Signals) -> None:
    (project / "headrace.toml").write_text(DEFINITION + 'cron = "0 0 1 1 *"\n')
    command = [sys.executable, "-m", "headrace", "schedule", "run", "--project", str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loop:
        assert loop.stdout is not None
        assert json.loads(loop.stdout.readline())["event"] == "schedule_started"
        os.kill(loop.pid, number)
        assert json.loads(loop.stdout.readline())["event"] == "schedule_stopped"
    assert loop.returncode == 0


def test_wrong_use_is_said(project: Path) -> None:
    for command in (("schedule",), ("schedule", "run"), ("schedule", "attempt", "time", "1")):
        (project / "headrace.toml").write_text(DEFINITION.partition("[schedule]")[0])
        found = headrace(*command, "--json", cwd=project)
        assert (found.returncode, json.loads(found.stdout)["error"]["code"]) == (2, "no-schedule")
    (project / "headrace.toml").write_text(DEFINITION + 'cron = "61 * * * *"\nzone = "Europe/Pari"\n')
    said = headrace("schedule", cwd=project).stderr
    assert "bad minute" in said
    assert "Europe/Paris" in said
