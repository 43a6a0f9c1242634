"""Survivorship: which of the values that an entity's rows hold stays, and why each other one does not.

An entity's rows stand in rank order: by the order of `from`; of one source the more recent by its event time first,
and of equal ones the later row. A rule gives every value a figure, of which the least wins; between equals the first in
rank order does. Everything is one pass over arrays.

| rule                  | figure                                                |
|-----------------------|-------------------------------------------------------|
| rank                  | the source's place in `order`                         |
| most_recent, earliest | the instant, after all instants where there is none   |
| majority              | how many of the entity's rows have an equal value     |
| longest               | characters                                            |
| min, max              | the value's place in order                            |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.definition.model import Survive
from headrace.language.types import Type

Figures = NDArray[np.int64]
_WORST = np.iinfo(np.int64).max
_UNKNOWN = _WORST - 1

TIME = "_hr_time"
"""Column of a row's own instant, in microseconds; null where its source has none."""

_LOST = {
    "rank": "rank",
    "most_recent": "older",
    "earliest": "newer",
    "majority": "fewer",
    "longest": "shorter",
    "min": "greater",
    "max": "smaller",
}
WHY: Mapping[str, str] = {
    "rank": "its source comes later",
    "older": "it is older",
    "newer": "it is newer",
    "fewer": "fewer rows say so",
    "shorter": "it is shorter",
    "greater": "it is greater",
    "smaller": "it is smaller",
    "row": "a later row of the same source says otherwise",
    "tie, rank": "the rule does not decide, and its source comes later",
    "tie, older": "the rule does not decide, and it is older",
    "tie, row": "the rule does not decide, and a later row of the same source says otherwise",
}
"""What is kept of a value that lost → for people."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of whole entities in rank order, and where each entity begins."""

    frame: pl.DataFrame
    starts: NDArray[np.int64]
    member: NDArray[np.uint8]
    """Position in `from` of each row's source."""
    names: Sequence[str]
    """`from`."""
    sizes: NDArray[np.int64]
    """How many rows each entity has."""
    entity: NDArray[np.int64]
    """Which entity each row is of, from 0."""
    shared: NDArray[np.int64]
    """Rows of entities that have several."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One column, resolved."""

    winners: NDArray[np.int64]
    """The row of each entity whose value stays."""
    lost: NDArray[np.int64]
    """Rows with another value than the one that stays, nulls apart."""
    why: pl.Series
    """For each of these, a key of `WHY`."""


def resolve(rows: Rows, column: str, type_: Type, rule: Survive) -> Resolved:
    """Which row's value stays for each entity, and which lost."""
    values = rows.frame[column]
    figures = _figures(rows, values, type_, rule)
    is_candidate = np.ones(len(values), np.bool_) if rule.null_wins else values.is_not_null().to_numpy()
    winners = _first_best(rows, figures, is_candidate)
    lost = _losers(rows, values, winners)
    return Resolved(winners, lost, _reasons(rows, figures, winners, lost, rule))


def _first_best(rows: Rows, figures: Figures | None, is_candidate: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of each entity the first candidate of the least figure; its first row when there is no candidate."""
    if figures is None:
        best = is_candidate
    else:
        judged = np.where(is_candidate, figures, _WORST)
        best = is_candidate & (judged == np.minimum.reduceat(judged, rows.starts)[rows.entity])
    positions = np.flatnonzero(best)
    entities = rows.entity[positions]
    is_first = np.ones(len(positions), np.bool_)
    is_first[1:] = entities[1:] != entities[:-1]
    winners = rows.starts.copy()
    winners[entities[is_first]] = positions[is_first]
    return winners


def _losers(rows: Rows, values: pl.Series, winners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that have a value, and not the winner's; only entities of several rows are looked at."""
    shared = rows.shared
    theirs = values.gather(shared)
    kept = values.gather(winners[rows.entity[shared]])
    is_lost = (theirs.is_not_null() & theirs.ne_missing(kept)).to_numpy()
    return np.asarray(shared[is_lost], np.int64)


def _figures(rows: Rows, values: pl.Series, type_: Type, rule: Survive) -> Figures | None:
    """The figure of each row; None where rank order itself decides."""
    match rule.rule:
        case "rank":
            if not rule.order:
                return None
            places = [*rule.order, *(name for name in rows.names if name not in rule.order)]
            return np.array([places.index(name) for name in rows.names], np.int64)[rows.member]
        case "most_recent" | "earliest":
            instants = rows.frame[TIME if rule.by is None else rule.by].cast(pl.Datetime("us", "UTC")).to_physical()
            ordered = -instants if rule.rule == "most_recent" else instants
            return np.asarray(ordered.fill_null(_UNKNOWN).to_numpy(), np.int64)
        case "majority":
            return _votes(rows, values)
        case "longest":
            if type_ not in (Type.STRING, Type.CATEGORY):
                return None
            return -values.str.len_chars().cast(pl.Int64).fill_null(0).to_numpy()
        case "min" | "max":
            return _places(rows, values) * (1 if rule.rule == "min" else -1)


def _votes(rows: Rows, values: pl.Series) -> Figures:
    """Minus the number of the entity's rows with an equal value."""
    at = rows.shared
    counted = pl.DataFrame({"entity": rows.entity[at], "value": values.gather(at)}).select(
        pl.len().over("entity", "value").cast(pl.Int64)
    )
    votes = np.zeros(len(values), np.int64)
    votes[at] = -counted.to_series().to_numpy()
    return votes


def _places(rows: Rows, values: pl.Series) -> Figures:
    """Where each value stands in order, equal ones at one place; nulls anywhere."""
    at = rows.shared
    compared = values.gather(at)
    compared = compared.cast(pl.Int8) if compared.dtype == pl.Boolean else compared
    places = np.zeros(len(values), np.int64)
    places[at] = compared.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
    return places


def _reasons(
    rows: Rows, figures: Figures | None, winners: NDArray[np.int64], lost: NDArray[np.int64], rule: Survive
) -> pl.Series:
    """Why each value lost: by the rule, else by rank order."""
    won = winners[rows.entity[lost]]
    times = rows.frame[TIME].fill_null(_WORST).to_numpy()
    is_tie = np.ones(len(lost), np.bool_) if figures is None else figures[lost] == figures[won]
    by_rank = np.where(rows.member[lost] != rows.member[won], 0, np.where(times[lost] != times[won], 1, 2))
    words = ["rank", "older", "row"] if rule.rule == "rank" else ["tie, rank", "tie, older", "tie, row"]
    labels = pl.Series([*words, _LOST[rule.rule]], dtype=pl.String)
    return labels.gather(np.where(is_tie, by_rank, 3))
