"""The types of the expression language, and how a value of each is held in the two forms.

| type      | columns (Polars)      | rows (Python)                                   |
|-----------|-----------------------|-------------------------------------------------|
| integer   | Int64                 | int within 64 bits                              |
| float     | Float64               | float, never NaN: a NaN becomes null on reading |
| decimal   | Decimal(18, 6)        | int, millionths                                 |
| string    | String                | str                                             |
| category  | String                | str                                             |
| boolean   | Boolean               | bool                                            |
| date      | Date                  | int, days since 1970-01-01                      |
| timestamp | Datetime("us", "UTC") | int, microseconds since 1970-01-01T00:00Z       |
| duration  | Duration("us")        | int, microseconds                               |

Null is null in columns and None in rows. A decimal is exact: at most twelve digits before the point and six after it
([why](docs/decisions/0034-decimals.md)); inside an expression its column is the Int64 of its millionths.
"""

from __future__ import annotations

from enum import StrEnum


class Type(StrEnum):
    """A column's or an expression's type."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
