"""Text to instants: many at a time, and the same as the language reads one."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.data.times import to_dates, to_timestamps
from headrace.language import row_kernels

two = st.integers(0, 99).map(lambda n: f"{n:02d}")
clock = st.tuples(st.sampled_from("T t"), two, two).map(lambda t: f"{t[0]}{t[1]}:{t[2]}")
seconds = st.one_of(
    st.just(""),
    two.map(lambda s: f":{s}"),
    st.tuples(two, st.text("0123456789", max_size=7)).map(".".join).map(":{}".format),
)
offset = st.one_of(
    st.sampled_from(["", "Z", "z", "+00:00", "-0530", "+14:00", "+24:00", "-01", "+5:00"]),
    st.tuples(two, two).map(lambda t: f"+{t[0]}:{t[1]}"),
)
day = st.one_of(
    st.dates().map(dt.date.isoformat),
    st.sampled_from(
        [
            "2013-02-29",
            "2012-02-29",
            "0000-01-01",
            "0001-01-01",
            "9999-12-31",
            "13-1-1",
            "2013-1-01",
            "+2013-01-01",
            "٢٠١٣-٠١-٠١",
        ]
    ),
)
texts = st.one_of(
    st.tuples(day, st.one_of(st.just(""), st.tuples(clock, seconds, offset).map("".join))).map("".join),
    st.text(max_size=12),
)


@settings(max_examples=500)
@given(st.lists(st.one_of(st.none(), texts), max_size=8))
@example(["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2013-01-01T05:00:00Z", "2013-01-01T23:59:60Z"])
@example(["2013-02-30T05:00:00Z"])
@example(["2012-02-29T00:00:00.0000000", "2012-02-29T01:02:03.1234567+01:00", "1960-01-01T00:00:00.999999999Z"])
def test_many_texts_become_what_each_becomes_in_the_row_form(values: list[str | None]) -> None:
    found = to_timestamps(pl.Series(values, dtype=pl.String), "UTC").cast(pl.Int64).to_list()
    assert found == [None if value is None else row_kernels.text_to_timestamp(value) for value in values]
    days = to_dates(pl.Series(values, dtype=pl.String)).cast(pl.Int32).to_list()
    assert days == [None if value is None else row_kernels.text_to_date(value) for value in values]


@settings(max_examples=200)
@given(
    st.datetimes(min_value=dt.datetime(1990, 1, 1), max_value=dt.datetime(2030, 1, 1)),  # noqa: DTZ001 - wall clocks
    st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_a_wall_clock_is_the_zones(wall: dt.datetime, zone: str) -> None:
    instant = wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(dt.UTC)
    is_in_gap = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall
    found = to_timestamps(pl.Series([wall.isoformat()]), zone).to_list()
    assert found == [None if is_in_gap else instant]


@pytest.mark.parametrize(
    ("text", "utc_hour"), [("2013-11-03T01:30:00", 5), ("2013-11-03T01:30:00-05:00", 6), ("2013-03-10T02:30:00", None)]
)
def test_a_fold_is_the_earlier_and_a_gap_is_none(text: str, utc_hour: int | None) -> None:
    (found,) = to_timestamps(pl.Series([text]), "America/New_York").to_list()
    assert (found and found.hour) == utc_hour
