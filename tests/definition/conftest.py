"""A definition from its text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.definition.errors import DefinitionErrors, Mistake
from headrace.definition.model import Definition
from headrace.definition.reader import read_definition

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a text as the `headrace.toml` of a folder called flight-delays."""

    def read_text(text: str) -> Definition:
        file = tmp_path / "flight-delays" / "headrace.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return read_definition(file)

    return read_text


@pytest.fixture
def mistakes(read: Read) -> Mistakes:
    """The mistakes of a text; none when it is a definition."""

    def mistakes_of(text: str) -> tuple[Mistake, ...]:
        try:
            read(text)
        except DefinitionErrors as errors:
            return errors.mistakes
        return ()

    return mistakes_of


@pytest.fixture(scope="session")
def flights() -> str:
    """The text of the flights sample."""
    return (Path(__file__).parent / "samples" / "flights.toml").read_text(encoding="utf-8")
