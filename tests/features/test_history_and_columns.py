"""Lookups and windows: the columns form, the row form and a plain loop give the same bits."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.features.small import DAY, HOUR, MINUTE, T0, table

from headrace.data.model import Field
from headrace.features import windows
from headrace.features.columns import FeatureColumns, add_features
from headrace.features.errors import DuplicateStaticKey
from headrace.features.finish import sums_of, unit_of
from headrace.features.history import History
from headrace.features.keyed import Moments
from headrace.features.model import LookupStep, Program, Step, WindowStep
from headrace.features.naming import fields_of, hop_of
from headrace.features.program import RowProgram
from headrace.language.row_decimals import within
from headrace.language.types import Type
from headrace.language.values import physical

EVENTS = {
    "place": Type.STRING,
    "gate": Type.INTEGER,
    "at": Type.TIMESTAMP,
    "seen": Type.TIMESTAMP,
    "value": Type.FLOAT,
    "whole": Type.INTEGER,
    "amount": Type.DECIMAL,
    "text": Type.STRING,
}
REQUEST = {"place": Type.STRING, "gate": Type.INTEGER, "due": Type.TIMESTAMP}
WIDTHS = (("5m", 5 * MINUTE), ("1h", HOUR), ("13h", 13 * HOUR), ("12d", 12 * DAY))
WIDTHS_5M = (("5m", 5 * MINUTE, 5 * MINUTE),)
KEY = (("place", "place"), ("gate", "gate"))


def window(value: str | None = "value", scale: int = 40, **changes: Any) -> WindowStep:
    parts: dict[str, Any] = {
        "name": "w",
        "source": "events",
        "key": KEY,
        "value": value,
        "value_type": Type.INTEGER if value is None else EVENTS[value],
        "known_after": (("seen", 0),),
        "over": tuple((text, width, hop_of(width)) for text, width in WIDTHS),
        "take": ("count", "sum", "mean", "min", "max"),
        "scale": scale if value == "value" else 0,
    }
    return WindowStep(**(parts | changes))


def lookup(**changes: Any) -> LookupStep:
    parts: dict[str, Any] = {
        "name": "l",
        "source": "events",
        "key": KEY,
        "take": (("value", Type.FLOAT), ("text", Type.STRING), ("at", Type.TIMESTAMP), ("amount", Type.DECIMAL)),
        "event_time": "at",
        "known_after": (("seen", 0), ("at", MINUTE)),
        "max_age_us": 6 * HOUR,
    }
    return LookupStep(**(parts | changes))


def program(*steps: Step) -> Program:
    return Program(
        model="m",
        source="asked",
        time="due",
        key=(),
        request=tuple(Field(name=name, type=type_) for name, type_ in REQUEST.items()),
        steps=steps,
        outputs=tuple(field for step in steps for field in fields_of(step)),
    )


def both_forms(
    step: Step, events: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The answers of the columns form and those of the row form, in the row form's values."""
    tables = {"events": table(EVENTS, events).lazy()}
    whole = program(step)
    found = add_features(table(REQUEST, asked), whole, tables)
    columns = pl.DataFrame([physical(column) for column in found.get_columns()])
    history = History(whole, tables)
    read = history.reader([0])
    rows = [tuple(read([[ask.get("place"), ask.get("gate")]], ask.get("due"))) for ask in asked]
    return columns.rows(), rows


def known_instant(event: dict[str, Any], known_after: Sequence[tuple[str, int]]) -> int | None:
    instants = [event.get(column) for column, _ in known_after]
    if None in instants:
        return None
    latest: int = max(event[column] + delay for column, delay in known_after)
    return latest


def same_key(event: dict[str, Any], ask: dict[str, Any]) -> bool:
    return all(ask.get(ours) is not None and event.get(theirs) == ask.get(ours) for ours, theirs in KEY)


def plain_window(step: WindowStep, events: list[dict[str, Any]], ask: dict[str, Any]) -> tuple[object, ...]:
    """The definition of a window, as a loop."""
    t = ask.get("due")
    if t is None or ask.get("place") is None or ask.get("gate") is None:
        return (None,) * len(fields_of(step))
    answers: dict[tuple[str, int], object] = {}
    for place, (_, half_life, hop) in enumerate(step.half_lives):
        past = [
            (known, event.get(step.value or "text"))
            for event in events
            if same_key(event, ask) and counts_in(step, event)
            for known in [known_instant(event, step.known_after)]
            if known is not None and known < t
        ]
        newest = max((known // hop for known, _ in past), default=0)
        weights = [2.0 ** ((known // hop - newest) * hop / half_life) for known, _ in past]
        left = 2.0 ** ((newest - t // hop) * hop / half_life)
        answers["decayed_count", place] = About(math.fsum(weights) * left, 1e-9)
        if past and step.value is not None:
            values = [
                math.ldexp(round(math.ldexp(value, step.scale)), -step.scale) / unit_of(step.value_type)
                for _, value in past
                if value is not None
            ]
            total = math.fsum(weight * value for weight, value in zip(weights, values, strict=True))
            size = math.fsum(weight * abs(value) for weight, value in zip(weights, values, strict=True))
            answers["decayed_sum", place] = About(total * left, 1e-9, 1e-9 * size * left + 1e-300)
            answers["decayed_mean", place] = About(total / math.fsum(weights), 1e-9, 1e-9 * size + 1e-300)
    for place, (_, width, hop) in enumerate(step.over):
        edge = (t - width) // hop * hop
        held = [
            (known, -(2**63) if event.get("at") is None else event["at"], sequence, event.get(step.value or "text"))
            for sequence, event in enumerate(events)
            if same_key(event, ask) and counts_in(step, event)
            for known in [known_instant(event, step.known_after)]
            if known is not None and edge <= known < t
        ]
        for aggregate in step.take:
            if not aggregate.startswith("decayed"):
                answers[aggregate, place] = plain_aggregate(aggregate, step, sorted(held), t, edge)
    return tuple(
        answers.get((aggregate, place))
        for aggregate in step.take
        for place in range(len(step.half_lives if aggregate.startswith("decayed") else step.over))
    )


def counts_in(step: WindowStep, event: dict[str, Any]) -> bool:
    """Whether the definition lets an event count."""
    if step.where is not None and not (event.get("whole") is not None and event["whole"] > 0):
        return False
    if step.value is None:
        return True
    value = event.get(step.value)
    if value is None or step.value_type is not Type.FLOAT:
        return value is not None
    # what is far larger than all of history when the scale was fixed does not count
    return math.isfinite(value) and (not sums_of(step) or abs(value) <= 2.0 ** (62 - step.scale))


def plain_aggregate(
    aggregate: str, step: WindowStep, held: list[tuple[int, int, int, Any]], t: int, edge: int
) -> object:
    """An aggregate of events (known, event time, sequence, value), in that order."""
    values = [value for *_, value in held]
    if aggregate == "count":
        return len(held)
    if aggregate == "rate":
        return len(held) / ((t - edge) / HOUR)
    if aggregate == "n_unique":
        return len(set(values))
    if not held:
        return None
    if aggregate in PERCENTS:
        exact = sorted(values)[-(-len(values) * PERCENTS[aggregate] // 100) - 1]
        return About(exact / unit_of(step.value_type), 1 / 256)
    if aggregate in RANKS:
        often = sorted((-values.count(value), value) for value in set(values))
        return often[RANKS[aggregate] - 1][1] if len(often) >= RANKS[aggregate] else None
    if aggregate in ("sum", "mean", "variance", "stddev"):
        wholes = [round(math.ldexp(value, step.scale)) for value in values]
        if step.value_type is Type.DECIMAL and aggregate in ("sum", "mean"):
            exact = sum(values)
            return within(exact) if aggregate == "sum" else About(exact / 10**6 / len(held))
        total = math.ldexp(float(sum(wholes)), -step.scale)
        if aggregate in ("sum", "mean"):
            return total if aggregate == "sum" else total / len(held)
        if len(held) < 2:
            return None
        n = len(wholes)
        found = Fraction(n * sum(whole * whole for whole in wholes) - sum(wholes) ** 2, n * (n - 1))
        found /= Fraction(4) ** step.scale * Fraction(unit_of(step.value_type)) ** 2
        return About(float(found) if aggregate == "variance" else math.sqrt(found))
    if aggregate in ("min", "max"):
        return min(values) if aggregate == "min" else max(values)
    if aggregate in ("first", "last"):
        return values[0 if aggregate == "first" else -1]
    assert aggregate == "seconds_since"
    return (t - held[-1][0]) / 1e6


PERCENTS = {"median": 50, "p10": 10, "p90": 90, "p95": 95, "p99": 99}
RANKS = {"top1": 1, "top2": 2, "top3": 3}


class About:
    """Equal to floats within a relative error."""

    def __init__(self, value: float, error: float = 1e-12, absolute: float = 1e-300) -> None:
        self.value = value
        self.error = error
        self.absolute = absolute

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self.value, other, rel_tol=self.error, abs_tol=self.absolute)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"about {self.value!r}"


def plain_lookup(step: LookupStep, events: list[dict[str, Any]], ask: dict[str, Any]) -> tuple[object, ...]:
    """The definition of a lookup, as a loop."""
    nothing = (None,) * len(step.take)
    t = ask.get("due")
    best: tuple[int, int, int] | None = None
    for sequence, event in enumerate(events):
        known = known_instant(event, step.known_after)
        if t is not None and same_key(event, ask) and known is not None and known < t and event.get("at") is not None:
            candidate = (event["at"], known, sequence)
            best = candidate if best is None else max(best, candidate)
    if t is None or best is None or (step.max_age_us is not None and best[0] < t - step.max_age_us):
        return nothing
    return tuple(events[best[2]].get(column) for column, _ in step.take)


def bits(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [[value.hex() if isinstance(value, float) else value for value in row] for row in rows]


def assert_same(
    columns: Sequence[tuple[object, ...]], rows: Sequence[tuple[object, ...]], plain: Sequence[tuple[object, ...]]
) -> None:
    """Both forms have the same bits, and those of the loop where it says what they are."""
    assert bits(columns) == bits(rows)
    # one zero: the loop's least of -0.0 and 0.0 depends on order
    zeroed = [tuple(x + 0.0 if isinstance(x, float) else x for x in row) for row in plain]
    assert all(
        found == wanted if isinstance(wanted, About) else bits([(found,)]) == bits([(wanted,)])
        for wanted_row, row in zip(zeroed, rows, strict=True)
        for wanted, found in zip(wanted_row, row, strict=True)
    ), (zeroed, rows)


# few distinct values: ties, late and future events, corrections (one event time known twice) and nulls are common
instants = st.one_of(
    st.none(), st.integers(-60, 60).map(lambda n: T0 + n * 5 * MINUTE), st.integers(T0 - 20 * DAY, T0 + DAY)
)
places = st.sampled_from(["A", "B", None])
gates = st.sampled_from([1, 2, None])
values = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, math.inf, -math.inf, 1e9, -1e9]),
    st.floats(-(2.0**20), 2.0**20),
)
wholes = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([2**62, -(2**62), 2**63 - 1]))
amounts = st.one_of(
    st.none(), st.integers(-(10**8), 10**8), st.sampled_from([0, 1, -1, 10**6, 10**18 - 1, -(10**18) + 1, 2**53 + 1])
)
events_of = st.lists(
    st.fixed_dictionaries(
        {
            "place": places,
            "gate": gates,
            "at": instants,
            "seen": instants,
            "value": values,
            "whole": wholes,
            "amount": amounts,
            "text": st.sampled_from(["x", "y", None]),
        }
    ),
    max_size=60,
)
asked_of = st.lists(
    st.fixed_dictionaries({"place": st.sampled_from(["A", "B", "C", None]), "gate": gates, "due": instants}),
    min_size=1,
    max_size=12,
)


TOO_LARGE = {"place": "B", "gate": 1, "at": None, "seen": T0, "value": 1e9, "whole": None, "text": "x"}


@settings(max_examples=150)
@example([TOO_LARGE], [{"place": "B", "gate": 1, "due": T0 + 5 * MINUTE}], "value")
@given(events_of, asked_of, st.sampled_from(["value", "whole", "amount"]))
def test_windows_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], value: str
) -> None:
    step = window(value)
    columns, rows = both_forms(step, events, asked)
    assert_same(columns, rows, [plain_window(step, events, ask) for ask in asked])


@settings(max_examples=150)
@given(events_of, asked_of, st.booleans())
def test_lookups_are_equal_in_both_forms_and_in_a_plain_loop(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], aged: bool
) -> None:
    step = lookup(max_age_us=6 * HOUR if aged else None)
    columns, rows = both_forms(step, events, asked)
    assert bits(columns) == bits(rows) == bits([plain_lookup(step, events, ask) for ask in asked])


@settings(max_examples=50)
@given(events_of, asked_of, st.randoms(use_true_random=False))
def test_the_order_of_events_never_changes_a_window(
    events: list[dict[str, Any]], asked: list[dict[str, Any]], order: random.Random
) -> None:
    before, _ = both_forms(window(), events, asked)
    order.shuffle(events)
    assert bits(both_forms(window(), events, asked)[0]) == bits(before)


@pytest.mark.parametrize("values", [(-0.0,), (0.0, -0.0), (-0.0, 0.0)])
def test_a_window_of_zeros_has_no_sign(values: tuple[float, ...]) -> None:
    events: list[dict[str, Any]] = [
        {"place": "A", "gate": 1, "at": T0, "seen": T0, "value": value, "whole": 0, "text": "x"} for value in values
    ]
    columns, rows = both_forms(window(), events, [{"place": "A", "gate": 1, "due": T0 + MINUTE}])
    floats = [value for value in columns[0] if isinstance(value, float)]
    assert floats
    assert all(math.copysign(1, value) == 1 for value in floats)
    assert bits(columns) == bits(rows)


def test_windows_of_many_rows_equal_a_plain_loop_on_1000_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_BATCH", 300)  # so that rows come in several batches of several chunks
    monkeypatch.setattr(windows, "_CHUNK", 70)
    draw = random.Random(7)
    events = [
        {
            "place": draw.choice("ABC"),
            "gate": 1,
            "seen": T0 + draw.randrange(30 * 24 * 60) * MINUTE,
            "value": draw.gauss(10, 40),
        }
        for _ in range(1_500)
    ]
    asked: list[dict[str, Any]] = [
        {"place": draw.choice("ABCD"), "gate": 1, "due": T0 + draw.randrange(31 * DAY)} for _ in range(1_000)
    ]
    step = window()
    columns, rows = both_forms(step, events, asked)
    by_place = {place: [event for event in events if event["place"] == place] for place in "ABCD"}
    assert bits(columns) == bits(rows) == bits([plain_window(step, by_place[ask["place"]], ask) for ask in asked])


def test_a_window_holds_no_row_known_at_the_moment_of_prediction_or_later() -> None:
    own = [{"place": "A", "gate": 1, "seen": T0 + late, "value": 1.0} for late in (0, 1, HOUR)]
    columns, rows = both_forms(window(take=("count", "max")), own, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [(0, 0, 0, 0, None, None, None, None)]


def test_the_old_edge_of_a_window_hops_and_the_new_one_is_exact() -> None:
    hour = T0 // HOUR * HOUR
    due = hour + 3 * MINUTE + 7
    edge = hour - HOUR  # floor(due - 1h, 5 minutes)
    events = [{"place": "A", "gate": 1, "seen": seen, "value": 1.0} for seen in (edge - 1, edge, due - 1, due)]
    step = window(take=("count",), over=(("1h", HOUR, 5 * MINUTE),))
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": due}])
    assert columns == rows == [(2,)]


@pytest.mark.parametrize(
    ("width", "hop"),
    [(MINUTE, 5 * MINUTE), (12 * HOUR - 1, 5 * MINUTE), (12 * HOUR, HOUR), (12 * DAY - 1, HOUR), (12 * DAY, DAY)],
)
def test_hops_grow_with_the_width(width: int, hop: int) -> None:
    assert hop_of(width) == hop


def test_a_lookup_never_takes_a_row_known_at_the_moment_of_prediction() -> None:
    step = lookup(known_after=(("seen", 0),))
    events = [
        {"place": "A", "gate": 1, "at": T0 - HOUR, "seen": T0 - 1, "value": 1.0},
        {"place": "A", "gate": 1, "at": T0 - MINUTE, "seen": T0, "value": 2.0},
    ]
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows
    assert columns[0][0] == 1.0


def test_a_lookup_never_takes_a_backfilled_row_before_it_was_known() -> None:
    step = lookup(known_after=(("seen", 0),))
    first = {"place": "A", "gate": 1, "at": T0 - HOUR, "seen": T0 - HOUR, "value": 1.0}
    correction = first | {"seen": T0 + HOUR, "value": 2.0}
    asked = [{"place": "A", "gate": 1, "due": T0 + late} for late in (0, HOUR, HOUR + 1)]
    columns, rows = both_forms(step, [correction, first], asked)
    assert columns == rows
    assert [row[0] for row in columns] == [1.0, 1.0, 2.0]


def test_max_age_looks_at_the_newest_row_only() -> None:
    events = [{"place": "A", "gate": 1, "at": T0 - 7 * HOUR, "seen": T0 - 7 * HOUR, "value": 1.0}]
    columns, rows = both_forms(lookup(), events, [{"place": "A", "gate": 1, "due": T0 + late} for late in (-HOUR, 0)])
    assert columns == rows
    assert [row[0] for row in columns] == [1.0, None]


@pytest.mark.parametrize("now", [None, T0, T0 + HOUR])
def test_the_prediction_time_is_the_earlier_of_the_rows_own_and_now(now: int | None) -> None:
    whole = program(window(take=("count",), over=WIDTHS_5M))
    events = [{"place": "A", "gate": 1, "seen": T0 - 1 + late, "value": 1.0} for late in (0, HOUR)]
    tables = {"events": table(EVENTS, events).lazy()}
    asked: list[dict[str, Any]] = [{"place": "A", "gate": 1, "due": due} for due in (None, T0, T0 + HOUR)]
    alone = RowProgram(whole, History(whole, tables))
    wanted = {None: [None, 1, 1], T0: [1, 1, 1], T0 + HOUR: [1, 1, 1]}[now]
    assert [alone.outputs(list(ask.values()), now)[0] for ask in asked] == wanted
    assert FeatureColumns.of(whole, tables).add(table(REQUEST, asked), now).to_series().to_list() == wanted


def test_a_static_lookup_is_a_plain_join() -> None:
    step = lookup(event_time=None, known_after=(), max_age_us=None)
    events = [{"place": place, "gate": 1, "value": value} for place, value in (("A", 1.0), ("B", 2.0))]
    asked = [{"place": place, "gate": 1} for place in ("B", "C", "A", None)]
    columns, rows = both_forms(step, events, asked)
    assert columns == rows
    assert [row[0] for row in columns] == [2.0, None, 1.0, None]


def test_a_static_table_with_two_rows_for_a_key_is_refused() -> None:
    events = [{"place": "A", "gate": 1, "value": 1.0}] * 2
    with pytest.raises(DuplicateStaticKey, match=r"2 rows but 1 distinct keys \(place, gate\)"):
        both_forms(lookup(event_time=None, known_after=(), max_age_us=None), events, [{"place": "A", "gate": 1}])


def test_sums_are_exact_where_floats_would_lose_the_small_one() -> None:
    events = [{"place": "A", "gate": 1, "seen": T0 - 1, "value": value} for value in (2.0**52, 0.25, -(2.0**52))]
    step = window(take=("sum",), scale=2)
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [(0.25,) * 4]


def test_a_value_beyond_the_headroom_does_not_count() -> None:
    events = [{"place": "A", "gate": 1, "seen": T0 - 1, "value": value} for value in (1.0, 2.0**13, -(2.0**12))]
    step = window(take=("sum", "count", "max"), scale=50, over=WIDTHS_5M)
    columns, rows = both_forms(step, events, [{"place": "A", "gate": 1, "due": T0}])
    assert columns == rows == [(1.0 - 2.0**12, 2, 1.0)]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-(2**60), 2**60)), min_size=1, max_size=40),
    st.tuples(st.integers(0, 5), st.integers(-(2**61), 2**61)),
)
def test_codes_compare_like_the_pairs_they_stand_for(pairs: list[tuple[int, int]], probe: tuple[int, int]) -> None:
    """Spans this wide do not fit beside a key number, so ranks stand in for distances."""
    import numpy as np

    numbers, times = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    moments = Moments(numbers, times, keys=6)
    below = sum(pair < probe for pair in pairs)
    assert moments.places(moments.codes(np.array([probe[0]]), np.array([probe[1]]))).tolist() == [below]
    assert sum(code < moments.code(*probe) for code in moments.sorted.tolist()) == below
