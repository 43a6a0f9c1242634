"""Amounts as people write them: "10m", "4 USD", "60 trials", "2M / month"."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from headrace.definition.model import Budget

_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
DURATION_PATTERN = r"^[0-9]+(ms|s|m|h|d|w)$"
MONEY_PATTERN = r"^[0-9]+(\.[0-9]+)? [A-Z]{3}$"
BUDGET_PATTERN = r"^[0-9]+((\.[0-9]+)? USD|ms|s|m|h|d|w| trials?)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?)?[bB]$"
VOLUME_PATTERN = r"^[0-9]+(\.[0-9]+)?[kMG]? ?/ ?(day|week|month|year)$"

_MAX_DURATION_US = 36_525 * _UNITS_US["d"]
_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
_DAYS_A_MONTH = Decimal("365.25") / 12
_PER_MONTH = {"day": _DAYS_A_MONTH, "week": _DAYS_A_MONTH / 7, "month": Decimal(1), "year": Decimal(1) / 12}


class Amounts(msgspec.Struct, frozen=True):
    """An amount that each row says in a column; without a currency it is in that of the other amounts."""

    column: str
    currency: str | None = None


class Money(msgspec.Struct, frozen=True):
    """An amount in one currency."""

    amount: float
    currency: str


def parse_duration(text: str) -> int | None:
    """Microseconds, up to a hundred years; None when `text` is no duration.

    >>> parse_duration("90s")
    90000000
    """
    match = re.fullmatch(r"([0-9]{1,15})(ms|s|m|h|d|w)", text)
    if match is None:
        return None
    amount = int(match[1]) * _UNITS_US[match[2]]
    return amount if amount <= _MAX_DURATION_US else None


def parse_size(text: str) -> int | None:
    """Bytes, above zero: powers of ten for kB, MB, GB, TB, of two for KiB, MiB, GiB, TiB; None when `text` is no size.

    >>> parse_size("2GiB"), parse_size("1.5 GB"), parse_size("4 gigs")
    (2147483648, 1500000000, None)
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?((?:[kmgt]i?)?b)", text, re.IGNORECASE)
    return int(Decimal(match[1]) * _SIZES[match[2].upper()]) or None if match else None


def parse_money(text: str) -> Money | None:
    """An amount above zero and its ISO 4217 code.

    >>> parse_money("4 USD")
    Money(amount=4.0, currency='USD')
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ([A-Z]{3})", text)
    if match is None or not (amount := float(match[1])):
        return None
    return Money(amount, match[2])


def parse_capacity(text: str) -> float | None:
    """How many a day, above zero.

    >>> parse_capacity("200 / day")
    200.0
    """
    month = parse_volume(text)
    return None if month is None else month / float(_DAYS_A_MONTH)


def parse_budget(text: str) -> Budget | None:
    """A search's budget: seconds, trials or US dollars, above zero.

    >>> parse_budget("60 trials")
    Budget(seconds=None, trials=60, usd=None)
    """
    if match := re.fullmatch(r"([0-9]{1,9}) trials?", text):
        return Budget(trials=int(match[1])) if int(match[1]) else None
    if (money := parse_money(text)) is not None:
        return Budget(usd=money.amount) if money.currency == "USD" else None
    duration = parse_duration(text)
    return Budget(seconds=duration / 1e6) if duration else None


def parse_volume(text: str) -> float | None:
    """Predictions a month, above zero; a month has 365.25 / 12 days.

    >>> parse_volume("2M / month")
    2000000.0
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([kMG]?) ?/ ?(day|week|month|year)", text)
    if match is None:
        return None
    return float(Decimal(match[1]) * _SUFFIXES[match[2]] * _PER_MONTH[match[3]]) or None
