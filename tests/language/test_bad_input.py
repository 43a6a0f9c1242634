"""Whatever is written, there is a tree or an error that names the place, and soon."""

from __future__ import annotations

import random

import polars as pl
import pytest
from tests.work import at_most

from headrace.language.columns import to_polars
from headrace.language.errors import ExpressionError
from headrace.language.functions import FUNCTIONS
from headrace.language.parse import parse
from headrace.language.rows import compile_rows
from headrace.language.tree import Node
from headrace.language.types import Type

COLUMNS = {"a": Type.INTEGER, "x": Type.FLOAT, "s": Type.STRING, "t": Type.TIMESTAMP, "d": Type.DATE, "b": Type.BOOLEAN}
EXAMPLES = [function.example.partition(" → ")[0] for function in FUNCTIONS.values()]
WORDS = [*COLUMNS, *(name for name, function in FUNCTIONS.items() if function.is_callable)]
SIGNS = "( ) ( ) , , + - * / % || = <> < <= :: ; CAST( AS integer AND OR NOT IN BETWEEN CASE WHEN THEN ELSE END IS NULL"
WORDS += [*SIGNS.split(), "TRUE", "1", "0", "2.5", "'x'", "'", '"', "DATE '2013-01-31'", "'UTC'", "\n", "é", "\0"]


def _answered(text: str) -> bool:
    """Whether the text is an expression; fails if the answer is long in coming."""
    node: Node | None
    refusal: ExpressionError | None
    with at_most(calls=100_000):
        try:
            node, refusal = parse(text, COLUMNS), None
        except ExpressionError as error:
            node, refusal = None, error
    if node is None:
        assert refusal is not None
        assert 0 <= refusal.offset <= len(text)
        assert len(str(refusal)) < 2_000
        return False
    compile_rows(list(COLUMNS.items()), [("out", node)])((7, 2.5, "abc", 0, 0, True))
    return True


def test_random_words_are_answered() -> None:
    source = random.Random(0)
    answers = [_answered(" ".join(source.choices(WORDS, k=source.randint(1, 12)))) for _ in range(1_500)]
    assert any(answers)


def test_slips_in_good_expressions_are_answered() -> None:
    source = random.Random(1)
    for text in EXAMPLES * 6:
        at = source.randrange(len(text))
        slip = source.choice(["", "x", "(", ")", "'", ",", "-", " ", "9" * 30, "é", "\0", text[at] * 2])
        _answered(text[:at] + slip + text[at + source.randrange(2) :])


def test_arguments_of_every_type_and_number_are_answered() -> None:
    source = random.Random(2)
    for name, function in FUNCTIONS.items():
        if function.is_callable:
            for count in range(8):
                for _ in range(4):
                    _answered(
                        f"{name}({', '.join(source.choices([*COLUMNS, '1', '-3', chr(39) * 2, 'NULL'], k=count))})"
                    )


@pytest.mark.parametrize(
    ("text", "kind", "at", "suggestion"),
    [
        ("levenstein(s, s)", "unknown-function", "levenstein", "levenshtein"),
        ("regex_extract(s, 'a')", "unknown-function", "regex", "regexp_extract"),
        ("log_2(x)", "unknown-function", "log_2", "log2"),
        ("hypot(x)", "arity", "hypot", None),
        ("bit_and(x, a)", "types", "bit_and", None),
        ("add_months(s, 1)", "types", "add_months", None),
        ("count_true(a, b)", "types", "count_true", None),
        ("date_trunc('decade', t)", "constant", "'decade", None),
        ("date_trunc('hour', d)", "constant", "'hour", None),
        ("parse_date(s, '%Y-%m')", "constant", "'%Y-%m'", None),
        ("parse_date(s, '%Y-%m-%d %H')", "constant", "'%Y", None),
        ("parse_date(s, '%Y-%m-%d %Y')", "constant", "'%Y", None),
        ("parse_timestamp(s, '%q')", "constant", "'%q", None),
        ("regexp_extract(s, '(a)', 2)", "constant", "2", None),
        ("regexp_replace(s, 'a', '\\1')", "constant", "'\\1", None),
        ("regexp_replace(s, 'a', '\\x')", "constant", "'\\x", None),
        ("regexp_count(s, '((a{200}){200}){200}')", "constant", "'((a", None),
        ("split_part(s, '', 1)", "constant", "''", None),
        ("split_part(s, ',', 0)", "constant", "0", None),
        ("pad_left(s, 5, 'ab')", "constant", "'ab", None),
        ("hash_bucket(s, 0)", "constant", "0", None),
        ("hash_bucket(s, a)", "constant", "a)", None),
        ("width_bucket(x, 1, 1, 5)", "constant", "5", None),
        ("cyclic_sin(x, 0)", "constant", "0", None),
        ("cell(x, -1)", "constant", "1", None),
        ("geohash(x, x, 13)", "constant", "13", None),
        ("hour_of_week(t, 'Mars/Olympus')", "constant", "'Mars", None),
        ("to_date_or(s, '2013-01-01')", "types", "to_date_or", None),
        ("count_of(s, '')", "constant", "''", None),
        ("a" * 20_000, "unknown-column", "a", None),
        ("f" * 19_000 + "(1)", "unknown-function", "f", None),
    ],
)
def test_a_mistake_in_a_call_is_named_where_it_is(text: str, kind: str, at: str, suggestion: str | None) -> None:
    with at_most(calls=100_000), pytest.raises(ExpressionError) as caught:
        parse(text, COLUMNS)
    assert (caught.value.kind, caught.value.suggestion) == (kind, suggestion)
    assert text[caught.value.offset :].startswith(at)


@pytest.mark.parametrize(
    "text",
    [
        *("1 / 0", "1 % 0", "1 div 0", "floor_mod(1, 0)", "9223372036854775807 + 1", "-(-9223372036854775808)"),
        *("ln(-1)", "acos(2)", "shift_left(1, 64)", "make_date(2013, 2, 29)", "repeat('a', 100000)"),
        *("add_months(DATE '9999-12-31', 1)", "DATE '9999-12-31' + 1", "from_epoch(9000000000000)", "code_point('')"),
    ],
)
def test_what_has_no_value_is_null(text: str) -> None:
    assert compile_rows((), [("out", parse(text, {}))])(()) == (None,)


@pytest.mark.parametrize(
    "name", ["greatest", "least", "max_of", "argmin_of", "coalesce", "sum_of", "mean_of", "count_nulls"]
)
def test_a_thousand_arguments_are_computed_in_both_forms(name: str) -> None:
    node = parse(f"{name}({', '.join(['a', 'a + 1'] * 500)})", COLUMNS)
    with at_most(calls=1_000_000):
        by_row = compile_rows(list(COLUMNS.items()), [("out", node)])((7, None, None, None, None, None))[0]
        by_column = pl.DataFrame({"a": [7, 7]}).select(out=to_polars(node))["out"].to_list()
    assert by_column == [by_row, by_row]
