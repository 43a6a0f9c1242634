"""The online store: what a row reads at the watermark or later is what history says, to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.small import DAY, HOUR, MINUTE, T0, table
from tests.features.test_history_and_columns import (
    EVENTS,
    REQUEST,
    asked_of,
    bits,
    events_of,
    known_instant,
    lookup,
    program,
    window,
)

from headrace.data.model import Field
from headrace.features import materialize as materializing
from headrace.features.errors import BeforeWatermark, NotMaterialized, OnlineStale, OnlineUnreadable, WatermarkAhead
from headrace.features.history import History
from headrace.features.materialize import Materialized, materialize
from headrace.features.model import LookupStep, Program, Step, WindowStep
from headrace.features.naming import fields_of
from headrace.features.online import OnlineHistory
from headrace.features.online_columns import online_indexes
from headrace.features.program import RowProgram
from headrace.features.records import step_id
from headrace.language.types import Type
from headrace.stores.errors import OnlineMoved
from headrace.stores.online import ANY, Item, OnlineStore, Read
from headrace.testing.memory_online import MemoryOnlineStore

NOW = T0 + 400 * DAY
SPACE = "p"
STATIC = LookupStep(name="s", source="places", key=(("place", "place"),), take=(("size", Type.INTEGER),))
PLACES = table({"place": Type.STRING, "size": Type.INTEGER}, [{"place": "A", "size": 7}, {"place": "B"}])
HALVES = (("1h", HOUR, 5 * MINUTE), ("2d", 2 * DAY, HOUR))
MORE = ("variance", "stddev", "first", "last", "rate", "seconds_since", "n_unique", "median", "p95", "top1", "top3")
STEPS: tuple[Step, ...] = (
    lookup(),
    window(),
    window("whole", name="n"),
    window("amount", name="paid"),
    window("amount", name="paid_more", take=(*MORE, "decayed_sum"), event_time="at", half_lives=HALVES),
    STATIC,
    window(name="more", take=MORE, event_time="at"),
    window("text", name="texts", take=("first", "last", "n_unique", "top1", "top2", "count"), event_time="at"),
    window(None, name="rows", take=("count", "rate", "seconds_since")),
    window(name="fading", take=("decayed_sum", "decayed_count", "mean"), half_lives=HALVES),
    window(name="only", take=("decayed_mean",), over=(), half_lives=HALVES),
)


def fill(
    store: OnlineStore, whole: Program, events: list[dict[str, Any]], until: int | None = None, **options: Any
) -> Materialized:
    tables = {"events": table(EVENTS, events).lazy(), "places": PLACES.lazy()}
    return materialize(whole, tables, store, SPACE, now_us=NOW, until_us=until, **options)


def answers(history: Any, whole: Program, asked: list[dict[str, Any]]) -> list[list[object]]:
    """Every step's features of every row, by one read a row."""
    read = history.reader(range(len(whole.steps)))
    keys = [[ours for ours, _ in step.key] for step in whole.steps if isinstance(step, LookupStep | WindowStep)]
    return bits([tuple(read([tuple(ask.get(k) for k in key) for key in keys], ask.get("due"))) for ask in asked])


def from_history(whole: Program, events: list[dict[str, Any]], asked: list[dict[str, Any]], until: int) -> Any:
    """What history says when nothing is known but what was known before the watermark."""
    known = {step.known_after for step in whole.steps if isinstance(step, LookupStep | WindowStep) and step.known_after}
    seen = []
    for step in whole.steps:
        assert isinstance(step, LookupStep | WindowStep)
        told = [
            e
            for e in events
            if (at := known_instant(e, step.known_after or next(iter(known)))) is not None and at < until
        ]
        one = msgspec.structs.replace(whole, steps=(step,))
        tables = {"events": table(EVENTS, told).lazy(), "places": PLACES.lazy()}
        seen.append(answers(History(one, tables), one, asked))
    return [[value for step in row for value in step] for row in zip(*seen, strict=True)]


@settings(max_examples=40)
@given(events_of, asked_of, st.integers(-40, 40), st.integers(0, 40))
def test_rows_at_the_watermark_or_later_read_what_history_says(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], mark: int, later: int
) -> None:
    until = T0 + mark * 7 * MINUTE
    whole = program(*STEPS)
    store = MemoryOnlineStore()
    fill(store, whole, events, until)
    asked = [ask | {"due": None if ask["due"] is None else max(ask["due"], until) + later * HOUR} for ask in asked]
    asked += [ask | {"due": until} for ask in asked]
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, events, asked, until)


@settings(max_examples=80)
@given(events_of, asked_of, st.lists(st.integers(-60, 60), min_size=2, max_size=4))
def test_step_by_step_the_store_becomes_what_it_would_be_at_once(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], marks: list[int]
) -> None:
    whole = program(*STEPS)
    store = MemoryOnlineStore()
    until = T0
    for mark in sorted(marks):
        until = T0 + mark * 5 * MINUTE
        made = fill(store, whole, events, until)
        assert {one.how for one in made.steps} <= {"new", "since", "unchanged"}
    asked = [ask | {"due": until + HOUR} for ask in asked]
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, events, asked, until)


@settings(max_examples=20)
@given(events_of, events_of, asked_of)
def test_another_past_is_noticed_and_written_anew(
    events: list[dict[str, Any]], others: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> None:
    whole = program(*STEPS)
    store = MemoryOnlineStore()
    reader = None
    for past in (events, others, events[:-1]):
        fill(store, whole, past, T0 + HOUR)
        reader = reader or OnlineHistory(whole, store, SPACE)  # made before the past changes
        asked = [ask | {"due": T0 + 2 * HOUR} for ask in asked]
        assert answers(reader, whole, asked) == from_history(whole, past, asked, T0 + HOUR)


def event(known: int, value: float = 1.0, place: str = "A", **more: Any) -> dict[str, Any]:
    return {"place": place, "gate": 1, "at": known, "seen": known, "value": value, "whole": 1, "text": "x", **more}


def ask(due: int | None, place: str = "A") -> dict[str, Any]:
    return {"place": place, "gate": 1, "due": due}


def test_only_what_became_known_is_written_again() -> None:
    whole = program(window(), lookup(known_after=(("seen", 0),)), STATIC)
    store = MemoryOnlineStore()
    events = [event(T0 + n * MINUTE, place=f"P{n}") for n in range(50)]
    first = fill(store, whole, events)
    assert [(one.how, one.keys) for one in first.steps] == [("new", 50), ("new", 50), ("new", 2)]
    assert first.watermark_us == T0 + 49 * MINUTE + 1
    events += [event(T0 + 2 * HOUR, place="P7"), event(T0 + 2 * HOUR, place="new")]
    second = fill(store, whole, events)
    assert [(one.how, one.keys) for one in second.steps] == [("since", 2), ("since", 2), ("unchanged", 0)]
    assert store.size(SPACE) == 51 * 2 + 2
    asked = [ask(T0 + 3 * HOUR, place) for place in ("P7", "new", "P8")]
    until = T0 + 2 * HOUR + 1
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, events, asked, until)
    assert [one.how for one in fill(store, whole, events).steps] == ["unchanged"] * 3
    anew = fill(store, whole, events, anew=True)
    assert [(one.how, one.keys) for one in anew.steps] == [("anew", 51), ("anew", 51), ("anew", 2)]
    assert store.size(SPACE) == 51 * 2 + 2  # nothing is left of what was replaced


def test_a_correction_of_what_was_known_before_is_not_passed_over() -> None:
    whole = program(window(take=("sum",)))
    store = MemoryOnlineStore()
    events = [event(T0, 1.0), event(T0 + HOUR, 2.0, "B")]
    fill(store, whole, events)
    made = fill(store, whole, [event(T0, 5.0), *events[1:], event(T0 + 2 * HOUR, 3.0, "B")])
    assert made.steps[0].how == "anew"
    [row] = answers(OnlineHistory(whole, store, SPACE), whole, [ask(T0 + 3 * HOUR)])
    assert row[2] == (5.0).hex()


def test_an_earlier_watermark_forgets_what_became_known_later() -> None:
    whole = program(window(take=("count",)))
    store = MemoryOnlineStore()
    events = [event(T0), event(T0 + HOUR), event(T0 + HOUR, place="B")]
    fill(store, whole, events)
    assert fill(store, whole, events, T0 + 1).steps[0].how == "anew"
    rows = answers(OnlineHistory(whole, store, SPACE), whole, [ask(T0 + 1), ask(T0 + 1, "B")])
    assert [row[3] for row in rows] == [1, 0]
    assert store.size(SPACE) == 1


def test_a_row_before_the_watermark_is_refused() -> None:
    whole = program(STATIC, window())
    store = MemoryOnlineStore()
    fill(store, whole, [event(T0)], T0 + HOUR)
    history = OnlineHistory(whole, store, SPACE)
    assert history.watermark_us == T0 + HOUR
    with pytest.raises(BeforeWatermark, match="--features history"):
        answers(history, whole, [ask(T0 + HOUR - 1)])
    static_only = program(STATIC)
    assert answers(OnlineHistory(static_only, store, SPACE), static_only, [ask(T0 - DAY)]) == [[7]]


@pytest.mark.parametrize("behind", [HOUR, HOUR + 1])
def test_values_that_are_too_old_are_refused_or_null(behind: int) -> None:
    whole = program(window(take=("count",), over=(("1h", 12 * DAY, DAY),)), STATIC)
    store = MemoryOnlineStore()
    fill(store, whole, [event(T0 - 1)], T0)
    refusing = OnlineHistory(whole, store, SPACE, max_staleness_us=HOUR)
    null = OnlineHistory(whole, store, SPACE, max_staleness_us=HOUR, on_stale="null")
    if behind <= HOUR:
        assert answers(refusing, whole, [ask(T0 + behind)]) == answers(null, whole, [ask(T0 + behind)]) == [[1, 7]]
        return
    with pytest.raises(OnlineStale, match="max_staleness allows 3,600 s"):
        answers(refusing, whole, [ask(T0 + behind)])
    assert answers(null, whole, [ask(T0 + behind)]) == [[None, 7]]


def test_a_store_without_the_values_names_what_is_missing() -> None:
    store = MemoryOnlineStore()
    with pytest.raises(NotMaterialized, match="'w'") as caught:
        OnlineHistory(program(window()), store, SPACE)
    assert "headrace materialize" in (caught.value.fix or "")
    fill(store, program(window()), [event(T0)])
    OnlineHistory(program(window()), store, SPACE)
    with pytest.raises(NotMaterialized, match="'other'"):
        OnlineHistory(program(window(), window(name="other", scale=12)), store, SPACE)


def test_a_watermark_ahead_of_now_is_refused() -> None:
    with pytest.raises(WatermarkAhead, match="ahead of now"):
        fill(MemoryOnlineStore(), program(window()), [event(T0)], NOW + 1)


def test_what_is_known_only_in_the_future_waits() -> None:
    whole = program(window(take=("count",)))
    store = MemoryOnlineStore()
    made = fill(store, whole, [event(T0), event(NOW + DAY)])
    assert made.watermark_us == T0 + 1
    assert fill(store, whole, [event(NOW + DAY)]).watermark_us == 0


@pytest.mark.parametrize("state", [b"{", b'{"format":2}', b'{"format":1,"steps":{},"more":1}'])
def test_a_state_of_another_form_is_refused(state: bytes) -> None:
    store = MemoryOnlineStore()
    store.update(SPACE, [], state)
    with pytest.raises(OnlineUnreadable):
        OnlineHistory(program(window()), store, SPACE)


def test_names_of_features_and_of_request_columns_are_no_part_of_a_record() -> None:
    one, other = window(), window(name="other", key=(("here", "place"), ("there", "gate")))
    assert step_id(one) == step_id(other)
    assert step_id(lookup()) == step_id(lookup(max_age_us=None, name="x"))
    different: list[WindowStep | LookupStep] = [
        window("whole"),
        window(scale=3),
        window(take=("sum",)),
        window(known_after=(("at", 0),)),
        lookup(),
    ]
    assert len({step_id(step) for step in [one, *different]}) == 6


class Counting(MemoryOnlineStore):
    """Counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        self.asked.append(len(keys))
        return super().read(space, keys)


def test_a_row_is_one_read_and_a_null_key_asks_for_nothing() -> None:
    store = Counting()
    whole = program(*STEPS)
    fill(store, whole, [event(T0)])
    row = RowProgram(whole, OnlineHistory(whole, store, SPACE))
    store.asked.clear()
    row.outputs(("A", 1, T0 + HOUR))
    row.outputs(("A", None, T0 + HOUR))
    assert store.asked == [len(STEPS), 1]


def test_a_lookup_whose_key_another_lookup_gives_is_a_second_read() -> None:
    store = Counting()
    by_text = LookupStep(name="t", source="places", key=(("l_text", "place"),), take=(("size", Type.INTEGER),))
    whole = program(lookup(known_after=(("seen", 0),)), window(), by_text)
    fill(store, whole, [event(T0, text="A")])
    row = RowProgram(whole, OnlineHistory(whole, store, SPACE))
    store.asked.clear()
    assert row.outputs(("A", 1, T0 + HOUR))[-1] == 7
    assert store.asked == [2, 1]


def test_a_reader_comes_to_new_values_with_the_watermark_that_they_belong_to() -> None:
    whole = program(window(take=("sum",)))
    store = Counting()
    fill(store, whole, [event(T0, 1.0)])
    history = OnlineHistory(whole, store, SPACE)
    fill(store, whole, [event(T0, 2.0)], anew=True)
    store.asked.clear()
    [row] = answers(history, whole, [ask(T0 + HOUR)])
    assert row[1] == (2.0).hex()
    assert store.asked == [1, 1]  # once for the keys of before, once for those of now
    fill(store, whole, [event(T0, 2.0), event(T0 + DAY, 3.0)])
    with pytest.raises(BeforeWatermark):
        answers(history, whole, [ask(T0 + HOUR)])


class Dies(MemoryOnlineStore):
    """An update that is cut off after some items, as a kill does."""

    after: int | None = None

    def update(self, space: str, items: Any, state: bytes, *, expected: object = ANY) -> int:
        def cut() -> Iterator[Item]:
            for number, item in enumerate(items):
                if number == self.after:
                    raise KeyboardInterrupt
                yield item

        return super().update(space, cut(), state, expected=expected)


def test_a_materialisation_that_is_killed_leaves_what_was_there_and_the_next_one_is_whole() -> None:
    whole = program(window(take=("sum",)))
    store = Dies()
    old = [event(T0, 1.0, place) for place in "AB"]
    new = [event(T0, 2.0, place) for place in "AB"]
    fill(store, whole, old)
    store.after = 1
    with pytest.raises(KeyboardInterrupt):
        fill(store, whole, new)
    history = OnlineHistory(whole, store, SPACE)
    asked = [ask(T0 + 1, place) for place in "AB"]
    assert [row[1] for row in answers(history, whole, asked)] == [(1.0).hex()] * 2
    store.after = None
    fill(store, whole, new)
    assert [row[1] for row in answers(history, whole, asked)] == [(2.0).hex()] * 2


def test_what_a_kill_left_behind_is_removed_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = program(window(take=("sum",)))
    store = MemoryOnlineStore()
    fill(store, whole, [event(T0, 1.0, f"P{n}") for n in range(20)])
    with monkeypatch.context() as patch:
        patch.setattr(store, "purge", _killed)
        with pytest.raises(KeyboardInterrupt):
            fill(store, whole, [event(T0, 2.0, "P1")])
    assert store.size(SPACE) == 21
    fill(store, whole, [event(T0, 2.0, "P1")])
    assert store.size(SPACE) == 1


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


@settings(max_examples=15)
@given(events_of, asked_of)
def test_many_rows_at_once_get_what_each_gets_alone(events: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    whole = program(*STEPS)
    store = MemoryOnlineStore()
    fill(store, whole, events, T0)
    asked = [one | {"due": None if one["due"] is None else max(T0, one["due"])} for one in asked]
    history = OnlineHistory(whole, store, SPACE)
    frame = table(REQUEST, asked)
    columns: list[pl.Series] = []
    for number, index in online_indexes(whole, history).items():
        step = whole.steps[number]
        assert isinstance(step, LookupStep | WindowStep)
        keys = frame.select(pl.col(ours).alias(f"_key_{place}") for place, (ours, _) in enumerate(step.key))
        found = index.columns(keys, frame["due"].to_physical())
        assert [Field(name=s.name, type=f.type) for s, f in zip(found, fields_of(step), strict=True)] == list(
            fields_of(step)
        )
        columns += found
    rows = list(zip(*(column.to_physical().to_list() for column in columns), strict=True))
    assert bits(rows) == answers(history, whole, asked)


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materializing, "PROGRESS_EVERY", 3)
    told: list[tuple[int, str]] = []
    events = [event(T0, place=f"P{n}") for n in range(10)]
    fill(MemoryOnlineStore(), program(window()), events, progress=lambda done, note: told.append((done, note)))
    assert told == [(3, "w"), (6, "w"), (9, "w")]


class Between(MemoryOnlineStore):
    """Another materialisation is done between the plan of one and its update."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def update(self, space: str, items: Any, state: bytes, *, expected: object = ANY) -> int:
        other, self.other = self.other, None
        if other is not None:
            other(self)
        return super().update(space, items, state, expected=expected)


@settings(max_examples=30)
@given(
    events_of,
    st.tuples(st.integers(-20, 20), st.booleans()),
    st.tuples(st.integers(-20, 20), st.booleans(), st.booleans()),
    asked_of,
)
def test_of_two_at_a_time_the_second_works_from_what_the_first_one_wrote(
    events: list[dict[str, Any]], one: tuple[int, bool], other: tuple[int, bool, bool], asked: list[dict[str, Any]]
) -> None:
    whole, alone = program(lookup(), window(), STATIC), program(window("whole", name="n"))
    until, others = T0 + one[0] * 9 * MINUTE, T0 + other[0] * 9 * MINUTE
    store = Between(lambda store: fill(store, alone if other[2] else whole, events, others, anew=other[1]))
    fill(store, whole, events, until, anew=one[1])
    asked = [ask | {"due": max(until, others) + HOUR} for ask in asked]
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, events, asked, until)
    if other[2]:
        assert answers(OnlineHistory(alone, store, SPACE), alone, asked) == from_history(alone, events, asked, others)


def test_who_is_overtaken_every_time_gives_up_and_says_so() -> None:
    whole = program(window())
    count = iter(range(100))

    class Overtaken(MemoryOnlineStore):
        def update(self, space: str, items: Any, state: bytes, *, expected: object = ANY) -> int:
            if expected is not ANY:
                super().update(space, [], b'{"format":1,"left":["%02x"]}' % next(count))
            return super().update(space, items, state, expected=expected)

    with pytest.raises(OnlineMoved, match="being written by another"):
        fill(Overtaken(), whole, [event(T0)])


def test_the_order_of_rows_of_one_instant_is_part_of_the_past() -> None:
    whole = program(lookup(known_after=(("seen", 0),)), window("text", name="t", take=("last",)), window())
    store = MemoryOnlineStore()
    events = [event(T0, 1.0, text="a"), event(T0, 2.0, text="b"), event(T0 + HOUR, 3.0, "B")]
    fill(store, whole, events)
    turned = [events[1], events[0], events[2]]
    made = fill(store, whole, turned)
    assert [one.how for one in made.steps] == ["anew", "anew", "unchanged"]
    asked = [ask(T0 + 2 * HOUR)]
    until = T0 + HOUR + 1
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, turned, asked, until)


def test_threads_share_a_reader_while_values_are_written_anew() -> None:
    whole = program(window(take=("sum",)))
    store = MemoryOnlineStore()
    fill(store, whole, [event(T0, 1.0)])
    history = OnlineHistory(whole, store, SPACE)

    def ask_often() -> set[object]:
        return {answers(history, whole, [ask(T0 + HOUR)])[0][1] for _ in range(400)}

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(ask_often) for _ in range(3)]
        for _ in range(40):
            fill(store, whole, [event(T0, 1.0)], anew=True)
        assert set().union(*(one.result() for one in done)) == {(1.0).hex()}


def test_a_step_that_another_version_moved_on_says_how_old_the_rest_is() -> None:
    shared, own = window(), window("whole", name="n")
    store = MemoryOnlineStore()
    events = [event(T0), event(T0 + HOUR)]
    fill(store, program(shared, own), events, T0 + 1)
    fill(store, program(shared), events, T0 + HOUR + 1)
    history = OnlineHistory(program(shared, own), store, SPACE)
    assert (history.oldest_watermark_us, history.watermark_us) == (T0 + 1, T0 + HOUR + 1)


def test_static_tables_have_no_watermark() -> None:
    made = fill(MemoryOnlineStore(), program(STATIC), [], T0)
    assert (made.watermark_us, made.keys) == (None, 2)


def test_keys_are_made_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materializing, "SLICE", 3)
    events = [event(T0 - 40 * DAY * (n % 2), float(n), f"P{n}") for n in range(20)]
    whole = program(window(take=("sum",)), lookup(known_after=(("seen", 0),)))
    store = MemoryOnlineStore()
    fill(store, whole, events, T0 + 1)
    asked = [ask(T0 + 1, f"P{n}") for n in range(20)]
    assert answers(OnlineHistory(whole, store, SPACE), whole, asked) == from_history(whole, events, asked, T0 + 1)


class Rots(MemoryOnlineStore):
    """Gives values of which one bit has turned."""

    bit: int | None = None

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        state, values = super().read(space, keys)
        if self.bit is None:
            return Read(state, values)
        turned: list[bytes | None] = []
        for value in values:
            assert value is not None
            bits_of = bytearray(value)
            bits_of[self.bit // 8 % len(value)] ^= 1 << self.bit % 8
            turned.append(bytes(bits_of))
        return Read(state, turned)


@settings(max_examples=60)
@given(st.sampled_from([0, 1]), st.integers(0, 8 * 400))
def test_a_flipped_bit_is_never_taken_for_a_value(which: int, bit: int) -> None:
    step = (lookup(known_after=(("seen", 0),)), window())[which]
    whole = program(step)
    store = Rots()
    fill(store, whole, [event(T0, float(n)) for n in range(9)])
    history = OnlineHistory(whole, store, SPACE)
    answers(history, whole, [ask(T0 + 1)])
    store.bit = bit
    with pytest.raises(OnlineUnreadable, match="checksum"):
        answers(history, whole, [ask(T0 + 1)])
