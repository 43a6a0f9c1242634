"""Text to typed trees, and what is refused, where and why."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.work import at_most

from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type

COLUMNS = {
    "carrier": Type.CATEGORY,
    "origin": Type.STRING,
    "dest": Type.STRING,
    "distance": Type.FLOAT,
    "flight": Type.INTEGER,
    "year": Type.INTEGER,
    "dep_at": Type.TIMESTAMP,
    "day": Type.DATE,
    "late": Type.BOOLEAN,
    "Wind Speed": Type.FLOAT,
}
GOLDEN = Path(__file__).parent / "golden" / "trees.json"
"""Texts and the trees they become: saved programs hold such trees, so a change here is a change of format."""


def test_trees_are_what_saved_programs_hold() -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert {text: json.loads(msgspec.json.encode(parse(text, COLUMNS))) for text in golden} == golden


def test_a_tree_survives_json() -> None:
    for text in json.loads(GOLDEN.read_text()):
        tree = parse(text, COLUMNS)
        assert msgspec.json.decode(msgspec.json.encode(tree), type=Column | Literal | Call) == tree


def _refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, COLUMNS)
    return caught.value


@pytest.mark.parametrize(
    ("text", "kind", "at", "suggestion"),
    [
        ("", "syntax", "", None),
        ("distance +", "syntax", "+", None),
        ("distance flight", "syntax", "flight", None),
        ("distance, flight", "syntax", ",", None),
        ("(distance", "syntax", "(", None),
        ("distance)", "syntax", ")", None),
        ("distance > 'x", "syntax", "'x", None),
        ("dest.x", "syntax", ".", None),
        ("dest[1]", "syntax", "[", None),
        ("SELECT distance", "syntax", "distance", None),
        ("flight IN (SELECT 1)", "syntax", "1)", None),
        ("origin RLIKE 'E'", "syntax", "RLIKE", None),
        ("origin LIKE dest", "constant", "dest", None),
        ("origin LIKE 'E!%' ESCAPE '!'", "syntax", "'!'", None),
        ("flight LIKE '1%'", "types", "flight", None),
        ("N'text'", "syntax", "N'", None),
        ("late; late", "syntax", ";", None),
        ("$1", "syntax", "$1", None),
        ("*", "syntax", "*", None),
        ("late IS dest", "syntax", "late", None),
        ("ln(distnce + 1)", "unknown-column", "distnce", "distance"),
        ("ln(Distance)", "unknown-column", "Distance", "distance"),
        ('"Wind Sped" + 1', "unknown-column", '"Wind', "Wind Speed"),
        ("1 + lenght(dest)", "unknown-function", "lenght", "length"),
        ("count(*)", "unknown-function", "count", "count_of"),
        ("__import__('os')", "unknown-function", "__import__", None),
        ("1 + ln()", "arity", "ln", None),
        ("substring(dest)", "arity", "substring", None),
        ("haversine(1, 2, 3)", "arity", "haversine", None),
        ("1 + ln(dest)", "types", "ln", None),
        ("dest > 1", "types", "dest", None),
        ("late < late", "types", "late", None),
        ("dep_at > '2013-01-01'", "types", "dep_at", None),
        ("CASE WHEN late THEN 1 ELSE dest END", "types", "late", None),
        ("NULL", "types", "NULL", None),
        ("CAST(dest AS interval)", "types", "dest", None),
        ("hour(dep_at, dest)", "constant", "dest)", None),
        ("hour(dep_at, 'America/New_Yrok')", "constant", "'America", "America/New_York"),
        ("next_local_time(dep_at, 930, 'Nowhere')", "constant", "'Nowhere", None),
        ("date_trunc('hours', dep_at)", "constant", "'hours", "hour"),
        ("date_diff('hour', day, day)", "constant", "'hour", None),
        ("round(distance, 16)", "constant", "16", None),
        ("regexp_matches(dest, '(a')", "constant", "'(a", None),
        ("CAST('x' AS integer)", "constant", "'x'", None),
        ("TIMESTAMP '2013-13-01'", "constant", "'2013", None),
        ("9223372036854775808", "constant", "922", None),
        ("1 + 1e999", "constant", "1e999", None),
        ("CAST(distance AS decimal(18, 2))", "types", "distance", None),
        ("gcd(CAST(distance AS decimal), 2)", "types", "gcd", None),
        ("hour(CAST(distance AS decimal))", "types", "hour", None),
        ("DECIMAL '1.2345678'", "constant", "'1.2", None),
        ("CAST(1e13 AS decimal)", "constant", "1e13", None),
        ("CAST(distance AS decimal) + 1000000000000", "constant", "1000", None),
        ("CAST(distance AS decimal) IN (1, 'a')", "types", "distance", None),
        ("to_decimal_or(dest, 0.0000001)", "types", "to_decimal_or", None),
    ],
)
def test_a_mistake_is_named_where_it_is(text: str, kind: str, at: str, suggestion: str | None) -> None:
    error = _refusal(text)
    assert (error.kind, error.suggestion) == (kind, suggestion)
    assert text[error.offset :].startswith(at)
    line, _, caret = error.caret().partition("\n")
    assert line == text
    assert caret == " " * error.offset + "^"


def test_a_caret_stands_under_the_line_of_the_mistake() -> None:
    error = _refusal("distance\n  + distnce\n  + 1")
    assert error.caret() == "  + distnce\n    ^"
    assert "did you mean 'distance'?" in str(error)


def test_a_caret_of_a_long_line_shows_what_is_around_the_mistake() -> None:
    error = _refusal("1 + " * 50 + "distnce" + " + 1" * 50)
    line, caret = error.caret().split("\n")
    assert line[caret.index("^") :].startswith("distnce")
    assert len(line) <= 100


def test_messages_hold_no_text_of_the_expression_but_its_words() -> None:
    assert "secret" not in str(_refusal("origin = 'secret' AND ln(dest)"))


def test_known_columns_are_listed() -> None:
    assert "carrier" in (_refusal("nothing_like_it").fix or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hour(dep_at) + lag", {"dep_at", "lag"}),
        ("NULL IS NULL", set()),
        ('"Wind Speed" > 3 AND TRUE', {"Wind Speed"}),
        ("DATE '2013-01-01' - day", {"day"}),
        ("CASE a WHEN b THEN c ELSE d END", {"a", "b", "c", "d"}),
        ("x::float BETWEEN y AND z", {"x", "y", "z"}),
    ],
)
def test_references_are_names_of_columns(text: str, expected: set[str]) -> None:
    assert references(text) == expected


@pytest.mark.parametrize("text", ["a +", "nonesuch(a)", "a b", "a[1]", ""])
def test_references_refuse_what_is_not_an_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        references(text)


def test_a_column_may_have_the_name_of_a_function_or_a_keyword() -> None:
    assert parse("year + 1", COLUMNS).type is Type.INTEGER
    assert references('date + hour + "select" + row') == {"date", "hour", "select", "row"}


def test_constants_are_computed_at_once() -> None:
    assert parse("1 + 2 * 3", {}) == Literal(7, Type.INTEGER)
    assert parse("-9223372036854775808", {}) == Literal(-(2**63), Type.INTEGER)
    assert parse("DATE '1970-01-31'", {}) == Literal(30, Type.DATE)
    assert parse("TRUE AND NULL", {}) == Literal(None, Type.BOOLEAN)
    assert isinstance(parse("ln(0)", {}), Call)  # an infinity has no JSON


def test_integers_become_floats_only_where_a_float_is_wanted() -> None:
    assert parse("flight + 1", COLUMNS).type is Type.INTEGER
    assert parse("flight / 2", COLUMNS).type is Type.FLOAT
    assert parse("coalesce(flight, 0.5)", COLUMNS).type is Type.FLOAT
    assert parse("carrier || dest", COLUMNS).type is Type.STRING
    assert parse("coalesce(carrier, carrier)", COLUMNS).type is Type.CATEGORY


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, node.arguments), default=0) if isinstance(node, Call) else 1


def test_long_chains_are_not_deep() -> None:
    assert _depth(parse(" AND ".join(["late"] * 1000), COLUMNS)) <= 12
    assert _depth(parse(" || ".join(["dest"] * 1000), COLUMNS)) <= 12


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a" * 10**6, "too-long"),
        ("(" * 10**6, "too-long"),
        ("'" + "a" * 10**6, "too-long"),
        ("(" * 9_999 + "1" + ")" * 9_999, "too-long"),
        ("flight," * 2_500, "too-long"),
        ("(" * 1_000 + "1" + ")" * 1_000, "too-deep"),
        ("- " * 2_000 + "flight", "too-deep"),
        ("NOT " * 2_000 + "late", "too-deep"),
        ("late = NOT " * 1_000 + "late", "too-deep"),
        ("CASE WHEN late THEN " * 500 + "1" + " END" * 500, "too-deep"),
        ("flight" + "::string::integer" * 900, "too-deep"),
        ("late" + " IS NULL" * 1_300, "too-deep"),
        ("+".join(["flight"] * 1_000), "too-deep"),
        ("abs(" * 500 + "1" + ")" * 500, "too-deep"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused_without_a_hang(text: str, kind: str) -> None:
    with at_most(calls=100_000):  # 29,000 are the most
        error = _refusal(text)
    assert error.kind == kind
    assert len(error.caret()) < 300


def test_what_is_written_once_and_used_twice_cannot_grow_without_end() -> None:
    text = "flight"
    for _ in range(25):
        text = f"CASE {text} WHEN 1 THEN 2 WHEN 2 THEN 3 END"
    assert _refusal(text).kind == "too-long"


def test_a_caller_deep_in_the_stack_gets_an_answer_or_a_refusal() -> None:
    def at(depth: int) -> object:
        return at(depth - 1) if depth else parse("((((((((1 + flight))))))))", COLUMNS)

    refused: list[str] = []
    for depth in range(700, 960, 20):
        with contextlib.suppress(RecursionError):  # of the caller's own making, once the parser is done
            try:
                assert isinstance(at(depth), Call)
            except ExpressionError as error:
                refused.append(error.kind)
    assert set(refused) <= {"too-deep"}


def test_a_column_of_several_words_is_answered_with_how_to_quote_it() -> None:
    with pytest.raises(ExpressionError) as caught:
        references("did churn")
    assert 'double quotes: "sq ft"' in (caught.value.fix or "")
