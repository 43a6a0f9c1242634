"""The JSON Schema and the reference page say what the reader reads."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.grammar import DEFINITION
from headrace.definition.grammar_metrics import METRICS
from headrace.definition.kinds import Kind, ListOf, MapOf, Section, TextOrMap, TextOrTable
from headrace.definition.model import Definition
from headrace.definition.not_yet import NOT_YET
from headrace.definition.schema import json_schema
from headrace.training.metrics import DEFAULT_METRIC, metrics_of

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "definition.md"
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
KEYWORDS = {
    "$schema", "title", "description", "default", "examples", "type", "enum", "anyOf", "properties", "required",
    "additionalProperties", "propertyNames", "minProperties", "items", "minItems", "uniqueItems", "pattern",
    "minLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip


def misfits(value: Any, schema: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where `value` is not what `schema` says: the keywords that we use, as JSON Schema 2020-12 defines them."""
    assert schema.keys() <= KEYWORDS, f"{at}: the test does not know {schema.keys() - KEYWORDS}"
    if "anyOf" in schema and not any(not list(misfits(value, option, at)) for option in schema["anyOf"]):
        yield f"{at}: none of the options"
    if "type" in schema and (
        not isinstance(value, TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean")
    ):
        yield f"{at}: no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: not in enum"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at}: pattern"
        if len(value) < schema.get("minLength", 0):
            yield f"{at}: too short"
    if isinstance(value, int | float):
        limits = [value < schema.get("minimum", value), value > schema.get("maximum", value)]
        limits += [
            value <= schema.get("exclusiveMinimum", value - 1),
            value >= schema.get("exclusiveMaximum", value + 1),
        ]
        if any(limits):
            yield f"{at}: out of bounds"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0) or (
            schema.get("uniqueItems") and len({*map(str, value)}) < len(value)
        ):
            yield f"{at}: items"
        for i, item in enumerate(value):
            yield from misfits(item, schema.get("items", {}), f"{at}[{i}]")
    if isinstance(value, dict):
        yield from _object_misfits(value, schema, at)


def _object_misfits(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    for name in schema.get("required", []):
        if name not in value:
            yield f"{at}: no {name}"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name, item in value.items():
        yield from misfits(name, schema.get("propertyNames", {}), f"{at}.{name}")
        if name in properties:
            yield from misfits(item, properties[name], f"{at}.{name}")
        elif others is False:
            yield f"{at}.{name}: not known"
        else:
            yield from misfits(item, others, f"{at}.{name}")


def keys_of(kind: Kind[Any]) -> Iterator[tuple[str, str]]:
    """Every key of the grammar and its description."""
    match kind:
        case Section():
            for key in kind.keys:
                yield key.name, key.doc
                yield from keys_of(key.kind)
        case ListOf() | MapOf():
            yield from keys_of(kind.item)
        case TextOrTable() | TextOrMap():
            yield from keys_of(kind.table)


def test_the_flights_sample_fits_the_schema(flights: str) -> None:
    assert list(misfits(tomllib.loads(flights), json_schema())) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "flight-delays"', 'nmae = "x"'),
        ("format = 1", "format = 2"),
        ("holdout = 0.2", "holdout = 1.0"),
        ('budget    = "120s"', 'budget = "2 minutes"'),
        ('read = "data/weather.parquet"', ""),
        ('take = ["mean", "max", "count"]', 'take = ["medium"]'),
        ('delay = "10m"', "delay = 10"),
        ("[sources.planes]", '[sources."my planes"]'),
    ],
)
def test_what_the_reader_refuses_does_not_fit_the_schema(mistakes: Mistakes, flights: str, old: str, new: str) -> None:
    changed = flights.replace(old, new)

    assert changed != flights
    assert list(misfits(tomllib.loads(changed), json_schema()))
    assert mistakes(changed)


@pytest.mark.parametrize("name", [line.path for line in NOT_YET if "." not in line.path])
def test_a_section_that_is_not_available_is_absent_from_the_schema(flights: str, name: str) -> None:
    assert name not in json_schema()["properties"]
    assert list(misfits(tomllib.loads(flights) | {name: {}}, json_schema())) == [f"$.{name}: not known"]


def test_every_key_has_a_description() -> None:
    assert all(doc for _, doc in keys_of(DEFINITION))


def test_the_metrics_are_those_of_training() -> None:
    assert {task: set(names) for task, names in METRICS.items()} == {
        task: {metric.name for metric in metrics_of(task)} for task in DEFAULT_METRIC
    }
    assert {task: names[0] for task, names in METRICS.items()} == dict(DEFAULT_METRIC)


def test_the_reference_page_names_every_key_and_every_part_not_available() -> None:
    page = PAGE.read_text(encoding="utf-8")
    code = " ".join(re.findall(r"```toml\n.*?\n```|`[^`\n]+`", page, re.DOTALL))
    words = set(re.findall(r"\w+", code))
    refused = {line.value or line.path.rpartition(".")[2] for line in NOT_YET}

    assert {name for name, _ in keys_of(DEFINITION)} - words == set()
    assert {name.removesuffix("://") for name in refused - {"money"}} - words == set()


def test_the_examples_of_the_reference_page_are_one_definition(read: Read) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)

    assert read(text).project.name == "flight-delays"
    assert list(misfits(tomllib.loads(text), json_schema())) == []
