"""Nothing from the future: what features, lookups, windows and the request may use is judged when the file is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.known import column_waits_for, derived_from, waits_for
from headrace.definition.model import ColumnRule, Definition, Known, Source

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

BASE = """
format = 1
[project]
source = "flights"
key = ["flight"]
time = "sched"
label = "arr_delay > 30"
request = ["carrier", "origin", "dest", "distance", "sched"]
[sources.flights]
read = "flights.csv"
event_time = "sched"
rename = { old = "new" }
[sources.flights.columns]
dep_delay = { known = "dep_at" }
late_fee = { known = { after = "sched", delay = "10m" } }
air_time = {}
[sources.flights.derive]
slack = "dep_delay + 5"
arr_hours = "arr_delay / 60"
[sources.weather]
read = "weather.parquet"
event_time = "hour"
[sources.weather.columns]
seen = { known = "hour" }
[sources.planes]
read = "planes.ndjson"
"""
WINDOW = '[features.windows.w]\nsource = "flights"\nkey = ["origin"]\nvalue = "dep_delay"\nover = "1h"\ntake = "mean"\n'
LOOKUP = '[features.lookups.p]\nsource = "planes"\nkey = ["origin"]\ntake = ["built"]\n'


def test_the_base_has_no_mistake(mistakes: Mistakes) -> None:
    assert mistakes(BASE + WINDOW + LOOKUP) == ()


@pytest.mark.parametrize(
    "expression",
    ["distance + 1", "other + 1", "w_mean_1h * distance", "p_built", "other + w_mean_1h - p_built"],
)
def test_an_expression_may_use_request_features_lookups_and_windows(mistakes: Mistakes, expression: str) -> None:
    assert mistakes(f'{BASE}[features.expressions]\nf = "{expression}"\nother = "distance"\n{WINDOW}{LOOKUP}') == ()


@pytest.mark.parametrize(
    ("column", "code", "message", "fix"),
    [
        (
            "dep_delay",
            "not-known-in-time",
            "is known at `dep_at`, which is after the prediction time `sched`",
            "windows",
        ),
        ("late_fee", "not-known-in-time", "is known at `sched` plus 10m, which is after", "windows"),
        ("slack", "not-known-in-time", "`slack` is known at `dep_at`", "windows"),
        ("arr_delay", "leak", "`arr_delay` makes the label", "take it out"),
        ("arr_hours", "leak", "`arr_hours` is derived from the label's columns", "take it out"),
        ("air_time", "not-known-in-time", "neither in project.request nor has `known`", "add it to project.request"),
        ("whatever_else", "not-known-in-time", "never an input", "add it to project.request"),
        ("flight", "not-known-in-time", "never an input", "add it to project.request"),
        ("distnace", "unknown-name", "no such input", "did you mean `distance`?"),
        ("old", "unknown-name", "was renamed", "use `new`"),
    ],
)
def test_a_column_of_the_future_is_refused_with_the_reason(
    mistakes: Mistakes, column: str, code: str, message: str, fix: str
) -> None:
    [mistake] = mistakes(f'{BASE}[features.expressions]\nf = "distance + {column}"\ng = "f + 1"\n')

    assert (mistake.key, mistake.code) == ("features.expressions.f", code)
    assert message in mistake.message
    assert fix in mistake.fix
    assert mistake.column == len('f = "distance + ') + 1


@pytest.mark.parametrize("part", [WINDOW, LOOKUP])
def test_keys_of_lookups_and_windows_are_guarded_too(mistakes: Mistakes, part: str) -> None:
    [mistake] = mistakes(BASE + part.replace('key = ["origin"]', 'key = { dep_delay = "x" }'))

    assert mistake.code == "not-known-in-time"
    assert mistake.key.endswith(".key")


@pytest.mark.parametrize(
    ("column", "code", "message"),
    [
        ("arr_delay", "leak", "makes the label"),
        ("arr_hours", "leak", "is derived from `arr_delay`, which makes the label"),
        ("dep_delay", "not-known-in-time", "is known at `dep_at`"),
        ("slack", "not-known-in-time", "is known at `dep_at`"),
        ("late_fee", "not-known-in-time", "plus 10m"),
    ],
)
def test_a_request_cannot_carry_what_is_known_later(mistakes: Mistakes, column: str, code: str, message: str) -> None:
    [mistake] = mistakes(BASE.replace('"carrier"', f'"{column}"'))

    assert (mistake.key, mistake.code) == ("project.request[0]", code)
    assert message in mistake.message


def test_a_request_may_carry_what_is_known_at_the_prediction_time(mistakes: Mistakes) -> None:
    text = BASE.replace("air_time = {}", 'distance = { known = "sched" }')

    assert mistakes(text + WINDOW.replace("dep_delay", "distance")) == ()


def test_a_label_that_the_request_gives_away_is_a_leak(mistakes: Mistakes) -> None:
    text = BASE.replace("arr_delay > 30", "far").replace(
        "arr_hours = ", 'far = "half > 500"\nhalf = "distance / 2"\narr_hours = '
    )

    [mistake] = mistakes(text)

    assert (mistake.key, mistake.code) == ("project.label", "leak")
    assert "nothing to predict" in mistake.message


def test_a_label_may_compare_through_a_derived_column(mistakes: Mistakes) -> None:
    text = BASE.replace("arr_delay > 30", "longer").replace(
        "arr_hours = ", 'longer = "air_time > distance"\narr_hours = '
    )

    assert mistakes(text) == ()


def test_with_one_source_and_no_time_every_other_column_may_be_used(mistakes: Mistakes) -> None:
    text = (
        'format = 1\n[project]\nkey = ["id"]\nlabel = "y"\n[sources.rows]\nread = "rows.csv"\n'
        '[sources.rows.columns]\nlater = { known = "then" }\n[features.expressions]\n'
    )

    assert mistakes(text + 'f = "a + b"\n') == ()
    assert [m.code for m in mistakes(text + 'f = "a + y"\ng = "later"\nh = "id"\n')] == [
        "leak",
        "not-known-in-time",
        "not-known-in-time",
    ]


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ('value = "dep_delay"', 'value = "air_time"', "windows.w.value", "known = "),
        ('value = "dep_delay"', 'value = "old"', "windows.w.value", "use `new`"),
        ('source = "flights"', 'source = "flihgts"', "windows.w.source", 'did you mean "flights"?'),
        ('over = "1h"', 'over = "7m"', "windows.w.over", '"10m"'),
        ('over = "1h"', 'over = "0m"', "windows.w.over", '"5m"'),
        ('over = "1h"', 'over = ["1h", "750m"]', "windows.w.over[1]", '"13h"'),
        ('over = "1h"', 'over = ["1h", "300h"]', "windows.w.over[1]", '"13d"'),
        ('over = "1h"', 'over = ["1h", "60m"]', "windows.w.over[1]", "take one out"),
        ('over = "1h"', 'over = "an hour"', "windows.w.over", '"1h"'),
        ('take = "mean"', 'take = "avg"', "windows.w.take", 'did you mean "mean"?'),
        ('take = "mean"', 'take = "std"', "windows.w.take", 'did you mean "stddev"?'),
        ('value = "dep_delay"', "", "windows.w.value", "take only"),
        ('over = "1h"', "", "windows.w.over", 'over = ["1h", "24h"]'),
        ('over = "1h"', 'over = "1h"\nhalf_life = "1d"', "windows.w.half_life", "decayed_mean"),
        ('take = "mean"', 'take = ["mean", "decayed_mean"]', "windows.w.half_life", "half_life = ["),
        ('take = "mean"', 'take = "decayed_mean"\nhalf_life = "1d"', "windows.w.over", "take `over` out"),
        ('over = "1h"\ntake = "mean"', 'take = "decayed_sum"\nhalf_life = "7m"', "windows.w.half_life", '"10m"'),
        ("over =", 'where = "dest = "\nover =', "windows.w.where", "expression"),
        ("over =", 'where = "old > 1"\nover =', "windows.w.where", "use `new`"),
        ("over =", 'where = "1 > 0"\nover =', "windows.w.where", "take it out"),
        ('take = "mean"', 'take = ["mean", "mean"]', "windows.w.take[1]", "take one out"),
        ('key = ["origin"]', "key = []", "windows.w.key", "at least one"),
    ],
)
def test_a_wrong_window_is_named(mistakes: Mistakes, old: str, new: str, key: str, fix: str) -> None:
    [mistake] = mistakes(BASE + WINDOW.replace(old, new))

    assert mistake.key == f"features.{key}"
    assert fix in mistake.fix


def test_a_window_of_rows_that_become_known_needs_no_value(mistakes: Mistakes) -> None:
    counted = WINDOW.replace('value = "dep_delay"\n', "").replace('"mean"', '["count", "rate", "seconds_since"]')

    [mistake] = mistakes(BASE + counted)
    assert (mistake.key, mistake.code) == ("features.windows.w", "not-known-in-time")
    assert 'known = "…" in [sources.flights]' in mistake.fix
    assert mistakes(BASE + counted + 'where = "dep_delay > 0"\n') == ()
    assert mistakes(BASE.replace("rename =", 'known = "sched"\nrename =') + counted) == ()


def test_the_condition_of_a_window_may_use_what_is_known_later(mistakes: Mistakes) -> None:
    assert mistakes(BASE + WINDOW + "where = \"late_fee > 3 AND dest = 'JFK'\"\n") == ()


def test_what_decays_is_named_by_its_half_lives(read: Read) -> None:
    text = WINDOW.replace('take = "mean"', 'take = ["mean", "decayed_sum"]\nhalf_life = ["1h", "30d"]')
    [window] = read(BASE + text).features.windows
    assert window.names == ("w_mean_1h", "w_decayed_sum_1h", "w_decayed_sum_30d")
    alone = WINDOW.replace('over = "1h"\ntake = "mean"', 'take = "decayed_count"\nhalf_life = "1h"')
    [window] = read(BASE + alone).features.windows
    assert window.names == ("w_decayed_count_1h",)


@pytest.mark.parametrize("over", ["5m", "55m", "12h", "25h", "11d", "12d", "13d", "4w"])
def test_windows_of_whole_tiles_are_read(mistakes: Mistakes, over: str) -> None:
    assert mistakes(BASE + WINDOW.replace("1h", over)) == ()


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ('source = "planes"', 'source = "weather"', "lookups.p.take[0]", "known = "),
        ('take = ["built"]', 'take = ["built"]\nmax_age = "3h"', "lookups.p.max_age", "take `max_age` out"),
        ('source = "planes"', "", "lookups.p.source", "source ="),
        ('take = ["built"]', "take = 3", "lookups.p.take", ""),
    ],
)
def test_a_wrong_lookup_is_named(mistakes: Mistakes, old: str, new: str, key: str, fix: str) -> None:
    [mistake] = mistakes(BASE + LOOKUP.replace(old, new))

    assert mistake.key == f"features.{key}"
    assert fix in mistake.fix


def test_a_lookup_may_take_columns_that_are_known_by_themselves(mistakes: Mistakes) -> None:
    assert mistakes(BASE + LOOKUP.replace("planes", "weather").replace("built", "seen")) == ()


def test_a_static_source_has_no_newest_row_to_wait_for(mistakes: Mistakes) -> None:
    [mistake] = mistakes(BASE + LOOKUP + '[sources.planes.columns]\nbuilt = { known = "built_at" }\n')

    assert (mistake.key, mistake.code) == ("features.lookups.p.take[0]", "not-known-in-time")


def test_windows_and_lookups_in_time_need_a_prediction_time(mistakes: Mistakes) -> None:
    text = (
        BASE.replace('\ntime = "sched"\n', "\n") + WINDOW + LOOKUP.replace("planes", "weather").replace("built", "seen")
    )

    assert [(m.key, "project.time" in m.expected) for m in mistakes(text)] == [
        ("features.windows.w", True),
        ("features.lookups.p.source", True),
    ]


@pytest.mark.parametrize(
    ("text", "key", "circle"),
    [
        (
            '[features.expressions]\na = "b"\nb = "c"\nc = "a"\nd = "a"\n',
            "expressions.a",
            "expressions.a → expressions.b → ",
        ),
        ('[features.expressions]\na = "a"\n', "expressions.a", "expressions.a → expressions.a"),
        (
            '[features.expressions]\nk = "p_built"\n' + LOOKUP.replace('["origin"]', '{ k = "id" }'),
            "expressions.k",
            "expressions.k → lookups.p → expressions.k",
        ),
    ],
)
def test_features_made_from_themselves_are_refused(mistakes: Mistakes, text: str, key: str, circle: str) -> None:
    [mistake] = mistakes(BASE + text)

    assert (mistake.key, mistake.code) == (f"features.{key}", "circle")
    assert circle in mistake.found


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[features.expressions]\ndistance = "1"\n', "expressions.distance"),
        ('[features.expressions]\nflight = "distance"\n', "expressions.flight"),
        ('[features.expressions]\np_built = "distance"\n' + LOOKUP, "lookups.p"),
        (LOOKUP.replace("lookups.p", "lookups.w").replace("built", "mean_1h") + WINDOW, "windows.w"),
    ],
)
def test_two_features_of_one_name_are_refused(mistakes: Mistakes, text: str, key: str) -> None:
    [mistake] = mistakes(BASE + text)

    assert (mistake.key, mistake.code) == (f"features.{key}", "duplicate")


def test_only_inputs_can_be_dropped_and_one_must_stay(mistakes: Mistakes) -> None:
    drop = '[features]\ndrop = ["origin", "f", "distanc"]\n[features.expressions]\nf = "distance"\n'

    assert [(m.key, m.fix) for m in mistakes(BASE + drop)] == [("features.drop[2]", "did you mean `distance`?")]
    everything = '[features]\ndrop = ["carrier", "origin", "dest", "distance", "sched"]\n'
    assert [m.key for m in mistakes(BASE + everything)] == ["features.drop"]


JOIN = '[sources.flights.join.plane]\nsource = "planes"\nkey = { tail = "id" }\ntake = ["built"]\n'


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ('"planes"', '"plane"', "sources.flights.join.plane.source", 'did you mean "planes"?'),
        ('"planes"', '"flights"', "sources.flights.join.plane.source", "another source"),
        ('"planes"', '"weather"', "sources.flights.join.plane.source", "[features.lookups.…]"),
        ("tail =", "slack =", "sources.flights.join.plane.key", "derived from"),
        ("tail =", "old =", "sources.flights.join.plane.key", "use `new`"),
        ("take = [", "take = [3, ", "sources.flights.join.plane.take[0]", ""),
    ],
)
def test_a_wrong_join_is_named(mistakes: Mistakes, old: str, new: str, key: str, fix: str) -> None:
    assert mistakes(BASE + JOIN) == ()

    [mistake] = mistakes(BASE + JOIN.replace(old, new))

    assert mistake.key == key
    assert fix in mistake.fix


def test_a_joined_and_a_derived_column_of_one_name_are_refused(mistakes: Mistakes) -> None:
    [mistake] = mistakes(BASE.replace("slack =", 'plane_built = "tail"\nslack =') + JOIN)

    assert (mistake.key, mistake.code) == ("sources.flights.join.plane.take", "duplicate")


def test_sources_that_join_one_another_in_a_circle_are_refused(mistakes: Mistakes) -> None:
    text = BASE + (
        '[sources.planes.join.a]\nsource = "makers"\nkey = "maker"\ntake = "country"\n'
        '[sources.makers]\nread = "makers.csv"\n[sources.makers.join.b]\nsource = "planes"\nkey = "best"\ntake = "id"\n'
    )

    [mistake] = mistakes(text)

    assert mistake.code == "circle"
    assert mistake.found == "planes → makers → planes"


def test_a_derived_column_waits_for_all_that_it_is_made_of() -> None:
    source = Source(
        name="s",
        read=("s.csv",),
        format="csv",
        known=Known(after="row_at"),
        derive=(("b", "a + x"), ("c", "b * 2")),
        columns=(
            ("a", ColumnRule(known=Known(after="a_at", delay_us=5))),
            ("c", ColumnRule(known=Known(after="c_at"))),
        ),
    )

    assert derived_from(source, "c") == ("c", "b", "a", "x")
    assert column_waits_for(source, "c") == (Known(after="c_at"), Known(after="a_at", delay_us=5))
    assert waits_for(source, "c") == (Known(after="row_at"), Known(after="c_at"), Known(after="a_at", delay_us=5))
    assert waits_for(source, "x") == (Known(after="row_at"),)
