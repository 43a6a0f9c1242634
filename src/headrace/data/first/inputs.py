"""What a request may carry: the columns of the predicted source but those that would make the model look too good.

When a value becomes known stands in no table. What the rows can show is taken as a sign of it: values that are there
only where the label is, times after the event, columns that tell the label almost by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from headrace.data.association import associations
from headrace.data.first.errors import NothingToLearn
from headrace.data.first.keys import Key, Reference, is_named_like_a_key
from headrace.data.first.look import Look
from headrace.data.first.rules import personal_of
from headrace.data.personal import words_of
from headrace.definition.expressions import columns_of
from headrace.definition.writer import FirstExpression, FirstLookup
from headrace.language.columns import to_polars
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse
from headrace.language.types import Type

FEWEST: Final = 20
TOO_GOOD: Final = 0.95
"""A column that tells so much of the label by itself (0 to 1) is likely made from it, or known after it."""
_MOST_LEVELS: Final = 20
"""A text label with more is none that can be learnt."""
_ALMOST_ALL: Final = 0.99
_NEAR_UNIQUE: Final = 0.9
_NULL_TOGETHER: Final = 0.95
"""Share of a column's nulls that stand where there is no label."""
_ACCIDENT: Final = 6.0
"""Powers of ten: that all nulls stand there by accident must be rarer than one in a million."""
_NULL_WITHOUT: Final = 0.5
"""Share of the rows without a label in which the column is null."""
_LABELS: Final = ("label", "target", "y")
_LATE: Final = (
    *("updated", "modified", "changed", "closed", "ended", "finished", "delivered", "completed", "resolved", "arrived"),
    *("cancelled", "canceled", "returned", "paid", "expired", "expires", "due", "deleted", "valid_to", "end"),
)
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_INSTANTS: Final = (Type.DATE, Type.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Time:
    """When what a row tells happened."""

    column: str | None
    evidence: str
    """Of the column; or why none was taken, empty when there is none at all."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a request carries, and what not, with the reasons."""

    request: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def time_of(look: Look, without: Collection[str] = ()) -> Time:
    """The column that says when; none when several could."""
    candidates = [
        name
        for name, type_ in look.types.items()
        if type_ in _INSTANTS and name not in without and _tells_when(look, name)
    ]
    timestamps = [name for name in candidates if look.types[name] is Type.TIMESTAMP]
    candidates = timestamps or candidates
    if len(candidates) <= 1:
        return Time(candidates[0], _reach(look, candidates[0])) if candidates else Time(None, "")
    first = [
        name
        for name in candidates
        if all(_share(look, pl.col(name) <= pl.col(other)) >= _ALMOST_ALL for other in candidates)
    ]
    if len(first) == 1:
        others = ", ".join(name for name in candidates if name != first[0])
        return Time(first[0], f"{_reach(look, first[0])}; not after {others}")
    return Time(None, f"one of {', '.join(candidates)}: the rows do not tell which")


def _tells_when(look: Look, name: str) -> bool:
    profile = look.profiles[name]
    is_late = any(f"_{word}_" in words_of(name) for word in _LATE)
    return not (profile.nulls or profile.personal or is_late or name[:1] in ("", "_")) and (profile.distinct or 0) > 1


def _reach(look: Look, name: str) -> str:
    profile = look.profiles[name]
    steady = "never falls; " if look.frame[name].is_sorted() else ""
    return f"{steady}no nulls; {profile.minimum} … {profile.maximum}"


def _share(look: Look, is_so: pl.Expr) -> float:
    """Share of the rows in which something can be told and is so."""
    return float(look.frame.select(is_so.mean()).item() or 0.0)


def label_of(look: Look) -> tuple[str | None, str]:
    """The column that is called a label, and why; None when none or several are."""
    named = [name for name in look.types if name.strip().lower() in _LABELS]
    if len(named) != 1 or _label_fault(look, named[0]) is not None:
        return None, ""
    return named[0], "it is called so"


def meant(label: str, look: Look) -> str:
    """The label as an expression: a column whose name is none is quoted, for that column is what was meant."""
    if label not in look.types or "\0" in label:
        return label
    try:
        if columns_of(label) == {label}:
            return label
    except ExpressionError:
        pass
    return _in_quotes(label)


def check_label(look: Look, label: str) -> None:
    """Refuse a label of which nothing can be learnt.

    Raises
    ------
    ExpressionError : it cannot be read, or uses a column that is not there.
    NothingToLearn : all rows have the same, or almost every row has its own.
    """
    parse(label, look.types)
    fault = _label_fault(look, label)
    if fault is not None:
        raise NothingToLearn(label, *fault)


def _label_fault(look: Look, label: str) -> tuple[str, str] | None:
    expression = parse(label, look.types)
    values = look.frame.select(to_polars(expression).alias("label"))["label"].drop_nulls()
    levels = values.n_unique()
    if levels < 2:
        found = "no value at all" if values.is_empty() else f"the same in all {len(values):,} rows that have one"
        return found, "predict something that differs from row to row"
    if expression.type in _INSTANTS or expression.type is Type.DURATION:
        return f"a {expression.type}", "write a comparison, or seconds: \"date_diff('second', a, b)\""
    if expression.type in _TEXTS and levels > _MOST_LEVELS:
        return f"text with {levels:,} different values", "write a comparison: \"country = 'FR'\""
    return None


def inputs_of(
    look: Look, key: Key | None, time: str | None, label: str | None, references: Sequence[Reference]
) -> Inputs:
    """The columns that a request carries, and the reason for each that it does not."""
    of_label = frozenset() if label is None else columns_of(label)
    too_good = {} if label is None else _too_good(look, label)
    late = _null_with_label(look, label) if label is not None else {}
    looked_up = {one.column for one in references}
    request, left_out = [], []
    for name in look.types:
        if name == time or name[:1] == "" or "\0" in name:
            reason = None if name == time else "it has no name"
        elif name in of_label:
            reason = "it makes the label"
        else:
            reason = (
                _after(look, name, time)
                or _useless(look, name, key, is_looked_up=name in looked_up)
                or late.get(name)
                or too_good.get(name)
            )
        if reason is None:
            request.append(name)
        else:
            left_out.append((name, reason))
    return Inputs(tuple(request), tuple(left_out))


def _useless(look: Look, name: str, key: Key | None, *, is_looked_up: bool) -> str | None:
    """Why a column is no input whatever is predicted."""
    profile, type_ = look.profiles[name], look.types[name]
    present = look.rows - profile.nulls
    if name.startswith("_"):
        return "names that begin with _ are not for requests"
    if look.is_personal(name):
        return f"likely personal: {personal_of(look, name)}"
    if present == 0:
        return "all null"
    if profile.distinct == 1:
        return "one value in all rows"
    if name in look.doubts:
        return look.doubts[name]
    if key is not None and key.columns == (name,) and not is_looked_up:
        return "it names the row"
    if type_ in _INSTANTS:
        return "a time is no input by itself: make a number of it in [features.expressions]"
    if type_ is Type.DURATION:
        return "a span is no input by itself: make a number of it in [features.expressions]"
    distinct = profile.distinct or 0
    is_code = type_ in _TEXTS or (type_ is Type.INTEGER and is_named_like_a_key(name))
    if is_code and not is_looked_up and present >= FEWEST and distinct >= _NEAR_UNIQUE * present:
        return f"almost every row has its own: {distinct:,} values in {present:,} rows"
    return None


def _after(look: Look, name: str, time: str | None) -> str | None:
    """Whether a column is a time behind that of the prediction."""
    if time is None or look.types[name] is not Type.TIMESTAMP:
        return None
    return f"later than {time}" if _share(look, pl.col(name) > pl.col(time)) >= _ALMOST_ALL else None


def _null_with_label(look: Look, label: str) -> dict[str, str]:
    """Columns that have no value almost only where there is no label either: both become known together."""
    is_unlabelled = look.frame.select(to_polars(parse(label, look.types)).is_null())[:, 0]
    unlabelled = int(is_unlabelled.sum())
    if not 0 < unlabelled <= look.rows / 2:
        return {}
    found = {}
    for name, profile in look.profiles.items():
        if profile.nulls * math.log10(look.rows / unlabelled) < _ACCIDENT:
            continue
        together = int((look.frame[name].is_null() & is_unlabelled).sum())
        if together >= _NULL_TOGETHER * profile.nulls and together >= _NULL_WITHOUT * unlabelled:
            found[name] = (
                f"likely known only with the label: {together:,} of its {profile.nulls:,} nulls are where there is none"
            )
    return found


def _too_good(look: Look, label: str) -> dict[str, str]:
    measures = {
        "auc": "AUC",
        "correlation": "correlation",
        "correlation_ratio": "correlation ratio",
        "cramers_v": "Cramér's V",
    }
    return {
        one.column: f"it tells the label almost by itself ({measures[one.measure]} {one.value:.3f} {look.extent}): "
        "likely made from it, or known after it"
        for one in associations(str(look.table), None, look.types, label)
        if one.strength >= TOO_GOOD
    }


def time_parts(look: Look, time: str, taken: Collection[str]) -> list[FirstExpression]:
    """Features of the prediction time: the hour, the weekday, and the month when there are several."""
    stamps = look.frame[time]
    parts = {"weekday": stamps.dt.weekday(), "month": stamps.dt.month(), "hour": stamps.dt.hour()}
    found = []
    for part, values in parts.items():
        levels = values.n_unique()
        name = f"{time}_{part}"
        text = f"{part}({_quoted(time)})"
        if levels > 1 and name not in taken and _is_expression(text, look.types):
            found.append(FirstExpression(name=name, text=text, evidence=f"{levels} levels, in UTC"))
    return found


def _quoted(column: str) -> str:
    return column if column.isidentifier() and column.isascii() else _in_quotes(column)


def _in_quotes(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _is_expression(text: str, types: Mapping[str, Type]) -> bool:
    try:
        parse(text, types)
    except ExpressionError:
        return False
    return True


def lookups_of(
    looks: Mapping[str, Look], references: Sequence[Reference], request: Collection[str]
) -> list[FirstLookup]:
    """Columns of other sources by the keys that a request carries; the sources hold for all time."""
    found: list[FirstLookup] = []
    taken = set(request)
    for one in references:
        other = looks[one.source]
        if one.column not in request:
            continue
        take = [
            name
            for name in other.types
            if name != one.key and not _useless(other, name, None, is_looked_up=False) and name.isprintable()
        ]
        names = (one.source, f"{one.source}_of_{_word(one.column)}", f"{one.source}_looked_up")
        fitting = (name for name in names if not taken & {f"{name}_{column}" for column in take})
        name = next((name for name in fitting if name not in {lookup.name for lookup in found}), None)
        if take and name is not None:
            taken |= {f"{name}_{column}" for column in take}
            found.append(
                FirstLookup(
                    name=name, source=one.source, key=((one.column, one.key),), take=tuple(take), evidence=one.evidence
                )
            )
    return found


def _word(column: str) -> str:
    return "".join(character if character.isalnum() and character.isascii() else "_" for character in column)


def dropped(look: Look, lookups: Sequence[FirstLookup], key: Key | None) -> list[tuple[str, str]]:
    """Columns of the request that only look up: the key, numbers whose size means nothing, texts with many values."""
    found = {}
    of_row = () if key is None else key.columns
    for lookup in lookups:
        for column, _ in lookup.key:
            distinct = look.profiles[column].distinct or 0
            if look.types[column] is Type.INTEGER or of_row == (column,) or distinct > math.sqrt(look.rows) * 5:
                found[column] = f"{distinct:,} values; it only looks up"
    return list(found.items())
