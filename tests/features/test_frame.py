"""The frame: which rows it holds, in which order, which are held out, and that its bytes repeat."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.features.small import (
    DAY,
    EVERY_KIND,
    FLIGHTS,
    HOUR,
    MINUTE,
    PLANES,
    T0,
    TYPES,
    WEATHER,
    FolderContext,
    flights_definition,
    table,
    with_features,
    with_project,
)

from headrace.definition.model import Definition, Split
from headrace.features.build import build_program
from headrace.features.errors import (
    CannotSplit,
    FeatureErrors,
    LabelKnownTooEarly,
    LabelUnfit,
    NoLabelledRows,
    NullTime,
    OneClass,
)
from headrace.features.frame import assemble
from headrace.features.history import History
from headrace.features.model import Frame
from headrace.features.profile import profile_frame
from headrace.features.program import RequestFiller, RowProgram

Rows = list[dict[str, Any]]
NO_CARRIER = ("origin", "tail", "distance", "due")


def some_flights(count: int = 400, seed: int = 1) -> Rows:
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        due, late = T0 + draw.randrange(3 * 1440) * MINUTE, draw.gauss(5, 20)
        rows.append(
            {
                "carrier": draw.choice(["AA", "UA", "UA"]),
                "origin": draw.choice(["JFK", "LGA", None]),
                "tail": f"N{draw.randrange(30)}",
                "distance": draw.random() * 2000,
                "due": due,
                "left": due + int(late * MINUTE) if draw.random() < 0.9 else None,
                "landed": due + 2 * HOUR + int(late * MINUTE),
                "dep_delay": late,
                "arr_delay": late + draw.gauss(0, 30) if draw.random() < 0.9 else None,
            }
        )
    return rows


def world(root: Path, flights: Rows) -> tuple[FolderContext, dict[str, Any], dict[str, pl.LazyFrame]]:
    ctx = FolderContext(root)
    draw = random.Random(2)
    weather = [
        {"place": place, "hour": T0 + hour * HOUR, "temp": draw.gauss(0, 5), "sky": draw.choice(["clear", None])}
        for place in ("JFK", "LGA")
        for hour in range(60)
        if draw.random() < 0.8
    ]
    planes = [{"tail": f"N{number}", "built": 1990 + number} for number in range(20)]
    data = {"flights": (FLIGHTS, flights), "weather": (WEATHER, weather), "planes": (PLANES, planes)}
    tables = {name: ctx.table(name, types, table(types, rows)) for name, (types, rows) in data.items()}
    scans = {name: pl.scan_parquet(ctx.scan(held.ref)[0]) for name, held in tables.items()}
    return ctx, tables, scans


def gather(
    root: Path, flights: Rows | None = None, definition: Definition | None = None, **changes: Any
) -> tuple[Frame, pl.DataFrame]:
    definition = msgspec.structs.replace(definition or flights_definition(), **changes)
    ctx, tables, _ = world(root, some_flights() if flights is None else flights)
    frame = assemble(build_program(definition, TYPES), definition, tables, ctx)
    assert ctx.rows_out == frame.rows
    return frame, pl.read_parquet(ctx.scan(frame.ref)[0])


def test_the_frame_holds_the_labelled_rows_in_order_of_time(tmp_path: Path) -> None:
    flights = some_flights()
    frame, rows = gather(tmp_path, flights)
    labelled = [number for number, flight in enumerate(flights) if flight["arr_delay"] is not None]
    assert sorted(rows["_row"].to_list()) == labelled
    assert rows["due"].is_sorted()
    assert (frame.rows, frame.unlabelled) == (len(labelled), len(flights) - len(labelled))
    assert rows["_label"].to_list() == [flights[number]["arr_delay"] > 30 for number in rows["_row"]]
    assert rows["_label_known"].to_physical().to_list() == [flights[number]["landed"] for number in rows["_row"]]
    assert rows.columns[:5] == ["_row", "tail", "due", "_label", "_label_known"]
    assert rows.columns[5:] == [field.name for field in frame.program.outputs]
    assert (frame.task, frame.classes) == ("binary", ("false", "true"))


def test_the_frame_and_the_row_form_say_the_same_of_every_row(tmp_path: Path) -> None:
    flights = some_flights()
    definition = flights_definition()
    windows = (*definition.features.windows, *EVERY_KIND)
    definition = with_features(definition, windows=windows)
    ctx, tables, scans = world(tmp_path, flights)
    frame = assemble(build_program(definition, TYPES), definition, tables, ctx)
    rows = pl.read_parquet(ctx.scan(frame.ref)[0])
    alone = RowProgram(frame.program, History(frame.program, scans))
    names = [field.name for field in frame.program.request]
    wanted = rows.select(field.name for field in frame.program.outputs).rows()
    assert [alone.outputs([flights[number][name] for name in names]) for number in rows["_row"]] == wanted
    assert len({row[7] for row in wanted}) > 50  # the windows do hold something


def test_the_bytes_of_a_frame_repeat(tmp_path: Path) -> None:
    first, _ = gather(tmp_path / "a")
    again, _ = gather(tmp_path / "b")
    assert first == again


def test_a_holdout_in_time_never_parts_equal_times(tmp_path: Path) -> None:
    flights = some_flights(200)
    for flight in flights:
        flight["due"] = flight["due"] // DAY * DAY
        flight["landed"] = flight["due"] + 3 * DAY
    frame, rows = gather(tmp_path, flights)
    held = rows.tail(frame.holdout_rows)
    assert 0 < frame.holdout_rows < frame.rows
    assert rows.head(frame.rows - frame.holdout_rows)["due"].max() < held["due"].min()  # type: ignore[operator]
    assert "_holdout" not in rows.columns


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
def test_a_drawn_holdout_has_its_share_and_depends_on_the_key_and_the_seed_only(tmp_path: Path, by: Any) -> None:
    split = Split(by=by, holdout=0.25, seed=3, group="carrier" if by == "group" else None)
    flights = some_flights()
    for flight in flights:
        flight["carrier"] = f"C{int(flight['tail'][1:]) % 11}"
    frame, rows = gather(tmp_path / "a", flights, split=split)
    _, backwards = gather(tmp_path / "b", flights[::-1], split=split)
    _, reseeded = gather(tmp_path / "c", flights, split=msgspec.structs.replace(split, seed=4))
    assert rows["_holdout"].sum() == frame.holdout_rows
    assert 0.15 < frame.holdout_rows / frame.rows < 0.4
    by_key = rows.sort("tail", "due", "_label", "distance")["_holdout"].to_list()
    assert backwards.sort("tail", "due", "_label", "distance")["_holdout"].to_list() == by_key
    assert reseeded.sort("tail", "due", "_label", "distance")["_holdout"].to_list() != by_key
    if by == "group":
        parted = rows.group_by("carrier").agg(pl.col("_holdout").n_unique(), pl.col("_group").n_unique())
        assert parted["_holdout"].to_list() == parted["_group"].to_list() == [1] * parted.height
    if by == "stratified":
        shares = rows.group_by("_label").agg(pl.col("_holdout").mean())["_holdout"].to_list()
        assert all(abs(share - 0.25) < 0.02 for share in shares)


@pytest.mark.parametrize(
    ("levels", "positive", "task", "classes", "found"),
    [
        (["no", "yes", "no"], None, None, ("no", "yes"), "binary"),
        (["no", "yes", "yes"], None, None, ("yes", "no"), "binary"),
        (["no", "yes", "yes"], "yes", None, ("no", "yes"), "binary"),
        (["c", "a", "b"], None, None, ("a", "b", "c"), "multiclass"),
        (["b", "a"], None, "multiclass", ("a", "b"), "multiclass"),
    ],
)
def test_text_labels_become_classes(
    tmp_path: Path, levels: list[str], positive: str | None, task: Any, classes: tuple[str, ...], found: str
) -> None:
    flights = some_flights(90)
    for place, flight in enumerate(flights):
        flight["carrier"] = levels[place % len(levels)]
    definition = with_project(
        flights_definition(),
        label="carrier",
        positive=positive,
        task=task,
        request=("origin", "tail", "distance", "due"),
    )
    frame, rows = gather(tmp_path, flights, definition)
    assert (frame.task, frame.classes) == (found, classes)
    codes = [classes.index(flights[number]["carrier"]) for number in rows["_row"]]
    assert rows["_label"].cast(pl.Int32).to_list() == codes
    assert rows["_label_known"].null_count() == rows.height


def test_a_float_label_is_a_value_and_infinities_are_not_labelled(tmp_path: Path) -> None:
    flights = some_flights(50)
    flights[0]["arr_delay"] = float("inf")
    frame, rows = gather(tmp_path, flights, with_project(flights_definition(), label="arr_delay"))
    assert (frame.task, frame.classes) == ("regression", ())
    assert rows.schema["_label"] == pl.Float64
    assert 0 not in rows["_row"].to_list()


def test_labels_known_before_their_prediction_are_counted_and_left_out(tmp_path: Path) -> None:
    flights = some_flights(100)
    for flight in flights[:10]:
        flight["arr_delay"], flight["landed"] = 1.0, flight["due"]
    frame, rows = gather(tmp_path, flights)
    assert frame.label_too_early == 10
    assert not set(range(10)) & set(rows["_row"].to_list())


def test_a_label_that_never_becomes_known_is_unlabelled(tmp_path: Path) -> None:
    flights = some_flights(100)
    flights[3]["arr_delay"], flights[3]["landed"] = 50.0, None
    frame, rows = gather(tmp_path, flights)
    assert 3 not in rows["_row"].to_list()
    assert frame.unlabelled == 1 + sum(flight["arr_delay"] is None for flight in flights)


def changed(**values: Any) -> Rows:
    return [flight | values for flight in some_flights(60)]


def test_what_cannot_be_a_frame_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NoLabelledRows, match="no row of 60"):
        gather(tmp_path / "null", changed(arr_delay=None))
    with pytest.raises(NoLabelledRows, match="no row of 0"):
        gather(tmp_path / "empty", [])
    with pytest.raises(OneClass, match=r"every one of 60 labels \('arr_delay > 30'\) is false"):
        gather(tmp_path / "one", changed(arr_delay=1.0))
    with pytest.raises(LabelKnownTooEarly, match="60 of 60 labels"):
        gather(tmp_path / "early", [flight | {"landed": flight["due"]} for flight in changed(arr_delay=1.0)])
    with pytest.raises(NullTime, match=r"null in 1 of 61 rows \(first: row 61\)"):
        gather(tmp_path / "time", [*some_flights(60), changed()[0] | {"due": None}])
    with pytest.raises(CannotSplit, match="same prediction time"):
        gather(tmp_path / "tied", [flight | {"due": T0, "landed": T0 + DAY} for flight in some_flights(60)])
    with pytest.raises(LabelUnfit, match="30 levels"):
        many = [flight | {"carrier": flight["tail"]} for flight in some_flights()]
        gather(tmp_path / "many", many, with_project(flights_definition(), label="carrier", request=NO_CARRIER))
    with pytest.raises(FeatureErrors, match="no label"):
        gather(tmp_path / "none", some_flights(10), with_project(flights_definition(), label=None))


def test_windows_keep_52_bits_of_the_largest_value(tmp_path: Path) -> None:
    frame, _ = gather(tmp_path, changed(dep_delay=1000.0))
    scales = [step.scale for step in frame.program.steps if hasattr(step, "scale")]
    assert scales == [42]  # 1000 < 2**10


def test_a_request_is_filled_from_raw_columns() -> None:
    from tests.features.test_build import houses

    definition, tables = houses(request=("area", "per_room"))
    filler = RequestFiller(build_program(definition, tables))
    assert filler.derivable == {"per_room"}
    assert filler.fill({"area": 90.0, "rooms": 3.0}) == (90.0, 30.0)
    assert filler.fill({"area": 90.0, "per_room": 1.0}) == (90.0, 1.0)
    assert filler.fill({"area": 90.0}) == (90.0, None)


def test_the_profile_counts_every_row_of_every_input(tmp_path: Path) -> None:
    frame, rows = gather(tmp_path)
    profile = json.loads(profile_frame(frame.program, rows))
    assert profile["rows"] == frame.rows
    assert [column["name"] for column in profile["columns"]] == [field.name for field in frame.program.outputs]
    for column in profile["columns"]:
        counted = column["other"] + sum(n for _, n in column["levels"]) if "levels" in column else sum(column["counts"])
        assert counted + column["nulls"] == frame.rows
        if column["kind"] == "numeric":
            assert column["edges"] == sorted(set(column["edges"]))
