"""The history path by every engine does the same work."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from benchmarks.harness import Measured
from benchmarks.history_path import duckdb_by_hand, ours, pandas_by_hand, polars_by_hand
from benchmarks.history_path.__main__ import ENGINES, compare, report
from benchmarks.history_path.layout import shifted_flights

from headrace.app import look
from headrace.runs.history import get_run, list_runs

Sums = dict[str, float]
MAINS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours.main,
    "Polars": polars_by_hand.main,
    "pandas": pandas_by_hand.main,
    "DuckDB": duckdb_by_hand.main,
}


def test_engines_give_equal_sums(small_flights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(MAINS) == set(ENGINES)
    sums: dict[str, Sums] = {}
    for name, main in MAINS.items():
        main(small_flights, tmp_path / name)
        sums[name] = json.loads(capsys.readouterr().out)
    compare(sums)
    assert sums["Polars"]["rows"] > 1_000
    assert sums["Polars"]["plane_count_24h"] > 100


def test_hand_written_windows_are_equal_row_by_row(
    small_flights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ["sched_dep_at", "carrier", "flight"]
    frames = []
    for name in ("Polars", "DuckDB"):
        MAINS[name](small_flights, tmp_path / name)
        frame = pl.read_parquet(tmp_path / name / "frame.parquet").sort(key)
        frames.append(frame.select(pl.col("^.*_delay_(count|max)_.*$").cast(pl.Float64)))
    assert frames[0].equals(frames[1].select(frames[0].columns))


def test_our_path_computes_every_stage_every_time(small_flights: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ours.main(small_flights, tmp_path / "out")
        with look(tmp_path / "out") as (name, reader):
            assert reader is not None
            [run] = list_runs(reader, name, 10)
            stages = get_run(reader, name, run.id).stages
        assert {stage.state for stage in stages} == {"done"}
        assert stages[-1].name == "assemble"


def test_different_work_is_refused() -> None:
    sums = {"aside": 0.0, "rows": 100.0, "origin_count_24h": 1000.0, "plane_count_24h": 10.0}
    compare({"ours": sums | {"origin_count_24h": 1030.0}, "Polars": sums, "pandas": sums})
    for name, other in (
        ("pandas", sums | {"rows": 101.0}),
        ("pandas", sums | {"origin_count_24h": 1001.0}),
        ("ours", sums | {"rows": 101.0}),
        ("ours", sums | {"origin_count_24h": 1060.0}),
        ("ours", sums | {"origin_count_24h": 999.0}),
    ):
        with pytest.raises(SystemExit, match=name):
            compare({"Polars": sums, "pandas": sums, "ours": sums} | {name: other})


def test_the_report_gives_ratios_and_how_memory_grows() -> None:
    def measured(wall_s: float, peak_mb: float) -> Measured:
        return Measured(wall_s, 2 * wall_s, peak_mb, '{"rows": 1000}')

    text = report(
        {
            1: {"ours": measured(1.5, 100), "Polars": measured(1.0, 200)},
            10: {"ours": measured(9.0, 300), "Polars": measured(10.0, 1500)},
        }
    )
    assert "| ours, ×1: 1,000 rows of the frame | 1.5 | 3 | 100 | 1.5 | 1.5 | 0.5 |" in text
    assert "Peak memory as rows grow 10 ×: ours 3.0 ×, Polars 7.5 ×." in text


def test_copies_keep_weekday_and_clock_through_daylight_saving() -> None:
    flights = pl.DataFrame(
        {"time_hour": ["2013-11-02T13:00:00Z", "2013-11-03T14:00:00Z"], "year": 2013, "month": 11, "day": [2, 3]}
    )
    later = shifted_flights(flights, 1)
    assert later["time_hour"].to_list() == ["2014-11-01T13:00:00Z", "2014-11-02T14:00:00Z"]
    assert later["day"].to_list() == [1, 2]
    weekdays = [datetime.fromisoformat(text).astimezone(UTC).weekday() for text in later["time_hour"]]
    assert weekdays == [5, 6]
    assert shifted_flights(flights, 0).equals(flights.select(later.columns))
