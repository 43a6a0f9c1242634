"""How a text file writes its values: the separator, numbers with a comma, dates that are no ISO 8601.

What can be read in two ways is left as text: a wrong guess here would be a wrong number everywhere after.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.data.cast import cast_of
from headrace.data.sources.csv_records import StrayQuoteError, fields_of
from headrace.data.text import first_lines
from headrace.data.times import to_dates, to_timestamps
from headrace.definition.lock import LockedColumn
from headrace.definition.model import ColumnRule
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

SEPARATORS: Final = (",", ";", "\t", "|")
_LINES: Final = 200
"""Lines that the separator is told from."""
_DAY_FIRST: Final = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y")
_MONTH_FIRST: Final = ("%m.%d.%Y", "%m/%d/%Y", "%m-%d-%Y")
_DAYS: Final = (*_DAY_FIRST, *_MONTH_FIRST, "%Y/%m/%d", "%Y.%m.%d")
_CLOCKS: Final = (" %H:%M", " %H:%M:%S")
_YEAR: Final = "(?:19|20)[0-9]{2}"
"""A column may be called so."""
_NUMBER: Final = r"^[+-]?[0-9][0-9.,]*$"
_GROUPED: Final = r"^[+-]?[0-9]{1,3}(?:[.,][0-9]{3})+$"
"""One sign between groups of three digits: 1,234 is a thousand to some and one and a bit to others."""


def separator_of(path: Path) -> str:
    """The character between the fields of a text file: the one whose records agree with a header of the most fields."""
    lines = [line.rstrip(b"\r\n") for line in itertools.islice(first_lines(path), _LINES)]
    lines = [line for line in lines if line]
    counts = {one: [_n_fields(line, one) for line in lines] for one in SEPARATORS}
    agreeing = {
        one: found[0]
        for one, found in counts.items()
        if found and found[0] > 1 and sum(n == found[0] for n in found) * 2 > len(found)
    }
    return max(agreeing, key=lambda one: (agreeing[one], one == ",")) if agreeing else ","


def is_utf8(path: Path) -> bool:
    """Whether the first lines of a text file are."""
    lines = itertools.islice(first_lines(path), _LINES)
    try:
        b"".join(lines).decode()
    except UnicodeDecodeError:
        return False
    return True


def _n_fields(line: bytes, separator: str) -> int:
    try:
        return len(fields_of(line, separator.encode()) or ())
    except StrayQuoteError:
        return 0


def rule_of(texts: pl.Series) -> tuple[ColumnRule, LockedColumn] | None:
    """The rule under which all of a column's texts are numbers, dates or times, and the evidence; None: no such rule.

    Parameters
    ----------
    texts
        None of them null, and not all of them plain numbers or ISO 8601.
    """
    if texts.is_empty():
        return None
    return _number(texts) or _time(texts)


def doubt_of(texts: pl.Series) -> str:
    """What keeps the texts of a column text although they look like something else; empty when nothing does."""
    if texts.is_empty():
        return ""
    values = texts.unique()
    is_grouped = values.str.contains(_GROUPED)
    if is_grouped.any() and values.str.contains(_NUMBER).all():
        return "numbers, but 1,234 can be read in two ways: say decimal or thousands"
    fits = {format_: _fit(values, format_) for format_ in _DAYS}
    if any(share == 1 for share in fits.values()):
        return "dates, but all of them can be read day first and month first: say format"
    iso = max(_share_read(to_dates(values)), _share_read(to_timestamps(values, "UTC")))
    shares = sorted([iso, *fits.values()], reverse=True)
    if shares[0] >= 0.1 and shares[0] + shares[1] >= 0.9:
        return "dates written in more than one way: no one format reads them all"
    return ""


def _number(texts: pl.Series) -> tuple[ColumnRule, LockedColumn] | None:
    values = texts.str.strip_chars()
    if not values.str.contains(_NUMBER).all():
        return None
    has_comma = values.str.contains(",", literal=True)
    has_point = values.str.contains(".", literal=True)
    told = values.filter((has_comma | has_point) & ~values.str.contains(_GROUPED))
    if told.is_empty() or not has_comma.any():
        return None
    for decimal, apart in ((",", "."), (".", ",")):
        thousands = apart if values.str.contains(apart, literal=True).any() else None
        rule = ColumnRule(type=Type.FLOAT, decimal=decimal, thousands=thousands)
        if _reads(texts, rule):
            how = "a decimal comma" if decimal == "," else "a decimal point"
            how += f" and {thousands!r} between thousands" if thousands else ""
            return rule, LockedColumn(
                type=Type.FLOAT, evidence=f"{len(texts):,} of {len(texts):,} are numbers with {how}"
            )
    return None


def _time(texts: pl.Series) -> tuple[ColumnRule, LockedColumn] | None:
    for clock in ("", *_CLOCKS):
        type_ = Type.TIMESTAMP if clock else Type.DATE
        rules = [ColumnRule(type=type_, format=day + clock) for day in _DAYS]
        fitting = [rule for rule in rules if _reads(texts, rule)]
        if len(fitting) == 1:
            [rule] = fitting
            what = "times (of UTC: say zone if they are of another clock)" if clock else "dates"
            return rule, LockedColumn(
                type=type_, evidence=f"{len(texts):,} of {len(texts):,} are {what} like {rule.format}"
            )
    return None


def _reads(texts: pl.Series, rule: ColumnRule) -> bool:
    """Whether every text is a value under the rule."""
    import polars as pl

    assert rule.type is not None
    value = cast_of(texts.name, pl.String(), rule.type, rule).value
    distinct = texts.unique().to_frame()
    if distinct.head(50).select(value.is_null().any()).item():
        return False
    return not distinct.select(value.is_null().any()).item()


def _fit(values: pl.Series, format_: str) -> float:
    return _share_read(values.str.to_date(format_, strict=False))


def _share_read(values: pl.Series) -> float:
    return 1 - values.null_count() / len(values)


def is_like_a_row(header: Sequence[str]) -> bool:
    """Whether a first line that should hold names holds values: a number, a date or an e-mail address among them.

    >>> is_like_a_row(["7", "red"]), is_like_a_row(["country", "2023", "2024"])
    (True, False)
    """
    import polars as pl

    shapes = r"^[+-]?[0-9][0-9.,:/-]*(?:[ T][0-9:.Z+-]+)?$|^[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}$"
    names = pl.Series([name for name in header if not re.fullmatch(_YEAR, name)], dtype=pl.String)
    return bool(names.str.contains(shapes).any())
