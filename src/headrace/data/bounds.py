"""What the contract writes as a number or a text, as a value of the column's type."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from zoneinfo import ZoneInfo

from headrace.language.row_decimals import PLACES, float_exactly
from headrace.language.types import Type

NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
INSTANTS = (Type.DATE, Type.TIMESTAMP)
TEXTS = (Type.STRING, Type.CATEGORY)
Value = float | str | bool | dt.date | Decimal


def value_of(written: float | str | bool, type_: Type, zone: str) -> Value | None:
    """The value that a contract's text or number means in a column; None where it means none.

    Parameters
    ----------
    zone
        Of texts of timestamps without an offset.

    Examples
    --------
    >>> value_of("2026-01-31", Type.DATE, "UTC"), value_of(3.0, Type.INTEGER, "UTC"), value_of("3", Type.FLOAT, "UTC")
    (datetime.date(2026, 1, 31), 3, None)
    """
    if type_ in TEXTS:
        return written if isinstance(written, str) else None
    if type_ is Type.BOOLEAN:
        return written if isinstance(written, bool) else None
    if type_ in INSTANTS:
        return _instant(written, type_, zone) if isinstance(written, str) else None
    if isinstance(written, bool | str) or type_ not in NUMBERS:
        return None
    if type_ is Type.DECIMAL:
        found = float_exactly(float(written))
        return None if found is None else Decimal(found).scaleb(-PLACES)
    if type_ is Type.INTEGER:
        return int(written) if math.isfinite(written) and written == int(written) else None
    return float(written)


def bound_of(written: float | str, type_: Type, zone: str) -> Value | None:
    """The same for a bound, which of an integer column may have a fraction."""
    if type_ in NUMBERS and type_ is not Type.DECIMAL:
        return None if isinstance(written, str) else written
    return value_of(written, type_, zone) if type_ in (Type.DECIMAL, *INSTANTS) else None


def _instant(text: str, type_: Type, zone: str) -> dt.date | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if type_ is Type.DATE:
        return found.date() if found.tzinfo is None and found.time() == dt.time() else None
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(dt.UTC)
