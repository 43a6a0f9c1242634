"""Pages that are made from the code are what the code says now."""

from __future__ import annotations

from collections import Counter

import pytest
from scripts import reference

from headrace.cli.commands import COMMANDS

REWRITE = ".venv/bin/python scripts/reference.py"


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    written = (reference.REFERENCE / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), f"docs/reference/{name} is out of date; rewrite it: {REWRITE}"


def test_every_command_has_its_heading() -> None:
    page = reference.PAGES["command-line.md"]()
    assert [f"`headrace {c.words}`" for c in COMMANDS if f"### `headrace {c.words}`\n" not in page] == []


def test_every_argument_of_a_command_has_a_meaning() -> None:
    rows = [line for line in reference.PAGES["command-line.md"]().splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_no_two_errors_share_a_code() -> None:
    shared = {code for code, n in Counter(error.code for error in reference.errors()).items() if n > 1}
    assert {code: [e.__qualname__ for e in reference.errors() if e.code == code] for code in shared} == {}


def test_every_error_says_what_happened_and_how_the_command_ends() -> None:
    for error in reference.errors():
        assert (error.__doc__ or "").strip(), f"{error.__qualname__} has no docstring"
        assert error.exit_code in (1, 2, 3), error.__qualname__
        assert f"| `{error.code}` |" in reference.errors_page()
