"""Truths: read from a file, and joined to the predictions that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from headrace.language.errors import ValueMismatch
from headrace.language.types import Type
from headrace.language.values import decode, decode_text
from headrace.serving.log.errors import OutcomesRefused
from headrace.serving.log.record import Outcome

if TYPE_CHECKING:
    import polars as pl

    from headrace.stores.tables import TableStore

GREATEST_ROW: Final = 2**31 - 1
"""What the table's column holds."""
READERS = {".csv": "scan_csv", ".parquet": "scan_parquet", ".ndjson": "scan_ndjson", ".jsonl": "scan_ndjson"}


def outcome_of(
    row: Mapping[str, Any],
    number: int,
    *,
    sticky: Sequence[str] = (),
    deployment: str = "",
    types: Mapping[str, Type] = MappingProxyType({}),
) -> Outcome:
    """An outcome of a mapping: `value` and `known`, and `request_id` (and `row`), or the sticky columns and `at`.

    The values of sticky columns are taken as a request's are, by their `types`; without one as they are.

    Raises
    ------
    OutcomesRefused : naming the row and what is missing or wrong, never a value.
    """
    value = row.get("value")
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not isfinite(value)):
        raise OutcomesRefused(number, "value", "true or false, a number or a class")
    known_us = _instant(row.get("known"), number, "known")
    request_id = row.get("request_id")
    if request_id is not None:
        place = row.get("row")
        if (
            not isinstance(request_id, str)
            or not isinstance(place, int | None)
            or not 0 <= (place or 0) <= GREATEST_ROW
        ):
            raise OutcomesRefused(number, "request_id", "text, and `row` the place of a row, from 0")
        return Outcome(value=value, known_us=known_us, request_id=request_id, row=place or 0)
    missing = [name for name in sticky if row.get(name) is None]
    if not sticky or missing:
        raise OutcomesRefused(
            number, missing[0] if missing else "request_id", "request_id, or the sticky columns and at"
        )
    return Outcome(
        value=value,
        known_us=known_us,
        deployment=deployment,
        entity=tuple(_entity_value(row[name], types.get(name), number, name) for name in sticky),
        at_us=_instant(row.get("at"), number, "at"),
    )


def read_outcomes(
    path: Path,
    *,
    sticky: Sequence[str] = (),
    deployment: str = "",
    types: Mapping[str, Type] = MappingProxyType({}),
) -> list[Outcome]:
    """The outcomes of a CSV, Parquet or NDJSON file.

    Raises
    ------
    OutcomesRefused
    """
    import polars as pl

    reader = READERS.get(path.suffix)
    if reader is None or not path.is_file():
        raise OutcomesRefused(None, path.name, f"a file that ends in {', '.join(READERS)}")
    try:
        # In CSV an id of digits is text all the same.
        texts = {"schema_overrides": dict.fromkeys(("request_id", *sticky), pl.String)} if reader == "scan_csv" else {}
        rows: pl.DataFrame = getattr(pl, reader)(path, **texts).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise OutcomesRefused(None, path.name, "a file that can be read as what its name says") from error
    found = rows.iter_rows(named=True)
    return [outcome_of(row, n, sticky=sticky, deployment=deployment, types=types) for n, row in enumerate(found)]


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions with their truths."""

    rows: pl.LazyFrame
    """The table of predictions, and `outcome` (JSON text: `true`, `0.5`, `"late"`), `outcome_known` and `truth` (true
    is 1, false 0, a number itself, else null); null where no truth is known."""
    unmatched: int
    """Truths about predictions that are not there: kept, and joined once they are."""


def joined(
    tables: TableStore,
    project: str,
    *,
    since: date | None = None,
    until: date | None = None,
    within_days: float = 1.0,
) -> Joined | None:
    """The predictions of days (UTC, both ends in) with what is known of them by now; None before the first is shipped.

    Of several truths about one prediction the one known last counts. One that names an entity is about its newest
    answer asked at that instant or up to `within_days` before.
    """
    import polars as pl

    from headrace.serving.log.table import OUTCOMES, PREDICTIONS, table_name

    name, outcomes = table_name(project, PREDICTIONS), table_name(project, OUTCOMES)
    if tables.version(name) is None:
        return None
    predictions = tables.scan(name)
    if since is not None:
        predictions = predictions.filter(pl.col("day") >= since)
    if until is not None:
        predictions = predictions.filter(pl.col("day") <= until)
    no_truth: dict[str, Any] = {
        "outcome": pl.String,
        "outcome_known": pl.Datetime("us", "UTC"),
        "truth": pl.Float64,
    }
    if tables.version(outcomes) is None:
        nothing = [pl.lit(None, kind).alias(column) for column, kind in no_truth.items()]
        return Joined(predictions.with_columns(nothing), 0)
    truths = tables.scan(outcomes)
    by_entity = _by_entity(truths, tables.scan(name), within_days)
    order = ["known", "epoch", "sequence"]
    every = pl.concat(
        [truths.filter(pl.col("request_id").is_not_null()), by_entity.select(truths.collect_schema().names())]
    )
    last = every.sort(order).unique(["request_id", "row"], keep="last")
    value = pl.col("outcome")
    truth = (
        pl.when(value == "true")
        .then(1.0)
        .when(value == "false")
        .then(0.0)
        .otherwise(value.cast(pl.Float64, strict=False))
    )
    told = last.select("request_id", "row", pl.col("value").alias("outcome"), pl.col("known").alias("outcome_known"))
    rows = predictions.join(told, on=["request_id", "row"], how="left").with_columns(truth=truth)
    everything = tables.scan(name).select("request_id", "row")
    unmatched = last.join(everything, on=["request_id", "row"], how="anti").select(pl.len()).collect().item()
    entities = truths.filter(pl.col("request_id").is_null()).select(pl.len()).collect().item()
    found = by_entity.select(pl.len()).collect().item()
    return Joined(rows, int(unmatched) + int(entities) - int(found))


def _by_entity(truths: pl.LazyFrame, predictions: pl.LazyFrame, within_days: float) -> pl.LazyFrame:
    """Truths that name an entity, with the id of the answer that they are about; those without one are left out."""
    import polars as pl

    on = ["deployment", "entity"]
    asked = predictions.filter(~pl.col("shadow")).select(*on, "at", "request_id", "row").sort("at")
    named = truths.filter(pl.col("request_id").is_null()).drop("request_id", "row").sort("at")
    return named.join_asof(
        asked,
        on="at",
        by=on,
        strategy="backward",
        tolerance=f"{round(within_days * 86_400_000_000)}us",
        check_sortedness=False,  # both are sorted above; Polars cannot check it by group, and would say so each time
    ).filter(pl.col("request_id").is_not_null())


def _entity_value(value: object, kind: Type | None, number: int, column: str) -> object:
    if kind is None:
        return value
    try:
        return decode_text(value, kind) if isinstance(value, str) else decode(value, kind)
    except ValueMismatch:
        raise OutcomesRefused(number, column, f"a value of type {kind}") from None


def _instant(value: object, number: int, column: str) -> int:
    try:
        found = decode(value if isinstance(value, datetime) else str(value), Type.TIMESTAMP)
    except ValueMismatch:
        found = None
    if value is None or not isinstance(found, int):
        raise OutcomesRefused(number, column, "an instant, ISO 8601")
    return found
