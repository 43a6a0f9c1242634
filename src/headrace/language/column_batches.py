"""Kernels over whole batches of a column, for what no Polars expression computes exactly as the row form does.

Polars multiplies by the reciprocal where a divisor is one value, and takes short cuts for some powers; NumPy has its
own logarithm to base 10. What passes through here is the row form's own arithmetic instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headrace.language.types import Type
from headrace.language.values import dtype

Array = NDArray[Any]
Kernel = Callable[..., pl.Expr]

_NAMES_TWICE, _TAKES_RESULT = "names_an_argument_twice", "takes_the_type_of_its_result"


def names_twice(kernel: Kernel) -> Kernel:
    """Mark a kernel that names an argument more than once.

    Written into one expression, such kernels would double the expression at every level of a tree; `once` computes
    their arguments first instead.
    """
    setattr(kernel, _NAMES_TWICE, True)
    return kernel


def takes_result(kernel: Kernel) -> Kernel:
    """Mark a kernel that is given the type of its result before its arguments."""
    setattr(kernel, _TAKES_RESULT, True)
    return kernel


def apply(kernel: Kernel, result: Type, arguments: Sequence[Any]) -> pl.Expr:
    """A kernel over its arguments, expressions and constants."""
    if hasattr(kernel, _TAKES_RESULT):
        kernel = partial(kernel, result)
    return once(kernel, result, arguments) if hasattr(kernel, _NAMES_TWICE) else kernel(*arguments)


def once(kernel: Kernel, result: Type, arguments: Sequence[Any]) -> pl.Expr:
    """A kernel over arguments that are computed once, batch by batch."""
    columns = [argument for argument in arguments if isinstance(argument, pl.Expr)]
    names = iter(range(len(columns)))
    made = kernel(*(pl.col(str(next(names))) if isinstance(a, pl.Expr) else a for a in arguments))

    def over(series: Sequence[pl.Series]) -> pl.Series:
        frame = pl.DataFrame([one.alias(str(name)) for name, one in enumerate(even(series))])
        return frame.select(made).to_series()

    return pl.map_batches(columns, over, return_dtype=inside(result), is_elementwise=True)


def settled(a: pl.Expr) -> pl.Expr:
    """Floats as the language has them: NaN as null, -0.0 as 0.0."""

    def over(series: pl.Series) -> pl.Series:
        with np.errstate(invalid="ignore"):  # a NaN that signals is a NaN
            return pl.Series(series.name, series.to_numpy() + 0.0, dtype=pl.Float64, nan_to_null=True)

    return a.map_batches(over, return_dtype=pl.Float64(), is_elementwise=True)


_PHYSICAL: dict[Type, pl.DataType] = {
    Type.TIMESTAMP: pl.Int64(),
    Type.DURATION: pl.Int64(),
    Type.DATE: pl.Int32(),
    Type.DECIMAL: pl.Int64(),
}


def inside(type_: Type) -> pl.DataType:
    """The Polars type of a column of `type_` inside an expression: a decimal is counted in millionths there."""
    return pl.Int64() if type_ is Type.DECIMAL else dtype(type_)


def physical(type_: Type) -> pl.DataType:
    """The Polars type of the numbers that a column of `type_` is made of."""
    return _PHYSICAL.get(type_, dtype(type_))


def each(kernel: Callable[..., Any], result: Type, *columns: pl.Expr) -> pl.Expr:
    """The row form itself, value by value: for what is rare or has no equal."""

    def over(series: Sequence[pl.Series]) -> pl.Series:
        lists = [one.to_physical().to_list() for one in even(series)]
        if len(lists) == 1:
            values = [None if value is None else kernel(value) for value in lists[0]]
        else:
            values = [None if None in row else kernel(*row) for row in zip(*lists, strict=True)]
        return pl.Series(series[0].name, values, dtype=physical(result)).cast(inside(result))

    return pl.map_batches(list(columns), over, return_dtype=inside(result), is_elementwise=True)


def arrays(function: Callable[..., Array | tuple[Array, Array]], result: Type, *columns: pl.Expr) -> pl.Expr:
    """A function of NumPy arrays, one a column (text as a Polars series); nulls are filled on the way in and put back.

    `function` gives the values, and where some of them are null also which are not.
    """

    def over(series: Sequence[pl.Series]) -> pl.Series:
        full = even(series)
        there = np.logical_and.reduce([one.is_not_null().to_numpy() for one in full])
        with np.errstate(all="ignore"):
            made = function(*(_filled(one) for one in full))
        values, known = made if isinstance(made, tuple) else (made, there)
        there = there & known
        found = pl.Series(series[0].name, values, dtype=physical(result))
        return (found if there.all() else found.set(pl.Series(~there), None)).cast(inside(result))

    return pl.map_batches(list(columns), over, return_dtype=inside(result), is_elementwise=True)


def even(series: Sequence[pl.Series]) -> list[pl.Series]:
    """All of one height: a constant comes as one row."""
    height = next((len(one) for one in series if len(one) != 1), 1)
    return [one if len(one) == height else one.new_from_index(0, height) for one in series]


def _filled(series: pl.Series) -> Array | pl.Series:
    if series.dtype == pl.String:
        return series
    return series.to_physical().fill_null(0).to_numpy()


def each_distinct(kernel: Callable[..., Any], result: Type, *columns: pl.Expr) -> pl.Expr:
    """`each`, but equal arguments of a batch are computed once: for what is slow over texts, which repeat."""

    def over(series: Sequence[pl.Series]) -> pl.Series:
        full = [one.to_physical() for one in even(series)]
        if len(full) == 1:
            distinct = full[0].drop_nulls().unique()
            made = pl.Series([kernel(value) for value in distinct.to_list()], dtype=physical(result))
            found = full[0].replace_strict(distinct, made, default=None, return_dtype=physical(result))
            return found.alias(series[0].name).cast(inside(result))
        known: dict[tuple[Any, ...], Any] = {}
        for row in zip(*(one.to_list() for one in full), strict=True):
            if row not in known:
                known[row] = None if None in row else kernel(*row)
        values = [known[row] for row in zip(*(one.to_list() for one in full), strict=True)]
        return pl.Series(series[0].name, values, dtype=physical(result)).cast(inside(result))

    return pl.map_batches(list(columns), over, return_dtype=inside(result), is_elementwise=True)


def stacked(function: Callable[[Array, Array], tuple[Array, Array]], result: Type, *columns: pl.Expr) -> pl.Expr:
    """A function of two arrays of shape (columns, rows): the values, nulls filled, and whether each is there.

    `function` gives the values of the rows and which of them are not null.
    """

    def over(series: Sequence[pl.Series]) -> pl.Series:
        full = even(series)
        known = np.stack([one.is_not_null().to_numpy() for one in full])
        with np.errstate(all="ignore"):
            values, there = function(np.stack([np.asarray(_filled(one)) for one in full]), known)
        found = pl.Series(series[0].name, values, dtype=physical(result), nan_to_null=True)
        return (found if there.all() else found.set(pl.Series(~there), None)).cast(inside(result))

    return pl.map_batches(list(columns), over, return_dtype=inside(result), is_elementwise=True)


def folded(step: Callable[[pl.Series, pl.Series], pl.Series], result: Type, *columns: pl.Expr) -> pl.Expr:
    """Columns taken together two by two from the left."""

    def over(series: Sequence[pl.Series]) -> pl.Series:
        first, *others = even(series)
        for other in others:
            first = step(first, other)
        return first.alias(series[0].name)

    return pl.map_batches(list(columns), over, return_dtype=inside(result), is_elementwise=True)
