"""What changed between two snapshots of a source: columns, types, and what the values seem to mean.

Additive and breaking changes are seen against the contract. A semantic change leaves names and types as they were, and
is of what the values mean: another unit, code list, sign, time zone, order of day and month. It is told from ordinary
drift by its form. Numbers that were converted lie exactly as before but for one known factor: the quantiles of both
snapshots differ by it and by nothing else. Ordinary drift changes the form too, or by a factor that is no unit's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.data.mapping import rename_line, suggest
from headrace.data.model import Change, ColumnShape, Shape
from headrace.definition.model import SchemaPolicy, Source
from headrace.definition.positions import toml_key, toml_string
from headrace.definition.units import conversion
from headrace.language.types import Type

Floats = NDArray[np.float64]

FEWEST: Final = 100
"""With fewer values on either side, nothing is said about their meaning."""
MOVED: Final = 0.25
"""How far quantiles must have moved, in mean absolute deviations, before a conversion is looked for."""
FIT: Final = 0.05
"""How far quantiles may lie from those that a conversion gives, in the same unit, besides chance."""
BETTER: Final = 5.0
"""How many times nearer the conversion must bring them."""
LOOSE_FIT, LOOSE_BETTER, LOOSE_SPREAD = 0.8, 1.5, 1.6
"""The same for powers of ten, where the spread is as many times larger too, within a factor: columns drift from one
snapshot to the next, but their spread does not grow tenfold by that."""
_TRIM: Final = 2
"""Quantiles left out at either end: tails of long tails are chance."""
_TYPE_LOST: Final = 0.5
"""With more cells than this that are not of the type, the type has changed."""
_GONE: Final = 0.01
"""Levels that held less are no news when they are gone, or come."""
_SWAP: Final = 0.05
_DIRECTION_SHIFT: Final = 0.15
_MONTHS: Final = 6

_UNITS: Final = (
    *(("mile", "km"), ("nautical_mile", "km"), ("mile", "m"), ("foot", "m"), ("yard", "foot"), ("inch", "cm")),
    *(("inch", "mm"), ("foot", "inch"), ("pound", "kg"), ("ounce", "g"), ("pound", "ounce"), ("stone", "kg")),
    *(("us_gallon", "litre"), ("imperial_gallon", "litre"), ("us_fluid_ounce", "ml"), ("kcal", "kJ")),
    *(("kWh", "MJ"), ("m/s", "km/h"), ("m/s", "mph"), ("m/s", "knot"), ("knot", "km/h"), ("mph", "km/h")),
    *(("psi", "kPa"), ("atmosphere", "kPa"), ("minute", "second"), ("hour", "second"), ("day", "hour")),
    *(("day", "minute"), ("day", "second"), ("week", "day"), ("acre", "hectare"), ("square_foot", "m2")),
    *(("MiB", "kB"), ("KiB", "byte"), ("mechanical_horsepower", "kW"), ("radian", "degree")),
)
"""Pairs of units of which one is often taken for the other; each counts both ways. Factors nearer to 1 than a third
cannot be told from ordinary drift and are left out."""
_TEMPERATURES: Final = (("degC", "degF"), ("degC", "K"), ("degF", "K"))
_NUMBERS: Final = frozenset({Type.INTEGER, Type.DECIMAL, Type.FLOAT})
_POWERS: Final = (10.0, 100.0, 1000.0, 1e6, 1e9)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A way in which numbers may have been changed: `x * times + plus`."""

    kind: Literal["scale", "shift", "sign"]
    times: float
    plus: float
    words: str
    units: tuple[str, str] | None = None
    """From which unit to which."""


@cache
def conversions() -> tuple[Conversion, ...]:
    """The conversions that are looked for."""
    found = [Conversion("sign", -1.0, 0.0, "the sign seems to be turned round")]
    for power in _POWERS:
        name = f"{power:,.0f}" if power < 1e6 else f"{power:.0e}".replace("e+0", "e")
        found.append(Conversion("scale", power, 0.0, f"the values are {name} times as large"))
        found.append(Conversion("scale", 1 / power, 0.0, f"the values are {name} times as small"))
    for pair in _UNITS:
        for unit, to in (pair, pair[::-1]):
            way = conversion(unit, to)
            words = f"the unit seems to have changed from {unit} to {to}"
            found.append(Conversion("scale", way.times / way.over, 0.0, words, (unit, to)))
    for pair in _TEMPERATURES:
        for unit, to in (pair, pair[::-1]):
            way = conversion(unit, to)
            words = f"the unit seems to have changed from {unit} to {to}"
            found.append(Conversion("shift", way.times / way.over, way.plus / way.over, words, (unit, to)))
    return tuple(found)


def find_changes(
    source: Source,
    base: Mapping[str, Type],
    now: Shape,
    before: Shape | None,
    *,
    is_part: bool = False,
) -> tuple[Change, ...]:
    """What changed, the gravest first.

    Parameters
    ----------
    base
        The contract's columns and their types, after `rename`.
    now, before
        The snapshot (or its new part) and the one before it; None for the first, of which only the columns are judged.
    is_part
        `now` is of new files alone, so that no line of the definition can convert them apart from the others.
    """
    policy = source.schema
    found = [*_columns(source, base, now, before, policy)]
    for one in now.columns:
        earlier = None if before is None else before.column(one.name)
        found += _meaning(source, one, earlier, policy, is_part=is_part)
    weight = {"fail": 0, "warn": 1, "accept": 2}
    return tuple(sorted(found, key=lambda one: (weight[one.policy], -one.score)))


def _columns(
    source: Source, base: Mapping[str, Type], now: Shape, before: Shape | None, policy: SchemaPolicy
) -> Iterator[Change]:
    """Columns that came or went, and what they may have been called."""
    gone = [name for name in base if now.column(name) is None]
    pairs = suggest(gone, now.new, base, before)
    by_new = {pair.new: pair for pair in pairs}
    by_old = {pair.old: pair for pair in pairs}
    line = rename_line(source.rename, pairs)
    for name in gone:
        pair = by_old.get(name)
        hint = "" if pair is None else f"; {pair.new!r} may be it ({pair.why})"
        yield Change(
            kind="missing-column",
            impact="breaking",
            policy=policy.breaking,
            column=name,
            message=f"The column {name!r} is not there any more{hint}. Its values are null.",
            score=1.0,
            fix=line if pair is not None else "",
        )
    for one in now.new:
        pair = by_new.get(one.name)
        hint = "" if pair is None else f"; it may be {pair.old!r} under another name ({pair.why})"
        yield Change(
            kind="new-column",
            impact="additive",
            policy=policy.additive,
            column=one.name,
            message=f"The column {one.name!r} is not in headrace.lock and is not used{hint}.",
            score=1.0,
        )


def _meaning(
    source: Source, now: ColumnShape, before: ColumnShape | None, policy: SchemaPolicy, *, is_part: bool
) -> Iterator[Change]:
    """What is said of one column's values; the first that fits, as one change must not be told twice."""
    order = _date_order(now, before)
    if order is not None:
        yield _semantic(policy, "date-order", now.name, order, 0.95)
        return
    values = now.rows - now.nulls
    if values >= 10 and now.misfits > _TYPE_LOST * values and (before is None or not _is_mostly_misfit(before)):
        share = now.misfits / values
        message = f"{share:.0%} of the values of {now.name!r} are not of the type {now.type} any more."
        yield Change(
            kind="type", impact="breaking", policy=policy.breaking, column=now.name, message=message, score=share
        )
        return
    if before is None or (before.type is not now.type and not {before.type, now.type} <= _NUMBERS):
        return
    yield from _converted(source, now, before, policy, is_part=is_part)
    yield from _recoded(now, before, policy)
    yield from _zone(now, before, policy)


def _is_mostly_misfit(shape: ColumnShape) -> bool:
    return shape.misfits > _TYPE_LOST / 2 * max(1, shape.rows - shape.nulls)


def _semantic(
    policy: SchemaPolicy,
    kind: Literal["scale", "shift", "sign", "recoded", "zone", "date-order"],
    column: str,
    message: str,
    score: float,
    fix: str = "",
) -> Change:
    return Change(
        kind=kind,
        impact="semantic",
        policy=policy.semantic,
        column=column,
        message=message,
        score=round(score, 3),
        fix=fix,
    )


def _converted(
    source: Source, now: ColumnShape, before: ColumnShape, policy: SchemaPolicy, *, is_part: bool
) -> Iterator[Change]:
    """A number in another unit."""
    if now.type not in (*_NUMBERS, Type.DURATION) or _values(now) < FEWEST or _values(before) < FEWEST:
        return
    found = best_conversions(np.array(before.quantiles), np.array(now.quantiles), _values(before), _values(now))
    if not found:
        return
    unit = source.rule(now.name).unit
    ways = sorted(
        (way for way, _ in found), key=lambda way: (way.units is None or way.units[0] != unit, _plainness(way))
    )
    first, others = ways[0], [way for way in ways[1:3] if way.units is not None and ways[0].units is not None]
    told = first.words + "".join(f", or from {way.units[0]} to {way.units[1]}" for way in others if way.units)
    message = f"{now.name!r}: {told}. All of its values moved alike, and nothing else about them changed."
    fix = "" if is_part else _unit_line(source, now.name, first)
    yield _semantic(policy, first.kind, now.name, message, found[0][1], fix)


def _plainness(way: Conversion) -> int:
    """Powers of ten before units that are close to them; else the nearest first."""
    return 0 if way.kind == "scale" and way.units is None else 1


def best_conversions(before: Floats, now: Floats, n_before: int, n_now: int) -> list[tuple[Conversion, float]]:
    """The conversions that carry one snapshot's quantiles onto the other's, and how well: the best first.

    Several, where chance alone decides between them: a pound is 0.454 kg, and a mile an hour is 0.447 m/s."""
    a, b = before[_TRIM:-_TRIM], now[_TRIM:-_TRIM]
    if len(a) != len(b) or len(a) == 0 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return []
    spread_a, spread_b = _spread(a), _spread(b)
    if spread_a == 0 or spread_b == 0:
        return []
    moved = float(np.abs(a - b).mean()) / max(spread_a, spread_b)
    chance = 1.5 / math.sqrt(min(n_before, n_now))
    offs = []
    for way in conversions():
        carried = a * way.times + way.plus
        off = float(np.abs((carried[::-1] if way.times < 0 else carried) - b).mean()) / spread_b
        offs.append((off, way))
    offs.sort(key=lambda one: one[0])
    best = offs[0][0]
    if moved < MOVED:
        return []
    if best > FIT + chance or best * BETTER > moved:
        loosely = [(off, way) for off, way in offs if _is_a_power(way, spread_b / spread_a)][:1]
        return [(way, 1 - off) for off, way in loosely if off <= LOOSE_FIT and off * LOOSE_BETTER <= moved]
    return [(way, 1 - off) for off, way in offs if off <= min(FIT, best) + chance]


def _is_a_power(way: Conversion, ratio: float) -> bool:
    """Whether a conversion is by a power of ten that the ratio of the spreads is near to."""
    return way.kind == "scale" and way.units is None and 1 / LOOSE_SPREAD <= ratio / way.times <= LOOSE_SPREAD


def _spread(quantiles: Floats) -> float:
    return float(np.abs(quantiles - np.median(quantiles)).mean())


def _unit_line(source: Source, column: str, way: Conversion) -> str:
    """A line that reads the new unit and keeps the old one, where the contract names no other."""
    if way.units is None:
        return ""
    rule = source.rule(column)
    before, now = way.units
    if rule.to is not None or rule.unit_column is not None:
        return ""
    return f"{toml_key(column)} = {{ unit = {toml_string(now)}, to = {toml_string(rule.unit or before)} }}"


def _recoded(now: ColumnShape, before: ColumnShape, policy: SchemaPolicy) -> Iterator[Change]:
    """Levels that came, went, took one another's place, or changed places."""
    if now.n_levels is None or before.n_levels is None or _values(now) < FEWEST or _values(before) < FEWEST:
        return
    p, q = _shares(before), _shares(now)
    gone = {level: share for level, share in p.items() if share >= _GONE and level not in q}
    new = {level: share for level, share in q.items() if level not in p}
    came = {level: share for level, share in new.items() if share >= _GONE}
    pairs = _replaced(gone, came, _values(before), _values(now)) if _may_be_codes(now, before) else []
    if pairs:
        told = ", ".join(f"{old!r} → {new_!r}" for old, new_, _ in pairs[:4])
        more = f" and {len(pairs) - 4} more" if len(pairs) > 4 else ""
        score = sum(score for *_, score in pairs) / len(pairs)
        line = ", ".join(f"{toml_key(new_)} = {toml_string(old)}" for old, new_, _ in pairs)
        kept = ", ".join(f"{toml_key(level)} = {toml_string(level)}" for level in q if level in p)
        message = (
            f"{now.name!r}: the code list seems to have changed: new levels hold the share of those that are gone "
            f"({told}{more})."
        )
        codes = f"{toml_key(now.name)} = {{ codes = {{ {line}{', ' + kept if kept else ''} }} }}"
        is_text = now.type in (Type.STRING, Type.CATEGORY) and len(q) <= 20
        yield _semantic(policy, "recoded", now.name, message, score, codes if is_text else "")
        return
    swapped = _swapped(p, q) if not gone and not came else None
    if swapped is not None:
        one, other, score = swapped
        message = (
            f"{now.name!r}: the levels {one!r} and {other!r} seem to have changed places: each holds the other's share."
        )
        yield _semantic(policy, "recoded", now.name, message, score)
        return
    if new and now.type is not Type.INTEGER and before.n_levels <= len(p) and before.n_levels <= 100:
        told = ", ".join(map(repr, list(new)[:3])) + (f" and {len(new) - 3} more" if len(new) > 3 else "")
        yield Change(
            kind="new-level",
            impact="additive",
            policy=policy.additive,
            column=now.name,
            message=f"{now.name!r} has levels that were not there before: {told}.",
            score=min(1.0, sum(new.values()) * 10),
        )


def _may_be_codes(now: ColumnShape, before: ColumnShape) -> bool:
    """Not a column with one value that names its snapshot, such as a month or a file."""
    if before.n_levels == 1 and now.n_levels == 1:
        level = before.levels[0][0]
        return now.type is not Type.INTEGER and not any(character.isdigit() for character in level)
    if now.type is Type.INTEGER:
        return before.n_levels is not None and before.n_levels <= 10
    return True


def _replaced(
    gone: Mapping[str, float], came: Mapping[str, float], n_before: int, n_now: int
) -> list[tuple[str, str, float]]:
    """Pairs of a level that is gone and one that came with its share; none when they leave much unexplained."""
    pairs = []
    left = dict(came)
    for old, share in sorted(gone.items(), key=lambda item: -item[1]):
        near = min(left, key=lambda level: abs(left[level] - share), default=None)
        if near is None:
            break
        noise = 3 * math.sqrt(share * (1 - share) * (1 / n_before + 1 / n_now))
        if abs(left[near] - share) <= 0.2 * share + noise:
            pairs.append((old, near, 1 - abs(left[near] - share) / max(share, left[near])))
            del left[near]
    explained = sum(gone[old] for old, _, _ in pairs)
    return pairs if pairs and explained >= 0.5 * sum(gone.values()) and explained >= 2 * _GONE else []


def _swapped(p: Mapping[str, float], q: Mapping[str, float]) -> tuple[str, str, float] | None:
    """Two levels that hold each other's former share, while the rest stayed."""
    moved = sorted(p, key=lambda level: -abs(p[level] - q.get(level, 0.0)))[:2]
    if len(moved) < 2:
        return None
    one, other = moved
    apart = abs(p[one] - p[other])
    off = abs(p[one] - q.get(other, 0.0)) + abs(p[other] - q.get(one, 0.0))
    rest = sum(abs(p[level] - q.get(level, 0.0)) for level in p if level not in moved)
    larger, smaller = max(p[one], p[other]), min(p[one], p[other])
    if apart < _SWAP or larger < 1.5 * smaller or off > 0.25 * apart or rest > 0.5 * apart:
        return None
    return one, other, 1 - off / (2 * apart)


def _zone(now: ColumnShape, before: ColumnShape, policy: SchemaPolicy) -> Iterator[Change]:
    """The clock turned by whole hours. An hour is also what daylight saving does: it counts only within one season."""
    if not now.clock or not before.clock or _values(now) < FEWEST or _values(before) < FEWEST:
        return
    p, q = (np.array(one.clock) / sum(one.clock) for one in (before, now))
    apart = float(np.abs(p - q).sum()) / 2
    turned = [float(np.abs(np.roll(p, hours) - q).sum()) / 2 for hours in range(24)]
    hours = int(np.argmin(turned))
    chance = 2.5 / math.sqrt(min(_values(now), _values(before)))
    if hours == 0 or apart < _DIRECTION_SHIFT or turned[hours] > apart / 3 or turned[hours] > 0.1 + chance:
        return
    by = hours if hours <= 12 else hours - 24
    if abs(by) == 1 and not (_season(now) and _season(now) == _season(before)):
        return
    message = (
        f"{now.name!r}: the time of day moved by {by:+d} {'hour' if abs(by) == 1 else 'hours'} for every row: "
        "the time zone seems to have changed."
    )
    yield _semantic(policy, "zone", now.name, message, 1 - turned[hours] / apart)


def _season(shape: ColumnShape) -> str:
    """Whether nearly all its times lie in months that have one clock all over the world; empty when not."""
    months = np.array(shape.calendar).reshape(12, 31).sum(axis=1)
    total = months.sum() or 1
    if months[[0, 1, 11]].sum() / total >= 0.95:
        return "december to february"
    return "may to august" if months[4:8].sum() / total >= 0.95 else ""


def _date_order(now: ColumnShape, before: ColumnShape | None) -> str | None:
    """Day and month changed places, wherever that gives a date.

    Of the rows with a day above 12 the months are right, as nothing else is a date. Where the others are swapped, these
    months turn up among their days. Or those above 12 became misfits, and only the others are left."""
    if not now.calendar or sum(now.calendar) < FEWEST:
        return None
    counts = np.array(now.calendar).reshape(12, 31)
    late, early = counts[:, 12:].sum(axis=1), counts[:, :12]
    months = np.flatnonzero(late >= 0.02 * max(1, late.sum()))
    told = f"{now.name!r}: day and month seem to have changed places"
    if late.sum() >= FEWEST / 2 and len(months) <= _MONTHS and early.sum() >= FEWEST / 2:
        right = float(early[months].sum()) / early.sum()
        swapped = float(early[:, months].sum()) / early.sum()
        if swapped >= 0.9 and right <= 0.75 and swapped > right:
            return f"{told} wherever the day is 12 or less."
    values = _values(now) + now.misfits
    if before is not None and before.calendar and now.misfits >= 0.3 * values and late.sum() <= 0.02 * counts.sum():
        earlier = np.array(before.calendar).reshape(12, 31)
        if earlier[:, 12:].sum() >= 0.3 * earlier.sum() and before.misfits < 0.05 * max(1, before.rows):
            return f"{told}: no day above 12 is left, and the others are no dates."
    return None


def find_drift(now: Shape, before: Shape) -> tuple[tuple[str, float], ...]:
    """Column → how far its values moved: Kolmogorov's distance of numbers, total variation of levels."""
    found = []
    for one in now.columns:
        earlier = before.column(one.name)
        if earlier is None or earlier.type is not one.type or not _values(one) or not _values(earlier):
            continue
        if one.n_levels is not None and earlier.n_levels is not None:
            p, q = _shares(earlier), _shares(one)
            apart = sum(abs(p.get(level, 0.0) - q.get(level, 0.0)) for level in p.keys() | q.keys()) / 2
        elif one.quantiles and earlier.quantiles and one.type not in (Type.DATE, Type.TIMESTAMP):
            apart = _kolmogorov(np.array(earlier.quantiles), np.array(one.quantiles))
        else:
            continue
        found.append((one.name, round(min(1.0, apart), 4)))
    return tuple(found)


def _kolmogorov(a: Floats, b: Floats) -> float:
    """The largest difference of two distributions that are given by their quantiles, to 1 / STEPS."""
    points = np.union1d(a, b)
    steps = len(a) - 1
    f, g = (
        (np.searchsorted(x, points, side="left") + np.searchsorted(x, points, side="right")) / 2 / (steps + 1)
        for x in (a, b)
    )
    return float(np.abs(f - g).max())


def _shares(shape: ColumnShape) -> dict[str, float]:
    total = _values(shape)
    return {level: count / total for level, count in shape.levels}


def _values(shape: ColumnShape) -> int:
    return shape.rows - shape.nulls - shape.misfits


def new_parts(files: Sequence[tuple[str, int]], before: Sequence[tuple[str, int]]) -> tuple[str, ...] | None:
    """The files that came since; None when not just that happened, or nothing did."""
    earlier, now = dict(before), dict(files)
    if not before or len(now) <= len(earlier) or any(now.get(name) != rows for name, rows in earlier.items()):
        return None
    return tuple(name for name, _ in files if name not in earlier)
