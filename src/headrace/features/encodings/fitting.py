"""What an encoder learns from training rows."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.model import Field
from headrace.definition.model import Encoding
from headrace.features.encodings.groups import as_floats, as_stored, spreads_of
from headrace.features.encodings.levels import MOST_KEPT, MOST_LEVELS, frequent_levels, level_codes
from headrace.features.encodings.numbers import LARGEST, as_float
from headrace.features.encodings.plan import PlannedInput, plan_inputs
from headrace.features.encodings.targets import Labels, LabelSums
from headrace.features.encodings.text import COUNTS, count_many
from headrace.features.model import (
    CategoryLevels,
    EncodedColumn,
    Encoder,
    Frequency,
    GroupStatistic,
    HashedText,
    Numeric,
    TargetMean,
    TextStatistic,
)

if TYPE_CHECKING:
    import polars as pl


def fit_encoder(
    outputs: Sequence[Field],
    rows: pl.DataFrame,
    encodings: Sequence[Encoding] = (),
    labels: Labels | None = None,
    *,
    left_out: Container[str] = (),
) -> Encoder:
    """Learn levels, statistics and typical values from training rows.

    Parameters
    ----------
    outputs : what the program gives, in order
    rows : training rows, which hold these columns
    encodings : of the definition; an output that none names is encoded by its code or as the number that it is
    labels : of the rows; needed by target encodings only
    left_out : outputs that are taken and not encoded
    """
    planned = [each for each in plan_inputs(outputs, encodings) if each.of.name not in left_out]
    columns = tuple(column for each in planned for column in _fit(each, rows, labels))
    takes = () if _is_plain(outputs, columns) else tuple(outputs)
    return Encoder(columns=columns, takes=takes)


def _is_plain(outputs: Sequence[Field], columns: Sequence[EncodedColumn]) -> bool:
    """Whether every output is one input, so that the encoder need not say what it takes."""
    return [field.name for field in outputs] == [column.name for column in columns] == [c.source for c in columns]


def _fit(planned: PlannedInput, rows: pl.DataFrame, labels: Labels | None) -> Iterator[EncodedColumn]:
    values, encoding = rows[planned.of.name], planned.encoding
    match planned.kind:
        case "codes":
            levels = frequent_levels(values, most=MOST_LEVELS, min_rows=encoding.min_rows)
            yield _column(planned, planned.names()[0], CategoryLevels(levels=levels), 0.0)
        case "number":
            yield _column(planned, planned.of.name, Numeric(), _median(as_float(values).clip(-LARGEST, LARGEST)))
        case "frequency":
            yield _frequency(planned, values)
        case "target":
            assert labels is not None, "who trains gives the labels"
            yield from _targets(planned, values, labels)
        case "statistics":
            for count, name in zip(COUNTS, planned.names(), strict=True):
                typical = _middle(count_many(count, values))
                yield _column(planned, name, TextStatistic(statistic=count), typical)
        case "hashed":
            for bucket, name in enumerate(planned.names()):
                hashed = HashedText(bucket=bucket, buckets=encoding.buckets, ngrams=encoding.ngrams)
                yield _column(planned, name, hashed, 0.0)
        case None:
            yield from _group(planned, values, rows)


def _frequency(planned: PlannedInput, values: pl.Series) -> EncodedColumn:
    levels = frequent_levels(values, most=MOST_KEPT, min_rows=planned.encoding.min_rows)
    codes = level_codes(values, levels)
    shares = np.bincount(codes, minlength=len(levels) + 2) / max(len(codes), 1)
    shares[len(levels)] = 0.0
    *known, _, missing = shares.tolist()
    (name,) = planned.names()
    encoding = Frequency(levels=levels, values=tuple(known), missing=missing)
    return _column(planned, name, encoding, _middle(shares[codes]))


def _targets(planned: PlannedInput, values: pl.Series, labels: Labels) -> Iterator[EncodedColumn]:
    said = planned.encoding
    levels = frequent_levels(values, most=MOST_KEPT, min_rows=said.min_rows)
    codes = level_codes(values, levels)
    for class_code, name in zip(labels.codes(), planned.names(labels.classes), strict=True):
        means = LabelSums(labels, class_code).values(codes, len(levels) + 2, said.smoothing)
        *known, other, missing = means.tolist()
        encoding = TargetMean(
            levels=levels,
            values=tuple(known),
            other=other,
            missing=missing,
            smoothing=said.smoothing,
            class_code=class_code,
        )
        yield _column(planned, name, encoding, _middle(means[codes]))


def _group(planned: PlannedInput, values: pl.Series, rows: pl.DataFrame) -> Iterator[EncodedColumn]:
    said = planned.encoding
    assert said.group is not None, "the plan makes it of a group"
    levels = frequent_levels(rows[said.group], most=MOST_KEPT, min_rows=said.min_rows)
    codes = level_codes(rows[said.group], levels)
    numbers = as_float(values).fill_null(np.nan).to_numpy()
    spreads = spreads_of(numbers, codes, len(levels) + 2)
    means, stds = as_stored([each.mean for each in spreads]), as_stored([each.std for each in spreads])
    middles = {"mean": _middle(as_floats(means)[codes]), "std": _middle(as_floats(stds)[codes])}
    for take, name in zip(said.take, planned.names(), strict=True):
        encoding = GroupStatistic(by=said.group, take=take, levels=levels, means=means, stds=stds)
        yield _column(planned, name, encoding, middles.get(take, 0.0))  # a difference is typically none


def _column(planned: PlannedInput, name: str, encoding: Any, typical: float) -> EncodedColumn:
    of = None if name == planned.of.name else planned.of.name
    return EncodedColumn(name=name, type=planned.of.type, encoding=encoding, typical=typical, of=of)


def _median(values: pl.Series) -> float:
    median = values.median()
    return float(median) if isinstance(median, float) else 0.0


def _middle(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(np.clip(known, -LARGEST, LARGEST))) if len(known) else 0.0
