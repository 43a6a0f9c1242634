"""Patterns mean the same to our automaton, to Rust's engine and to Python's, and take linear time."""

from __future__ import annotations

import random
import re
from functools import partial

import polars as pl
import pytest
from tests.work import lines_of

from headrace.language.columns import to_polars
from headrace.language.parse import parse
from headrace.language.regex import Pattern, PatternError, compile_pattern
from headrace.language.row_patterns import replace_in
from headrace.language.rows import compile_rows
from headrace.language.types import Type


def _pattern(source: random.Random, depth: int) -> str:
    if depth == 0:
        return source.choice(["a", "b", "é", ".", "[ab]", "[^a]", r"\d", r"\W", r"\s", "[a-cé]", r"\.", "^", "$", ""])
    kind = source.randrange(4)
    if kind == 0:
        return _pattern(source, depth - 1) + _pattern(source, depth - 1)
    if kind == 1:
        return f"(?:{_pattern(source, depth - 1)}|{_pattern(source, depth - 1)})"
    sign = source.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?", "??", "{1,3}?", "{0}"])
    return f"({_pattern(source, depth - 1)}){sign}" if kind == 2 else _pattern(source, depth - 1)


def test_three_engines_agree_on_random_patterns_and_texts() -> None:
    source = random.Random(0)
    for _ in range(400):
        pattern = _pattern(source, source.randint(1, 4))
        texts = ["".join(source.choices("abcé. 7\n", k=source.randrange(8))) for _ in range(25)]
        ours = compile_pattern(pattern)
        # Python's $ also stands before a last line feed, and its classes know more than ASCII
        theirs = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
        expected = [theirs.search(text) is not None for text in texts]
        assert [ours.matches(text) for text in texts] == expected, pattern
        assert pl.Series(texts).str.contains(ours.rust).to_list() == expected, pattern


def _rust_finds(rust: str, groups: int, texts: list[str]) -> list[list[str | None] | None]:
    frame = pl.DataFrame({"text": texts}).select(
        *(pl.col("text").str.extract(rust, group).alias(str(group)) for group in range(groups + 1))
    )
    return [None if row[0] is None else list(row) for row in frame.rows()]


def _ours_finds(pattern: Pattern, text: str) -> list[str | None] | None:
    match = pattern.search.first(text)
    return None if match is None else [None if span is None else text[slice(*span)] for span in match]


def test_where_a_pattern_matches_is_where_rust_finds_it() -> None:
    source = random.Random(1)
    for _ in range(1500):
        pattern = _pattern(source, source.randint(1, 6))
        texts = ["".join(source.choices("abcé. 7\n", k=source.randrange(9))) for _ in range(20)]
        ours = compile_pattern(pattern)
        assert [_ours_finds(ours, text) for text in texts] == _rust_finds(ours.rust, ours.groups, texts), pattern
        found = pl.Series(texts).str.replace_all(ours.rust, "<$0>").to_list()
        assert [replace_in(pattern, r"<\0>")(text) for text in texts] == found, pattern
        counts = pl.Series(texts).str.count_matches(ours.rust).to_list()
        assert [len(ours.search.all(text)) for text in texts] == counts, pattern


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a|ab", "xab", ["a"]),
        ("(a|ab)(c|bcd)?", "abcd", ["abcd", "a", "bcd"]),
        ("<(.+?)>", "<a><b>", ["<a>", "a"]),
        ("(a)|(b)", "b", ["b", None, "b"]),
        ("(a*)*", "b", ["", ""]),
        ("(|a)*", "aa", ["", ""]),
        ("(|a)+", "aa", ["", ""]),
        ("(a|b)*", "abba", ["abba", "a"]),
        ("x", "abc", None),
        ("$", "abc", [""]),
    ],
)
def test_a_match_is_the_leftmost_that_the_pattern_prefers(
    pattern: str, text: str, expected: list[str | None] | None
) -> None:
    compiled = compile_pattern(pattern)
    assert _ours_finds(compiled, text) == expected
    assert _rust_finds(compiled.rust, compiled.groups, [text]) == [expected]


@pytest.mark.parametrize("pattern", [".*[^A-Z]|[A-Z]", "(A*)*B", "(A?){100}A{100}B", "A*?B|A", "(.*)(.*)(.*)(.*)B|C"])
def test_all_matches_are_found_in_time_linear_in_the_text(pattern: str) -> None:
    """Backtracking takes the power of the text for some of these, and Rust's engine the square of it for the first."""
    search = compile_pattern(pattern).search
    short, long = (lines_of(partial(search.all, "A" * length)) for length in (500, 8_000))
    assert long < 20 * short  # sixteen times as much, not 256


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^N[0-9]{1,5}[A-Z]{0,2}$", "N14228", True),
        ("^N[0-9]{1,5}[A-Z]{0,2}$", "N142288", False),
        (r"\$[0-9]+\.[0-9]{2}", "costs $4.50", True),
        ("[a-]", "-", True),
        (r"[\]\-]", "-", True),
        ("a$", "a\n", False),
        ("$^", "", True),
        ("(^|x)a", "ba", False),
        ("", "", True),
        (".", "\n", False),
        (".", "\U0001f600", True),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, text: str, expected: bool) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.matches(text) is expected
    assert pl.Series([text]).str.contains(compiled.rust)[0] is expected


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"(a)\1",
            "(?=a)",
            "(?<!a)b",
            "(?i)a",
            "(?P<n>a)",
            r"\bword",
            r"\p{L}",
            r"\A",
            "a++",
            "a**",
            "*a",
            "^*",
            "a{2",
        ),
        *(
            "a{3,2}",
            "a{201}",
            "{",
            "(a",
            "a)",
            "[a",
            "[z-a]",
            "[]",
            "[]a]",
            "[[:alpha:]]",
            "[a&&b]",
            r"[^\d\D]",
            "[a-\\d]",
            "\\",
            "a{,3}",
        ),
        *("(" * 40 + ")" * 40, "a" * 1001, "((a{100}){100}){100}"),
    ],
)
def test_what_is_outside_the_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["^(a*)*$", "^(a|a)*$", "(.*)(.*)(.*)(.*)b", "(a?){100}a{100}$", "((){200}){200}b"])
def test_time_is_linear_in_the_text(pattern: str) -> None:
    # backtracking would take longer than the universe is old: this test would not end
    assert compile_pattern(pattern).matches("a" * 20_000 + "c") is False


def test_long_texts_are_searched_alike_in_columns() -> None:
    texts = ["ab1", "x" * 5_000 + "7" * 10, None, "12" * 3_000, "é" * 3_000 + "9"]
    columns = {"text": Type.STRING}
    for text in (
        "regexp_count(text, '[0-9]+')",
        r"regexp_replace(text, '([0-9])+', '<\1>')",
        "regexp_extract(text, '[0-9]+')",
    ):
        node = parse(text, columns)
        row = compile_rows(list(columns.items()), [("x", node)])
        found = pl.DataFrame({"text": texts}).select(x=to_polars(node))["x"].to_list()
        assert found == [row((one,))[0] for one in texts]


def test_texts_of_many_characters_do_not_fill_the_memory() -> None:
    compiled = compile_pattern("[^x]{3}x$")
    for start in range(0, 60_000, 5_000):
        compiled.matches("".join(chr(40_000 + (start + n) % 15_000) for n in range(5_000)))
    automaton = compiled._automaton
    assert sum(len(state.moves) for state in automaton._states.values()) <= 5_000 * (len(automaton._states) + 1)


def test_the_largest_pattern_is_one_that_rust_takes() -> None:
    compiled = compile_pattern(r"(\W[^a]){200}(\S|.){150}")
    assert pl.Series(["é" * 600]).str.contains(compiled.rust)[0] is compiled.matches("é" * 600)
