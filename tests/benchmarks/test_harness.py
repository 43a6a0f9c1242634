"""How figures are measured and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.harness import Measured, in_turn, measure, median, python, record, table


def test_a_process_is_measured_as_a_whole() -> None:
    measured = measure(python("-c", "x = bytearray(80 << 20)\nfor _ in range(10 ** 6): pass\nprint('done')"))
    assert measured.output == "done\n"
    assert measured.peak_mb > 80
    assert measured.cpu_s > 0
    assert measured.wall_s > 0


def test_a_peak_is_seen_though_the_process_sets_its_mark_back() -> None:
    big = "import time; x = bytearray(b'1') * (80 << 20); time.sleep(0.3); del x"
    reset = "open('/proc/self/clear_refs', 'w').write('5'); time.sleep(0.2)"
    assert measure(python("-c", f"{big}; {reset}")).peak_mb > 80


def test_a_peak_is_not_that_of_the_process_that_measures() -> None:
    ballast = bytearray(b"1") * (100 << 20)
    assert measure(python("-c", "pass")).peak_mb < 60
    assert len(ballast)


def test_a_process_that_fails_stops_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        measure(python("-c", "raise SystemExit(3)"))


def test_commands_take_turns_and_the_first_turn_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {name: python("-c", f"open({str(log)!r}, 'a').write({name!r})") for name in "ab"}
    assert set(in_turn(commands, times=2)) == {"a", "b"}
    assert log.read_text(encoding="utf-8") == "ababab"


def test_the_median_is_of_each_figure_by_itself() -> None:
    runs = [Measured(1, 30, 200, "a"), Measured(2, 10, 300, "b"), Measured(3, 20, 100, "c")]
    assert median(runs) == Measured(2, 20, 200, "c")


def test_a_section_is_replaced_and_others_stay(results: Path) -> None:
    for title, body in (("One", "first"), ("Two", "second"), ("One", "third")):
        record(title, "python -m x", body, libraries=["polars"])
    text = results.read_text(encoding="utf-8")
    assert text.startswith("# Results\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## One", "## Two"]
    assert "first" not in text
    assert "third" in text
    assert "second" in text


def test_a_table_has_its_figures_short() -> None:
    assert table(["a", "b"], [("x", 1.23456)]) == "| a | b |\n| --- | --: |\n| x | 1.23 |"
