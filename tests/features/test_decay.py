"""What decays: both forms, a plain loop and what is kept as of a watermark agree, over all of the past."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.small import DAY, HOUR, MINUTE, T0, table
from tests.features.test_aggregates import WHERE
from tests.features.test_history_and_columns import (
    EVENTS,
    asked_of,
    assert_same,
    bits,
    both_forms,
    counts_in,
    events_of,
    plain_window,
    window,
)

from headrace.features.finish import ALWAYS, WindowFinish, kinds_of
from headrace.features.fold import Fold, Folded
from headrace.features.model import WindowStep
from headrace.features.naming import hop_of
from headrace.features.spans import SpannedHistory
from headrace.features.weights import weight
from headrace.features.windows import WindowIndex, reach_back

TAKE = ("decayed_sum", "count", "decayed_mean", "max", "decayed_count")
HALVES = (("5m", 5 * MINUTE), ("1h", HOUR), ("1d", DAY), ("60d", 60 * DAY))


def decayed(value: str | None = "value", take: tuple[str, ...] = TAKE, **changes: Any) -> WindowStep:
    halves = tuple((text, half, hop_of(half)) for text, half in HALVES)
    return window(value, take=take, half_lives=halves, **changes)


@settings(max_examples=200)
@given(events_of, asked_of, st.sampled_from(["value", "whole", "amount"]), st.booleans())
def test_what_decays_is_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str, is_filtered: bool
) -> None:
    step = decayed(value, where=WHERE if is_filtered else None)
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=50)
@given(events_of, asked_of)
def test_rows_alone_may_decay(events: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    step = decayed(None, take=("decayed_count",), over=())
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=200)
@given(events_of, st.integers(-60, 60), st.integers(0, 14 * DAY), st.booleans())
def test_what_is_kept_at_a_watermark_answers_every_later_request(
    events: list[dict[str, Any]], tick: int, later: int, is_alone: bool
) -> None:
    watermark = T0 + tick * 5 * MINUTE
    step = decayed(take=("decayed_sum", "decayed_mean"), over=()) if is_alone else decayed()
    source = table(EVENTS, events).lazy()
    kept = WindowIndex(step, source, reach_back(step, watermark), watermark)
    suffixes = kept.suffixes(watermark)
    assert len(suffixes.states) == len(kinds_of(step))
    index = WindowIndex(step, source, None, watermark)
    finish = WindowFinish(step)
    t = watermark + later
    for key, number in kept.keys.of.items():
        rows = np.flatnonzero(suffixes.numbers == number)
        held = suffixes.edges[rows].tolist()
        assert held == sorted(set(held))
        assert held[-1] == ALWAYS
        places = [bisect_left(held, edge) for edge in finish.edges(t)]
        states = [[column[rows[at]].item() for column in suffixes.states] for at in places]
        assert bits([finish.row(states, t, finish.edges(t))]) == bits([index.row(key, t)])


@settings(max_examples=200)
@given(events_of, st.sampled_from(["value", "whole", None]))
def test_folding_event_by_event_keeps_what_history_finds(events: list[dict[str, Any]], value: str | None) -> None:
    step = decayed(value, take=("decayed_count",) if value is None else ("decayed_sum", "decayed_mean"), over=())
    index = WindowIndex(step, table(EVENTS, events).lazy())
    suffixes, fold = index.suffixes(T0 + 100 * DAY), Fold(step)
    for key, number in index.keys.of.items():
        kept: tuple[Folded, ...] | None = None
        own = [
            event
            for event in events
            if (event["place"], event["gate"]) == key and event["seen"] and counts_in(step, event)
        ]
        for event in sorted(own, key=lambda event: event["seen"]):
            kept = fold.add(kept, event.get(value or ""), event["seen"])
        assert kept is not None
        [row] = np.flatnonzero(suffixes.numbers == number)
        columns = [column[row].item() for column in suffixes.states]
        assert bits([tuple(fold.columns(kept))]) == bits([tuple(columns[-len(fold.columns(kept)) :])])


def test_an_event_counts_half_after_a_half_life_and_less_by_each_tile() -> None:
    tile = T0 // HOUR * HOUR
    event = {"place": "A", "gate": 1, "seen": tile + 7 * MINUTE, "value": 3.0}
    step = window(take=("decayed_sum",), over=(), half_lives=(("1h", HOUR, 5 * MINUTE),))
    asked = [tile + 7 * MINUTE + later for later in (0, 1, 4 * MINUTE, HOUR - 2 * MINUTE, 3 * HOUR, 2000 * HOUR)]
    columns, rows = both_forms(step, [event], [{"place": "A", "gate": 1, "due": t} for t in asked])
    assert columns == rows
    assert [row[0] for row in columns] == [None, 3.0, 3.0 * 2 ** (-1 / 12), 1.5, 0.375, 0.0]


def test_a_mean_outlives_the_weights_of_what_it_is_of() -> None:
    event = {"place": "A", "gate": 1, "seen": T0, "value": 3.0}
    step = window(take=("decayed_mean", "decayed_count"), over=(), half_lives=(("5m", 5 * MINUTE, 5 * MINUTE),))
    columns, rows = both_forms(step, [event], [{"place": "A", "gate": 1, "due": T0 + 300 * DAY}])
    assert columns == rows == [(3.0, 0.0)]


@pytest.mark.parametrize("tiles", [1, 12, 143, 287, 365])
def test_weights_halve_and_never_grow(tiles: int) -> None:
    found = [weight(ago, tiles) for ago in range(2 * tiles + 1)]
    assert found[0] == 1.0
    assert found[tiles] == 0.5
    assert found == sorted(found, reverse=True)
    assert all(math.isclose(one, 2 ** (-ago / tiles), rel_tol=1e-14) for ago, one in enumerate(found))
    assert weight(10**6 * tiles, tiles) == 0.0


def test_what_decays_is_never_cut_into_spans() -> None:
    from tests.features.test_history_and_columns import program

    events = [{"place": "A", "gate": 1, "seen": T0 + n * HOUR, "value": 1.0} for n in range(400)]
    times = table({"due": EVENTS["seen"]}, [{"due": T0 + n * HOUR} for n in range(400)])["due"]
    history = SpannedHistory(program(decayed()), {"events": table(EVENTS, events).lazy()}, budget_bytes=-1)
    spans = history.spans(times, 400, 100)
    indexes = [index for _, held in history.during(spans) for index in held.values()]
    assert len(spans) == 4
    assert len({id(index) for index in indexes}) == 1
