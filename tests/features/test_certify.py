"""The certificate: history replayed row by row is the frame, and a fault planted anywhere in between is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.features.small import DAY, HOUR, MINUTE, T0, TYPES, flights_definition, with_features
from tests.features.test_frame import some_flights, world

from headrace.definition.model import Definition, Features, Project, Window
from headrace.features import certify as certifying
from headrace.features import online, records
from headrace.features.build import build_program
from headrace.features.certificate import Certificate
from headrace.features.certify import certify
from headrace.features.errors import CertificateEmpty
from headrace.features.finish import WindowFinish
from headrace.features.frame import assemble
from headrace.features.lookups import LookupIndex
from headrace.features.model import Frame
from headrace.features.windows import WindowIndex

Made = tuple[Frame, pl.LazyFrame, dict[str, pl.LazyFrame]]


def made(root: Path, definition: Definition | None = None) -> Made:
    definition = definition or flights_definition()
    ctx, tables, scans = world(root, some_flights())
    frame = assemble(build_program(definition, TYPES), definition, tables, ctx)
    return frame, pl.scan_parquet(ctx.scan(frame.ref)[0]), scans


def certified(whole: Made, **options: Any) -> Certificate:
    frame, rows, scans = whole
    return certify(frame.program, rows, scans, **options)


def test_every_row_of_a_small_frame_is_replayed_and_equal(tmp_path: Path) -> None:
    frame, rows, scans = made(tmp_path)
    found = certify(frame.program, rows, scans)
    assert found.passed
    assert (found.rows, found.features) == (frame.rows, len(frame.program.outputs))
    assert (found.differences, found.first) == (0, ())
    assert found.steps == tuple(step.name for step in frame.program.steps)


def test_rows_are_drawn_by_the_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path)
    drawn: list[list[int]] = []
    keep: Callable[..., list[int]] = certifying._drawn

    def spy(*arguments: Any) -> list[int]:
        drawn.append(keep(*arguments))
        return drawn[-1]

    monkeypatch.setattr(certifying, "_drawn", spy)
    for seed in (0, 0, 1):
        assert certified(whole, rows=20, seed=seed).rows == 20
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 20
    assert max(drawn[0]) > whole[0].rows // 2


@pytest.mark.parametrize("rows", [0, -5])
def test_a_certificate_of_no_rows_is_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(CertificateEmpty, match="at least one row"):
        certified(made(tmp_path), rows=rows)


def test_any_seed_draws(tmp_path: Path) -> None:
    assert certified(made(tmp_path), rows=5, seed=2**70).passed


def test_a_feature_whose_key_is_not_in_the_request_is_replayed_too(tmp_path: Path) -> None:
    definition = flights_definition()
    by_sky = Window(
        name="sky",
        source="flights",
        key=(("there", "origin"),),
        value="dep_delay",
        over_us=(HOUR,),
        over_text=("1h",),
        take=("mean", "count"),
    )
    expressions = (*definition.features.expressions, ("there", "coalesce(origin, 'JFK')"))
    definition = with_features(
        definition, windows=(*definition.features.windows, by_sky), expressions=expressions, drop=("tail", "there")
    )
    found = certified(made(tmp_path, definition))
    assert found.passed
    assert "sky" in found.steps


def test_a_project_without_time_is_certified(tmp_path: Path) -> None:
    definition = flights_definition(
        project=Project(name="d", source="flights", label="arr_delay > 30", request=("carrier", "distance")),
        features=Features(expressions=(("far", "distance > 1000"),)),
        split=msgspec.structs.replace(flights_definition().split, by="random"),
    )
    assert certified(made(tmp_path, definition)).passed


def _off_by_one_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    states = records.WindowRecord.states
    monkeypatch.setattr(
        records.WindowRecord,
        "states",
        lambda self, record, edges: states(self, record, [edge + 5 * MINUTE for edge in edges]),
    )


def _max_for_min(monkeypatch: pytest.MonkeyPatch) -> None:
    row = WindowFinish.row

    def swapped(self: Any, states: Any, t_us: int, edges: Any) -> tuple[object, ...]:
        found = list(row(self, states, t_us, edges))
        found[4], found[6] = found[6], found[4]
        return tuple(found)

    monkeypatch.setattr(WindowFinish, "row", swapped)


def _own_row_in_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    record = WindowIndex.record
    monkeypatch.setattr(WindowIndex, "record", lambda self, key, watermark: record(self, key, watermark + DAY))


def _the_future_in_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    record = LookupIndex.record
    monkeypatch.setattr(
        LookupIndex, "record", lambda self, key, mark: record(self, key, None if mark is None else mark + 6 * HOUR)
    )


def _no_largest_age(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = online._lookup
    monkeypatch.setattr(online, "_lookup", lambda step: lookup(msgspec.structs.replace(step, max_age_us=None)))


def _an_older_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    record = WindowIndex.record
    monkeypatch.setattr(WindowIndex, "record", lambda self, key, watermark: record(self, key, watermark - HOUR))


@pytest.mark.parametrize(
    ("plant", "feature"),
    [
        (_off_by_one_edge, "delay_"),
        (_max_for_min, "delay_"),
        (_own_row_in_the_window, "delay_"),
        (_an_older_watermark, "delay_"),
        (_the_future_in_a_lookup, "weather_"),
        (_no_largest_age, "weather_"),
    ],
    ids=lambda part: part.__name__.strip("_") if callable(part) else "",
)
def test_a_planted_fault_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], feature: str
) -> None:
    whole = made(tmp_path)
    plant(monkeypatch)
    found = certified(whole)
    assert not found.passed
    assert {one.feature[: len(feature)] for one in found.first} <= {feature, "late_here"[: len(feature)], "cold"}


@pytest.mark.parametrize("column", ["distance", "far", "plane_built", "weather_sky", "delay_sum_24h"])
def test_one_changed_cell_of_the_frame_is_found(tmp_path: Path, column: str) -> None:
    frame, rows, scans = made(tmp_path)
    table = rows.collect()
    place = random.Random(column).choice([n for n, value in enumerate(table[column]) if value is not None])
    value = table[column][place]
    other = {"distance": 1e-9, "delay_sum_24h": 1e-9, "far": None, "plane_built": 1, "weather_sky": "x"}[column]
    changed = (not value) if other is None else other if isinstance(other, str) else value + other
    table[place, column] = changed
    found = certify(frame.program, table.lazy(), scans)
    assert found.differences == 1
    assert [(one.feature, one.row) for one in found.first] == [(column, table["_row"][place])]


def test_a_table_that_became_another_is_found(tmp_path: Path) -> None:
    frame, rows, scans = made(tmp_path)
    early = pl.col("left") > pl.lit(T0, pl.Int64).cast(pl.Datetime("us", "UTC"))
    scans["flights"] = scans["flights"].with_columns(pl.when(early).then(pl.col("dep_delay") + 1).alias("dep_delay"))
    found = certify(frame.program, rows, scans)
    assert found.differences > 100
    assert len(found.first) == certifying.MOST_TOLD
