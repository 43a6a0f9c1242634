"""How far a history reaches: rows asked long after it find empty windows, and are told of."""

from __future__ import annotations

from tests.features.small import DAY, HOUR, MINUTE, T0, table
from tests.features.test_history_and_columns import EVENTS, program, window

from headrace.language.parse import parse
from headrace.scoring.batch import history_end

HALVES = (("1h", HOUR, 5 * MINUTE),)


def test_what_decays_is_never_empty() -> None:
    fading = window(take=("decayed_count",), over=(), half_lives=HALVES)
    assert history_end(program(fading), {"events": table(EVENTS, []).lazy()}) == (None, 0)


def test_rows_that_cannot_count_do_not_make_history_longer() -> None:
    events: list[dict[str, object]] = [{"seen": T0, "whole": 1}, {"seen": T0 + HOUR, "whole": 0}]
    step = window(None, take=("count",), where=parse("whole > 0", EVENTS), half_lives=HALVES)
    assert history_end(program(step), {"events": table(EVENTS, events).lazy()}) == (T0, 12 * DAY)
