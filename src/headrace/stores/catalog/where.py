"""`Where` and `order_by`, read once for both ways to the catalog: SQLAlchemy and the light reader on stdlib sqlite3.

Null follows SQL: a column equals None where it is null, and null satisfies no comparison. Nulls sort first, on every
server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, cast

from headrace.stores.catalog import Value, Where

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "is null", "is not null", "in"]
_COMPARISONS = frozenset({"!=", "<", "<=", ">", ">="})


class Condition(NamedTuple):
    """One column's condition; `values` has one value, any number for `in`, none for the null tests."""

    column: str
    operator: Operator
    values: tuple[Value, ...]


class Order(NamedTuple):
    """One column to sort by."""

    column: str
    descending: bool


def conditions(where: Where | None) -> list[Condition]:
    """The conditions that must all hold.

    Examples
    --------
    >>> [(test.operator, test.values) for test in conditions({"started_us": (">=", 7), "run": ["a", "b"], "end": None})]
    [('>=', (7,)), ('in', ('a', 'b')), ('is null', ())]
    """
    return [_condition(column, wanted) for column, wanted in (where or {}).items()]


def _condition(column: str, wanted: Value | tuple[str, Value] | Sequence[Value]) -> Condition:
    if wanted is None:
        return Condition(column, "is null", ())
    if isinstance(wanted, (str, bytes, int, float)):
        return Condition(column, "=", (wanted,))
    values = cast("tuple[Value, ...]", tuple(wanted))
    if isinstance(wanted, tuple) and len(values) == 2 and values[0] in _COMPARISONS:
        if values[1] is None:
            if values[0] != "!=":
                raise ValueError(f"{column}: null can be compared by = and != only")
            return Condition(column, "is not null", ())
        return Condition(column, cast("Operator", values[0]), (values[1],))
    if None in values:
        raise ValueError(f"{column}: a list of values cannot hold None")
    return Condition(column, "in", values)


def orders(order_by: Sequence[str]) -> list[Order]:
    """Column names, a leading `-` for descending."""
    return [Order(name.removeprefix("-"), name.startswith("-")) for name in order_by]
