"""What can be wrong with an expression or with a value of the language."""

from __future__ import annotations

from typing import Literal

from headrace.errors import WrongUse

Kind = Literal["syntax", "unknown-function", "unknown-column", "arity", "types", "constant", "too-long", "too-deep"]


class ExpressionError(WrongUse):
    """An expression that cannot be used, with the place in its text.

    Parameters
    ----------
    text
        The expression as written.
    offset
        Where in `text` the mistake is, in characters from 0.
    suggestion
        The near miss, if there is one.
    """

    code = "expression"

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        text: str,
        offset: int,
        suggestion: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.kind = kind
        self.text = text
        self.offset = offset
        self.suggestion = suggestion
        if suggestion is not None:
            message = f"{message}; did you mean {suggestion!r}?"
        super().__init__(message, fix=fix, kind=kind, offset=offset, suggestion=suggestion)

    def caret(self) -> str:
        """The line of the text where the mistake is, and under it a line with a caret at the spot."""
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        line = self.text[start : end if end >= 0 else len(self.text)]
        column = self.offset - start
        if len(line) > _WIDEST:
            cut = max(0, min(column - _WIDEST // 2, len(line) - _WIDEST))
            line, column = line[cut : cut + _WIDEST], column - cut
        line = "".join(character if character.isprintable() else " " for character in line)
        return f"{line}\n{' ' * column}^"


_WIDEST = 100


class ValueMismatch(WrongUse):
    """A value that is not of the type that its column has; the message never holds the value."""

    code = "value-mismatch"

    def __init__(self, *, expected: str, found: str) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"expected {expected}, found {found}", expected=expected, found=found)
