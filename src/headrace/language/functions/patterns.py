"""Regular expressions."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language import row_patterns as p
from headrace.language.functions.entries import form, function

PATTERNS = (
    function(
        "regexp_matches",
        "Whether the pattern, a constant, matches somewhere in the text, in time linear in its length. The syntax: "
        "characters, `.`, classes, `\\d \\w \\s` (ASCII) and their opposites, groups, `|`, `* + ? {m,n}` and with one "
        "`?` more their lazy kinds, `^` and `$`.",
        form("string !pattern -> boolean", "regexp_matches", k.matches_in, total=True),
        written="regexp_matches(text, pattern)",
        example="regexp_matches('N14228', '^N[0-9]+$') → TRUE",
    ),
    function(
        "like",
        "Whether the whole text is like the pattern, a constant: `%` is any text, `_` any character, a backslash takes "
        "the meaning from what follows. Also `a NOT LIKE …`, and `a ILIKE …`, which compares small letters.",
        form("string !like -> boolean", "patterns:like", p.like_in, total=True),
        written="a LIKE pattern, like(a, pattern)",
        example="'N14228' LIKE 'N%2_' → TRUE",
    ),
    function(
        "regexp_extract",
        "What the leftmost match of the pattern, a constant, holds, or what one of its groups does, counted by their "
        "opening parentheses from 1; null without a match, or if the group took no part in it.",
        form("string !pattern !group=0 -> string", "patterns:extract", p.extract_in, check=p.check_extract),
        written="regexp_extract(text, pattern, group)",
        example="regexp_extract('N14228UA', '([0-9]+)([A-Z]*)$', 2) → 'UA'",
    ),
    function(
        "regexp_replace",
        "The text with every match of the pattern replaced; pattern and replacement are constants. In the replacement "
        r"`\0` is the match, `\1` to `\9` are its groups, `\\` is a backslash.",
        form(
            "string !pattern !replacement -> string",
            "patterns:replace",
            p.replace_in,
            total=True,
            check=p.check_replace,
        ),
        written="regexp_replace(text, pattern, replacement)",
        example=r"regexp_replace('31.01.2013', '(\d+).(\d+).(\d+)', '\3-\2-\1') → '2013-01-31'",
    ),
    function(
        "regexp_count",
        "How often the pattern, a constant, matches, without overlaps.",
        form("string !pattern -> integer", "patterns:count", p.count_in, total=True, check=p.check_count),
        written="regexp_count(text, pattern)",
        example="regexp_count('a1b22c', '[0-9]+') → 2",
    ),
)
