"""What each aggregate of a window means: both forms and a plain loop agree, on whatever events there are."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.small import HOUR, MINUTE, T0
from tests.features.test_history_and_columns import (
    EVENTS,
    WIDTHS_5M,
    asked_of,
    assert_same,
    both_forms,
    events_of,
    plain_window,
    window,
)

from headrace.features.exact import scale_of
from headrace.language.parse import parse
from headrace.language.types import Type

MEASURES = ("variance", "stddev", "first", "last", "rate", "seconds_since", "count", "mean")
ORDERED = ("first", "last", "rate", "seconds_since", "count")
SKETCHED = ("n_unique", "median", "p10", "p90", "p95", "p99", "top1", "top2", "top3")
WHERE = parse("whole > 0", EVENTS)


@settings(max_examples=200)
@given(events_of, asked_of, st.sampled_from(["value", "whole", "amount"]), st.booleans(), st.integers(0, 45))
def test_aggregates_of_numbers_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str, is_filtered: bool, scale: int
) -> None:
    step = window(value, scale, take=MEASURES, event_time="at", where=WHERE if is_filtered else None)
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=100)
@given(events_of, asked_of, st.sampled_from(["text", "at", "value", "amount"]))
def test_the_first_and_the_last_of_any_type_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str
) -> None:
    step = window(value, take=ORDERED, event_time="at")
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=200)
@given(events_of, asked_of, st.sampled_from(["value", "whole", "amount"]))
def test_percentiles_and_counts_of_values_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str
) -> None:
    step = window(value, take=SKETCHED)
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=100)
@given(events_of, asked_of, st.sampled_from(["text", "at"]))
def test_the_most_frequent_of_any_type_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str
) -> None:
    step = window(value, take=("top3", "n_unique", "top1"))
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=100)
@given(events_of, asked_of)
def test_without_a_value_every_row_counts(events: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    step = window(value=None, take=("count", "rate", "seconds_since"))
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


def one_window(values: list[Any], take: str, value: str = "value", scale: int = 32, **changes: Any) -> object:
    """The aggregate of values known a second apart, a minute ago."""
    events = [
        {"place": "A", "gate": 1, "seen": T0 - 3 * MINUTE + n * 1000, "at": T0, value: one}
        for n, one in enumerate(values)
    ]
    step = window(value, scale, take=(take,), over=WIDTHS_5M, **changes)
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows
    return columns[0][0]


def test_the_variance_of_a_million_plus_or_minus_one_keeps_ten_digits() -> None:
    values = [1e6 + (-1) ** n for n in range(100)]
    found = one_window(values, "variance")
    assert isinstance(found, float)
    assert math.isclose(found, 100 / 99, rel_tol=1e-10)
    assert one_window(values, "stddev") == math.sqrt(found)


@pytest.mark.parametrize("value", [0.1, -1e6 / 3, 2.0**20, 5e-324])
def test_equal_values_have_no_variance_at_all(value: float) -> None:
    assert one_window([value] * 1000, "variance") == 0.0
    assert one_window([value] * 1000, "stddev") == 0.0


def test_whole_numbers_of_63_bits_have_a_variance() -> None:
    values = [-(2**63), 2**63 - 1, 0, 7]
    mean = sum(values) / 4
    wanted = sum((value - mean) ** 2 for value in values) / 3
    found = one_window(values, "variance", "whole")
    assert isinstance(found, float)
    assert math.isclose(found, wanted, rel_tol=1e-12)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e-5, 1e5, 1e150, 5e307])
def test_values_of_any_size_have_a_deviation(size: float) -> None:
    values = [size, 2 * size, 3 * size]
    found = one_window(values, "stddev", scale=scale_of(3 * size))
    assert isinstance(found, float)
    assert math.isclose(found, size, rel_tol=1e-10)
    square = one_window(values, "variance", scale=scale_of(3 * size))
    assert isinstance(square, float)
    assert math.isclose(square, size * size, rel_tol=1e-10)


def test_one_value_has_no_variance() -> None:
    assert one_window([1.0], "variance") is None
    assert one_window([1.0], "stddev") is None


def test_rows_known_at_one_instant_are_ordered_by_event_time_and_then_by_place() -> None:
    events = [
        {"place": "A", "gate": 1, "seen": T0 - 1, "at": at, "text": text}
        for at, text in ((T0 - 5, "b"), (None, "a"), (T0 - 9, "c"), (T0 - 5, "d"))
    ]
    step = window("text", take=("first", "last"), over=WIDTHS_5M, event_time="at")
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [("a", "d")]


def test_the_rate_is_per_hour_of_the_windows_true_length() -> None:
    due = T0 // HOUR * HOUR + HOUR // 2 + MINUTE
    events = [{"place": "A", "gate": 1, "seen": due - 1 - n, "value": 1.0} for n in range(61)]
    step = window(take=("rate",), over=(("1h", HOUR, 5 * MINUTE),))
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": due}])
    assert columns == rows == [(60.0,)]


def test_a_condition_that_is_null_lets_no_row_count() -> None:
    assert one_window([1.0], "count", where=WHERE) == 0


@pytest.mark.parametrize(
    ("value", "values", "take", "found"),
    [
        ("flag", [True, False, False], ("first", "last", "top1", "top2", "top3"), (True, False, False, True, None)),
        ("flag", [True, False, False], ("sum", "median", "n_unique"), (1.0, 0.0, 2)),
        ("day", [19002, 19000, 19001], ("min", "max", "first", "last", "top1"), (19000, 19002, 19002, 19001, 19000)),
        ("span", [5, -7], ("min", "max", "first", "top2", "n_unique"), (-7, 5, 5, 5, 2)),
        ("kind", ["b", "a", "b"], ("first", "top1", "top2", "top3", "n_unique"), ("b", "b", "a", None, 2)),
    ],
)
def test_values_of_every_type_keep_it(
    monkeypatch: pytest.MonkeyPatch, value: str, values: list[Any], take: tuple[str, ...], found: tuple[object, ...]
) -> None:
    types = {"flag": Type.BOOLEAN, "day": Type.DATE, "span": Type.DURATION, "kind": Type.CATEGORY}
    for name, type_ in types.items():
        monkeypatch.setitem(EVENTS, name, type_)
    events = [{"place": "A", "gate": 1, "seen": T0 - 100 + n, value: one} for n, one in enumerate(values)]
    step = window(value, take=take, over=WIDTHS_5M)
    asked = [{"place": place, "gate": 1, "due": T0} for place in ("A", "nowhere")]
    columns, rows = both_forms(step, events, asked)
    assert columns == rows
    assert columns[0] == found
    assert [type(one) for one in rows[0]] == [type(one) for one in found]


def test_first_and_last_of_no_texts_are_null() -> None:
    columns, rows = both_forms(window("text", take=ORDERED[:2]), [], [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [(None,) * 8]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_places_of_rows_with_other_keys_change_no_order(order: int) -> None:
    draw = random.Random(order)
    events = [{"place": draw.choice("AB"), "gate": 1, "seen": T0 - 1, "at": None, "text": str(n)} for n in range(100)]
    last = max(n for n, event in enumerate(events) if event["place"] == "A")
    step = window("text", take=("last",), over=WIDTHS_5M)
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [(str(last),)]
    assert step.value_type is Type.STRING
