"""What a snapshot changed is told from ordinary drift, and settled by a line that can be pasted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from headrace.data.changes import best_conversions, find_changes, find_drift, new_parts
from headrace.data.model import Change, Shape
from headrace.data.shape import take_shape
from headrace.definition.model import SchemaPolicy, Source
from headrace.language.types import Type
from headrace.language.values import type_of_dtype

N = 2_000


def types_of(frame: pl.DataFrame) -> dict[str, Type]:
    types = {name: type_ for name, kind in frame.schema.items() if (type_ := type_of_dtype(kind)) is not None}
    return {name: Type.CATEGORY if type_ is Type.STRING else type_ for name, type_ in types.items()}


def shape(frame: pl.DataFrame, types: dict[str, Type] | None = None, source: Source | None = None) -> Shape:
    known = types_of(frame) if types is None else types
    return take_shape(frame.lazy(), source or a_source(), known, {})


def a_source(policy: SchemaPolicy | None = None, **more: object) -> Source:
    return Source(name="s", read=("s.parquet",), format="parquet", schema=policy or SchemaPolicy(), **more)  # type: ignore[arg-type]


def changes(before: pl.DataFrame, now: pl.DataFrame, policy: SchemaPolicy | None = None) -> list[Change]:
    types = types_of(before)
    source = a_source(policy)
    return list(find_changes(source, types, shape(now, types), shape(before)))


def kinds(found: Sequence[Change]) -> list[tuple[str, str]]:
    return [(one.kind, one.column) for one in found]


def trips(seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    start = dt.datetime(2024, 1, 8, tzinfo=dt.UTC)
    hours = np.clip(draw.normal(13, 2, N), 0, 23).astype(int)
    return pl.DataFrame(
        {
            "distance": draw.gamma(2, 300, N),
            "delay": draw.normal(8, 30, N).round(),
            "temp": draw.normal(50, 15, N),
            "sex": draw.choice(["M", "F", "X"], N, p=[0.5, 0.4, 0.1]),
            "seen_at": [start + dt.timedelta(days=n % 20, hours=int(h)) for n, h in enumerate(hours)],
            "day": [dt.date(2024, 3, 1) + dt.timedelta(days=n % 31) for n in range(N)],
        }
    )


@pytest.mark.parametrize(
    ("column", "change", "kind", "said"),
    [
        ("distance", pl.col("distance") * 1.609344, "scale", "from mile to km"),
        ("distance", pl.col("distance") * 100, "scale", "100 times as large"),
        ("distance", pl.col("distance") / 1000, "scale", "1,000 times as small"),
        ("distance", pl.col("distance") * 0.45359237, "scale", "from pound to kg"),
        ("delay", -pl.col("delay"), "sign", "turned round"),
        ("temp", (pl.col("temp") - 32) / 1.8, "shift", "from degF to degC"),
        ("sex", pl.col("sex").replace({"M": "male", "F": "female"}), "recoded", "'M' → 'male'"),
        ("sex", pl.col("sex").replace({"M": "X", "X": "M"}), "recoded", "changed places"),
        ("seen_at", pl.col("seen_at").dt.offset_by("5h"), "zone", "+5 hours"),
        ("seen_at", pl.col("seen_at").dt.offset_by("-1h"), "zone", "-1 hour "),
        (
            "day",
            pl.when(pl.col("day").dt.day() <= 12)
            .then(pl.date(2024, pl.col("day").dt.day(), pl.col("day").dt.month()))
            .otherwise(pl.col("day")),
            "date-order",
            "day and month",
        ),
    ],
)
def test_a_change_of_meaning_is_told(column: str, change: pl.Expr, kind: str, said: str) -> None:
    found = changes(trips(), trips(1).with_columns(change.alias(column)))
    assert kinds(found) == [(kind, column)]
    assert (found[0].impact, found[0].policy) == ("semantic", "warn")
    assert said in found[0].message


def test_another_draw_and_ordinary_drift_are_no_change() -> None:
    assert changes(trips(), trips(1)) == []
    drifted = trips(1).with_columns(
        pl.col("distance") + 300, pl.col("delay") * 1.3 + 20, pl.col("temp") - 12, pl.col("sex").replace({"X": "M"})
    )
    assert changes(trips(), drifted) == []
    moved = dict(find_drift(shape(drifted), shape(trips())))
    assert moved["distance"] > 0.2
    assert moved["sex"] == pytest.approx(0.1, abs=0.03)


def test_the_line_that_settles_a_unit_reads_the_new_and_keeps_the_old() -> None:
    [found] = changes(trips(), trips(1).with_columns(pl.col("distance") * 1.609344))
    assert found.fix == 'distance = { unit = "km", to = "mile" }'


def test_columns_that_came_and_went() -> None:
    now = trips(1).rename({"distance": "Distance_Flown"}).with_columns(extra=pl.lit(1))
    found = changes(trips(), now)
    assert [(one.kind, one.impact, one.policy, one.column) for one in found] == [
        ("missing-column", "breaking", "fail", "distance"),
        ("new-column", "additive", "warn", "Distance_Flown"),
        ("new-column", "additive", "warn", "extra"),
    ]
    assert found[0].fix == 'rename = { Distance_Flown = "distance" }'


def test_values_alone_tell_a_renamed_column_from_another() -> None:
    now = trips(1).rename({"temp": "t_c", "distance": "d_tot"})
    assert changes(trips(), now)[0].fix in (
        'rename = { d_tot = "distance", t_c = "temp" }',
        'rename = { t_c = "temp" }',
    )
    assert changes(trips(), trips(1).drop("temp").with_columns(zzz=pl.lit("x")))[0].fix == ""


def test_a_type_that_is_lost_breaks_and_a_new_level_adds() -> None:
    types = types_of(trips())
    text = trips(1).with_columns(pl.lit("soon").alias("delay"))
    found = find_changes(a_source(), types, shape(text, types), shape(trips()))
    assert [(one.kind, one.impact, one.column) for one in found] == [("type", "breaking", "delay")]
    added = trips(1).with_columns(pl.when(pl.int_range(N) < 30).then(pl.lit("N")).otherwise("sex").alias("sex"))
    assert kinds(changes(trips(), added)) == [("new-level", "sex")]


def test_policies_are_obeyed_by_class() -> None:
    policy = SchemaPolicy(additive="accept", breaking="warn", semantic="fail")
    now = trips(1).drop("temp").with_columns(pl.col("distance") * 100, new=pl.lit(1))
    policies = {one.kind: one.policy for one in changes(trips(), now, policy)}
    assert policies == {"scale": "fail", "missing-column": "warn", "new-column": "accept"}


def test_the_first_snapshot_has_nothing_to_compare_but_its_columns() -> None:
    types = types_of(trips())
    now = shape(trips().drop("sex").with_columns(pl.col("distance") * 100), types)
    assert kinds(find_changes(a_source(), types, now, None)) == [("missing-column", "sex")]


def test_few_values_and_constants_say_nothing() -> None:
    few = trips().head(50)
    assert changes(few, few.with_columns(pl.col("distance") * 100)) == []
    same = pl.DataFrame({"year": [2013] * N, "file": ["2013-01"] * N})
    later = changes(same, pl.DataFrame({"year": [2014] * N, "file": ["2013-02"] * N}))
    assert [one.impact for one in later] == ["additive"]  # a level that names its snapshot


def test_values_of_personal_columns_are_in_no_message_and_no_shape() -> None:
    before = pl.DataFrame({"first_name": ["Ada", "Bob", "Cleo", "Dan"] * 100})
    now = pl.DataFrame({"first_name": ["Eve", "Fay", "Gus", "Hal"] * 100})
    assert shape(before).columns[0].levels == ()
    assert changes(before, now) == []


def test_only_files_that_came_are_compared_when_the_others_stayed() -> None:
    assert new_parts([("a", 3), ("b", 4)], [("a", 3)]) == ("b",)
    assert new_parts([("a", 2), ("b", 4)], [("a", 3)]) is None
    assert new_parts([("a", 3)], [("a", 3)]) is None
    assert new_parts([], []) is None


def test_a_power_of_ten_is_found_in_a_column_that_drifts_and_drift_alone_is_not_told() -> None:
    drawn = np.random.default_rng(5)
    may, june = drawn.normal(12.0, 40.0, 4_000), drawn.normal(21.0, 55.0, 4_000)
    levels = np.linspace(0.01, 0.99, 99)
    before, now = np.quantile(may, levels), np.quantile(june, levels)
    assert best_conversions(before, now, 4_000, 4_000) == []
    for times in (100.0, 0.01):
        (found,) = best_conversions(before, now * times, 4_000, 4_000)
        assert (found[0].kind, found[0].times, found[0].units) == ("scale", times, None)
