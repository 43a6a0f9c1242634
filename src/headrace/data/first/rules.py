"""What the profile of a column lets be asked of it: rules that hold on the rows looked at, each with its evidence.

A rule needs enough rows: of a few, most things are true by accident. A column with likely personal data gets no rule
that would show a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from headrace.data.first.look import Look
from headrace.data.model import ColumnProfile, Personal
from headrace.definition.model import ColumnRule
from headrace.definition.positions import toml_string
from headrace.definition.writer import FirstRule
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

FEWEST: Final = 30
"""With fewer rows no rule is proposed but the types."""
MOST_ALLOWED: Final = 10
ROWS_A_LEVEL: Final = 20
"""A list of allowed values needs so many rows each, on average."""
_MARGIN: Final = 0.5
"""Share of the reach that a bound lies beyond the extremes."""
_LARGEST: Final = 1e15
"""Beyond it a float's neighbours are far apart, and a bound says little."""
_LONGEST_CODE: Final = 40
_LONGEST_ALLOWED: Final = 40
_PREFIX_VALUES: Final = 100
"""Letters that this many values share are taken for part of the form."""
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_TIMES: Final = (Type.DATE, Type.TIMESTAMP)


def rules_of(look: Look, unique: Sequence[str]) -> dict[str, FirstRule]:
    """Column → what the definition asks of it beside its type.

    Parameters
    ----------
    unique
        Columns that tell the rows apart: they grow, so their extremes are no bounds.
    """
    return {name: _rule(look, name, is_key=list(unique) == [name]) for name in look.locked}


def personal_of(look: Look, column: str) -> str:
    """The kinds of likely personal data and their shares: `e-mail address, 98 % of the values looked at`."""
    return "; ".join(_kind(one) for one in look.profiles[column].personal)


def _kind(one: Personal) -> str:
    return f"{one.label}, {math.floor(100 * one.share)} % of the values looked at"


def _rule(look: Look, name: str, *, is_key: bool) -> FirstRule:
    profile = look.profiles[name]
    entries = _writing(look.source.rule(name))
    found: list[str] = []
    if look.rows >= FEWEST:
        if profile.nulls == 0:
            entries.append(("not_null", "true"))
        found.append(f"{profile.nulls:,} null{'' if profile.nulls == 1 else 's'} {look.extent}")
        if not profile.personal:
            more, why = _values(look, profile, is_key=is_key)
            entries += more
            found += why
    if profile.personal:
        found.append(f"likely personal ({personal_of(look, name)})")
    if name in look.doubts:
        found.append(look.doubts[name])
    asks = any(key in ("not_null", "min", "allowed", "pattern") for key, _ in entries)
    if look.is_cut and asks:
        entries.append(("on_fail", '"warn"'))
    return FirstRule(entries=tuple(entries), evidence="; ".join(found))


def _writing(rule: ColumnRule) -> list[tuple[str, str]]:
    found = [("decimal", rule.decimal if rule.decimal != "." else None), ("thousands", rule.thousands)]
    found.append(("format", rule.format))
    return [(key, toml_string(value)) for key, value in found if value is not None]


def _values(look: Look, profile: ColumnProfile, *, is_key: bool) -> tuple[list[tuple[str, str]], list[str]]:
    if profile.nulls == look.rows:
        return [], []
    if profile.distinct == 1:
        return [], ["one value in all rows"]
    if profile.type in _NUMBERS and not is_key:
        return _range(profile)
    if profile.type in _TIMES:
        return [], [_reach(look, profile)]
    if profile.type in _TEXTS:
        return _allowed(look, profile) or _pattern(look, profile) or ([], [_levels(profile)])
    return [], []


def _range(profile: ColumnProfile) -> tuple[list[tuple[str, str]], list[str]]:
    if not profile.quantiles:
        return [], []
    low, high = profile.quantiles[0], profile.quantiles[-1]
    found = [f"{_shown(low, profile.type)} … {_shown(high, profile.type)}"]
    if max(abs(low), abs(high)) >= _LARGEST or low == high:
        return [], found
    least, most = bounds(low, high)
    return [("min", _shown(least, profile.type)), ("max", _shown(most, profile.type))], found


def bounds(low: float, high: float) -> tuple[float, float]:
    """Bounds with a margin, at round numbers; what was never negative stays so.

    >>> bounds(17, 4983), bounds(-3.2, 1.1), bounds(1999, 2024)
    ((0.0, 7500.0), (-5.4, 3.3), (1986.0, 2037.0))
    """
    margin = _MARGIN * (high - low)
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    least = math.floor((low - margin) / step) * step
    most = math.ceil((high + margin) / step) * step
    digits = max(0, -math.floor(math.log10(step)))
    least = 0.0 if low >= 0 and least < 0 else least
    most = 0.0 if high <= 0 and most > 0 else most
    return round(min(least, low), digits + 1), round(max(most, high), digits + 1)


def _shown(value: float, type_: Type) -> str:
    if type_ is Type.INTEGER:
        return str(int(value))
    text = repr(float(value))
    return text if math.isfinite(value) else "none"


def _reach(look: Look, profile: ColumnProfile) -> str:
    is_steady = look.frame[profile.name].drop_nulls().is_sorted()
    return f"{'never falls; ' if is_steady else ''}{profile.minimum} … {profile.maximum}"


def _levels(profile: ColumnProfile) -> str:
    about = "about " if profile.distinct_error is not None else ""
    return f"{about}{profile.distinct:,} levels"


def _allowed(look: Look, profile: ColumnProfile) -> tuple[list[tuple[str, str]], list[str]] | None:
    levels = sorted(level for level, _ in profile.top)
    is_whole = profile.distinct_error is None and profile.distinct == len(levels)
    if not is_whole or not 2 <= len(levels) <= MOST_ALLOWED or len(levels) * ROWS_A_LEVEL > look.rows:
        return None
    if any(len(level) > _LONGEST_ALLOWED for level in levels):
        return None
    listed = ", ".join(map(toml_string, levels))
    return [("allowed", f"[{listed}]")], [_levels(profile)]


def _pattern(look: Look, profile: ColumnProfile) -> tuple[list[tuple[str, str]], list[str]] | None:
    values = look.frame[profile.name].drop_nulls().cast(_string()).unique()
    form = form_of(values) if len(values) >= FEWEST else None
    if form is None:
        return None
    return [("pattern", toml_string(form))], [f"all of {_levels(profile)} have this form"]


def _string() -> type[pl.String]:
    import polars as pl

    return pl.String


def form_of(values: pl.Series) -> str | None:
    """The pattern of values of one length that are of the same kinds of characters at each place; None without one.

    >>> import polars as pl
    >>> form_of(pl.Series(["AB-01", "CD-23"])), form_of(pl.Series(["red", "blue"]))
    ('[A-Z]{2}-[0-9]{2}', None)
    """
    import polars as pl

    lengths = values.str.len_chars()
    length = int(lengths[0])
    if not 2 <= length <= _LONGEST_CODE or not (lengths == length).all():
        return None
    text = pl.col("text")
    places = (
        values.alias("text")
        .to_frame()
        .select(text.str.slice(n, 1).implode().list.unique().alias(str(n)) for n in range(length))
    )
    classes = [_class({*places[str(n)][0].to_list()}, many=len(values) >= _PREFIX_VALUES) for n in range(length)]
    if any(one is None for one in classes) or not any(one in ("[0-9]", "[A-Z]", "[0-9A-Z]") for one in classes):
        return None
    found, start = "", 0
    for n in range(1, length + 1):
        if n == length or classes[n] != classes[start]:
            times = n - start
            one = str(classes[start])
            found += one if times == 1 else f"{one}{{{times}}}" if one.startswith("[") or len(one) == 1 else one * times
            start = n
    return found


def _class(characters: set[str], *, many: bool) -> str | None:
    text = "".join(sorted(characters))
    if len(text) == 1 and (not text.isalnum() or (many and text.isalpha())):
        return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text) if text.isascii() else None
    for kind in ("0-9", "A-Z", "a-z", "0-9A-Z", "0-9a-z"):
        if re.fullmatch(f"[{kind}]+", text):
            return f"[{kind}]"
    return None
