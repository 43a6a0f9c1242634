"""What is proposed: from types, units and spread of the request, and never what the definition would refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from tests.features.small import FLIGHTS, TYPES, flights_definition, with_features, with_project, with_source

from headrace.data.model import Field
from headrace.definition.features_section import features_section
from headrace.definition.model import ColumnRule, Definition, Encoding, EncodingKind, Features
from headrace.definition.reader import read_definition
from headrace.features.automatic.look import look_at
from headrace.features.automatic.model import Family, InputLook, Looks
from headrace.features.automatic.proposals import propose, with_families
from headrace.features.build import build_program
from headrace.features.known import SourceColumns
from headrace.language.types import Type

REQUEST = ("carrier", "origin", "tail", "distance", "due")


def look(name: str, distinct: int = 5, rows: int = 1_000, **seen: Any) -> InputLook:
    return InputLook(name=name, type=FLIGHTS[name], rows=rows, distinct=distinct, **seen)


def plain(**changes: Any) -> Definition:
    return msgspec.structs.replace(with_features(flights_definition(**changes)), features=Features(auto=True))


def families(definition: Definition, *looks: InputLook) -> dict[str, Family]:
    source = definition.source("flights")
    seen = {one.name: one for one in looks}
    inputs = tuple(seen.get(name, look(name)) for name in definition.project.request)
    proposed = propose(definition, SourceColumns(source, FLIGHTS), Looks(inputs=inputs))
    return {family.name: family for family in proposed}


def test_columns_are_looked_at_without_what_is_no_number() -> None:
    table = pl.DataFrame(
        {"miles": [1.0, 2.0, 3.0, math.nan, math.inf, None], "to": ["a", "b", "a", None, "b", "a"]}, strict=False
    )
    fields = [Field(name="miles", type=Type.FLOAT), Field(name="to", type=Type.STRING)]
    miles, to = look_at(table.lazy(), fields).inputs
    assert (miles.least, miles.low, miles.middle, miles.high) == (1.0, 1.0, 2.0, 3.0)
    assert (to.rows, to.distinct, to.least) == (6, 2, None)


def test_an_instant_brings_its_parts_and_circles_in_the_zone_that_the_definition_names() -> None:
    found = families(plain())
    assert dict(found["parts of due"].adds.expressions) == {
        "due_clock": "hour(\"due\", 'UTC') * 60 + minute(\"due\", 'UTC')",
        "due_weekday": "weekday(\"due\", 'UTC')",
        "due_yearday": "day_of_year(\"due\", 'UTC')",
    }
    zoned = with_source(plain(), "flights", columns=(("due", ColumnRule(zone="Asia/Tokyo")),))
    assert families(zoned)["circles of due"].adds.encodings == (
        Encoding(name="due", kinds=("cyclic",), zone="Asia/Tokyo"),
    )
    derived = with_source(plain(), "flights", derive=(("due", "local_time(left, 5, 'America/New_York')"),))
    assert families(derived)["circles of due"].adds.encodings[0].zone == "America/New_York"


def test_wide_categories_are_encoded_but_not_what_names_each_row() -> None:
    found = families(plain(), look("carrier", 19), look("origin", 20), look("tail", 500))
    kinds: list[tuple[EncodingKind, str]] = [("frequency", "frequencies"), ("target", "target means")]
    for kind, name in kinds:
        encodings = found[f"{name} of wide categories"].adds.encodings
        assert encodings == (Encoding(name="origin", kinds=("codes", kind)),)
    definition = with_features(plain(), encodings=(Encoding(name="origin", kinds=("frequency",)),))
    assert "frequencies of wide categories" not in families(definition, look("origin", 20)), "the user has said it"


def test_a_long_tail_brings_a_logarithm_and_one_unit_differences_and_ratios() -> None:
    skewed = look("distance", 100, least=0.0, low=1.0, middle=2.0, high=50.0)
    assert families(plain(), skewed)["logarithms"].adds.expressions == (("distance_log", 'ln("distance" + 1)'),)
    for even in ({"least": -1.0}, {"high": 3.0}, {"least": None}):
        seen: dict[str, Any] = {"least": 0.0, "low": 1.0, "middle": 2.0, "high": 50.0, **even}
        assert "logarithms" not in families(plain(), look("distance", 100, **seen))
    miles = tuple((name, ColumnRule(unit="mile")) for name in ("distance", "dep_delay"))
    request = with_project(with_source(plain(), "flights", columns=miles), request=(*REQUEST, "dep_delay"))
    assert families(request)["numbers in mile"].adds.expressions == (
        ("distance_less_dep_delay", '"distance" - "dep_delay"'),
        ("distance_per_dep_delay", '"distance" / "dep_delay"'),
    )


def test_keys_with_a_past_bring_windows_over_what_becomes_known_later_the_label_s_own_first() -> None:
    found = families(plain(), look("tail", 900))
    assert [name for name in found if name.startswith("past")] == ["past of carrier", "past of origin"]
    windows = found["past of origin"].adds.windows
    assert [window.value for window in windows] == ["arr_delay", "dep_delay"]
    assert [window.name for window in windows] == ["past_origin_arr_delay", "past_origin_dep_delay"]
    assert not any(name.startswith("past") for name in families(with_project(plain(), time=None)))
    assert not any(name.startswith("past") for name in families(with_source(plain(), "flights", event_time=None)))
    assert not any(name.startswith("past") for name in families(with_source(plain(), "flights", columns=())))


def test_names_that_are_taken_are_left_alone() -> None:
    definition = with_features(plain(), expressions=(("due_clock", "hour(due)"),))
    assert [name for name, _ in families(definition)["parts of due"].adds.expressions] == ["due_weekday", "due_yearday"]


def test_all_families_together_are_a_program() -> None:
    definition = plain()
    found = families(
        definition,
        look("origin", 25),
        look("carrier", 30),
        look("distance", 9, least=0.0, low=0.0, middle=0.0, high=9.0),
    )
    together = with_families(definition.features, list(found.values()))
    origin = next(one for one in together.encodings if one.name == "origin")
    assert origin.kinds == ("codes", "frequency", "target")
    assert together.auto
    program = build_program(msgspec.structs.replace(definition, features=together), TYPES)
    names = [field.name for field in program.outputs]
    assert {"due_clock", "due_hour_sin", "distance_log", "past_origin_arr_delay_mean_6h"} <= set(names)


def test_what_is_kept_can_be_copied_into_a_definition(tmp_path: Path) -> None:
    found = families(plain(), look("origin", 25), look("distance", 9, least=0.0, low=0.0, middle=0.0, high=9.0))
    kept = with_families(Features(), list(found.values()))
    group = Encoding(name="distance", group="carrier", take=("mean",), min_rows=3)
    kept = msgspec.structs.replace(kept, encodings=(*kept.encodings, group))
    head = """format = 1
[project]
source = "flights"
time = "due"
label = "arr_delay > 30"
request = ["carrier", "origin", "tail", "distance", "due"]
[sources.flights]
read = "flights.csv"
event_time = "due"
known = "due"
"""
    file = tmp_path / "headrace.toml"
    file.write_text(head + features_section(kept), encoding="utf-8")
    assert read_definition(file).features == kept
    assert features_section(Features()) == ""
