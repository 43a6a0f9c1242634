"""Comparison and logic."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language.forms import Columns, Function
from headrace.language.functions.entries import form, function


def compare(
    name: str, sign: str, doc: str, columns: Columns, row: str, variable: str = "O", *, example: str
) -> Function:
    return function(
        name,
        doc,
        form(f"{variable} {variable} -> boolean", columns, row, total=True),
        written=f"a {sign} b",
        example=example,
    )


LOGIC = (
    compare("equal", "=", "Whether both are equal.", lambda a, b: a == b, "{0} == {1}", "T", example="1 = 1.0 → TRUE"),
    compare(
        "not_equal", "<>", "Whether both differ.", lambda a, b: a != b, "{0} != {1}", "T", example="'a' <> 'A' → TRUE"
    ),
    compare("less", "<", "Whether a is before b.", lambda a, b: a < b, "{0} < {1}", example="'a' < 'b' → TRUE"),
    compare(
        "less_equal",
        "<=",
        "Whether a is before b or equal.",
        lambda a, b: a <= b,
        "{0} <= {1}",
        example="2 <= 1 → FALSE",
    ),
    compare("greater", ">", "Whether a is after b.", lambda a, b: a > b, "{0} > {1}", example="2 > 1 → TRUE"),
    compare(
        "greater_equal",
        ">=",
        "Whether a is after b or equal.",
        lambda a, b: a >= b,
        "{0} >= {1}",
        example="1 >= 2 → FALSE",
    ),
    function(
        "and",
        "False if either is false, else null if either is null.",
        form(
            "boolean boolean -> boolean",
            lambda a, b: a & b,
            "False if {0} is False or {1} is False else None if {0} is None or {1} is None else True",
            total=True,
        ),
        written="a AND b",
        own_nulls=True,
        example="FALSE AND CAST(NULL AS boolean) → FALSE",
    ),
    function(
        "or",
        "True if either is true, else null if either is null.",
        form(
            "boolean boolean -> boolean",
            lambda a, b: a | b,
            "True if {0} or {1} else None if {0} is None or {1} is None else False",
            total=True,
        ),
        written="a OR b",
        own_nulls=True,
        example="TRUE OR CAST(NULL AS boolean) → TRUE",
    ),
    function(
        "not",
        "The opposite.",
        form("boolean -> boolean", lambda a: ~a, "not {0}", total=True),
        written="NOT a",
        example="NOT FALSE → TRUE",
    ),
    function(
        "is_null",
        "Whether there is no value; never null itself. Also `a IS NOT NULL`.",
        form("T -> boolean", lambda a: a.is_null(), "{0} is None", total=True),
        written="a IS NULL",
        own_nulls=True,
        example="NULL IS NULL → TRUE",
    ),
    function(
        "in",
        "Whether a equals one of the list; null if it equals none and a null is in the list. Also `a NOT IN (…)`.",
        form("T !T... -> boolean", "is_in", k.one_of, total=True),
        written="a IN (b, …)",
        example="2 IN (1, 2) → TRUE",
    ),
    function(
        "if",
        "a when the condition is true, else b. CASE is written with it.",
        form("boolean T T -> T", "if_else", "{1} if {0} else {2}", total=True, takes_unsettled=True),
        written="if(condition, a, b)",
        own_nulls=True,
        example="if(2 > 1, 'yes', 'no') → 'yes'",
    ),
    function(
        "coalesce",
        "The first argument that is not null.",
        form("T T... -> T", "coalesce", k.coalesce, total=True),
        written="coalesce(a, b, …)",
        own_nulls=True,
        example="coalesce(NULL, 1, 2) → 1",
    ),
    function(
        "nullif",
        "Null when both are equal, else a.",
        form("T T -> T", "nullif", "None if {0} is None or {0} == {1} else {0}"),
        written="nullif(a, b)",
        own_nulls=True,
        example="nullif(7, 7) → NULL",
    ),
    function(
        "xor",
        "Whether exactly one is true.",
        form("boolean boolean -> boolean", lambda a, b: a ^ b, "{0} is not {1}", total=True),
        written="xor(a, b)",
        example="xor(TRUE, FALSE) → TRUE",
    ),
    function(
        "is_distinct",
        "Whether both differ, where null equals null; never null itself.",
        form("T T -> boolean", lambda a, b: a.ne_missing(b), "{0} != {1}", total=True),
        written="is_distinct(a, b)",
        own_nulls=True,
        example="is_distinct(1, NULL) → TRUE",
    ),
    function(
        "zero_if_null",
        "0 for null.",
        form("integer -> integer", lambda a: a.fill_null(0), "0 if {0} is None else {0}", total=True),
        form("float -> float", lambda a: a.fill_null(0.0), "0.0 if {0} is None else {0}", total=True),
        form("decimal -> decimal", lambda a: a.fill_null(0), "0 if {0} is None else {0}", total=True),
        own_nulls=True,
        example="zero_if_null(CAST(NULL AS float)) → 0.0",
    ),
    function(
        "null_if_zero",
        "Null for 0.",
        form("integer -> integer", "null_if_zero", "{0} or None"),
        form("float -> float", "null_if_zero", "{0} or None"),
        form("decimal -> decimal", "null_if_zero", "{0} or None"),
        own_nulls=True,
        example="null_if_zero(0) → NULL",
    ),
)
