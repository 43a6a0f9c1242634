"""How much each column alone tells of the label: one measure a pair of types, on a sample of the rows.

| label           | column          | measure                                                                        |
|-----------------|-----------------|--------------------------------------------------------------------------------|
| true or false   | number, time    | AUC: the chance that a row of the positive class has the greater value          |
| number          | number, time    | Pearson's correlation                                                          |
| number          | levels          | correlation ratio η: the share of the spread that lies between levels, its root |
| levels          | number, time    | correlation ratio η, of the column by the label                                |
| levels, boolean | levels          | Cramér's V, bias-corrected (Bergsma, J. Korean Statistical Society 42, 2013)   |

η is corrected for the number of groups too (Kelley's ε²: 1 - (1 - η²)(n - 1)/(n - k)), so that a column with a level a
row tells nothing. Rows in which either is null are left out; levels beyond the most frequent count as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from headrace.data.model import Association
from headrace.data.profile import SAMPLE_ROWS
from headrace.language.columns import to_polars
from headrace.language.parse import parse, references
from headrace.language.types import Type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEVELS: Final = 1_000
"""Levels of a column that are told apart; the rest count as one."""
FEWEST: Final = 20
"""With fewer rows nothing is said."""
ROWS_A_LEVEL: Final = 5
"""A column with fewer rows a level, on average, is a key, not a level."""
_LEVELED: Final = (Type.STRING, Type.CATEGORY, Type.BOOLEAN)
_LABEL: Final = "_hr_label"
_DIGITS: Final = 9


def associations(
    table: str, options: Mapping[str, str] | None, fields: Mapping[str, Type], label: str
) -> tuple[Association, ...]:
    """What each column of an accepted table tells of the label, in the table's order, but for those that give it.

    Parameters
    ----------
    table, options
        The Parquet file, as Polars scans it.
    fields
        The table's columns.
    label
        An expression over them.
    """
    expression = parse(label, fields)
    scan = pl.scan_parquet(table, storage_options=dict(options) if options else None)
    rows = int(scan.select(pl.len()).collect().item())
    sample = scan.gather_every(max(1, -(-rows // SAMPLE_ROWS))).with_columns(to_polars(expression).alias(_LABEL))
    known = sample.collect().filter(pl.col(_LABEL).is_not_null())
    found = (
        _associated(name, known[name], type_, known[_LABEL], expression.type)
        for name, type_ in fields.items()
        if name not in references(label)
    )
    return tuple(one for one in found if one is not None)


def _associated(name: str, column: pl.Series, type_: Type, label: pl.Series, label_type: Type) -> Association | None:
    both = pl.DataFrame({"x": column, "y": label}).drop_nulls()
    is_leveled, is_label_leveled = type_ in _LEVELED, label_type in _LEVELED
    if not is_leveled:
        both = both.with_columns(_number(both["x"]).alias("x")).filter(pl.col("x").is_finite())
    if not is_label_leveled:
        both = both.with_columns(_number(both["y"]).alias("y")).filter(pl.col("y").is_finite())
    if both.height < FEWEST or both["x"].n_unique() < 2 or both["y"].n_unique() < 2:
        return None
    x, y = both["x"], both["y"]
    leveled = [x] * is_leveled + [y] * is_label_leveled
    if any(one.n_unique() * ROWS_A_LEVEL > len(one) for one in leveled):
        return None
    measure: Literal["auc", "correlation", "correlation_ratio", "cramers_v"]
    if is_leveled and is_label_leveled:
        measure, value = "cramers_v", _cramers_v(_codes(x), _codes(y))
    elif is_leveled:
        measure, value = "correlation_ratio", _correlation_ratio(_codes(x), y.to_numpy())
    elif label_type is Type.BOOLEAN:
        measure, value = "auc", _auc(x, y)
    elif is_label_leveled:
        measure, value = "correlation_ratio", _correlation_ratio(_codes(y), x.to_numpy())
    else:
        measure, value = "correlation", _correlation(x.to_numpy(), y.to_numpy())
    if not math.isfinite(value):
        return None
    value = float(f"{value:.{_DIGITS}g}")
    strength = abs(2 * value - 1) if measure == "auc" else abs(value)
    return Association(column=name, measure=measure, value=value, strength=min(1.0, strength), rows=both.height)


def _number(column: pl.Series) -> pl.Series:
    return (column if column.dtype.is_numeric() else column.to_physical()).cast(pl.Float64)


def _codes(levels: pl.Series) -> Codes:
    """Small whole numbers for levels, the most frequent first; what is beyond `LEVELS` shares the last."""
    import numpy as np

    texts = levels.cast(pl.String).alias("level")
    ranked = texts.value_counts().sort("count", "level", descending=[True, False])["level"].head(LEVELS)
    known = pl.DataFrame({"level": ranked, "code": pl.int_range(len(ranked), eager=True)})
    coded = texts.to_frame().join(known, on="level", how="left", maintain_order="left")["code"]
    return coded.fill_null(LEVELS).to_numpy().astype(np.int64)


def _auc(x: pl.Series, y: pl.Series) -> float:
    """Of the Mann-Whitney statistic: ties count half."""
    positive = int(y.sum())
    negative = len(y) - positive
    ranks = float(x.rank("average").filter(y).sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def _correlation(x: Floats, y: Floats) -> float:
    import numpy as np

    a, b = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(np.dot(a, a))) * math.sqrt(float(np.dot(b, b)))
    return float(np.dot(a, b)) / spread if spread else 0.0


def _correlation_ratio(groups: Codes, y: Floats) -> float:
    import numpy as np

    sizes = np.bincount(groups)
    k, n = int((sizes > 0).sum()), len(y)
    centred = y - y.mean()
    total = float(np.dot(centred, centred))
    if total <= 0 or n <= k:
        return 0.0
    sums = np.bincount(groups, weights=centred)
    between = float((sums[sizes > 0] ** 2 / sizes[sizes > 0]).sum())
    corrected = 1 - (1 - between / total) * (n - 1) / (n - k)
    return math.sqrt(max(0.0, corrected))


def _cramers_v(x: Codes, y: Codes) -> float:
    import numpy as np

    rows, columns = int(x.max()) + 1, int(y.max()) + 1
    if rows * columns > 10_000_000:  # two columns of a thousand levels are told by a million cells; more by no one
        return math.nan
    observed = np.bincount(x * columns + y, minlength=rows * columns).reshape(rows, columns).astype(np.float64)
    observed = observed[observed.sum(axis=1) > 0][:, observed.sum(axis=0) > 0]
    n = observed.sum()
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / n
    r, k = observed.shape
    phi = float(((observed - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi - (k - 1) * (r - 1) / (n - 1))
    smallest = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(corrected / smallest) if smallest > 0 else 0.0
