"""The frame's windows against plain loops over the accepted table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from benchmarks.harness import newest
from benchmarks.leaks import aggregate, differences, hop_of

from headrace.app import Project
from headrace.features.model import Frame

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def frame_and_flights(small_flights: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    project = Project.open(small_flights)
    frame = newest(project, "assemble", Frame)
    return pl.read_parquet(project.objects.scan_target(frame.ref.key).url), project.tables()["flights"].collect()


def test_every_window_holds_what_was_known_and_nothing_else(
    frame_and_flights: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    frame, flights = frame_and_flights
    compared, differing = differences(frame, flights, rows=400, seed=1)
    assert compared == 400 * 21
    assert differing == []


def test_the_sample_has_full_and_empty_windows(frame_and_flights: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    frame, _ = frame_and_flights
    for name in ("origin_delay_count_24h", "carrier_delay_count_3h", "plane_delay_count_24h", "dest_delay_count_6h"):
        assert frame[name].min() == 0
        assert frame[name].n_unique() > 2


def test_a_value_that_was_not_known_yet_is_found(frame_and_flights: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    frame, flights = frame_and_flights
    early = flights.with_columns(pl.col("dep_at") - pl.duration(minutes=30))
    _, differing = differences(frame, early, rows=200, seed=1)
    assert {"origin_delay_count_1h", "carrier_delay_mean_3h"} <= set(differing)
    assert not {name for name in differing if name.startswith(("plane", "dest"))}


def test_one_changed_mean_is_found(frame_and_flights: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    frame, flights = frame_and_flights
    changed = frame.with_columns(pl.col("dest_delay_mean_6h").fill_null(0.0) + 1e-12)
    _, differing = differences(changed, flights, rows=frame.height, seed=1)
    assert set(differing) == {"dest_delay_mean_6h"}


def test_hops_are_five_minutes_below_half_a_day_and_an_hour_from_there() -> None:
    assert hop_of(6 * HOUR) == 300_000_000
    assert hop_of(12 * HOUR) == HOUR


def test_an_empty_window_has_a_count_only() -> None:
    assert [aggregate(name, []) for name in ("count", "mean", "max")] == [0, None, None]
