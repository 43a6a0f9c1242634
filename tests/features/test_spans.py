"""History cut into spans gives the bits that whole history gives, in whatever memory."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from tests.features.small import EVERY_KIND, HOUR, MINUTE, TYPES, FolderContext, flights_definition, table
from tests.features.test_aggregates import MEASURES, SKETCHED
from tests.features.test_frame import some_flights, world
from tests.features.test_history_and_columns import EVENTS, REQUEST, asked_of, events_of, lookup, program, window

from headrace.definition.model import Definition, Split
from headrace.features import examples, frame
from headrace.features.build import build_program
from headrace.features.columns import FeatureColumns, add_features
from headrace.features.frame import assemble
from headrace.features.spans import Span, SpannedHistory
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import Memory

LITTLE = Memory(1)
BATCH = 16


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (examples, frame):
        monkeypatch.setattr(module, "BATCH", BATCH)


def assembled(root: Path, memory: Memory, definition: Definition) -> tuple[Any, FolderContext]:
    _, tables, _ = world(root, some_flights())
    ctx = FolderContext(root / "again", memory)
    ctx.scan = lambda ref: (str(root / ref.key), {})  # type: ignore[method-assign]
    return assemble(build_program(definition, TYPES), definition, tables, ctx), ctx


@pytest.mark.parametrize("by", ["time", "random", "group"])
@pytest.mark.parametrize("max_age_us", [3 * HOUR, None])
def test_a_frame_of_little_memory_has_the_bytes_of_one_of_plenty(
    tmp_path: Path, by: Any, max_age_us: int | None
) -> None:
    definition = flights_definition(split=Split(by=by, holdout=0.25, group="carrier" if by == "group" else None))
    weather, plane = definition.features.lookups
    lookups = (msgspec.structs.replace(weather, max_age_us=max_age_us), plane)
    windows = (*definition.features.windows, *EVERY_KIND)
    features = msgspec.structs.replace(definition.features, lookups=lookups, windows=windows)
    definition = msgspec.structs.replace(definition, features=features)
    whole, _ = assembled(tmp_path / "whole", Memory(2**40), definition)
    cut, ctx = assembled(tmp_path / "cut", LITTLE, definition)
    assert cut == whole
    assert len(ctx.moves) > whole.rows // BATCH


@settings(max_examples=100)
@given(events_of, asked_of)
def test_every_cut_gives_the_same_answers(events: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    asked = sorted((ask for ask in asked if ask.get("due") is not None), key=lambda ask: ask["due"])
    steps = program(
        window(),
        window(name="v", take=(*MEASURES, *SKETCHED), event_time="at"),
        lookup(name="aged"),
        lookup(name="ever", max_age_us=None),
    )
    tables = {"events": table(EVENTS, events).lazy()}
    rows = table(REQUEST, asked)
    history = SpannedHistory(steps, tables, budget_bytes=-1)
    spans = history.spans(rows["due"], rows.height, 2)
    found = [
        FeatureColumns(steps, indexes).add(rows[span.begin : span.stop]) for span, indexes in history.during(spans)
    ]
    assert [span.stop for span in spans] == [*range(2, rows.height, 2), rows.height]
    assert pl.concat(found).equals(add_features(rows, steps, tables))


def test_spans_follow_on_each_other_and_fit_into_the_budget() -> None:
    draw = random.Random(5)
    events = [
        {"place": "A", "gate": 1, "at": at, "seen": at, "value": 1.0}
        for at in (draw.randrange(200) * HOUR for _ in range(2000))
    ]
    steps = program(window(over=(("2h", 2 * HOUR, 5 * MINUTE),)))
    times = table(REQUEST, [{"due": n * HOUR} for n in range(200)])["due"]
    history = SpannedHistory(steps, {"events": table(EVENTS, events).lazy()}, budget_bytes=30_000)
    spans = history.spans(times, 200, 10)
    assert 1 < len(spans) < 20
    assert (spans[0].begin, spans[-1].stop) == (0, 200)
    assert all(a.stop == b.begin for a, b in pairwise(spans))
    assert all(history.bytes_of(span) <= 30_000 for span in spans)
    assert history.spans(times, 200, 10) == spans
    assert SpannedHistory(steps, {"events": table(EVENTS, events).lazy()}, 10**9).spans(times, 200, 10) == [
        Span(0, 200)
    ]


def test_a_limit_that_does_not_suffice_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughMemory, match=r"assembling the frame needs about .* the limit is 0\.00 GB") as refused:
        assembled(tmp_path, Memory(1, is_given=True), flights_definition())
    assert refused.value.exit_code == 2
    assert refused.value.facts["needed_bytes"] > 10**6
    assert "[features.windows]" in str(refused.value.fix)
