"""What a run says while it runs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time

import pytest

from headrace.runs.model import Usage
from headrace.runs.progress import LiveProgress, Movement, PlainProgress, SilentProgress

USAGE = Usage(wall_s=2.5, cpu_s=2.0, peak_memory_bytes=120_000_000, rows_out=1500)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_begin_and_end_a_stage_and_come_at_most_every_five_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.stage_started("read flights")
    for second in range(13):
        clock.now_s = 100.0 + second
        progress.stage_moved("read flights", second * 100, 2000, "rows", "part 2")
    progress.stage_ended("read flights", "done", USAGE)
    progress.stage_ended("check flights", "cached", USAGE)
    progress.stage_started("search")
    progress.stage_ended("search", "failed", None)
    assert stream.getvalue().splitlines() == [
        "read flights: started",
        "read flights: 500 of 2,000 rows · 100 rows/s · 5.0 s · 15.0 s left · part 2",
        "read flights: 1,000 of 2,000 rows · 100 rows/s · 10.0 s · 10.0 s left · part 2",
        "read flights: done in 2.5 s · 1,500 rows · 600 rows/s · peak 120.0 MB",
        "check flights: unchanged",
        "search: started",
        "search: failed",
    ]


def test_without_a_total_there_is_a_rate_and_no_time_left() -> None:
    assert Movement(0.0, done=30, unit="trials").text(60.0) == "30 trials · 0.5 trials/s · 1 min 0 s"


def test_before_anything_is_done_there_is_no_rate() -> None:
    assert Movement(0.0).text(2.0) == "2.0 s"
    assert Movement(0.0, total=10, unit="trials").text(2.0) == "0 of 10 trials · 2.0 s"


def test_seconds_of_a_budget_have_no_rate() -> None:
    assert Movement(0.0, done=30, total=120, unit="s").text(30.0) == "30 of 120 s · 30.0 s · 1 min 30 s left"


def test_a_reader_that_has_gone_does_not_stop_the_run() -> None:
    stream = io.StringIO()
    plain, live = PlainProgress(stream), LiveProgress(stream)
    stream.close()
    for progress in (plain, live):
        progress.stage_started("a")
        progress.say("text")
        progress.stage_ended("a", "done", USAGE)


def test_a_pipe_that_is_closed_does_not_stop_the_run() -> None:
    code = (
        "import sys, time; from headrace.runs.progress import PlainProgress\n"
        "p = PlainProgress()\n"
        "for _ in range(20): p.say('x' * 10000); time.sleep(0.01)\n"
        "print('went on'); sys.stderr = None"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        assert process.stdout.read() == "went on\n"


def test_silence_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SilentProgress()
    progress.stage_started("a")
    progress.stage_moved("a", 1, 2, "rows", "")
    progress.stage_ended("a", "done", USAGE)
    progress.say("text")
    assert capsys.readouterr() == ("", "")


def live_output(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color", "COLUMNS": "60"} | env).items():
        monkeypatch.setenv(name, value)
    stream, clock = Terminal(), Clock()
    progress = LiveProgress(stream, clock=clock)
    progress.stage_started("search")
    clock.now_s += 4
    progress.stage_moved("search", 8, 20, "trials", "a note that is much too long for the width of this terminal")
    time.sleep(0.4)  # the view is drawn a few times a second, by its own thread
    progress.stage_ended("search", "done", USAGE)
    progress.stage_ended("check [flights]", "cached", USAGE)
    progress.say("one is computed again")
    return stream.getvalue()


def test_a_terminal_shows_one_line_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = live_output(monkeypatch)
    assert "\x1b[32m" in shown
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line.strip() for part in bare.split("\r") for line in part.split("\n") if line.strip()]
    assert lines[-3:] == [
        "✓ search  done in 2.5 s · 1,500 rows · 600 rows/s · peak 120.0 MB",
        "= check [flights]  unchanged",
        "one is computed again",
    ]
    assert "· search  8 of 20 trials · 2 trials/s · 4.0 s · 6.0 s left …" in lines
    assert all(len(line) <= 60 for line in lines[:-3])


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = live_output(monkeypatch, NO_COLOR="1")
    assert "search" in shown
    assert not re.search(r"\x1b\[(3[0-9]|9[0-9]|38)[;m]", shown)
