"""The two forms of every function, alone and in random trees, are equal to the bit."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headrace.language.calls import form_of
from headrace.language.forms import Form, kernel
from headrace.language.functions import FUNCTIONS
from headrace.language.row_kernels import months
from headrace.language.row_math import sigmoid
from headrace.language.tree import Node
from headrace.language.types import Type
from headrace.language.zones import FIRST_DAY, FIRST_INSTANT, HOUR, LAST_DAY, LAST_INSTANT, zone
from headrace.testing.hard_values import COLUMNS, CONSTANTS, HARD, INSTANTS, instant
from headrace.testing.parity import (
    Row,
    draw_call,
    draw_rows,
    draw_tree,
    first_difference,
    forms,
    smallest_difference,
    variables,
)

EXAMPLES, TREES, ROWS = 12, 50, 200
"""Draws of random trees, trees a draw, and rows on which each is computed."""


def _agree(nodes: Sequence[Node], rows: Sequence[Row]) -> int:
    """How many cases there were; fails with the smallest part of a tree in which the forms differ."""
    found = smallest_difference(nodes, rows)
    if found is not None:
        pytest.fail(str(found), pytrace=False)
    return len(nodes) * len(rows)


@pytest.mark.parametrize(
    ("name", "form"), list(forms()), ids=lambda part: part if isinstance(part, str) else part.signature.text
)
def test_both_forms_of_a_function_are_equal_on_hard_values(name: str, form: Form) -> None:
    source = random.Random(f"{name} {form.signature.text}")
    calls = []
    for variable in variables(form):
        calls += [draw_call(source, name, form, variable, 1) for _ in range(60 // len(variables(form)) + 4)]
    told = Type.CATEGORY not in variables(form)
    assert all(form_of(call).signature.text == form.signature.text for call in calls if told)
    assert _agree(calls, draw_rows(source, 150)) >= 9_000


@pytest.mark.parametrize("height", [0, 1, 2])
def test_both_forms_are_equal_on_frames_of_almost_no_rows(height: int) -> None:
    source = random.Random(height)
    for name, form in forms():
        calls = [draw_call(source, name, form, source.choice(variables(form)), 1) for _ in range(2)]
        _agree(calls, draw_rows(source, height))


# a seed does not shrink: `_agree` looks for the smallest part that differs instead
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**64))
def test_both_forms_of_random_trees_are_equal(seed: int) -> None:
    source = random.Random(seed)
    trees = [draw_tree(source, source.choice(list(Type)), source.randint(2, 6)) for _ in range(TREES)]
    assert _agree(trees, draw_rows(source, ROWS)) == TREES * ROWS


def test_a_build_compares_more_than_a_hundred_thousand_random_trees_on_rows() -> None:
    assert EXAMPLES * TREES * ROWS >= 100_000


def test_every_kind_of_constant_has_values_to_draw() -> None:
    kinds = {parameter.kind for _, form in forms() for parameter in form.signature.parameters} - {None}
    assert kinds <= set(CONSTANTS)


def test_the_values_are_the_hard_ones() -> None:
    integers, floats, texts = HARD[Type.INTEGER], HARD[Type.FLOAT], HARD[Type.STRING]
    assert {2**53 - 1, 2**53 + 1, 2**63 - 1, -(2**63)} <= set(integers)
    assert {math.inf, -math.inf, 2.0**53, 5e-324} <= set(floats)
    assert any(math.isnan(float(x or 0)) for x in floats)
    assert any(x == 0 and math.copysign(1, float(x)) < 0 for x in floats if x is not None)
    assert {"", "\U0001f600 x", "e\u0301"} <= set(texts)
    assert {FIRST_DAY, LAST_DAY, 15_399} <= set(HARD[Type.DATE])  # years 1 and 9999, 29 February 2012
    assert {FIRST_INSTANT, LAST_INSTANT} <= set(HARD[Type.TIMESTAMP])
    there = zone("America/New_York")
    offsets = [(there.offset(instant(text)), there.offset(instant(text) + 2 * HOUR)) for text in INSTANTS]
    assert {before - after for before, after in offsets} >= {HOUR, -HOUR}  # a fold and a gap are near
    rows = draw_rows(random.Random(0), 500)
    assert all(any(row[name] is None for row in rows) for name in COLUMNS)


PLANTED: dict[str, tuple[str, int, Any, Any]] = {
    "the smallest for the largest": ("greatest", 0, "least", None),
    "one more": ("length", 0, lambda a: kernel("length")(a) + 1, None),
    "0 for null": ("sqrt", 0, lambda a: kernel("sqrt")(a).fill_nan(0.0), None),
    "an overflow that wraps": ("add", 0, lambda a, b: a + b, None),
    "a negative zero": ("to_string", 2, None, repr),
    "a month that is not whole": ("full_months", 0, None, lambda start, end: months(end) - months(start)),
    "UTC for the zone": ("hour", 0, lambda a, _: kernel("times:hour")(a, "UTC"), None),
    "bytes for code points": ("reverse", 0, None, lambda text: text.encode()[::-1].decode("utf-8", "replace")),
    "the last of two equals": ("argmax_of", 0, None, lambda *values: _last_of_the_largest(values)),
    "a last bit of one value": ("sigmoid", 0, None, lambda x: sigmoid(x) - 2.0**-53 if x == 1.5 else sigmoid(x)),
}
"""Mistakes: a function, the place of a form, and its wrong columns or row form."""


def _last_of_the_largest(values: Sequence[object]) -> int | None:
    known = [value for value in values if value is not None]
    return None if not known else len(values) - list(reversed(values)).index(max(known))  # type: ignore[type-var]


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_form_that_is_wrong_is_caught(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, place, columns, row = PLANTED[mistake]
    right = FUNCTIONS[name]
    form = right.forms[place]
    wrong = replace(form, columns=columns or form.columns, row=row or form.row)
    monkeypatch.setitem(FUNCTIONS, name, replace(right, forms=(*right.forms[:place], wrong, *right.forms[place + 1 :])))
    source = random.Random(mistake)
    calls = [draw_call(source, name, wrong, source.choice(variables(wrong)), 1) for _ in range(64)]
    found = first_difference(calls, draw_rows(source, 150))
    assert found is not None
    assert getattr(found.node, "function", None) == name
