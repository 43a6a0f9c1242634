"""The parts of the language whose station is not built: refused by name, never ignored.

One line a part. The station that builds it deletes the line and adds the key to `headrace.definition.grammar`.
"""

from __future__ import annotations

import msgspec

from headrace.definition.positions import KeyPath


class NotYet(msgspec.Struct, frozen=True):
    """A key, or one value of a key, that this version does not have."""

    path: str
    """Key path; `*` stands for any name or number."""
    value: str | None = None
    """None: the key itself. Else the one value that is refused."""
    reason: str = ""
    """Why a definition with it cannot simply leave it unread, when that is not plain."""
    fix: str = "take it out"


NOT_YET = (
    NotYet("monitoring"),
    NotYet("notify"),
    NotYet("privacy"),
    NotYet("cost"),
    NotYet("team"),
    NotYet("sources.*.read.*", "kafka://"),
    NotYet(
        "sources.*.columns.*.personal",
        reason="`personal` is refused until pseudonyms exist: no run stores a personal column in the clear",
        fix="keep the column out of what is read, or wait for pseudonyms",
    ),
    NotYet("stores.broker"),
    NotYet("stores.engine"),
)


def not_yet(path: KeyPath, value: str | None = None) -> NotYet | None:
    """The line that refuses this key, or this value of it, if there is one."""
    return next((line for line in NOT_YET if line.value == value and _matches(line.path, path)), None)


def _matches(pattern: str, path: KeyPath) -> bool:
    parts = pattern.split(".")
    if parts[-1] == "*" and len(parts) == len(path) + 1:
        parts.pop()  # a single value stands for an array of one
    return len(parts) == len(path) and all(want in ("*", have) for want, have in zip(parts, path, strict=True))
