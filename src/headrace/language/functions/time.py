"""Time: wall clocks, their parts, distances and durations."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language.forms import kernel
from headrace.language.functions.entries import clock, form, function, part
from headrace.language.zones import DAY, HOUR, MINUTE, SECOND

TIME = (
    part(
        "year",
        "The year.",
        k.calendar,
        "{0}[0]",
        example="year(TIMESTAMP '2013-01-01T02:00:00Z', 'America/New_York') → 2012",
    ),
    part("month", "The month, 1 to 12.", k.calendar, "{0}[1]", example="month(DATE '2013-05-31') → 5"),
    part("day", "The day of the month, 1 to 31.", k.calendar, "{0}[2]", example="day(DATE '2013-05-31') → 31"),
    part(
        "day_of_year",
        "The day of the year, 1 to 366.",
        k.calendar,
        "{0}[3]",
        example="day_of_year(DATE '2013-02-01') → 32",
    ),
    part(
        "weekday",
        "The day of the week, 1 (Monday) to 7 (Sunday).",
        "({0} + 3) % 7 + 1",
        example="weekday(DATE '2013-05-31') → 5",
    ),
    part(
        "is_weekend",
        "Whether it is a Saturday or a Sunday.",
        "({0} + 3) % 7 >= 5",
        result="boolean",
        example="is_weekend(DATE '2013-06-01') → TRUE",
    ),
    clock(
        "hour",
        "The hour, 0 to 23.",
        f"{{0}} // {HOUR} % 24",
        example="hour(TIMESTAMP '2013-01-01T02:00:00Z', 'America/New_York') → 21",
    ),
    clock(
        "minute",
        "The minute, 0 to 59.",
        f"{{0}} // {MINUTE} % 60",
        example="minute(TIMESTAMP '2013-01-01T02:05:00Z', 'Asia/Kathmandu') → 50",
    ),
    clock(
        "second",
        "The second, 0 to 59.",
        f"{{0}} // {SECOND} % 60",
        example="second(TIMESTAMP '2013-01-01T02:05:59Z') → 59",
    ),
    clock(
        "date",
        "The date that the zone's calendar shows.",
        f"{{0}} // {DAY}",
        "date",
        example="date(TIMESTAMP '2013-01-01T02:00:00Z', 'America/New_York') → DATE '2012-12-31'",
    ),
    function(
        "date_diff",
        "Boundaries of the unit (second, minute, hour, day, month, year; in UTC) passed from start to end.",
        form("!unit timestamp timestamp -> integer", "times:timestamp_diff", k.timestamp_diff_in, total=True),
        form("!day_unit date date -> integer", "times:date_diff", k.date_diff_in, total=True),
        written="date_diff(unit, start, end)",
        example="date_diff('month', DATE '2012-12-31', DATE '2013-02-01') → 2",
    ),
    function(
        "local_time",
        "The instant `minute` minutes past the full hour in which the timestamp falls, in the zone, which may be a "
        "column; null for a minute outside 0 to 59 or an unknown zone.",
        form("timestamp integer ?zone -> timestamp", "times:local_time", k.local_time),
        written="local_time(t, minute, zone)",
        example="CAST(local_time(TIMESTAMP '2013-01-01T10:00:00Z', 15, 'UTC') AS string) → '2013-01-01T10:15:00Z'",
    ),
    function(
        "next_local_time",
        "The first instant at or after the timestamp at which the zone's wall clock shows HHMM (2400 is midnight); "
        "the zone may be a column. A time that a gap leaps over is the instant the "
        "gap ends; of a time that comes twice, the first that is not before. Null for no such hhmm or an unknown zone.",
        form("timestamp integer ?zone -> timestamp", "times:next_local_time", k.next_local_time),
        written="next_local_time(after, hhmm, zone)",
        example="next_local_time(TIMESTAMP '2013-01-01 23:00', 830, 'UTC') → TIMESTAMP '2013-01-02T08:30:00Z'",
    ),
    *(
        function(
            f"{name}s",
            f"A number of {name}s as a duration, to the nearest microsecond.",
            form(
                "integer -> duration",
                lambda a, u=unit: kernel("integer_duration")(a, u),
                f"{{0}} * {unit}",
                checked=True,
            ),
            form("float -> duration", lambda a, u=unit: kernel("float_duration")(a, u), k.duration_in(unit)),
            example=f"to_seconds({name}s(1.5)) → {1.5 * unit / SECOND}",
        )
        for name, unit in (("second", SECOND), ("minute", MINUTE), ("hour", HOUR), ("day", DAY))
    ),
    *(
        function(
            f"to_{name}s",
            f"A duration as {name}s.",
            form(
                "duration -> float",
                lambda a, u=float(unit): kernel("in_units")(a, u),
                f"{{0}} / {float(unit)!r}",
                total=True,
            ),
            example=f"to_{name}s(days(3)) → {3.0 * DAY / unit}",
        )
        for name, unit in (("second", SECOND), ("minute", MINUTE), ("hour", HOUR), ("day", DAY))
    ),
)
