"""[split]: what belongs to which rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import Definition, Split

BASE = """
format = 1
[project]
source = "flights"
time = "sched"
label = "arr_delay > 30"
request = ["carrier", "distance", "sched"]
[sources.flights]
read = "flights.csv"
[split]
"""


def test_under_time_there_may_be_an_embargo_and_a_group(read: Callable[[str], Definition]) -> None:
    assert read(BASE + 'embargo = "1d"\ngroup = "carrier"').split == Split(
        by="time", group="carrier", embargo_us=86_400_000_000, few=True
    )


def test_without_a_word_of_it_the_split_is_open_unless_there_is_a_time(read: Callable[[str], Definition]) -> None:
    assert read(BASE).split == Split(by="time", few=True)
    without = BASE.replace('time = "sched"\n', "")
    assert read(without).split == Split(by="random", is_open=True, few=True)
    assert read(without + 'by = "random"\ntrust = true').split == Split(by="random", trust=True, few=True)
    assert read(without + 'time = "sched"').split == Split(by="time", time="sched", few=True)
    assert not read(BASE + "folds = 5").split.few


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('by = "random"\nembargo = "1d"', "split.embargo", "`embargo` is for a split by time"),
        ('by = "random"\ntime = "sched"', "split.time", "`time` is for a split by time"),
        ('by = "stratified"\ngroup = "carrier"', "split.group", "`group` is for a split by group or by time"),
        ('embargo = "1 day"', "split.embargo", "amount cannot be read"),
    ],
)
def test_what_another_rule_would_leave_unread_is_refused(
    text: str, key: str, message: str, mistakes: Callable[[str], tuple[Mistake, ...]]
) -> None:
    (found,) = mistakes(BASE + text)
    assert found.key == key
    assert message in found.message
