"""The reference page says what the table says."""

from __future__ import annotations

from pathlib import Path

from headrace.language.functions import FUNCTIONS
from headrace.language.reference import render

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "functions.md"


def test_the_page_is_the_one_that_the_table_makes() -> None:
    """If not: write `headrace.language.reference.render()` to it."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_function_has_a_meaning_and_a_line() -> None:
    page = render()
    for function in FUNCTIONS.values():
        assert function.doc.endswith(".")
        assert (function.written or f"{function.name}(a)").replace("|", "\\|") in page
