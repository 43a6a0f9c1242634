"""The program of a definition: its order and types, and what is refused with the reason and the fix."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.features.small import (
    FLIGHTS,
    HOUR,
    MINUTE,
    TYPES,
    flights_definition,
    with_features,
    with_project,
    with_source,
)

from headrace.definition.model import ColumnRule, Definition, Encoding, Known, Lookup, Project, Source, Split, Window
from headrace.features.build import build_program, label_of
from headrace.features.errors import FeatureErrors
from headrace.features.model import ExpressionStep, LookupStep, WindowStep
from headrace.features.program import RowProgram
from headrace.features.windows import window_columns
from headrace.language.types import Type


def mistakes(definition: Definition, tables: dict[str, dict[str, Type]] = TYPES) -> str:
    with pytest.raises(FeatureErrors) as caught:
        build_program(definition, tables)
    return str(caught.value)


def with_expression(text: str, name: str = "x") -> Definition:
    return with_features(flights_definition(), expressions=((name, text),))


def houses(**project: Any) -> tuple[Definition, dict[str, dict[str, Type]]]:
    """One source and no time."""
    source = Source(
        name="houses",
        read=("houses.csv",),
        format="csv",
        derive=(("log_price", "ln(price)"), ("per_room", "area / rooms")),
        columns=(("sold_for", ColumnRule(known=Known(after="sold_at"))),),
    )
    columns = ("id", "area", "rooms", "price", "log_price", "per_room", "sold_for")
    types: dict[str, Type] = dict.fromkeys(columns, Type.FLOAT)
    types |= {"id": Type.INTEGER, "sold_at": Type.TIMESTAMP}
    parts: dict[str, Any] = {"name": "h", "source": "houses", "key": ("id",), "label": "price"}
    return Definition(format=1, project=Project(**(parts | project)), sources=(source,)), {"houses": types}


def test_a_program_holds_lookups_and_windows_before_the_expressions_that_use_them() -> None:
    program = build_program(flights_definition(), TYPES)
    assert [step.name for step in program.steps] == ["weather", "plane", "delay", "late_here", "far", "cold"]
    weather, plane, delay, late = program.steps[:4]
    assert isinstance(weather, LookupStep)
    assert weather.known_after == (("hour", 10 * MINUTE),)
    assert weather.take == (("temp", Type.FLOAT), ("sky", Type.STRING))
    assert isinstance(plane, LookupStep)
    assert (plane.event_time, plane.known_after) == (None, ())
    assert isinstance(delay, WindowStep)
    assert delay.known_after == (("left", 0),)
    assert delay.over == (("1h", HOUR, 5 * MINUTE), ("24h", 24 * HOUR, HOUR))
    assert isinstance(late, ExpressionStep)
    assert late.type is Type.BOOLEAN


def test_outputs_are_request_lookups_windows_expressions_without_what_is_dropped_and_without_instants() -> None:
    names = [field.name for field in build_program(flights_definition(), TYPES).outputs]
    assert names[:6] == ["carrier", "origin", "distance", "weather_temp", "weather_sky", "plane_built"]
    assert names[6:8] == ["delay_mean_1h", "delay_mean_24h"]
    assert names[-3:] == ["late_here", "far", "cold"]
    assert not {"tail", "due"} & set(names)


def test_expressions_may_be_written_in_any_order() -> None:
    definition = with_features(flights_definition(), expressions=(("b", "a + 1"), ("a", "distance * 2")))
    program = build_program(definition, TYPES)
    assert [step.name for step in program.steps][-2:] == ["a", "b"]
    assert [field.name for field in program.outputs][-2:] == ["b", "a"]


def test_a_lookup_may_be_keyed_by_an_expression() -> None:
    by_expression = Lookup(name="here", source="weather", key=(("place", "place"),), take=("temp",))
    definition = with_features(
        flights_definition(),
        expressions=(("place", "upper(origin)"), ("chill", "here_temp - 1")),
        lookups=(by_expression,),
    )
    assert [step.name for step in build_program(definition, TYPES).steps] == ["delay", "place", "here", "chill"]


def test_a_column_known_later_is_refused_in_an_expression_with_the_reason_and_the_fix() -> None:
    message = mistakes(with_expression("dep_delay > 5"))
    assert (
        "features.expressions.x: 'dep_delay' is known only after 'left', but a prediction is asked for at 'due'"
        in message
    )
    assert 'a window with source = "flights" and value = "dep_delay"' in message


def test_a_column_outside_the_request_is_refused() -> None:
    types = {**TYPES, "flights": {**FLIGHTS, "gate": Type.STRING}}
    assert "'gate' is a column of source 'flights', but no request carries it" in mistakes(
        with_expression("gate = 'B'"), types
    )


def test_a_near_miss_is_guessed() -> None:
    assert "did you mean 'distance'?" in mistakes(with_expression("distanse * 2"))


def test_a_column_derived_from_one_known_later_is_known_later_too() -> None:
    definition = with_source(flights_definition(), "flights", derive=(("late", "dep_delay > 5"),))
    definition = with_project(definition, request=(*definition.project.request, "late"))
    types = {**TYPES, "flights": {**FLIGHTS, "late": Type.BOOLEAN}}
    assert "a request cannot carry 'late': it is known only after 'left'" in mistakes(definition, types)


def test_what_a_window_sums_is_known_when_all_that_it_is_derived_from_is() -> None:
    definition = with_source(flights_definition(), "flights", derive=(("gained", "dep_delay - arr_delay"),))
    window = Window(
        name="gain",
        source="flights",
        key=(("origin", "origin"),),
        value="gained",
        over_us=(HOUR,),
        over_text=("1h",),
        take=("mean",),
    )
    types = {**TYPES, "flights": {**FLIGHTS, "gained": Type.FLOAT}}
    program = build_program(with_features(definition, windows=(window,), expressions=()), types)
    assert program.steps[-1].known_after == (("landed", 0), ("left", 0))  # type: ignore[union-attr]


def delays(**parts: Any) -> Window:
    """A window over departure delays at an airport."""
    plain: dict[str, Any] = {"value": "dep_delay", "over_us": (HOUR,), "over_text": ("1h",), "take": ("mean",)}
    return Window(name="w", source="flights", key=(("origin", "origin"),), **(plain | parts))


def with_window(window: Window) -> Definition:
    return with_features(flights_definition(), windows=(window,), expressions=())


def test_a_window_waits_until_the_columns_of_its_condition_are_known() -> None:
    step = build_program(with_window(delays(where="arr_delay > 0")), TYPES).steps[-1]
    assert isinstance(step, WindowStep)
    assert step.known_after == (("landed", 0), ("left", 0))
    assert window_columns(step) == ("dep_delay", "arr_delay")


def test_a_window_without_a_value_counts_rows() -> None:
    step = build_program(with_window(delays(value=None, where="dep_delay > 0", take=("rate",))), TYPES).steps[-1]
    assert isinstance(step, WindowStep)
    assert (step.value, step.known_after) == (None, (("left", 0),))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dep_delay + 1", "features.windows.w.where: 'dep_delay + 1' is a float, expected a condition"),
        ("dep_dely > 1", "did you mean"),
        ("upper(dep_delay) = 'X'", "features.windows.w.where: "),
    ],
)
def test_a_condition_that_is_none_is_refused(where: str, message: str) -> None:
    assert message in mistakes(with_window(delays(where=where)))


def test_columns_that_divide_the_rows_are_those_of_the_source() -> None:
    definition, tables = houses()
    for split, place in (
        (Split(by="group", group="rom"), "split.group: source 'houses' has no column 'rom'"),
        (Split(by="time", time="sold_att"), "split.time: source 'houses' has no column 'sold_att'"),
    ):
        message = mistakes(msgspec.structs.replace(definition, split=split), tables)
        assert place in message
        assert "did you mean" in message


def test_the_last_of_equals_is_told_by_event_time() -> None:
    step = build_program(with_window(delays(take=("last",))), TYPES).steps[-1]
    assert isinstance(step, WindowStep)
    assert (step.event_time, window_columns(step)) == ("due", ("dep_delay", "due"))


def test_an_event_time_that_is_no_instant_orders_nothing() -> None:
    types = {**TYPES, "flights": {**FLIGHTS, "planned": Type.STRING}}
    definition = with_source(with_window(delays(take=("last",))), "flights", event_time="planned")
    assert "sources.flights.event_time: 'planned' of source 'flights' is a string" in mistakes(definition, types)


def test_a_lookup_of_rows_that_nothing_says_when_they_are_known_is_refused() -> None:
    message = mistakes(with_source(flights_definition(), "weather", known=None))
    assert "features.lookups.weather: nothing says when rows of source 'weather' become known" in message
    assert 'known = { after = "hour", delay = "…" }' in message


def test_a_changing_source_needs_a_prediction_time() -> None:
    assert "the project has no prediction time" in mistakes(with_project(flights_definition(), time=None))


def test_a_static_table_takes_no_max_age_and_no_known() -> None:
    definition = flights_definition()
    plane = msgspec.structs.replace(definition.features.lookups[1], max_age_us=HOUR)
    assert "max_age needs an event_time" in mistakes(with_features(definition, lookups=(plane,), expressions=()))
    known = with_source(definition, "planes", known=Known(after="built"))
    assert "says when it is known but has no event_time" in mistakes(known)


def test_keys_of_different_types_are_refused_and_text_matches_category() -> None:
    text = {**TYPES, "weather": {**TYPES["weather"], "place": Type.CATEGORY}}
    build_program(flights_definition(), text)
    whole = {**TYPES, "weather": {**TYPES["weather"], "place": Type.INTEGER}}
    assert "compares 'origin', a string, with 'place' of source 'weather', a integer" in mistakes(
        flights_definition(), whole
    )


def test_the_mean_of_a_text_is_refused() -> None:
    types = {**TYPES, "flights": {**FLIGHTS, "dep_delay": Type.STRING}}
    message = mistakes(with_features(flights_definition(), expressions=()), types)
    assert "mean of 'dep_delay': no mean of a string" in message
    assert "count of" not in message


def test_circles_and_clashes_are_named() -> None:
    circle = with_features(flights_definition(), expressions=(("a", "b + 1"), ("b", "a + 1")))
    assert "needs itself: features.expressions.a → features.expressions.b → features.expressions.a" in mistakes(circle)
    assert "the name 'distance' is taken by project.request" in mistakes(with_expression("1 + 1", name="distance"))
    assert "the name '_label' is taken by the frame" in mistakes(with_expression("1 + 1", name="_label"))


def test_all_mistakes_come_at_once_and_what_follows_from_one_is_not_repeated() -> None:
    definition = with_features(
        flights_definition(),
        expressions=(("a", "dep_delay"), ("b", "a + 1"), ("c", "upper(distance)"), ("d", "1 +")),
        drop=("nothing",),
    )
    definition = with_project(definition, request=(*definition.project.request, "arr_delay", "gone"))
    with pytest.raises(FeatureErrors) as caught:
        build_program(definition, TYPES)
    places = [error.place for error in caught.value.errors]
    assert sorted(places) == [
        "features.drop",
        "features.expressions.a",
        "features.expressions.c",
        "features.expressions.d",
        "project.request",
        "project.request",
    ]


def test_request_defaults_to_every_column_but_the_key_and_what_tells_the_label() -> None:
    definition, tables = houses()
    names = [field.name for field in build_program(definition, tables).request]
    assert names == ["area", "rooms", "per_room", "sold_at"]


def test_a_label_that_the_request_already_tells_is_refused() -> None:
    definition, tables = houses(request=("area", "price"))
    assert "can be computed from the request alone" in mistakes(definition, tables)
    definition, tables = houses(label="log_price", request=("area", "price"))
    assert "can be computed from the request alone" in mistakes(definition, tables)


def test_request_columns_are_derived_from_raw_ones_but_not_from_joined_ones() -> None:
    definition, tables = houses(request=("area", "per_room"))
    program = build_program(definition, tables)
    assert [step.name for step in program.derive] == ["per_room"]
    assert [field.name for field in program.raw] == ["area", "rooms"]


def test_a_program_survives_being_saved() -> None:
    program = build_program(flights_definition(), TYPES)
    assert msgspec.json.decode(msgspec.json.encode(program), type=type(program)) == program


@pytest.mark.parametrize(
    ("label", "task", "found"),
    [
        ("arr_delay > 30", None, "binary"),
        ("arr_delay", None, "regression"),
        ("carrier", None, None),
        ("carrier", "multiclass", "multiclass"),
    ],
)
def test_the_label_says_the_task(label: str, task: str | None, found: str | None) -> None:
    label_ = label_of(with_project(flights_definition(), label=label, task=task), FLIGHTS)
    assert label_.task == found


def test_the_label_is_known_when_its_columns_are() -> None:
    label = label_of(with_project(flights_definition(), label="arr_delay - dep_delay > 0"), FLIGHTS)
    assert label.known_after == (("landed", 0), ("left", 0))


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ({"label": None}, "no label is named"),
        ({"label": "arr_dely > 30"}, "arr_delay"),
        ({"label": "arr_delay", "task": "binary"}, "which is no binary label"),
        ({"label": "due"}, "is a timestamp, expected a boolean, a text or a number"),
    ],
)
def test_a_label_that_cannot_be_is_refused(project: dict[str, Any], message: str) -> None:
    with pytest.raises(FeatureErrors, match=message):
        label_of(with_project(flights_definition(), **project), FLIGHTS)


def encoded(*encodings: Encoding, **features: Any) -> Definition:
    return with_features(flights_definition(), encodings=encodings, **features)


def test_circles_of_an_instant_are_expressions_in_its_zone() -> None:
    program = build_program(encoded(Encoding(name="due", kinds=("cyclic",), zone="America/New_York")), TYPES)
    circles = [field.name for field in program.outputs if field.name.startswith("due_")]
    assert circles == [
        *("due_hour_sin", "due_hour_cos", "due_weekday_sin", "due_weekday_cos", "due_yearday_sin", "due_yearday_cos")
    ]
    alone = RowProgram(msgspec.structs.replace(program, steps=program.steps[-6:], outputs=program.outputs[-6:]), None)
    noon_on_a_monday = 1_704_128_400_000_000  # 2024-01-01T12:00 in New York
    found = alone.outputs([None, None, None, None, noon_on_a_monday])
    assert found == pytest.approx([0.0, -1.0, 0.0, 1.0, 0.0, 1.0], abs=1e-12)


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (Encoding(name="tial", kinds=("target",)), "features.encodings.tial: there is no request column or feature"),
        (Encoding(name="tail", kinds=("target",)), "features.encodings.tail: 'tail' is dropped"),
        (Encoding(name="distance", kinds=("target",)), "a float: expected a text, a category or a whole number"),
        (Encoding(name="carrier", kinds=("number",)), "a category: expected a number or a boolean"),
        (Encoding(name="due", kinds=("frequency",)), "a timestamp: expected a text"),
        (Encoding(name="due", min_rows=2), "'due' is a timestamp, which is no input as it is"),
        (Encoding(name="distance", kinds=("hashed",)), "a float: expected a text or a category"),
        (Encoding(name="origin", kinds=("cyclic",)), "a string: expected a timestamp or a date"),
        (Encoding(name="carrier", group="origin", take=("mean",)), "a group compares numbers"),
        (Encoding(name="distance", group="far", take=("mean",)), "the group 'far' is a boolean"),
        (Encoding(name="distance", group="tail", take=("mean",)), "'tail' is dropped"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(encoding: Encoding, message: str) -> None:
    assert message in mistakes(encoded(encoding))


def test_an_input_that_an_encoding_makes_needs_a_name_of_its_own() -> None:
    definition = encoded(
        Encoding(name="carrier", kinds=("frequency",)), expressions=(("carrier_frequency", "distance + 1"),)
    )
    assert "the name 'carrier_frequency' is taken by a request column or feature" in mistakes(definition)
