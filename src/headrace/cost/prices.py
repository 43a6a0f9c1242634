"""The price book: dated unit prices in FOCUS words, and what work costs by them.

The shipped book is a small example and says so; a user's own file replaces it. Sums here are estimates at list price,
before discounts and taxes.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from headrace.cost.errors import PriceBookInvalid, PriceMissing, PriceMistake

PricingUnit = Literal["Core-Hours", "GB-Hours", "GB-Months"]

UTILISATION = 0.3
"""Share of the paid core time that answers predictions, the rest waits for load: an assumption, to be stated with every
figure that rests on it."""

_HOUR_S = 3600.0
_GB = 1e9
_MILLION = 1e6
_ROW_KEYS = ("SkuPriceId", "PricingUnit", "ListUnitPrice", "EffectiveFrom", "Source")


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the book; fields as in FOCUS 1.2."""

    sku_price_id: str
    pricing_unit: PricingUnit
    list_unit_price: float
    """USD a unit, >= 0."""
    effective_from: dt.date
    """Holds from 00:00 UTC of this day."""
    source: str
    sku_description: str = ""

    @property
    def price_id(self) -> str:
        """Names this row for ever: the SKU's price and the day from which it holds."""
        return f"{self.sku_price_id}@{self.effective_from.isoformat()}"


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Dated unit prices in USD."""

    prices: tuple[Price, ...]

    def at(self, unit: PricingUnit, at_us: int) -> Price:
        """The price of a unit that holds at an instant (microseconds since 1970 UTC); raises `PriceMissing`."""
        day = dt.datetime.fromtimestamp(at_us // 1_000_000, tz=dt.UTC).date()
        held = [p for p in self.prices if p.pricing_unit == unit and p.effective_from <= day]
        if not held:
            raise PriceMissing(unit, day.isoformat())
        return max(held, key=lambda p: p.effective_from)


def load_prices(path: Path | None = None) -> PriceBook:
    """The user's price book at `path`, or the shipped example.

    Raises
    ------
    PriceBookInvalid : with every mistake and its line.
    """
    if path is None:
        return _parse(files("headrace.cost").joinpath("prices.toml").read_text(encoding="utf-8"), "prices.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PriceBookInvalid(str(path), [PriceMistake(None, "file", f"cannot be read: {reason}")]) from error
    return _parse(text, str(path))


def price_usage(book: PriceBook, *, cpu_s: float, memory_byte_s: float, at_us: int) -> tuple[float, str]:
    """What computing costs: core time used plus memory held.

    Returns
    -------
    USD, and the rows it was computed with, joined by `+`.

    Examples
    --------
    >>> usd, rows = price_usage(load_prices(), cpu_s=3600, memory_byte_s=2e9 * 3600, at_us=1_790_000_000_000_000)
    >>> round(usd, 6), rows
    (0.05, 'example-compute-core@2026-01-01+example-compute-memory@2026-01-01')
    """
    core, memory = book.at("Core-Hours", at_us), book.at("GB-Hours", at_us)
    usd = cpu_s / _HOUR_S * core.list_unit_price + memory_byte_s / _GB / _HOUR_S * memory.list_unit_price
    return usd, f"{core.price_id}+{memory.price_id}"


def affordable_s(book: PriceBook, usd: float, *, cores: int, memory_bytes: float, at_us: int) -> float:
    """Seconds for which an amount pays so many busy cores and so much memory.

    Examples
    --------
    >>> round(affordable_s(load_prices(), 0.05, cores=1, memory_bytes=2e9, at_us=1_790_000_000_000_000))
    3600
    """
    usd_a_second, _ = price_usage(book, cpu_s=cores, memory_byte_s=memory_bytes, at_us=at_us)
    return usd / usd_a_second if usd_a_second > 0 else float("inf")


def storage_price(book: PriceBook, size: int, *, at_us: int) -> float:
    """USD a month for keeping `size` bytes."""
    return size / _GB * book.at("GB-Months", at_us).list_unit_price


def serving_price(book: PriceBook, row_us: float, *, at_us: int, utilisation: float = UTILISATION) -> float:
    """USD per million predictions for the core time that answers them.

    Parameters
    ----------
    row_us : microseconds of one core that one prediction takes, >= 0
    utilisation : in (0, 1]
        A core that is busy this share of its time is paid for all of it.

    Examples
    --------
    >>> round(serving_price(load_prices(), 36.0, at_us=1_790_000_000_000_000, utilisation=0.5), 9)
    0.0008
    """
    if not 0 < utilisation <= 1:
        raise ValueError("utilisation is a share in (0, 1]")
    core_s = row_us / 1e6 * _MILLION
    return core_s / utilisation / _HOUR_S * book.at("Core-Hours", at_us).list_unit_price


def amortised(usd: float, predictions: float) -> float:
    """USD per million predictions of something paid once (training) and used for that many predictions.

    Examples
    --------
    >>> amortised(3.0, 2_000_000)
    1.5
    """
    if predictions <= 0:
        raise ValueError("a cost is spread over at least one prediction")
    return usd / predictions * _MILLION


def _parse(text: str, path: str) -> PriceBook:
    """The book that a TOML text says, or all that is wrong with it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        raise PriceBookInvalid(
            path, [PriceMistake(int(where[1]) if where else None, "TOML", f"cannot be parsed: {error}")]
        ) from error
    mistakes = [
        PriceMistake(_line_of(text, key), key, "unknown key: the book has BillingCurrency and [[prices]]")
        for key in document
        if key not in ("BillingCurrency", "prices")
    ]
    if document.get("BillingCurrency", "USD") != "USD":
        mistakes.append(PriceMistake(_line_of(text, "BillingCurrency"), "BillingCurrency", 'must be "USD"'))
    rows = document.get("prices")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        mistakes.append(PriceMistake(_line_of(text, "prices"), "prices", "at least one [[prices]] table is needed"))
        rows = []
    prices: list[Price] = []
    for row, (first, last) in zip(rows, _row_spans(text, len(rows)), strict=True):
        wrong = _mistakes(row)
        mistakes += [PriceMistake(_line_of(text, key, first, last) or first, key, problem) for key, problem in wrong]
        if not wrong:
            prices.append(_price(row))
    mistakes += _duplicates(prices)
    if mistakes:
        raise PriceBookInvalid(path, sorted(mistakes, key=lambda m: m.line or 0))
    return PriceBook(tuple(prices))


def _price(row: Mapping[str, Any]) -> Price:
    return Price(
        sku_price_id=row["SkuPriceId"],
        pricing_unit=row["PricingUnit"],
        list_unit_price=float(row["ListUnitPrice"]),
        effective_from=row["EffectiveFrom"],
        source=row["Source"],
        sku_description=row.get("SkuDescription", ""),
    )


def _mistakes(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, problem) for everything wrong in one row."""
    wrong = [(key, "is missing") for key in _ROW_KEYS if key not in row]
    wrong += [(key, "unknown key") for key in row if key not in (*_ROW_KEYS, "SkuDescription")]
    for key in ("SkuPriceId", "Source", "SkuDescription"):
        if key in row and (not isinstance(row[key], str) or (not row[key] and key != "SkuDescription")):
            wrong.append((key, "must be a text that is not empty"))
    units = get_args(PricingUnit)
    if "PricingUnit" in row and row["PricingUnit"] not in units:
        wrong.append(("PricingUnit", f"must be one of {', '.join(units)}"))
    price = row.get("ListUnitPrice", 0)
    if isinstance(price, bool) or not isinstance(price, int | float) or not (math.isfinite(price) and price >= 0):
        wrong.append(("ListUnitPrice", "must be a number >= 0, in USD"))
    day = row.get("EffectiveFrom", dt.date.min)
    if not isinstance(day, dt.date) or isinstance(day, dt.datetime):
        wrong.append(("EffectiveFrom", "must be a date, like 2026-01-01, without quotes"))
    return wrong


def _duplicates(prices: list[Price]) -> list[PriceMistake]:
    """Two prices of one unit from the same day: which holds would be a matter of order."""
    seen: set[tuple[str, dt.date]] = set()
    found = []
    for price in prices:
        place = (price.pricing_unit, price.effective_from)
        if place in seen:
            found.append(PriceMistake(None, price.price_id, f"a second price of {price.pricing_unit} from that day"))
        seen.add(place)
    return found


def _row_spans(text: str, rows: int) -> list[tuple[int, int]]:
    """Lines (first, last) of each `[[prices]]` table, from 1; the whole text for rows that are written inline."""
    lines = text.splitlines()
    heads = [n for n, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*prices\s*\]\]", line)]
    if len(heads) != rows:
        return [(1, len(lines))] * rows
    return [(head, (heads[i + 1] - 1) if i + 1 < len(heads) else len(lines)) for i, head in enumerate(heads)]


def _line_of(text: str, key: str, first: int = 1, last: int | None = None) -> int | None:
    """The line in [first, last] that sets a key; None when none does."""
    for n, line in enumerate(text.splitlines()[first - 1 : last], first):
        if re.match(rf"\s*(\[+\s*)?\"?{re.escape(key)}\"?\s*(=|\])", line):
            return n
    return None
