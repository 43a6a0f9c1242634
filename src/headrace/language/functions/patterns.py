"""Regular expressions."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language.functions.entries import form, function

PATTERNS = (
    function(
        "regexp_matches",
        "Whether the pattern, a constant, matches somewhere in the text, in time linear in its length. The syntax: "
        "characters, `.`, classes, `\\d \\w \\s` (ASCII) and their opposites, groups, `|`, `* + ? {m,n}`, `^` and `$`.",
        form("string !pattern -> boolean", "regexp_matches", k.matches_in, total=True),
        written="regexp_matches(text, pattern)",
        example="regexp_matches('N14228', '^N[0-9]+$') → TRUE",
    ),
)
