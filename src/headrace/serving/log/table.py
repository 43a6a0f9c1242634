"""The tables that logged predictions and truths end in: their columns, and rows to and from records.

Scores, inputs and amounts come back to the bit. Values of the entity and of amounts are JSON text; an amount that is no
finite number is null there, which counts the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headrace.serving.log.reader import Missing, Predictions, Truths
from headrace.serving.log.record import Record, Route

if TYPE_CHECKING:
    import polars as pl

PREDICTIONS: Final = "predictions"
OUTCOMES: Final = "outcomes"
GAPS: Final = "prediction_gaps"

_json: Final = msgspec.json.Encoder().encode
_values: Final = msgspec.json.Decoder(list[Any]).decode


@dataclass(frozen=True, slots=True)
class Logged:
    """One answered prediction, wherever it was read."""

    record: Record
    route: Route
    epoch: str
    sequence: int


def table_name(project: str, table: str) -> str:
    """The key of a project's table of that kind."""
    return f"tables/{project}/{table}"


def logged(read: Predictions) -> list[Logged]:
    """The answers of one turn, each by itself."""
    pairs = zip(read.records, read.routes, strict=True)
    return [Logged(record, route, read.epoch, read.sequence + n) for n, (record, route) in enumerate(pairs)]


def prediction_rows(predictions: Sequence[Logged]) -> pl.DataFrame:
    """Rows of the table of predictions."""
    import polars as pl

    instant = pl.Datetime("us", "UTC")
    columns: dict[str, tuple[list[Any], Any]] = {
        "at": ([one.record.at_us for one in predictions], instant),
        "request_id": ([one.record.request_id for one in predictions], pl.String),
        "row": ([one.record.row for one in predictions], pl.Int32),
        "deployment": ([one.route.deployment for one in predictions], pl.String),
        "revision": ([one.route.revision for one in predictions], pl.Int64),
        "arm": ([one.route.arm for one in predictions], pl.String),
        "model": ([one.route.model for one in predictions], pl.String),
        "version": ([one.route.version for one in predictions], pl.Int32),
        "package": ([one.route.package for one in predictions], pl.String),
        "sticky": ([_text(one.route.sticky) for one in predictions], pl.String),
        "entity": ([_text(one.record.entity) for one in predictions], pl.String),
        "features": ([one.record.features for one in predictions], pl.Binary),
        "own": ([_text(one.record.own) for one in predictions], pl.String),
        "score": ([one.record.scores[0] if len(one.record.scores) == 1 else None for one in predictions], pl.Float64),
        "scores": ([_bits(one.record.scores) for one in predictions], pl.Binary),
        "decision": ([_text_or_none(one.record.decision) for one in predictions], pl.String),
        "review": ([one.record.review for one in predictions], pl.Boolean),
        "latency_us": ([one.record.latency_us for one in predictions], pl.Int64),
        "watermark": ([one.record.watermark_us for one in predictions], instant),
        "trace": ([one.record.trace for one in predictions], pl.String),
        "price_usd": ([one.route.price_usd for one in predictions], pl.Float64),
        "fallback": ([one.route.fallback for one in predictions], pl.Boolean),
        "shadow": ([one.route.shadow for one in predictions], pl.Boolean),
        "epoch": ([one.epoch for one in predictions], pl.String),
        "sequence": ([one.sequence for one in predictions], pl.Int64),
    }
    frame = pl.DataFrame([pl.Series(name, values, kind) for name, (values, kind) in columns.items()])
    return frame.with_columns(day=pl.col("at").dt.date())


def outcome_rows(truths: Iterable[Truths]) -> pl.DataFrame:
    """Rows of the table of outcomes."""
    import polars as pl

    found = [(read.epoch, read.sequence + n, one) for read in truths for n, one in enumerate(read.outcomes)]
    instant = pl.Datetime("us", "UTC")
    columns: dict[str, tuple[list[Any], Any]] = {
        "known": ([one.known_us for _, _, one in found], instant),
        "value": ([_text(one.value) for _, _, one in found], pl.String),
        "request_id": ([one.request_id for _, _, one in found], pl.String),
        "row": ([one.row for _, _, one in found], pl.Int32),
        "deployment": ([one.deployment for _, _, one in found], pl.String),
        "entity": ([_text_or_none(one.entity) for _, _, one in found], pl.String),
        "at": ([one.at_us for _, _, one in found], instant),
        "epoch": ([epoch for epoch, _, _ in found], pl.String),
        "sequence": ([sequence for _, sequence, _ in found], pl.Int64),
    }
    frame = pl.DataFrame([pl.Series(name, values, kind) for name, (values, kind) in columns.items()])
    return frame.with_columns(day=pl.col("known").dt.date())


def gap_rows(gaps: Sequence[Missing]) -> pl.DataFrame:
    """Rows of the table of gaps."""
    import polars as pl

    instant = pl.Datetime("us", "UTC")
    columns: dict[str, tuple[list[Any], Any]] = {
        "since": ([one.gap.since_us for one in gaps], instant),
        "until": ([one.gap.until_us for one in gaps], instant),
        "n": ([one.gap.n for one in gaps], pl.Int64),
        "reason": ([one.gap.reason for one in gaps], pl.String),
        "epoch": ([one.epoch for one in gaps], pl.String),
        "sequence": ([one.sequence for one in gaps], pl.Int64),
    }
    return pl.DataFrame([pl.Series(name, values, kind) for name, (values, kind) in columns.items()])


def from_row(row: Mapping[str, Any]) -> Logged:
    """A row of the table of predictions as the worker logged it."""
    import datetime as dt

    def instant_us(value: dt.datetime | None) -> int | None:
        return (
            None if value is None else (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        )

    route = Route(
        deployment=row["deployment"],
        revision=row["revision"],
        arm=row["arm"],
        model=row["model"],
        version=row["version"],
        package=row["package"],
        sticky=tuple(_values(row["sticky"])),
        price_usd=row["price_usd"],
        fallback=row["fallback"],
        shadow=row["shadow"],
    )
    at_us = instant_us(row["at"])
    assert at_us is not None
    record = Record(
        request_id=row["request_id"],
        row=row["row"],
        route=0,
        at_us=at_us,
        entity=tuple(_values(row["entity"])),
        features=row["features"],
        scores=struct.unpack(f"<{len(row['scores']) // 8}d", row["scores"]),
        decision=None if row["decision"] is None else msgspec.json.decode(row["decision"], type=bool | str),
        review=row["review"],
        own=tuple(_values(row["own"])),
        latency_us=row["latency_us"],
        watermark_us=instant_us(row["watermark"]),
        trace=row["trace"],
    )
    return Logged(record, route, row["epoch"], row["sequence"])


def _text(value: object) -> str:
    return _json(value).decode()


def _text_or_none(value: object) -> str | None:
    return None if value is None else _json(value).decode()


def _bits(scores: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(scores)}d", *scores)
