"""Twenty-odd ways in which the future, or the answer itself, gets into features. Each is planted here.

A leak is *refused* when the definition is read against the data, with the reason, or *neutralised*: the features are
what they would be without it. Where it is neutralised, the same plant is shown to be seen by a row that may see it, so
that no test passes because nothing was planted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.features.small import (
    DAY,
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
    with_source,
)
from tests.features.test_frame import some_flights

from headrace.definition.model import ColumnRule, Definition, Encoding, Known, Lookup, Split, Window
from headrace.features.build import build_program
from headrace.features.columns import FeatureColumns
from headrace.features.encoder import encode_columns, encode_training
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.errors import BeforeWatermark, FeatureErrors, LabelKnownTooEarly
from headrace.features.frame import assemble
from headrace.features.history import History
from headrace.features.materialize import materialize
from headrace.features.model import Frame, Program, WindowStep
from headrace.features.online import OnlineHistory
from headrace.features.program import RowProgram
from headrace.language.types import Type
from headrace.testing.memory_online import MemoryOnlineStore
from headrace.training.data import TrainingData, divide
from headrace.training.lessons import labels_of
from headrace.training.splits import make_folds

Rows = list[dict[str, Any]]
DELAYS = Window(
    name="delay",
    source="flights",
    key=(("origin", "origin"),),
    value="dep_delay",
    over_us=(24 * HOUR,),
    over_text=("24h",),
    take=("sum", "count"),
)
NEWEST = Lookup(name="newest", source="flights", key=(("origin", "origin"),), take=("dep_delay",))
PLANTED = 1_000_000.0


def expression(text: str) -> Definition:
    return with_features(flights_definition(), expressions=(("x", text),), lookups=(), windows=())


def request_with(*names: str) -> Definition:
    definition = expression("distance")
    return with_project(definition, request=(*definition.project.request, *names))


# --- refused --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Definition], str]] = {
    "the label's own column": (lambda: expression("arr_delay + 1"), "'arr_delay' is known only after"),
    "a column that is known later": (lambda: expression("dep_delay > 5"), "'dep_delay' is known only after"),
    "a column that is derived from one known later": (
        lambda: with_source(expression("gained"), "flights", derive=(("gained", "dep_delay - 1"),)),
        "'gained' is known only after",
    ),
    "a request that carries what is known later": (lambda: request_with("dep_delay"), "dep_delay"),
    "a request that carries when it ended": (lambda: request_with("landed"), "landed"),
    "a label that the request tells": (
        lambda: with_project(expression("distance"), label="distance > 1000"),
        "can be computed from the request alone",
    ),
    "a column that no request carries": (
        lambda: with_project(expression("distance"), request=("carrier", "due")),
        "no request carries it",
    ),
    "a lookup of rows of which nobody says when they are known": (
        lambda: with_source(flights_definition(), "weather", known=None),
        "nothing says when rows of source 'weather' become known",
    ),
    "a window over values of which nobody says when they are known": (
        lambda: with_features(
            flights_definition(), windows=(msgspec.structs.replace(DELAYS, value="distance"),), expressions=()
        ),
        "nothing says when rows of source 'flights' become known",
    ),
    "a table that changes, taken for a static one": (
        lambda: with_source(flights_definition(), "weather", event_time=None),
        "has no event_time",
    ),
    "features as of a time where predictions have none": (
        lambda: msgspec.structs.replace(with_project(flights_definition(), time=None), split=Split(by="random")),
        "the project has no prediction time",
    ),
}


@pytest.mark.parametrize("leak", REFUSED)
def test_it_is_refused_with_the_reason(leak: str) -> None:
    make, reason = REFUSED[leak]
    definition = make()
    types = {**TYPES, "flights": {**FLIGHTS, "gained": Type.FLOAT}}
    with pytest.raises(FeatureErrors) as caught:
        build_program(definition, types)
    assert reason in str(caught.value)


def test_labels_that_were_known_before_they_are_asked_for_are_refused(tmp_path: Path) -> None:
    flights = [{**flight, "landed": flight["due"] - HOUR} for flight in some_flights()]
    with pytest.raises(LabelKnownTooEarly, match="there is nothing to predict"):
        gathered(tmp_path, flights)


# --- neutralised in history -----------------------------------------------------------------------------------------


def gathered(root: Path, flights: Rows, definition: Definition | None = None, **tables: Rows) -> pl.DataFrame:
    """The frame of these flights, by `_row`."""
    return whole_frame(root, flights, definition, **tables)[1].sort("_row")


def whole_frame(
    root: Path, flights: Rows, definition: Definition | None = None, weather: Rows | None = None
) -> tuple[Frame, pl.DataFrame]:
    definition = definition or with_features(
        flights_definition(), windows=(DELAYS,), lookups=(NEWEST,), expressions=(), drop=("tail",)
    )
    root.mkdir(exist_ok=True)
    ctx = FolderContext(root)
    hours: Rows = [{"place": p, "hour": T0 + n * HOUR, "temp": float(n)} for p in ("JFK", "LGA") for n in range(72)]
    data = {
        "flights": (FLIGHTS, flights),
        "weather": (WEATHER, hours if weather is None else weather),
        "planes": (PLANES, [{"tail": f"N{n}", "built": 1990 + n} for n in range(30)]),
    }
    held = {name: ctx.table(name, types, table(types, rows)) for name, (types, rows) in data.items()}
    frame = assemble(build_program(definition, TYPES), definition, held, ctx)
    return frame, pl.read_parquet(ctx.scan(frame.ref)[0])


def regular(count: int = 120) -> Rows:
    """A flight every ten minutes from one airport; each leaves five minutes late."""
    return [
        {
            "carrier": "UA",
            "origin": "JFK",
            "tail": f"N{n % 30}",
            "distance": float(n),
            "due": T0 + n * 10 * MINUTE,
            "left": T0 + n * 10 * MINUTE + 5 * MINUTE,
            "landed": T0 + n * 10 * MINUTE + 3 * HOUR,
            "dep_delay": 5.0,
            "arr_delay": 60.0 if n % 3 else 0.0,
        }
        for n in range(count)
    ]


def features_of(frame: pl.DataFrame, rows: slice) -> list[tuple[Any, ...]]:
    return frame.select("delay_sum_24h", "delay_count_24h", "newest_dep_delay").rows()[rows]


AT = 60
"""The flight in whose future, or in which, something is planted."""


def own_row(flight: dict[str, Any]) -> dict[str, Any]:
    """Known at the very moment of its own prediction."""
    return {**flight, "dep_delay": PLANTED, "left": flight["due"]}


def later_row(flight: dict[str, Any]) -> dict[str, Any]:
    return {**flight, "dep_delay": PLANTED}


def never_known(flight: dict[str, Any]) -> dict[str, Any]:
    return {**flight, "dep_delay": PLANTED, "left": None}


def backdated(flight: dict[str, Any]) -> dict[str, Any]:
    """Told of as if it had been due long ago, and known only now."""
    return {**flight, "due": flight["due"] - 6 * HOUR, "dep_delay": PLANTED}


@pytest.mark.parametrize("plant", [own_row, later_row, backdated], ids=lambda plant: plant.__name__)
def test_what_becomes_known_at_the_prediction_or_after_it_changes_no_feature_up_to_then(
    tmp_path: Path, plant: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    before = regular()
    extra = {**plant(before[AT]), "tail": "extra", "arr_delay": None}  # without a label: never itself an example
    clean, planted = gathered(tmp_path / "clean", before), gathered(tmp_path / "planted", [*before, extra])
    known = extra["left"]
    sees = [n for n, flight in enumerate(before) if flight["due"] > known]
    assert features_of(clean, slice(0, sees[0])) == features_of(planted, slice(0, sees[0]))
    assert planted["delay_sum_24h"][sees[0]] >= PLANTED > clean["delay_sum_24h"][sees[0]]


def test_a_row_that_never_became_known_is_seen_by_nobody(tmp_path: Path) -> None:
    before = regular()
    extra = {**never_known(before[AT]), "tail": "extra", "arr_delay": None}
    clean, planted = gathered(tmp_path / "clean", before), gathered(tmp_path / "planted", [*before, extra])
    assert features_of(clean, slice(None)) == features_of(planted, slice(None))


def test_a_correction_counts_from_when_it_was_made(tmp_path: Path) -> None:
    before = [{**flight, "tail": f"N{n}"} for n, flight in enumerate(regular())]
    correction = {**before[AT], "dep_delay": PLANTED, "left": before[AT]["left"] + 3 * HOUR, "arr_delay": None}
    planted = gathered(tmp_path, [*before, correction], with_newest_of(AT))
    told = planted["newest_dep_delay"].to_list()
    first = next(n for n, flight in enumerate(before) if flight["due"] > correction["left"])
    assert PLANTED not in told[:first]
    assert told[first] == PLANTED


def with_newest_of(number: int) -> Definition:
    """A lookup that always asks for the same aircraft, which here is one flight."""
    of_one = msgspec.structs.replace(NEWEST, key=(("which", "tail"),))
    return with_features(
        flights_definition(), windows=(), lookups=(of_one,), expressions=(("which", f"left('N{number}', 9)"),), drop=()
    )


def test_the_order_of_the_source_tells_nothing(tmp_path: Path) -> None:
    flights = regular()
    shuffled = flights.copy()
    random.Random(3).shuffle(shuffled)
    one = gathered(tmp_path / "one", flights).sort("due").drop("_row")
    other = gathered(tmp_path / "other", shuffled).sort("due").drop("_row")
    assert one.equals(other)


def test_a_backfilled_reference_table_is_not_seen_before_it_was_filled(tmp_path: Path) -> None:
    flights = regular()
    hours = [{"place": "JFK", "hour": T0 + n * HOUR, "temp": float(n)} for n in range(24)]
    definition = with_features(flights_definition(), windows=(), expressions=())
    late = with_source(definition, "weather", known=Known(after="hour", delay_us=10 * HOUR))
    soon = gathered(tmp_path / "soon", flights, definition, weather=hours)["weather_temp"].to_list()
    filled = gathered(tmp_path / "late", flights, late, weather=hours)["weather_temp"].to_list()
    assert set(filled) == {None}, "ten hours later it is older than max_age"
    assert [temp for temp in soon if temp is not None] == sorted(temp for temp in soon if temp is not None)
    for flight, temp in zip(flights, soon, strict=True):
        assert temp is None or T0 + temp * HOUR + 10 * MINUTE < flight["due"]


def test_a_forecast_of_the_future_is_seen_only_once_it_was_made(tmp_path: Path) -> None:
    flights = regular(20)
    forecast = [{"place": "JFK", "hour": T0 + 10 * HOUR, "temp": PLANTED}]
    definition = with_features(flights_definition(), windows=(), expressions=())
    frame = gathered(tmp_path, flights, definition, weather=forecast)
    assert set(frame["weather_temp"].to_list()) == {None}


def test_a_value_waits_for_the_key_that_it_is_found_by() -> None:
    columns = (
        ("dep_delay", ColumnRule(known=Known(after="left"))),
        ("origin", ColumnRule(known=Known(after="landed"))),
    )
    definition = with_source(flights_definition(), "flights", columns=columns)
    definition = with_features(definition, windows=(msgspec.structs.replace(DELAYS, key=(("carrier", "origin"),)),))
    definition = with_features(with_project(definition, request=("carrier", "due"), label="dep_delay > 5"), lookups=())
    [step] = build_program(with_features(definition, expressions=(), drop=()), TYPES).steps
    assert isinstance(step, WindowStep)
    assert {name for name, _ in step.known_after} == {"left", "landed"}


def test_a_value_waits_for_the_columns_of_its_condition() -> None:
    window = msgspec.structs.replace(DELAYS, where="arr_delay > 0")
    [step] = build_program(
        with_features(flights_definition(), windows=(window,), lookups=(), expressions=()), TYPES
    ).steps
    assert isinstance(step, WindowStep)
    assert {name for name, _ in step.known_after} == {"left", "landed"}


def test_a_clock_that_runs_ahead_sees_no_further() -> None:
    step = WindowStep(
        name="w",
        source="flights",
        key=(("origin", "origin"),),
        value="dep_delay",
        value_type=Type.FLOAT,
        known_after=(("left", 0),),
        over=(("24h", DAY, HOUR),),
        take=("count",),
    )
    program = a_program(step)
    history = History(program, {"flights": table(FLIGHTS, regular()).lazy()})
    rows, now = RowProgram(program, history), T0 + 10 * HOUR
    honest, ahead = rows.outputs(("JFK", now), now), rows.outputs(("JFK", now + 5 * HOUR), now)
    assert honest == ahead
    assert rows.outputs(("JFK", now + 5 * HOUR), now + 5 * HOUR) > ahead


def a_program(step: WindowStep) -> Program:
    field = [f for f in build_program(flights_definition(), TYPES).request if f.name in ("origin", "due")]
    outputs = FIELDS_OF(step)
    return Program(
        model="m", source="flights", time="due", key=(), request=tuple(field), steps=(step,), outputs=outputs
    )


def FIELDS_OF(step: WindowStep) -> Any:  # noqa: N802
    from headrace.features.naming import fields_of

    return fields_of(step)


def test_online_values_answer_no_row_of_before_their_watermark() -> None:
    program = build_program(
        with_features(flights_definition(), windows=(DELAYS,), lookups=(), expressions=(), drop=()), TYPES
    )
    store = MemoryOnlineStore()
    tables = {"flights": table(FLIGHTS, regular()).lazy()}
    materialize(program, tables, store, "p", now_us=T0 + 10 * DAY, until_us=T0 + 10 * HOUR)
    row = RowProgram(program, OnlineHistory(program, store, "p")).outputs
    with pytest.raises(BeforeWatermark):
        row(("UA", "JFK", "N1", 1.0, T0 + 5 * HOUR))
    [known_then] = FeatureColumns.of(program, tables).add(
        table({f.name: f.type for f in program.request}, [{"origin": "JFK", "due": T0 + 10 * HOUR}])
    )["delay_count_24h"]
    assert row(("UA", "JFK", "N1", 1.0, T0 + 10 * HOUR))[-1] == known_then


# --- neutralised in splits and in what is learnt --------------------------------------------------------------------


def divided(root: Path, flights: Rows, definition: Definition) -> TrainingData:
    frame, rows = whole_frame(root, flights, definition)
    return divide(frame, rows, definition.split)


def test_a_label_that_was_not_known_when_the_holdout_began_is_not_learnt_from(tmp_path: Path) -> None:
    definition = msgspec.structs.replace(flights_definition(), split=Split(by="time", holdout=0.25))
    data = divided(tmp_path, regular(), definition)
    assert data.train.label_known_us is not None
    assert data.holdout.time_us is not None
    assert data.purged == 18, "three hours of flights"
    assert data.train.label_known_us.max() < data.holdout.time_us.min()


def test_a_label_that_was_not_known_when_a_fold_began_is_not_learnt_from(tmp_path: Path) -> None:
    definition = msgspec.structs.replace(flights_definition(), split=Split(by="time", folds=3))
    train = divided(tmp_path, regular(), definition).train
    assert train.label_known_us is not None
    assert train.time_us is not None
    for fold in make_folds(train, definition.split):
        assert train.label_known_us[fold.train].max() < train.time_us[fold.validation].min()


def test_rows_of_one_instant_never_straddle_the_cut(tmp_path: Path) -> None:
    flights = [{**flight, "due": T0 + n // 7 * HOUR} for n, flight in enumerate(regular())]
    flights = [{**f, "left": f["due"] + MINUTE, "landed": f["due"] + 2 * MINUTE} for f in flights]
    data = divided(tmp_path, flights, flights_definition())
    assert data.train.time_us is not None
    assert data.holdout.time_us is not None
    assert data.train.time_us.max() < data.holdout.time_us.min()


@pytest.mark.parametrize("by", ["random", "stratified"])
def test_a_duplicate_never_stands_on_both_sides(tmp_path: Path, by: Any) -> None:
    twice = [flight for flight in some_flights(200) for _ in range(2)]
    split = Split(by=by, holdout=0.3, folds=4)
    definition = with_features(flights_definition(split=split), lookups=(), windows=(), expressions=(), drop=())
    data = divided(tmp_path, twice, definition)
    place = {tuple(row): n for n, row in enumerate(data.train.rows.select("tail", "distance").rows())}
    assert len(place) < len(data.train)
    assert not {tuple(row) for row in data.holdout.rows.select("tail", "distance").rows()} & place.keys()
    names = data.train.rows.select(pl.struct("tail", "distance").rank("dense")).to_series().to_numpy()
    folds = make_folds(data.train, split)
    assert len(folds) == 4
    for fold in folds:
        assert not set(names[fold.train]) & set(names[fold.validation])
    parts = labels_of(data.train, split).apart.number  # type: ignore[union-attr]
    assert all(len(set(parts[names == name])) == 1 for name in set(names)), "nor does a target encoding see its twin"


def test_rows_without_a_key_are_not_taken_for_one_entity(tmp_path: Path) -> None:
    flights = [  # of one plane and instant, and yet no copies: they fly to different places
        {**flight, "distance": flight["distance"] + 100.0 * copy, **({"tail": None} if n % 2 else {})}
        for n, flight in enumerate(some_flights(200))
        for copy in range(1 + n % 3)
    ]
    split = Split(by="random", folds=4)
    definition = with_features(flights_definition(split=split), lookups=(), windows=(), expressions=(), drop=())
    train = divided(tmp_path, flights, definition).train
    assert train.twins is not None
    without = train.rows["tail"].is_null().to_numpy()
    assert len(set(train.twins[without])) == without.sum()
    sizes = [len(fold.validation) for fold in make_folds(train, split)]
    assert max(sizes) < 2 * min(sizes)


def test_a_group_never_stands_on_both_sides(tmp_path: Path) -> None:
    split = Split(by="group", group="tail", holdout=0.3, folds=4)
    definition = with_features(flights_definition(split=split), lookups=(), windows=(), expressions=(), drop=())
    data = divided(tmp_path, some_flights(), definition)
    tails = data.train.rows["tail"].to_numpy()
    assert not set(tails) & set(data.holdout.rows["tail"])
    for fold in make_folds(data.train, split):
        assert not set(tails[fold.train]) & set(tails[fold.validation])


def test_levels_and_typical_values_are_learnt_of_training_rows_alone(tmp_path: Path) -> None:
    flights = [{**f, "carrier": "ZZ", "distance": PLANTED} if n >= 90 else f for n, f in enumerate(regular())]
    data = divided(tmp_path, flights, flights_definition())
    encoder = fit_encoder(data.train.outputs, data.train.rows)
    by_name = {column.name: column for column in encoder.columns}
    assert "ZZ" in set(data.holdout.rows["carrier"])
    assert "ZZ" not in getattr(by_name["carrier"].encoding, "levels", ())
    assert by_name["distance"].typical < 100


def test_a_target_encoding_of_a_key_tells_no_row_its_own_label(tmp_path: Path) -> None:
    draw = random.Random(5)
    flights = [
        {**flight, "tail": f"N{n // 2}", "distance": draw.random(), "arr_delay": 60.0 * draw.randrange(2)}
        for n, flight in enumerate(regular(3_000))
    ]
    split = Split(by="random", holdout=0.2)
    definition = with_features(flights_definition(split=split), lookups=(), windows=(), expressions=(), drop=())
    train = divided(tmp_path, flights, definition).train
    labels = labels_of(train, split)
    how = [Encoding(name="tail", kinds=("target",), smoothing=1.0)]
    encoder = fit_encoder(train.outputs, train.rows, how, labels)
    place = [column.name for column in encoder.columns].index("tail_target")
    naive, apart = encode_columns(encoder, train.rows)[:, place], encode_training(encoder, train.rows, labels)[:, place]
    assert abs(np.corrcoef(naive, train.y)[0, 1]) > 0.5, "made of its own rows it would tell"
    assert abs(np.corrcoef(apart, train.y)[0, 1]) < 0.1
