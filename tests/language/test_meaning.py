"""What functions give, by worked examples, in both forms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl
import pytest

from headrace.language import parse as parser
from headrace.language import parts
from headrace.language.columns import to_polars
from headrace.language.forms import Function
from headrace.language.functions import FUNCTIONS
from headrace.language.parse import parse
from headrace.language.rows import compile_rows
from headrace.language.tree import Call, Literal, Node
from headrace.language.types import Type
from headrace.language.values import RowValue, column_of, decode, physical

COLUMNS: Mapping[str, tuple[Type, object]] = {
    "i": (Type.INTEGER, 7),
    "j": (Type.INTEGER, -2),
    "zero": (Type.INTEGER, 0),
    "most": (Type.INTEGER, 2**63 - 1),
    "least_": (Type.INTEGER, -(2**63)),
    "x": (Type.FLOAT, 2.5),
    "nan": (Type.FLOAT, math.nan),
    "inf": (Type.FLOAT, math.inf),
    "none": (Type.FLOAT, None),
    "m": (Type.DECIMAL, "12.30"),
    "n": (Type.DECIMAL, "-0.05"),
    "nothing": (Type.DECIMAL, None),
    "huge": (Type.DECIMAL, "999999999999.999999"),
    "s": (Type.STRING, "Straße \U0001f600"),
    "t": (Type.TIMESTAMP, "2013-03-10T06:30:45Z"),  # half an hour before New York's clocks leap
    "d": (Type.DATE, "2012-02-29"),
    "yes": (Type.BOOLEAN, True),
    "unknown": (Type.BOOLEAN, None),
}
TYPES = {name: type_ for name, (type_, _) in COLUMNS.items()}


def _both(text: str) -> tuple[RowValue | object, RowValue | object]:
    node = parse(text, TYPES)
    row = tuple(math.nan if name == "nan" else decode(value, type_) for name, (type_, value) in COLUMNS.items())
    frame = pl.DataFrame(
        [column_of(name, [value], type_) for (name, type_), value in zip(TYPES.items(), row, strict=True)]
    )
    by_column = physical(frame.with_columns(_out=to_polars(node))["_out"])[0]
    return compile_rows(list(TYPES.items()), [("_out", node)])(row)[0], by_column


EXAMPLES: list[tuple[str, object]] = [
    ("m + n", 12_250_000),
    ("m + n = 12.25", True),
    ("m * 3 - 36.9 = 0", True),
    ("m * 0.1 * 0.1", 123_000),
    ("m * 1.08", 13_284_000),
    ("m * (1 + 0.08)", 13_284_000),
    ("m * -1.08", -13_284_000),
    ("m * 1e0", 12.3),
    ("m * x", 30.75),
    ("m + i", 19_300_000),
    ("n * 0.00001", -1),  # half of a millionth goes away from zero
    ("n * 0.000009", 0),
    ("huge + 0.000001", None),
    ("huge * 2", None),
    ("huge * 1.0 = huge", True),
    ("-huge - 0.000001", None),
    ("m + most", None),  # an integer of more than twelve digits is no decimal
    ("huge > most", None),
    ("m / 0.1", 123.0),
    ("m / i = m / 7.0", True),
    ("m / zero", None),
    ("m div n", -246),
    ("m % 5", 2_300_000),
    ("-m % 5", -2_300_000),
    ("m % 0", None),
    ("floor_mod(n, 1)", 950_000),
    ("round(m)", 12_000_000),
    ("round(n, 1)", -100_000),
    ("round(m * 1.005, 2)", 12_360_000),
    ("round(huge)", None),
    ("round(huge, 9) = huge", True),
    ("floor(n)", -1_000_000),
    ("ceil(n)", 0),
    ("ceil(huge)", None),
    ("trunc(huge)", 999_999_999_999_000_000),
    ("abs(n)", 50_000),
    ("sign(n)", -1),
    ("greatest(m, n, 12.31)", 12_310_000),
    ("least(m, nothing)", None),
    ("clip(m, 0, 10)", 10_000_000),
    ("coalesce(nothing, 0)", 0),
    ("coalesce(nothing, 0.5)", 500_000),
    ("nullif(m, 12.3)", None),
    ("m IN (12.3, 1)", True),
    ("m BETWEEN 12.299999 AND 12.3", True),
    ("CASE WHEN yes THEN 1.5 WHEN unknown THEN m ELSE 0 END", 1_500_000),
    ("CASE WHEN unknown THEN m WHEN yes THEN 0.1 ELSE 0.2 END", 100_000),
    ("zero_if_null(nothing)", 0),
    ("null_if_zero(m - 12.3)", None),
    ("sum_of(m, nothing, n, 1)", 13_250_000),
    ("sum_of(huge, huge)", None),
    ("sum_of(huge, huge, -huge) = huge", True),
    ("max_of(n, nothing)", -50_000),
    ("bucket(m, 0, 12.3, 100)", 2),
    ("hash64(m) = hash64('12.3') AND hash64(m - 0.3) = hash64(12)", True),
    ("hash_bucket(m, 10) = hash_bucket('12.3', 10)", True),
    ("sqrt(m - 10.05)", 1.5),
    ("width_bucket(m, 0.5, 20.5, 4)", 3),
    ("cell(n, 0.5)", -1),
    ("CAST(m AS string) || ' ' || to_string(n) || ' ' || to_string(m - 0.3)", "12.3 -0.05 12"),
    ("CAST(-m AS integer)", -12),
    ("CAST(m AS float)", 12.3),
    ("CAST(m - 12.3 AS boolean)", False),
    ("CAST(x AS decimal)", 2_500_000),
    ("CAST(inf AS decimal)", None),
    ("CAST(nan AS decimal)", None),
    ("CAST(i AS decimal)", 7_000_000),
    ("CAST(most AS decimal)", None),
    ("CAST(yes AS decimal)", 1_000_000),
    ("CAST(left(s, 0) || '12.300000000' AS decimal)", 12_300_000),
    ("CAST(left(s, 0) || '0.0000001' AS decimal)", None),
    ("CAST(left(s, 0) || '1000000000000' AS decimal)", None),
    ("CAST(s AS decimal)", None),
    ("CAST(123456789012.123456 AS decimal)", 123_456_789_012_123_456),
    ("m::numeric = NUMERIC '12.3'", True),
    ("to_decimal_or(s, 0.5)", 500_000),
    ("to_scaled(m, 2)", 1230),
    ("to_scaled(n, 1)", None),
    ("to_scaled(huge, 7)", None),
    ("scaled_to_decimal(i, 2)", 70_000),
    ("seconds(n) = seconds(-0.05)", True),
    ("i + j * 2", 3),
    ("most + 1", None),
    ("least_ - 1", None),
    ("-least_", None),
    ("abs(least_)", None),
    ("least_ div -1", None),
    ("least_ % -1", 0),
    ("most * j", None),
    ("i / j", -3.5),
    ("i / zero", None),
    ("i div j", -3),
    ("j div i", 0),
    ("i % j", 1),
    ("j % i", -2),
    ("i % zero", None),
    ("-x % 2", -0.5),
    ("x % 0", None),
    ("inf % 2", None),
    ("nan + 1", None),
    ("inf - inf", None),
    ("inf + 1", math.inf),
    ("x * 0 * j", 0.0),
    ("nan IS NULL", True),
    ("nan = nan", None),
    ("coalesce(nan, 1.5)", 1.5),
    ("round(x)", 3.0),
    ("round(-x)", -3.0),
    ("round(0.49999999999999994 * (x / x))", 0.0),
    ("round(x * 1.07, 2)", 2.68),
    ("floor(-x)", -3.0),
    ("ceil(-x)", -2.0),
    ("sign(-x)", -1),
    ("greatest(i, j, zero)", 7),
    ("least(x, none)", None),
    ("clip(i, 0, 5)", 5),
    ("power(x, 2)", 6.25),
    ("power(zero, -1)", math.inf),
    ("power(j, 0.5)", None),
    ("sqrt(j)", None),
    ("ln(zero)", -math.inf),
    ("ln(j)", None),
    ("log10(i + 993)", 3.0),
    ("exp(i * 1000)", math.inf),
    ("sin(inf)", None),
    ("round(haversine(40.6413, -73.7781, 33.9416, -118.4085 + zero))", 3974.0),
    ("haversine(91, 0, 0, zero)", None),
    ("unknown AND zero = 1", False),
    ("unknown AND yes", None),
    ("unknown OR yes", True),
    ("NOT unknown", None),
    ("unknown IS NOT TRUE", True),
    ("i IN (1, 7)", True),
    ("i IN (1, NULL)", None),
    ("i NOT IN (1, 2)", True),
    ("x IN (2.5)", True),
    ("i BETWEEN 7 AND 8", True),
    ("CASE i WHEN 1 THEN 'one' WHEN 7 THEN 'seven' END", "seven"),
    ("CASE WHEN unknown THEN 1 ELSE 2 END", 2),
    ("if(yes, i, x)", 7.0),
    ("nullif(i, 7)", None),
    ("'\U00010400' > '\uffff'", True),
    ("length(s)", 8),
    ("upper(s)", "STRASSE \U0001f600"),
    ("lower('İ' || s)", "i̇straße \U0001f600"),
    ("substring(s, 0, 3)", "St"),
    ("substring(s, 8)", "\U0001f600"),
    ("substring(s, 2, -1)", None),
    ("left(s, -1)", ""),
    ("right(s, 1)", "\U0001f600"),
    ("trim('  a\t ' || left(s, 0))", "a\t"),
    ("replace(s, 'ß', 'ss')", "Strasse \U0001f600"),
    ("replace(s, '', 'x')", "Straße \U0001f600"),
    ("starts_with(s, 'Str') AND ends_with(s, '\U0001f600') AND contains(s, 'ß')", True),
    (r"regexp_matches(s, '^\w{4}.e\s')", True),
    ("s LIKE 'Str%'", True),
    ("s LIKE 'str%'", False),
    ("s ILIKE 'STR%' AND s NOT LIKE 'x%' AND NOT s LIKE ''", True),
    ("s LIKE '_______'", False),
    ("s LIKE '________'", True),
    ("left(s, 0) || '50%' LIKE '50\\%' AND NOT left(s, 0) || '50x' LIKE '50\\%'", True),
    ("left(s, 0) || 'a\nb' LIKE 'a%b' AND NOT left(s, 0) || 'axb' LIKE 'a.b'", True),
    ("CAST(-x AS integer)", -2),
    ("CAST(inf AS integer)", None),
    ("CAST(s AS integer)", None),
    ("CAST(' 12' || left(s, 0) AS integer)", None),
    ("CAST('+12' || left(s, 0) AS integer)", 12),
    ("CAST('1_0' || left(s, 0) AS float)", None),
    ("CAST('nan' || left(s, 0) AS float)", None),
    ("CAST('1e999' || left(s, 0) AS float)", math.inf),
    ("CAST(d AS string)", "2012-02-29"),
    ("CAST(t AS string)", "2013-03-10T06:30:45Z"),
    ("CAST(x AS string)", "2.5"),
    ("CAST(yes AS integer)", 1),
    ("hour(t)", 6),
    ("hour(t, 'America/New_York')", 1),
    ("hour(t + hours(1), 'America/New_York')", 3),
    ("minute(t, 'Asia/Kathmandu')", 15),
    ("weekday(t)", 7),
    ("weekday(t, 'Pacific/Honolulu')", 6),
    ("is_weekend(d)", False),
    ("day_of_year(d)", 60),
    ("year(d) * 100 + month(d)", 201202),
    ("CAST(date(t, 'Pacific/Honolulu') AS string)", "2013-03-09"),
    ("CAST(date_trunc('hour', t) AS string)", "2013-03-10T06:00:00Z"),
    ("CAST(date_trunc('day', t, 'America/New_York') AS string)", "2013-03-10T05:00:00Z"),
    ("date_diff('hour', t, t + minutes(30))", 1),
    ("date_diff('month', d, DATE '2013-01-01')", 11),
    ("d + 1 = DATE '2012-03-01'", True),
    ("DATE '2012-03-01' - d", 1),
    ("to_minutes(t + minutes(2.5) - t)", 2.5),
    ("to_hours(days(1))", 24.0),
    ("t + days(4000000)", None),
    ("CAST(local_time(t, 5, 'Asia/Kathmandu') AS string)", "2013-03-10T06:20:00Z"),
    ("local_time(t, 60, 'UTC')", None),
    ("CAST(next_local_time(t, 130, 'America/New_York') AS string)", "2013-03-11T05:30:00Z"),
    ("CAST(next_local_time(t, 230, 'America/New_York') AS string)", "2013-03-10T07:00:00Z"),
    ("CAST(next_local_time(t - hours(1), 230, 'America/New_York') AS string)", "2013-03-10T07:00:00Z"),
    ("CAST(next_local_time(t, 2400, 'America/New_York') AS string)", "2013-03-11T04:00:00Z"),
    ("next_local_time(t, 1260, 'America/New_York')", None),
    ("next_local_time(t, i, s)", None),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_a_function_gives_what_its_meaning_says(text: str, expected: object) -> None:
    by_row, by_column = _both(text)
    assert (type(by_row), by_row) == (type(expected), expected)
    assert (type(by_column), by_column) == (type(expected), expected)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_the_example_of_a_function_is_what_both_forms_give(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    text, arrow, result = function.example.partition(" → ")
    assert arrow, f"{function.name} has no example"
    expected = Literal(None, Type.STRING) if result == "NULL" else parse(result, {})
    assert isinstance(expected, Literal)
    folded = parts.folded
    for module in (parts, parser):
        monkeypatch.setattr(module, "folded", lambda call: folded(call) if call.function in _OF_CONSTANTS else call)
    node = parse(text, {})
    assert _uses(node, function.name) or function.name in _OF_CONSTANTS
    by_column = physical(pl.DataFrame({"one": [1]}).select(_out=to_polars(node))["_out"])[0]
    by_row = compile_rows((), [("_out", node)])(())[0]
    assert (type(by_row), by_row) == (type(expected.value), expected.value)
    assert (type(by_column), by_column) == (type(expected.value), expected.value)


_OF_CONSTANTS = {"negate", "to_float", "to_decimal", "to_date", "to_timestamp"}
"""What a constant is written with."""


def _uses(node: Node, name: str) -> bool:
    return isinstance(node, Call) and (node.function == name or any(_uses(part, name) for part in node.arguments))


def test_there_are_as_many_functions_as_promised() -> None:
    assert len(FUNCTIONS) >= 170
