"""Values from the unit that they are read in to the one that they are kept in.

The same expressions serve history and requests. A currency is a unit whose factor is a rate: fixed, or the newest of a
source's at or before the row's event time and no older than `max_age`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.definition.model import ColumnRule, Rates, Source
from headrace.definition.units import conversion, is_currency, names_of, units
from headrace.language.column_kernels import divide  # correctly rounded, which Polars' own is not by one value

_INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Converted:
    """A column in its new unit, over the aligned columns."""

    column: str
    value: pl.Expr
    may_fail: bool
    """Whether a value can become null because its unit, or its rate, is not known."""


def conversions(source: Source, present: Sequence[str], tables: Mapping[str, pl.LazyFrame]) -> Iterator[Converted]:
    """How each of the columns that are there is converted.

    Parameters
    ----------
    present
        The aligned columns.
    tables
        The accepted tables that the source needs, among them that of dated rates.
    """
    book: _RateBook | None = None
    for name, rule in source.columns:
        if rule.to is None or name not in present:
            continue
        value = pl.col(name)
        if not is_currency(rule.to):
            yield _by_factor(name, value, rule, rule.to)
            continue
        assert source.rates is not None, "the reader has seen to it"
        if source.rates.source is not None and book is None:
            book = _RateBook(source.rates, tables[source.rates.source])
        yield _by_rate(name, value, rule, rule.to, source, book)


def _by_factor(name: str, value: pl.Expr, rule: ColumnRule, to: str) -> Converted:
    if rule.unit_column is None:
        assert rule.unit is not None, "the reader has seen to it"
        way = conversion(rule.unit, to)
        return Converted(name, divide(value * way.times + way.plus, pl.lit(way.over)), may_fail=False)
    ways = {unit: conversion(unit, to) for unit in names_of(units()[to].dimension)}
    named = _unit_of_row(rule.unit_column)
    times, plus, over = (
        named.replace_strict(
            {unit: getattr(way, part) for unit, way in ways.items()}, default=None, return_dtype=pl.Float64
        )
        for part in ("times", "plus", "over")
    )
    return Converted(name, divide(value * times + plus, over), may_fail=True)


def _unit_of_row(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars()


def _by_rate(name: str, value: pl.Expr, rule: ColumnRule, to: str, source: Source, book: _RateBook | None) -> Converted:
    rates = source.rates
    assert rates is not None, "the reader has seen to it"
    code = pl.lit(rule.unit) if rule.unit_column is None else _unit_of_row(rule.unit_column)
    if book is None:
        known = {rates.base: 1.0, **dict(rates.fixed)}
        theirs = code.replace_strict(known, default=None, return_dtype=pl.Float64)
        ours = pl.lit(known[to])
    else:
        assert source.event_time is not None, "the reader has seen to it"
        at = pl.col(source.event_time).cast(_INSTANT)
        theirs, ours = book.rate(code, at), book.rate(pl.lit(to), at)
    through_base = divide(value, theirs) * ours if rates.per_base else divide(value * theirs, ours)
    return Converted(name, pl.when(code == to).then(value).otherwise(through_base), may_fail=True)


class _RateBook:
    """Dated rates by currency, in order of time."""

    def __init__(self, rates: Rates, table: pl.LazyFrame) -> None:
        self._base, self._max_age_us = rates.base, rates.max_age_us
        assert rates.rate is not None, "the reader has seen to it"
        rows = table.select(
            code=pl.col(rates.currency).cast(pl.String).str.strip_chars(),
            at=pl.col(rates.time).cast(_INSTANT).to_physical(),
            rate=pl.col(rates.rate).cast(pl.Float64),
        ).filter(pl.col("rate") > 0, pl.col("rate").is_finite(), pl.col("at").is_not_null())
        self._of: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for (code,), part in rows.collect().sort("at", maintain_order=True).group_by("code", maintain_order=True):
            self._of[str(code)] = (part["at"].to_numpy(), part["rate"].to_numpy())

    def rate(self, code: pl.Expr, at: pl.Expr) -> pl.Expr:
        """The rate of a currency at an instant; null when none is known."""
        return pl.map_batches([code, at.to_physical()], self._look, return_dtype=pl.Float64, is_elementwise=True)

    def _look(self, parts: Sequence[pl.Series]) -> pl.Series:
        codes, instants = parts
        if len(codes) != len(instants):  # a literal is one value
            codes = codes.extend_constant(codes[0], len(instants) - 1) if len(instants) else codes.clear()
        asked = pl.DataFrame({"code": codes, "at": instants}).with_row_index("row").drop_nulls()
        found = np.full(len(instants), np.nan)
        for (code,), part in asked.group_by("code"):
            rows = part["row"].to_numpy()
            if code == self._base:
                found[rows] = 1.0
            elif code in self._of:
                times, rates = self._of[str(code)]
                wanted = part["at"].to_numpy()
                place = np.searchsorted(times, wanted, side="right") - 1
                is_fresh = (place >= 0) & (wanted - times[np.maximum(place, 0)] <= self._max_age_us)
                found[rows] = np.where(is_fresh, rates[np.maximum(place, 0)], np.nan)
        return pl.Series(found, nan_to_null=True)
