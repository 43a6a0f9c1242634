"""The one table of functions: every function and operator of the language, once, with both its forms.

To add a function, add one entry here; the parser, both compilers, the reference page and the parity property test take
it up by themselves. An entry gives

* its name, and how it is written if that is not ``name(…)``;
* one form for each type rule (`headrace.language.signatures` says how a rule is written), and in it
* the *columns* form: a callable over Polars expressions, or, so that Polars is imported only when used, the name of one
  in `headrace.language.column_kernels` ("times:…" for one in `headrace.language.column_times`);
* the *row* form: a template of Python source in which ``{0}`` is the first argument, a helper to call, or a tuple of
  such steps. In either form constants come as values; the first step of a form with constants is given them once and
  returns the template or helper for each row;
* the null rule: null if any argument is null (the templates and helpers never see one), or `own_nulls`.

Rules of meaning, equal in both forms to the bit:

* a NaN that is read becomes null; an operation that would give NaN gives null; infinities stay; -0.0 is 0.0;
* an integer result outside 64 bits is null, so is a date or timestamp outside the years 1 to 9999;
* ``/`` gives a float; division by zero, by ``/``, ``div`` or ``%``, is null; ``div`` cuts toward zero and ``%`` has the
  sign of its left side;
* AND, OR and NOT are three-valued; a comparison with null is null; text compares by code point;
* `round` rounds halves away from zero; CAST gives null where it fails;
* the C library's own exp, ln, sin, … serve both forms.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.language import row_kernels as k
from headrace.language.forms import Columns, Form, Function, Helper, Row, kernel
from headrace.language.signatures import signature
from headrace.language.types import Type
from headrace.language.zones import DAY, HOUR, MINUTE, SECOND


def _form(
    rule: str, columns: Columns, row: Row, *, checked: bool = False, total: bool = False, takes_unsettled: bool = False
) -> Form:
    return Form(signature(rule), columns, row, checked, total, takes_unsettled)


def _function(name: str, doc: str, *forms: Form, written: str | None = None, own_nulls: bool = False) -> Function:
    return Function(name, "", doc, forms, written, own_nulls)


def _float(columns: Columns, row: Row) -> Form:
    return _form("float -> float", columns, row, takes_unsettled=True)


def _compare(name: str, sign: str, doc: str, columns: Columns, row: str, variable: str = "O") -> Function:
    return _function(
        name, doc, _form(f"{variable} {variable} -> boolean", columns, row, total=True), written=f"a {sign} b"
    )


def _part(name: str, doc: str, *of_day: str | Helper, result: str = "integer") -> Function:
    """A part of the date: of a wall clock, and of a date."""
    of_wall = (k.wall_in, f"{{0}} // {DAY}", *of_day)
    return _function(
        name,
        doc,
        _form(f"timestamp !zone=UTC -> {result}", f"times:{name}", of_wall),
        _form(f"date -> {result}", f"times:{name}_of_date", of_day, total=True),
    )


def _clock(name: str, doc: str, of_wall: str, result: str = "integer") -> Function:
    """A part of the wall clock."""
    return _function(name, doc, _form(f"timestamp !zone=UTC -> {result}", f"times:{name}", (k.wall_in, of_wall)))


_ARITHMETIC = (
    _function(
        "add",
        "The sum; a timestamp or a duration and a duration; a date and a number of days.",
        _form("integer integer -> integer", "add_integers", "{0} + {1}", checked=True),
        _form("float float -> float", lambda a, b: a + b, "{0} + {1}", takes_unsettled=True),
        _form("timestamp duration -> timestamp", "shift", "{0} + {1}", checked=True),
        _form("duration timestamp -> timestamp", lambda a, b: kernel("shift")(b, a), "{0} + {1}", checked=True),
        _form("duration duration -> duration", "add_durations", "{0} + {1}", checked=True),
        _form("date integer -> date", "shift_days", "{0} + {1}", checked=True),
        written="a + b",
    ),
    _function(
        "subtract",
        "The difference; of two timestamps a duration, of two dates a number of days.",
        _form("integer integer -> integer", "subtract_integers", "{0} - {1}", checked=True),
        _form("float float -> float", lambda a, b: a - b, "{0} - {1}", takes_unsettled=True),
        _form("timestamp duration -> timestamp", "shift_back", "{0} - {1}", checked=True),
        _form("timestamp timestamp -> duration", "time_between", "{0} - {1}", total=True),
        _form("duration duration -> duration", "subtract_durations", "{0} - {1}", checked=True),
        _form("date integer -> date", "shift_days_back", "{0} - {1}", checked=True),
        _form("date date -> integer", "days_between", "{0} - {1}", total=True),
        written="a - b",
    ),
    _function(
        "multiply",
        "The product.",
        _form("integer integer -> integer", "multiply_integers", "{0} * {1}", checked=True),
        _form("float float -> float", lambda a, b: a * b, "{0} * {1}", takes_unsettled=True),
        written="a * b",
    ),
    _function(
        "divide",
        "The quotient as a float; null when b is 0.",
        _form("float float -> float", "divide", "{0} / {1} if {1} else None"),
        _form("duration duration -> float", "divide_durations", "({0} + 0.0) / ({1} + 0.0) if {1} else None"),
        written="a / b",
    ),
    _function(
        "div",
        "The quotient cut toward zero; null when b is 0.",
        _form("integer integer -> integer", "integer_divide", k.integer_divide),
        written="a div b, div(a, b)",
    ),
    _function(
        "modulo",
        "What the division leaves, with the sign of a; null when b is 0.",
        _form("integer integer -> integer", "integer_modulo", k.integer_modulo),
        _form("float float -> float", "modulo", k.modulo),
        written="a % b",
    ),
    _function(
        "negate",
        "The number with the other sign.",
        _form("integer -> integer", "negate_integer", "-{0}", checked=True),
        _form("float -> float", lambda a: -a, "-{0}", total=True, takes_unsettled=True),
        _form("duration -> duration", "negate_duration", "-{0}", checked=True),
        written="-a",
    ),
    _function(
        "abs",
        "The magnitude.",
        _form("integer -> integer", "abs_integer", "{0} if {0} >= 0 else -{0}", checked=True),
        _form("float -> float", lambda a: a.abs(), "{0} if {0} > 0.0 else 0.0 - {0}", total=True, takes_unsettled=True),
        _form("duration -> duration", "abs_duration", "{0} if {0} >= 0 else -{0}", checked=True),
    ),
    _function(
        "sign",
        "-1, 0 or 1.",
        _form("integer -> integer", lambda a: a.sign(), "({0} > 0) - ({0} < 0)", total=True),
        _form("float -> integer", "sign", "({0} > 0.0) - ({0} < 0.0)", total=True),
    ),
    _function(
        "round",
        "To the nearest whole number, or to 0 to 15 digits after the point; halves go away from zero.",
        _form("integer -> integer", lambda a: a, "{0}", total=True),
        _form("float -> float", "round_half_away", k.round_half_away, total=True, takes_unsettled=True),
        _form("float !digits -> float", "round_to_digits", k.round_in, takes_unsettled=True),
        written="round(x), round(x, digits)",
    ),
    _function(
        "floor",
        "The largest whole number that is not larger.",
        _form("integer -> integer", lambda a: a, "{0}", total=True),
        _form("float -> float", lambda a: a.floor(), k.floor, total=True, takes_unsettled=True),
    ),
    _function(
        "ceil",
        "The smallest whole number that is not smaller.",
        _form("integer -> integer", lambda a: a, "{0}", total=True),
        _form("float -> float", lambda a: a.ceil(), k.ceil, total=True, takes_unsettled=True),
    ),
    _function(
        "greatest",
        "The largest argument; null if any is null.",
        _form("O O... -> O", "greatest", k.greatest, total=True),
        written="greatest(a, b, …)",
    ),
    _function(
        "least",
        "The smallest argument; null if any is null.",
        _form("O O... -> O", "least", k.least, total=True),
        written="least(a, b, …)",
    ),
    _function(
        "clip",
        "x, but not below low and not above high.",
        _form("O O O -> O", "clip", "{1} if {0} < {1} else {2} if {0} > {2} else {0}", total=True),
        written="clip(x, low, high)",
    ),
)

_MATHEMATICS = (
    _function("power", "a to the power b.", _form("float float -> float", "power", k.power), written="power(a, b)"),
    _function("sqrt", "The square root; null below 0.", _float("sqrt", k.sqrt)),
    _function("exp", "e to the power x.", _float(lambda a: a.exp(), k.exp)),
    _function("ln", "The natural logarithm: -infinity at 0, null below.", _float(lambda a: a.log(), k.ln)),
    _function("log10", "The logarithm to base 10: -infinity at 0, null below.", _float("log10", k.log10)),
    _function("sin", "The sine of an angle in radians; null at an infinity.", _float(lambda a: a.sin(), k.sin)),
    _function("cos", "The cosine of an angle in radians; null at an infinity.", _float(lambda a: a.cos(), k.cos)),
    _function("tan", "The tangent of an angle in radians; null at an infinity.", _float(lambda a: a.tan(), k.tan)),
    _function(
        "atan2",
        "The angle of the point (x, y) in radians.",
        _form("float float -> float", "atan2", k.atan2, total=True),
        written="atan2(y, x)",
    ),
    _function("radians", "Degrees as radians.", _float("radians", k.radians)),
    _function(
        "haversine",
        "The great-circle distance in km of two points in degrees, on a sphere of radius 6371.0088 km; null for a "
        "latitude beyond 90.",
        _form("float float float float -> float", "haversine", k.haversine, takes_unsettled=True),
        written="haversine(lat1, lon1, lat2, lon2)",
    ),
)

_LOGIC = (
    _compare("equal", "=", "Whether both are equal.", lambda a, b: a == b, "{0} == {1}", "T"),
    _compare("not_equal", "<>", "Whether both differ.", lambda a, b: a != b, "{0} != {1}", "T"),
    _compare("less", "<", "Whether a is before b.", lambda a, b: a < b, "{0} < {1}"),
    _compare("less_equal", "<=", "Whether a is before b or equal.", lambda a, b: a <= b, "{0} <= {1}"),
    _compare("greater", ">", "Whether a is after b.", lambda a, b: a > b, "{0} > {1}"),
    _compare("greater_equal", ">=", "Whether a is after b or equal.", lambda a, b: a >= b, "{0} >= {1}"),
    _function(
        "and",
        "False if either is false, else null if either is null.",
        _form(
            "boolean boolean -> boolean",
            lambda a, b: a & b,
            "False if {0} is False or {1} is False else None if {0} is None or {1} is None else True",
            total=True,
        ),
        written="a AND b",
        own_nulls=True,
    ),
    _function(
        "or",
        "True if either is true, else null if either is null.",
        _form(
            "boolean boolean -> boolean",
            lambda a, b: a | b,
            "True if {0} or {1} else None if {0} is None or {1} is None else False",
            total=True,
        ),
        written="a OR b",
        own_nulls=True,
    ),
    _function(
        "not", "The opposite.", _form("boolean -> boolean", lambda a: ~a, "not {0}", total=True), written="NOT a"
    ),
    _function(
        "is_null",
        "Whether there is no value; never null itself. Also `a IS NOT NULL`.",
        _form("T -> boolean", lambda a: a.is_null(), "{0} is None", total=True),
        written="a IS NULL",
        own_nulls=True,
    ),
    _function(
        "in",
        "Whether a equals one of the list; null if it equals none and a null is in the list. Also `a NOT IN (…)`.",
        _form("T !T... -> boolean", "is_in", k.one_of, total=True),
        written="a IN (b, …)",
    ),
    _function(
        "if",
        "a when the condition is true, else b. CASE is written with it.",
        _form("boolean T T -> T", "if_else", "{1} if {0} else {2}", total=True, takes_unsettled=True),
        written="if(condition, a, b)",
        own_nulls=True,
    ),
    _function(
        "coalesce",
        "The first argument that is not null.",
        _form("T T... -> T", "coalesce", k.coalesce, total=True),
        written="coalesce(a, b, …)",
        own_nulls=True,
    ),
    _function(
        "nullif",
        "Null when both are equal, else a.",
        _form("T T -> T", "nullif", "None if {0} is None or {0} == {1} else {0}"),
        written="nullif(a, b)",
        own_nulls=True,
    ),
)

_TEXT = (
    _function(
        "concat",
        "The texts joined; null if any is null.",
        _form("string string... -> string", "concat", k.concat, total=True),
        written="a || b, concat(a, b, …)",
    ),
    _function("lower", "In small letters (Unicode).", _form("string -> string", "lower", "{0}.lower()", total=True)),
    _function("upper", "In capital letters (Unicode).", _form("string -> string", "upper", "{0}.upper()", total=True)),
    _function(
        "trim",
        "Without spaces (U+0020) at either end.",
        _form("string -> string", "trim", '{0}.strip(" ")', total=True),
    ),
    _function("length", "The number of code points.", _form("string -> integer", "length", k.length, total=True)),
    _function(
        "substring",
        "From the start-th code point, counted from 1, to the end or for length; null if length is negative.",
        _form("string integer -> string", "substring_from", k.substring_from, total=True),
        _form("string integer integer -> string", "substring", k.substring),
        written="substring(text, start, length)",
    ),
    _function(
        "left",
        "The first n code points.",
        _form("string integer -> string", "left", k.left, total=True),
        written="left(text, n)",
    ),
    _function(
        "right",
        "The last n code points.",
        _form("string integer -> string", "right", k.right, total=True),
        written="right(text, n)",
    ),
    _function(
        "starts_with",
        "Whether the text begins with the other.",
        _form("string string -> boolean", lambda a, b: a.str.starts_with(b), "{0}.startswith({1})", total=True),
        written="starts_with(text, other)",
    ),
    _function(
        "ends_with",
        "Whether the text ends with the other.",
        _form("string string -> boolean", lambda a, b: a.str.ends_with(b), "{0}.endswith({1})", total=True),
        written="ends_with(text, other)",
    ),
    _function(
        "contains",
        "Whether the other is in the text.",
        _form("string string -> boolean", lambda a, b: a.str.contains(b, literal=True), "{1} in {0}", total=True),
        written="contains(text, other)",
    ),
    _function(
        "replace",
        "The text with every search, a constant, replaced by another constant; the same text if search is empty.",
        _form("string !text !text -> string", "replace", k.replace_in, total=True),
        written="replace(text, search, replacement)",
    ),
)

_PATTERNS = (
    _function(
        "regexp_matches",
        "Whether the pattern, a constant, matches somewhere in the text, in time linear in its length. The syntax: "
        "characters, `.`, classes, `\\d \\w \\s` (ASCII) and their opposites, groups, `|`, `* + ? {m,n}`, `^` and `$`.",
        _form("string !pattern -> boolean", "regexp_matches", k.matches_in, total=True),
        written="regexp_matches(text, pattern)",
    ),
)

_TIME = (
    _part("year", "The year.", k.calendar, "{0}[0]"),
    _part("month", "The month, 1 to 12.", k.calendar, "{0}[1]"),
    _part("day", "The day of the month, 1 to 31.", k.calendar, "{0}[2]"),
    _part("day_of_year", "The day of the year, 1 to 366.", k.calendar, "{0}[3]"),
    _part("weekday", "The day of the week, 1 (Monday) to 7 (Sunday).", "({0} + 3) % 7 + 1"),
    _part("is_weekend", "Whether it is a Saturday or a Sunday.", "({0} + 3) % 7 >= 5", result="boolean"),
    _clock("hour", "The hour, 0 to 23.", f"{{0}} // {HOUR} % 24"),
    _clock("minute", "The minute, 0 to 59.", f"{{0}} // {MINUTE} % 60"),
    _clock("second", "The second, 0 to 59.", f"{{0}} // {SECOND} % 60"),
    _clock("date", "The date that the zone's calendar shows.", f"{{0}} // {DAY}", "date"),
    _function(
        "date_diff",
        "Boundaries of the unit (second, minute, hour, day, month, year; in UTC) passed from start to end.",
        _form("!unit timestamp timestamp -> integer", "times:timestamp_diff", k.timestamp_diff_in, total=True),
        _form("!day_unit date date -> integer", "times:date_diff", k.date_diff_in, total=True),
        written="date_diff(unit, start, end)",
    ),
    _function(
        "date_trunc",
        "The start of the second, minute, hour or day in which the instant falls, in the zone.",
        _form("!trunc_unit timestamp !zone=UTC -> timestamp", "times:date_trunc", k.date_trunc_in),
        written="date_trunc(unit, t, zone)",
    ),
    _function(
        "local_time",
        "The instant `minute` minutes past the full hour in which the timestamp falls, in the zone, which may be a "
        "column; null for a minute outside 0 to 59 or an unknown zone.",
        _form("timestamp integer ?zone -> timestamp", "times:local_time", k.local_time),
        written="local_time(t, minute, zone)",
    ),
    _function(
        "next_local_time",
        "The first instant at or after the timestamp at which the zone's wall clock shows HHMM (2400 is midnight); "
        "the zone may be a column. A time that a gap leaps over is the instant the "
        "gap ends; of a time that comes twice, the first that is not before. Null for no such hhmm or an unknown zone.",
        _form("timestamp integer ?zone -> timestamp", "times:next_local_time", k.next_local_time),
        written="next_local_time(after, hhmm, zone)",
    ),
    *(
        _function(
            f"{name}s",
            f"A number of {name}s as a duration, to the nearest microsecond.",
            _form(
                "integer -> duration",
                lambda a, u=unit: kernel("integer_duration")(a, u),
                f"{{0}} * {unit}",
                checked=True,
            ),
            _form("float -> duration", lambda a, u=unit: kernel("float_duration")(a, u), k.duration_in(unit)),
        )
        for name, unit in (("second", SECOND), ("minute", MINUTE), ("hour", HOUR), ("day", DAY))
    ),
    *(
        _function(
            f"to_{name}s",
            f"A duration as {name}s.",
            _form(
                "duration -> float",
                lambda a, u=float(unit): kernel("in_units")(a, u),
                f"{{0}} / {float(unit)!r}",
                total=True,
            ),
        )
        for name, unit in (("second", SECOND), ("minute", MINUTE), ("hour", HOUR), ("day", DAY))
    ),
)

_CAST = "CAST(a AS {})"
_CASTS = (
    _function(
        "to_integer",
        "As an integer: a float is cut toward zero, a text holds at most 19 digits and perhaps a sign; else null.",
        _form("integer -> integer", lambda a: a, "{0}", total=True),
        _form("float -> integer", "float_to_integer", k.float_to_integer),
        _form("boolean -> integer", "to_integer", "1 if {0} else 0", total=True),
        _form("string -> integer", "text_to_integer", k.text_to_integer),
        written=f"to_integer(a), {_CAST.format('integer')}",
    ),
    _function(
        "to_float",
        "As a float: a text holds a decimal number such as -1.5e3; else null.",
        _form("float -> float", lambda a: a, "{0}", total=True),
        _form("integer -> float", "to_float", "{0} + 0.0", total=True),
        _form("boolean -> float", "to_float", "1.0 if {0} else 0.0", total=True),
        _form("string -> float", "text_to_float", k.text_to_float),
        written=f"to_float(a), {_CAST.format('float')}",
    ),
    _function(
        "to_string",
        "As text: true and false, 2013-01-31, 2013-01-31T05:00:00Z, floats as Python writes them.",
        _form("string -> string", lambda a: a, "{0}", total=True),
        _form("integer -> string", "to_string", k.integer_to_text, total=True),
        _form("float -> string", "float_to_string", k.float_to_text, total=True),
        _form("boolean -> string", "to_string", '"true" if {0} else "false"', total=True),
        _form("date -> string", "date_to_string", k.date_to_text, total=True),
        _form("timestamp -> string", "timestamp_to_string", k.timestamp_to_text, total=True),
        written=f"to_string(a), {_CAST.format('string')}",
    ),
    _function(
        "to_boolean",
        "As a boolean: a number is true when it is not 0, a text is true or false; else null.",
        _form("boolean -> boolean", lambda a: a, "{0}", total=True),
        _form("integer -> boolean", lambda a: a != 0, "{0} != 0", total=True),
        _form("float -> boolean", lambda a: a != 0.0, "{0} != 0.0", total=True),
        _form("string -> boolean", "text_to_boolean", k.text_to_boolean),
        written=f"to_boolean(a), {_CAST.format('boolean')}",
    ),
    _function(
        "to_date",
        "As a date: a text is 2013-01-31, a timestamp gives its date in UTC; else null.",
        _form("date -> date", lambda a: a, "{0}", total=True),
        _form("timestamp -> date", "timestamp_to_date", f"{{0}} // {DAY}", total=True),
        _form("string -> date", "text_to_date", k.text_to_date),
        written=f"to_date(a), {_CAST.format('date')}, DATE '2013-01-31'",
    ),
    _function(
        "to_timestamp",
        "As a timestamp: a text is ISO 8601, in UTC unless it has an offset; a date is its midnight in UTC; else null.",
        _form("timestamp -> timestamp", lambda a: a, "{0}", total=True),
        _form("date -> timestamp", "date_to_timestamp", f"{{0}} * {DAY}", total=True),
        _form("string -> timestamp", "text_to_timestamp", k.text_to_timestamp),
        written=f"to_timestamp(a), {_CAST.format('timestamp')}, TIMESTAMP '2013-01-31T05:00:00Z'",
    ),
)

CASTS: dict[Type, str] = {
    Type.INTEGER: "to_integer",
    Type.FLOAT: "to_float",
    Type.STRING: "to_string",
    Type.BOOLEAN: "to_boolean",
    Type.DATE: "to_date",
    Type.TIMESTAMP: "to_timestamp",
}
"""What CAST(… AS type) calls."""

_GROUPS = {
    "Arithmetic": _ARITHMETIC,
    "Mathematics": _MATHEMATICS,
    "Comparison and logic": _LOGIC,
    "Text": _TEXT + _PATTERNS,
    "Time": _TIME,
    "Conversion": _CASTS,
}

FUNCTIONS: dict[str, Function] = {
    function.name: replace(function, group=group) for group, functions in _GROUPS.items() for function in functions
}
