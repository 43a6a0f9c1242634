"""The calendar: parts of dates, first and last days, other days, distances in calendar units."""

from __future__ import annotations

from headrace.language import formats
from headrace.language import row_calendar as c
from headrace.language import row_kernels as k
from headrace.language.functions.entries import clock, form, function, part
from headrace.language.zones import HOUR, MINUTE, SECOND

CALENDAR = (
    part(
        "quarter",
        "The quarter of the year, 1 to 4.",
        k.calendar,
        "({0}[1] + 2) // 3",
        family="calendar",
        example="quarter(DATE '2013-05-31') → 2",
    ),
    part(
        "iso_week",
        "The week by ISO 8601, 1 to 53: week 1 has the year's first Thursday.",
        c.iso,
        "{0}[1]",
        family="calendar",
        example="iso_week(DATE '2012-12-31') → 1",
    ),
    part(
        "iso_year",
        "The year to which the week by ISO 8601 belongs.",
        c.iso,
        "{0}[0]",
        family="calendar",
        example="iso_year(DATE '2012-12-31') → 2013",
    ),
    part(
        "week_of_month",
        "Which seven days of the month, 1 to 5: days 1 to 7 are the first.",
        k.calendar,
        "({0}[2] + 6) // 7",
        family="calendar",
        example="week_of_month(DATE '2013-05-31') → 5",
    ),
    part(
        "days_in_month",
        "How many days the month has.",
        c.days_in_month,
        family="calendar",
        example="days_in_month(DATE '2012-02-10') → 29",
    ),
    part(
        "is_leap_year",
        "Whether the year has 366 days.",
        k.calendar,
        "{0}[0] % 4 == 0 and ({0}[0] % 100 != 0 or {0}[0] % 400 == 0)",
        result="boolean",
        family="calendar",
        example="is_leap_year(DATE '1900-01-01') → FALSE",
    ),
    part(
        "is_month_start",
        "Whether it is the first day of the month.",
        c.first_of_month,
        result="boolean",
        family="calendar",
        example="is_month_start(DATE '2013-05-01') → TRUE",
    ),
    part(
        "is_month_end",
        "Whether it is the last day of the month.",
        c.last_of_month,
        result="boolean",
        family="calendar",
        example="is_month_end(DATE '2013-02-28') → TRUE",
    ),
    part(
        "last_day",
        "The last day of the month.",
        c.last_day,
        result="date",
        family="calendar",
        example="last_day(DATE '2012-02-10') → DATE '2012-02-29'",
    ),
    clock(
        "hour_of_week",
        "The hour of the week, 0 (Monday from 00:00) to 167.",
        f"({{0}} // {HOUR} + 72) % 168",
        family="calendar",
        example="hour_of_week(TIMESTAMP '2013-03-10T06:30:00Z') → 150",
    ),
    clock(
        "minute_of_day",
        "The minute of the wall clock's day, 0 to 1439.",
        f"{{0}} // {MINUTE} % 1440",
        family="calendar",
        example="minute_of_day(TIMESTAMP '2013-03-10T06:30:00Z') → 390",
    ),
    clock(
        "second_of_day",
        "The second of the wall clock's day, 0 to 86399.",
        f"{{0}} // {SECOND} % 86400",
        family="calendar",
        example="second_of_day(TIMESTAMP '2013-03-10T00:01:05Z') → 65",
    ),
    function(
        "utc_offset",
        "How many minutes the zone's clocks are ahead of UTC, rounded down.",
        form("timestamp !zone=UTC -> integer", "calendar:utc_offset", c.offset_in, total=True),
        written="utc_offset(t, zone)",
        example="utc_offset(TIMESTAMP '2013-03-10T07:00:00Z', 'America/New_York') → -240",
    ),
    function(
        "date_trunc",
        "The start of the second, minute, hour or day in which the instant falls, or of the zone's week (Monday), "
        "month, quarter or year; of a date the first day of its week, month, quarter or year.",
        form("!trunc_unit timestamp !zone=UTC -> timestamp", "calendar:start_in_zone", c.date_trunc_in),
        form("!date_unit date -> date", "calendar:start_of", c.start_of_in, total=True),
        written="date_trunc(unit, t, zone), date_trunc(unit, date)",
        example="date_trunc('quarter', DATE '2013-05-31') → DATE '2013-04-01'",
    ),
    function(
        "make_date",
        "The date of a year, a month and a day; null if there is none.",
        form("integer integer integer -> date", "calendar:make_date", c.day_number),
        written="make_date(year, month, day)",
        example="make_date(2013, 2, 29) → NULL",
    ),
    function(
        "make_timestamp",
        "The first instant at which the zone's clocks show that year, month, day, hour, minute and second, or the end "
        "of the gap that leaps over it; null if there is no such time.",
        form(
            "integer integer integer integer integer integer !zone=UTC -> timestamp",
            "calendar:make_timestamp",
            c.make_timestamp_in,
        ),
        written="make_timestamp(year, month, day, hour, minute, second, zone)",
        example="make_timestamp(2013, 3, 10, 2, 30, 0, 'America/New_York') → TIMESTAMP '2013-03-10T07:00:00Z'",
    ),
    function(
        "add_months",
        "The same day n months later, or the month's last if it is shorter; of a timestamp also at the same time of "
        "the zone's clocks.",
        form("date integer -> date", "calendar:add_months", c.add_months),
        form("timestamp integer !zone=UTC -> timestamp", "calendar:add_months_in_zone", c.add_months_in),
        written="add_months(date, n), add_months(t, n, zone)",
        example="add_months(DATE '2013-01-31', 1) → DATE '2013-02-28'",
    ),
    function(
        "full_months",
        "The whole months from one date to another; negative if it is before.",
        form("date date -> integer", "calendar:full_months", c.full_months, total=True),
        written="full_months(start, end)",
        example="full_months(DATE '2013-01-31', DATE '2013-03-30') → 1",
    ),
    function(
        "full_years",
        "The whole years from one date to another, as of an age; negative if it is before.",
        form("date date -> integer", "calendar:full_years", c.full_years, total=True),
        written="full_years(start, end)",
        example="full_years(DATE '1980-06-15', DATE '2013-06-14') → 32",
    ),
    function(
        "business_days",
        "The Mondays to Fridays from the start on to before the end; negative if the end is before.",
        form("date date -> integer", "calendar:business_days", c.business_days, total=True),
        written="business_days(start, end)",
        example="business_days(DATE '2013-03-08', DATE '2013-03-11') → 1",
    ),
    function(
        "epoch_seconds",
        "The seconds since 1970-01-01T00:00Z, rounded down.",
        form("timestamp -> integer", "calendar:epoch_seconds", f"{{0}} // {SECOND}", total=True),
        example="epoch_seconds(TIMESTAMP '1970-01-02T00:00:00Z') → 86400",
    ),
    function(
        "from_epoch",
        "The instant so many seconds after 1970-01-01T00:00Z, to the nearest microsecond.",
        form("integer -> timestamp", "calendar:from_epoch", f"{{0}} * {SECOND}", checked=True),
        form("float -> timestamp", "calendar:from_epoch_of_float", c.from_epoch),
        example="from_epoch(86400) → TIMESTAMP '1970-01-02T00:00:00Z'",
    ),
    function(
        "parse_date",
        "The date that a text of a format, a constant, holds; else null. Of a format's fields `%Y` is four digits, "
        "`%m` and `%d` are two, `%b` is Jan to Dec, `%%` a percent sign; all else stands for itself.",
        form("string !date_format -> date", "calendar:parse_date", formats.parse_date_in),
        written="parse_date(text, format)",
        example="parse_date('31.01.2013', '%d.%m.%Y') → DATE '2013-01-31'",
    ),
    function(
        "parse_timestamp",
        "The instant whose wall clock in the zone a text of a format holds, the first of two, or the end of the gap; "
        "else null. Fields are those of `parse_date`, and `%H`, `%M`, `%S` of two digits and `%f` of 1 to 6.",
        form("string !time_format !zone=UTC -> timestamp", "calendar:parse_timestamp", formats.parse_timestamp_in),
        written="parse_timestamp(text, format, zone)",
        example="parse_timestamp('01/31/2013 05:00', '%m/%d/%Y %H:%M') → TIMESTAMP '2013-01-31T05:00:00Z'",
    ),
    function(
        "date_part",
        "A part by its name, a constant: year, iso_year, quarter, month, week (ISO 8601), day, weekday, day_of_year, "
        "and of a timestamp hour, minute, second.",
        form("!part timestamp !zone=UTC -> integer", "calendar:part", c.part_in),
        form("!date_part date -> integer", "calendar:date_part", c.date_part_in, total=True),
        written="date_part(part, t, zone), date_part(part, date)",
        example="date_part('week', DATE '2012-12-31') → 1",
    ),
)
