"""[features.encodings]: both forms are read, and what cannot hold is told with its place and a fix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import Definition, Encoding

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

BASE = """
format = 1
[project]
source = "flights"
time = "sched"
label = "arr_delay > 30"
request = ["carrier", "dest", "note", "distance", "sched"]
[sources.flights]
read = "flights.csv"
[features]
drop = ["note"]
[features.expressions]
far = "distance > 1000"
[features.encodings]
"""


def test_a_list_and_a_table_say_how_inputs_reach_the_model(read: Read) -> None:
    text = """
dest = ["codes", "target"]
carrier = "frequency"
far = { as = "number" }
sched = { as = ["cyclic"], zone = "Europe/Lisbon" }
distance = { group = "carrier", take = ["mean", "zscore"], min_rows = 5 }
"""
    assert read(BASE + text).features.encodings == (
        Encoding(name="dest", kinds=("codes", "target")),
        Encoding(name="carrier", kinds=("frequency",)),
        Encoding(name="far", kinds=("number",)),
        Encoding(name="sched", kinds=("cyclic",), zone="Europe/Lisbon"),
        Encoding(name="distance", group="carrier", take=("mean", "zscore"), min_rows=5),
    )


@pytest.mark.parametrize(
    ("text", "key", "message", "fix"),
    [
        ('dest = ["targets"]', "dest[0]", "not one of the words", "target"),
        ('dset = ["target"]', "dset", "no such input", "`dest`"),
        ('note = ["hashed"]', "note", "dropped", "take it out of features.drop"),
        ('distance = { group = "carier", take = "mean" }', "distance.group", "no such input", "`carrier`"),
        ('distance = { group = "note", take = "mean" }', "distance.group", "dropped", "take it out of features.drop"),
        ('distance = { group = "distance", take = "mean" }', "distance.group", "another input", "category"),
        ('distance = { group = "carrier" }', "distance.take", "missing", "take ="),
        ('distance = { take = "mean" }', "distance.group", "missing", "group ="),
        ("dest = {}", "dest", "empty", "as ="),
        ('dest = { as = "codes", smoothing = 3 }', "dest.smoothing", "says nothing", "target"),
        ('dest = { as = "target", buckets = 8 }', "dest.buckets", "says nothing", "hashed"),
        ('dest = { as = "hashed", min_rows = 8 }', "dest.min_rows", "says nothing", "codes"),
        ('dest = { as = "hashed", buckets = 1 }', "dest.buckets", "out of bounds", "within"),
        ('dest = { as = "hashed", ngrams = [0] }', "dest.ngrams[0]", "out of bounds", "within"),
        ('dest = { as = "target", smoothing = -1 }', "dest.smoothing", "out of bounds", "within"),
        ('sched = { as = "cyclic", zone = "Europe/Lisbn" }', "sched.zone", "no such time zone", "Lisbon"),
    ],
)
def test_what_cannot_hold_is_told_with_its_place(
    mistakes: Mistakes, text: str, key: str, message: str, fix: str
) -> None:
    (found,) = mistakes(BASE + text)
    assert found.key == f"features.encodings.{key}"
    assert message in found.message
    assert fix in found.fix


@pytest.mark.parametrize(
    ("features", "auto"), [("", True), ("[features]\n", False), ("[features]\nauto = true\n", True)]
)
def test_features_are_proposed_where_none_are_written_or_when_asked(read: Read, features: str, auto: bool) -> None:
    assert read(BASE.partition("[features]")[0] + features).features.auto is auto
