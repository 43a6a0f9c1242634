"""Expressions inside a definition: which columns they use, and their mistakes at their place in the file."""

from __future__ import annotations

import re
from functools import lru_cache

from headrace.definition.document import At
from headrace.language.errors import ExpressionError


@lru_cache(maxsize=4096)
def columns_of(text: str) -> frozenset[str]:
    """The columns that an expression uses.

    Raises
    ------
    ExpressionError : the text is no expression.
    """
    from headrace.language.parse import references  # loads the SQL parser

    return references(text)


def columns_at(text: str, at: At) -> frozenset[str] | None:
    """The columns that the expression at a place uses; None after noting what is wrong with it."""
    try:
        return columns_of(text)
    except ExpressionError as error:
        at.wrong(
            error.message.split("; did you mean")[0],
            expected="an expression",
            found=error.caret(),
            fix=f"did you mean `{error.suggestion}`?" if error.suggestion else error.fix or "correct the expression",
            code="expression",
            character=error.offset,
        )
        return None


def place_of(column: str, text: str) -> int:
    """Where in an expression a column is first named, for the error's place."""
    match = re.search(rf"(?<![\w.]){re.escape(column)}(?!\w)", text)
    return match.start() if match else 0
