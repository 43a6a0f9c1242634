"""Conversion: what CAST calls."""

from __future__ import annotations

from headrace.language import row_decimals, row_scaled
from headrace.language import row_kernels as k
from headrace.language.functions.entries import form, function
from headrace.language.types import Type
from headrace.language.zones import DAY

_CAST = "CAST(a AS {})"
_DEFAULTS = (
    (
        "integer",
        (("string", "text_to_integer"), ("float", "float_to_integer")),
        "to_integer_or('n/a', -1) → -1",
    ),
    ("float", (("string", "text_to_float"),), "to_float_or('1.5e3', 0) → 1500.0"),
    ("boolean", (("string", "text_to_boolean"),), "to_boolean_or('yes', FALSE) → FALSE"),
    (
        "date",
        (("string", "text_to_date"),),
        "to_date_or('2013-02-29', DATE '2013-03-01') → DATE '2013-03-01'",
    ),
    (
        "timestamp",
        (("string", "text_to_timestamp"),),
        "to_timestamp_or('never', TIMESTAMP '2013-01-01T00:00:00Z') → TIMESTAMP '2013-01-01T00:00:00Z'",
    ),
)
CONVERSION = (
    function(
        "to_integer",
        "As an integer: a float or a decimal is cut toward zero, a text holds at most 19 digits and perhaps a sign; "
        "else null.",
        form("integer -> integer", lambda a: a, "{0}", total=True),
        form("float -> integer", "float_to_integer", k.float_to_integer),
        form("decimal -> integer", "decimals:to_integer", row_decimals.decimal_to_integer, total=True),
        form("boolean -> integer", "to_integer", "1 if {0} else 0", total=True),
        form("string -> integer", "text_to_integer", k.text_to_integer),
        written=f"to_integer(a), {_CAST.format('integer')}",
        example="CAST('42' AS integer) → 42",
    ),
    function(
        "to_float",
        "As a float: a text holds a decimal number such as -1.5e3; else null.",
        form("float -> float", lambda a: a, "{0}", total=True),
        form("integer -> float", "to_float", "{0} + 0.0", total=True),
        form("decimal -> float", "decimals:to_float", "({0} + 0.0) / 1000000.0", total=True),
        form("boolean -> float", "to_float", "1.0 if {0} else 0.0", total=True),
        form("string -> float", "text_to_float", k.text_to_float),
        written=f"to_float(a), {_CAST.format('float')}",
        example="CAST('-1.5e3' AS float) → -1500.0",
    ),
    function(
        "to_decimal",
        "As a decimal, an exact number with at most 12 digits before the point and 6 after it: a text with more is "
        "null, a float is rounded to 6 places, halves away from zero; null for what is larger.",
        form("decimal -> decimal", lambda a: a, "{0}", total=True),
        form("integer -> decimal", "decimals:from_integer", "{0} * 1000000", checked=True),
        form("float -> decimal", "decimals:from_float", row_decimals.float_to_decimal, takes_unsettled=True),
        form("boolean -> decimal", "decimals:from_boolean", "1000000 if {0} else 0", total=True),
        form("string -> decimal", "decimals:from_text", row_decimals.text_to_decimal),
        written=f"to_decimal(a), {_CAST.format('decimal')}, DECIMAL '12.30'",
        example="CAST('12.30' AS decimal) + DECIMAL '0.07' → DECIMAL '12.37'",
    ),
    function(
        "to_string",
        "As text: true and false, 2013-01-31, 2013-01-31T05:00:00Z, floats as Python writes them, decimals without "
        "zeros at the end.",
        form("string -> string", lambda a: a, "{0}", total=True),
        form("integer -> string", "to_string", k.integer_to_text, total=True),
        form("float -> string", "float_to_string", k.float_to_text, total=True),
        form("decimal -> string", "decimals:to_text", row_decimals.decimal_to_text, total=True),
        form("boolean -> string", "to_string", '"true" if {0} else "false"', total=True),
        form("date -> string", "date_to_string", k.date_to_text, total=True),
        form("timestamp -> string", "timestamp_to_string", k.timestamp_to_text, total=True),
        written=f"to_string(a), {_CAST.format('string')}",
        example="CAST(2.50 AS string) → '2.5'",
    ),
    function(
        "to_boolean",
        "As a boolean: a number is true when it is not 0, a text is true or false; else null.",
        form("boolean -> boolean", lambda a: a, "{0}", total=True),
        form("integer -> boolean", lambda a: a != 0, "{0} != 0", total=True),
        form("float -> boolean", lambda a: a != 0.0, "{0} != 0.0", total=True),
        form("decimal -> boolean", lambda a: a != 0, "{0} != 0", total=True),
        form("string -> boolean", "text_to_boolean", k.text_to_boolean),
        written=f"to_boolean(a), {_CAST.format('boolean')}",
        example="CAST('true' AS boolean) → TRUE",
    ),
    function(
        "to_date",
        "As a date: a text is 2013-01-31, a timestamp gives its date in UTC; else null.",
        form("date -> date", lambda a: a, "{0}", total=True),
        form("timestamp -> date", "timestamp_to_date", f"{{0}} // {DAY}", total=True),
        form("string -> date", "text_to_date", k.text_to_date),
        written=f"to_date(a), {_CAST.format('date')}, DATE '2013-01-31'",
        example="CAST(TIMESTAMP '2013-01-31T05:00:00Z' AS date) → DATE '2013-01-31'",
    ),
    function(
        "to_timestamp",
        "As a timestamp: a text is ISO 8601, in UTC unless it has an offset; a date is its midnight in UTC; else null.",
        form("timestamp -> timestamp", lambda a: a, "{0}", total=True),
        form("date -> timestamp", "date_to_timestamp", f"{{0}} * {DAY}", total=True),
        form("string -> timestamp", "text_to_timestamp", k.text_to_timestamp),
        written=f"to_timestamp(a), {_CAST.format('timestamp')}, TIMESTAMP '2013-01-31T05:00:00Z'",
        example="CAST('2013-01-31 05:00+01:00' AS timestamp) → TIMESTAMP '2013-01-31T04:00:00Z'",
    ),
    *(
        function(
            f"to_{type_}_or",
            f"As `to_{type_}` gives it; what cannot be read gives the default, and null stays null.",
            *(
                form(f"{given} {type_} -> {type_}", f"{read}_or", k.or_default(getattr(k, read)), total=True)
                for given, read in reads
            ),
            written=f"to_{type_}_or(a, default)",
            example=example,
        )
        for type_, reads, example in _DEFAULTS
    ),
    function(
        "to_decimal_or",
        "As `to_decimal` gives it; what cannot be read gives the default, and null stays null.",
        form(
            "string decimal -> decimal",
            "decimals:from_text_or",
            k.or_default(row_decimals.text_to_decimal),
            total=True,
        ),
        written="to_decimal_or(a, default)",
        example="to_decimal_or('n/a', 0.5) → DECIMAL '0.5'",
    ),
    function(
        "scaled_to_decimal",
        "A scaled integer as a decimal; halves of a millionth go away from zero, null for what is larger.",
        form("integer !places -> decimal", "decimals:from_scaled", row_decimals.scaled_in),
        written="scaled_to_decimal(a, places)",
        example="scaled_to_decimal(1230, 2) → DECIMAL '12.3'",
    ),
    function(
        "to_scaled",
        "A decimal number exactly, as an integer that counts the last of its places, a constant from 0 to 18: 12.30 "
        "with 2 places is 1230. A text or a decimal with more places is null; of a float the nearest is taken.",
        form("string !places -> integer", "scaled:from_text", row_scaled.text_in),
        form("integer !places -> integer", "scaled:from_integer", row_scaled.integer_in),
        form("float !places -> integer", "scaled:from_float", row_scaled.float_in, takes_unsettled=True),
        form("decimal !places -> integer", "decimals:to_scaled", row_decimals.decimal_in),
        written="to_scaled(a, places)",
        example="to_scaled('1234567890123.45', 2) → 123456789012345",
    ),
    function(
        "rescale",
        "A scaled integer with another number of places; halves go away from zero.",
        form("integer !places !places -> integer", "scaled:rescale", row_scaled.rescale_in),
        written="rescale(a, places, new_places)",
        example="rescale(1235, 2, 1) → 124",
    ),
    function(
        "scaled_to_float",
        "A scaled integer as a float.",
        form("integer !places -> float", "scaled:to_float", row_scaled.to_float_in, total=True),
        written="scaled_to_float(a, places)",
        example="scaled_to_float(1230, 2) → 12.3",
    ),
    function(
        "scaled_to_string",
        "A scaled integer as text.",
        form("integer !places -> string", "scaled:to_text", row_scaled.to_text_in, total=True),
        written="scaled_to_string(a, places)",
        example="scaled_to_string(-5, 2) → '-0.05'",
    ),
)

CASTS: dict[Type, str] = {
    Type.INTEGER: "to_integer",
    Type.FLOAT: "to_float",
    Type.DECIMAL: "to_decimal",
    Type.STRING: "to_string",
    Type.BOOLEAN: "to_boolean",
    Type.DATE: "to_date",
    Type.TIMESTAMP: "to_timestamp",
}
"""What CAST(… AS type) calls."""
