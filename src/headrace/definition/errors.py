"""What can be wrong with a definition, its lock or its secrets; every mistake carries its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.errors import WrongUse


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake in a definition."""

    code: str
    """`syntax`, `unreadable`, `missing-key`, `unknown-key`, `wrong-type`, `wrong-value`, `not-available`,
    `unknown-name`, `duplicate`, `circle`, `expression`, `not-known-in-time`, `leak` or `credential`."""
    file: str
    line: int
    column: int
    key: str
    """The key path as TOML writes it; empty for the file as a whole."""
    message: str
    expected: str
    found: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}  {self.key}: " if self.key else f"{self.file}:{self.line}  "
        facts = (("expected", self.expected), ("found", self.found), ("fix", self.fix))
        return "\n".join([where + self.message, *(_indented(name, text) for name, text in facts)])


def _indented(name: str, text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([f"    {name + ':':<9} {first}", *(" " * 14 + line for line in rest)])


class DefinitionErrors(WrongUse):
    """Every mistake of one definition, by line."""

    code = "definition-mistakes"

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line, m.column, m.key, m.message)))
        count = len(self.mistakes)
        title = f"{self.mistakes[0].file} has {count} mistake{'s' if count != 1 else ''}"
        super().__init__(
            "\n".join([title, *map(str, self.mistakes)]), mistakes=[msgspec.to_builtins(m) for m in self.mistakes]
        )


class ProjectNotFound(WrongUse):
    """No `headrace.toml` where it was looked for."""

    code = "project-not-found"

    def __init__(self, looked: Sequence[str], *, asked_by: str | None) -> None:
        self.looked = tuple(looked)
        source = f" (asked for by {asked_by})" if asked_by else ""
        super().__init__(
            f"expected a headrace.toml{source}, found none; looked at:\n" + "\n".join(f"  {place}" for place in looked),
            fix="correct the path"
            if asked_by
            else "run `headrace init DATA…` here, or name the project: --project PATH",
            looked=list(looked),
        )


class LockUnreadable(WrongUse):
    """`headrace.lock` is not what this version wrote."""

    code = "lock-unreadable"

    def __init__(self, file: str, *, where: str, expected: str, found: str, fix: str) -> None:
        super().__init__(
            f"{file}{where}: expected {expected}, found {found}", fix=fix, file=file, expected=expected, found=found
        )


class SecretNotFound(WrongUse):
    """A `${env:NAME}` or `${file:PATH}` that leads nowhere. Names the reference, never a value."""

    code = "secret-not-found"

    def __init__(self, reference: str, *, found: str, fix: str) -> None:
        facts: dict[str, Any] = {"reference": reference}
        super().__init__(f"expected a value behind {reference}, found {found}", fix=fix, **facts)
