"""The state of a run is the same whether it is found over history, merged from parts or read as of a watermark."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.small import DAY, HOUR, MINUTE, T0, table
from tests.features.test_aggregates import SKETCHED
from tests.features.test_history_and_columns import EVENTS, amounts, bits, counts_in, events_of, window

from headrace.features.aggregates import Kernels
from headrace.features.finish import WindowFinish, kinds_of
from headrace.features.keyed import Moments
from headrace.features.merge import Merger, Parts
from headrace.features.model import WindowStep
from headrace.features.windows import WindowIndex, reach_back


class Amount(int):
    """Millionths."""


FIXED = ("count", "sum", "min", "max", "variance", "first", "last", "rate", "seconds_since")
"""Every component whose state is its columns."""
floats = st.lists(
    st.one_of(st.floats(-(2.0**20), 2.0**20).map(lambda v: v + 0.0), st.sampled_from([0.0, 1.0, 0.1])), min_size=1
)
texts = st.lists(st.sampled_from(["", "a", "ab", "é", "z"]), min_size=1)
decimals = st.lists(amounts.map(lambda value: Amount(value or 0)), min_size=1)
wholes = st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)), min_size=1)


def column_of(values: list[Any]) -> str:
    return "value" if isinstance(values[0], float) else "amount" if isinstance(values[0], Amount) else "whole"


def kernels(step: WindowStep, values: list[Any], names: Sequence[str] = ()) -> Kernels:
    """Over one key's events, a minute apart."""
    instants = T0 + np.arange(len(values)) * MINUTE
    moments = Moments(np.zeros(len(values), np.int64), instants, keys=1)
    return Kernels(
        step, np.array(values, np.float64) if step.value_type == "float" else np.array(values, np.int64), moments, names
    )


def merged(merger: Merger, parts: list[Parts], draw: random.Random) -> Parts:
    """Any tree of merges of neighbours."""
    while len(parts) > 1:
        at = draw.randrange(len(parts) - 1)
        parts[at : at + 2] = [merger.merge(parts[at], parts[at + 1])]
    return parts[0]


@settings(max_examples=200)
@given(st.one_of(floats, wholes, decimals), st.randoms(use_true_random=False))
def test_the_state_of_a_run_is_that_of_its_parts_however_it_is_cut(values: list[Any], draw: random.Random) -> None:
    step = window(column_of(values), scale=30, take=FIXED)
    whole, merger = kernels(step, values), Merger(step)
    start = draw.randrange(len(values))
    stop = draw.randrange(start, len(values)) + 1
    [many] = zip(
        *(c.tolist() for p in whole.states(np.array([start]), np.array([stop])).values() for c in p), strict=True
    )
    one = whole.states_one(start, stop)
    assert one is not None
    events = [
        merger.one(value, T0 + place * MINUTE, None, place) for place, value in enumerate(values[start:stop], start)
    ]
    tree = merger.columns(merged(merger, list(events), draw))
    draw.shuffle(events)
    shuffled = merger.columns(reduce(merger.merge, events))
    assert bits([tuple(many)]) == bits([tuple(one)]) == bits([tree]) == bits([shuffled])
    assert len(one) == len(kinds_of(step))


@settings(max_examples=200)
@given(st.one_of(floats, wholes, decimals, texts), st.randoms(use_true_random=False))
def test_samples_and_counts_of_a_run_are_those_of_its_parts_however_it_is_cut(
    values: list[Any], draw: random.Random
) -> None:
    is_text = isinstance(values[0], str)
    step = window("text" if is_text else column_of(values), take=SKETCHED)
    if is_text:
        step = msgspec.structs.replace(step, take=("n_unique", "top1", "top2", "top3", "last"))
    names = sorted(set(values)) if is_text else []
    whole, merger = kernels(step, [names.index(value) for value in values] if is_text else values, names), Merger(step)
    start = draw.randrange(len(values))
    stop = draw.randrange(start, len(values)) + 1
    states = whole.states(np.array([start]), np.array([stop]))
    many = [column.item() for part in states.values() for column in part]
    one = whole.states_one(start, stop)
    events = [
        merger.one(value, T0 + place * MINUTE, None, place) for place, value in enumerate(values[start:stop], start)
    ]
    tree = merger.columns(merged(merger, list(events), draw))
    draw.shuffle(events)
    assert one is not None
    assert bits([tuple(one)]) == bits([tree]) == bits([merger.columns(reduce(merger.merge, events))])
    if not is_text:
        assert bits([tuple(many)]) == bits([tuple(one)])


@settings(max_examples=200)
@given(events_of, st.sampled_from(["value", "whole", "amount"]), st.integers(-60, 60), st.integers(0, 14 * DAY))
def test_the_suffixes_at_a_watermark_answer_every_later_request(
    events: list[dict[str, Any]], value: str, tick: int, later: int
) -> None:
    watermark = T0 + tick * 5 * MINUTE
    step = window(value, take=(*FIXED, *SKETCHED), event_time="at")
    source = table(EVENTS, events).lazy()
    index = WindowIndex(step, source, reach_back(step, watermark), watermark)
    suffixes = index.suffixes(watermark)
    assert "".join("d" if column.dtype == np.float64 else "q" for column in suffixes.states) == kinds_of(step)
    names = {number: key for key, number in index.keys.of.items()}
    found = WindowFinish(step)
    whole = WindowIndex(step, source, None, watermark)
    t = watermark + later
    edges = [(t - width) // hop * hop for _, width, hop in step.over]
    for number, key in names.items():
        rows = np.flatnonzero(suffixes.numbers == number)
        held = suffixes.edges[rows].tolist()
        assert held == sorted(set(held))
        places = [bisect_left(held, edge) for edge in edges]
        states = [None if at == len(held) else [column[rows[at]].item() for column in suffixes.states] for at in places]
        assert bits([found.row(states, t, edges)]) == bits([whole.row(key, t)])


@settings(max_examples=100)
@given(events_of, st.sampled_from(["value", "whole", "text"]), st.integers(-60, 60), st.integers(0, 5 * MINUTE))
def test_tiles_of_a_stream_and_its_head_give_what_history_gives(
    events: list[dict[str, Any]], value: str, tick: int, later: int
) -> None:
    """Each event goes into its tile of five minutes; a window merges whole tiles and what came since."""
    take = ("count", "first", "last", "n_unique", "top1", "top2") if value == "text" else (*FIXED, *SKETCHED)
    step = window(value, take=take, event_time="at")
    t = T0 + tick * 5 * MINUTE + later
    merger, finish = Merger(step), WindowFinish(step)
    index = WindowIndex(step, table(EVENTS, events).lazy())
    tiles: dict[tuple[object, int], Parts] = {}
    for sequence, event in enumerate(events):
        seen = event["seen"]
        if None in (event["place"], event["gate"], seen) or seen >= t or not counts_in(step, event):
            continue
        place = ((event["place"], event["gate"]), seen // (5 * MINUTE))
        one = merger.one(event[value], seen, event["at"], sequence)
        tiles[place] = merger.merge(tiles[place], one) if place in tiles else one
    for key in index.keys.of:
        states = []
        for edge in finish.edges(t):
            held = [parts for (own, tile), parts in sorted(tiles.items()) if own == key and tile * 5 * MINUTE >= edge]
            states.append(merger.columns(reduce(merger.merge, held)) if held else None)
        assert bits([finish.row(states, t, finish.edges(t))]) == bits([index.row(key, t)])


@pytest.mark.parametrize("value", ["value", "whole", "amount"])
def test_suffixes_of_no_events_have_no_rows(value: str) -> None:
    suffixes = WindowIndex(window(value), table(EVENTS, []).lazy()).suffixes(T0)
    assert not len(suffixes.numbers)
    assert [len(column) for column in suffixes.states] == [0] * len(kinds_of(window(value)))


def test_suffixes_list_each_tile_that_can_still_be_asked_for_and_nothing_that_the_watermark_hides() -> None:
    tile = T0 // HOUR * HOUR
    seen = [tile - 1, tile, tile + 1, tile + 5 * MINUTE, tile + HOUR]
    events = [{"place": "A", "gate": 1, "seen": at, "value": 1.0} for at in seen]
    step = window(take=("count",), over=(("1h", HOUR, 5 * MINUTE),))
    suffixes = WindowIndex(step, table(EVENTS, events).lazy()).suffixes(tile + HOUR)
    assert suffixes.edges.tolist() == [tile, tile + 5 * MINUTE]
    assert [column.tolist() for column in suffixes.states] == [[3, 1]]
