"""What several parts of the grammar say alike."""

from __future__ import annotations

from headrace.definition.kinds import COLUMN, IDENTIFIER, Fields, ListOf, MapOf, Quantity, Section, Text
from headrace.definition.quantities import DURATION_PATTERN, parse_duration

DURATION = Quantity(
    parse_duration, DURATION_PATTERN, 'a duration: a whole number and ms, s, m, h, d or w, such as "10m"', "10m"
)
EXPRESSION = Text("an expression (SQL)", "arr_delay > 30")
COLUMNS = ListOf(COLUMN, "columns")
ONE_OR_MORE_COLUMNS = ListOf(COLUMN, "columns", one_allowed=True)
NEW_COLUMN = r"^[^_]"
NEW_COLUMN_EXPECTED = "a name that does not begin with _ (those are ours)"
SOURCE_NAME = Text("the name of a source", "flights")


def named(item: Section, what: str) -> MapOf[Fields]:
    """A table of sections by names of our kind."""
    return MapOf(item, what, IDENTIFIER, "a letter, then letters, digits and _")
