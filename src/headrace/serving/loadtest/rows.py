"""What is asked: JSON bodies of distinct rows, from a table of accepted rows or made by a package's profile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from headrace.data.model import Field
from headrace.features.model import ExpressionStep, Program
from headrace.language.types import Type
from headrace.language.values import dtype, encode

if TYPE_CHECKING:
    import polars as pl

MOST: Final = 10_000
"""Rows that a test asks in turn: more than a processor's caches hold of what belongs to a row."""
_DAY_US: Final = 86_400_000_000


class Rows(NamedTuple):
    """What a test asks."""

    bodies: list[bytes]
    """One JSON object each, in an order that is drawn."""
    entities: int
    """Distinct ones among them."""
    said: str
    """Where they are from, for people."""


def newest_rows(
    table: pl.LazyFrame, program: Program, *, sticky: Sequence[str], after_us: int | None, most: int, seed: int
) -> Rows:
    """The newest rows of a program's source, as they would be asked.

    Parameters
    ----------
    table : the accepted rows
    sticky : the columns that name an entity; none: the key
    after_us
        Move all instants on by the same time, so that no prediction is asked for before this one: online values are of
        one watermark, and a server refuses a row from before it.
    """
    import polars as pl

    request = [field.name for field in program.request]
    rows = table.select(request)
    time = program.time
    if time is not None and time in request:
        frame = rows.filter(pl.col(time).is_not_null()).top_k(most, by=time).collect()
    else:
        frame = rows.tail(most).collect()
    return from_frame(
        frame, program, sticky=sticky, after_us=after_us, most=most, seed=seed, said=f"newest of {program.source}"
    )


def from_frame(
    frame: pl.DataFrame,
    program: Program,
    *,
    sticky: Sequence[str],
    after_us: int | None,
    most: int,
    seed: int,
    said: str,
) -> Rows:
    """Rows of a frame that has the request's columns; see `newest_rows`."""
    import polars as pl

    types = {field.name: field.type for field in program.request}
    # not fewer columns than the request has: what a file lacks was refused before
    frame = frame.select(pl.col(name).cast(dtype(type_)) for name, type_ in types.items()).unique(maintain_order=True)
    frame = frame.sample(min(most, frame.height), shuffle=True, seed=seed)
    time = program.time
    if after_us is not None and time is not None and time in types and frame.height:
        oldest = frame[time].to_physical().min()
        assert isinstance(oldest, int) or oldest is None, "an instant is a whole number of microseconds"
        if oldest is not None and oldest < after_us:
            moved = pl.duration(microseconds=after_us - oldest)
            instants = [name for name, type_ in types.items() if type_ is Type.TIMESTAMP]
            frame = frame.with_columns((pl.col(name) + moved).alias(name) for name in instants)
            said += ", moved to after the history's end"
    entity = [name for name in (sticky or program.key) if name in types] or list(types)
    plain = frame.select(_json_form(name, type_) for name, type_ in types.items())
    bodies = [line for line in plain.write_ndjson().encode().split(b"\n") if line]
    return Rows(bodies, frame.select(entity).n_unique() if frame.height else 0, said)


def _json_form(name: str, type_: Type) -> pl.Expr:
    """As `headrace.language.values.encode` writes it."""
    import polars as pl

    column = pl.col(name)
    if type_ is Type.TIMESTAMP:
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if type_ is Type.DATE:
        return column.dt.strftime("%Y-%m-%d")
    if type_ is Type.DURATION:
        return (column.dt.total_microseconds() / 1e6).alias(name)
    if type_ is Type.DECIMAL:
        return column.cast(pl.String)
    if type_ is Type.FLOAT:
        return pl.when(column.is_finite()).then(column).alias(name)
    return column


def made_rows(program: Program, profile: Mapping[str, Any], *, after_us: int, most: int, seed: int) -> Rows:
    """Rows drawn column by column from the package's profile of its training rows, for a host that has no tables.

    A request column that the model itself does not see (a key, say) has no profile: it gets values of its type that
    nothing knows, so a lookup by it finds nothing.

    Parameters
    ----------
    profile : `profile.json` of the package
    after_us : the first instant that is asked for
    """
    draw = random.Random(seed)  # noqa: S311 - rows of a test, no secret
    columns = {column["name"]: column for column in profile.get("columns", ())}
    made = [
        {field.name: _drawn(field, columns.get(field.name), after_us, draw) for field in program.request}
        for _ in range(most)
    ]
    key = [name for name in program.key if name in {field.name for field in program.request}]
    entities = len({tuple(row[name] for name in key) for row in made}) if key else len(made)
    bodies = [msgspec.json.encode(row) for row in made]
    more = (
        "" if all(isinstance(step, ExpressionStep) for step in program.steps) else "; lookups by made keys find nothing"
    )
    return Rows(bodies, entities, f"made by the package's profile{more}")


def _drawn(field: Field, column: Mapping[str, Any] | None, after_us: int, draw: random.Random) -> object:
    if column is not None and draw.random() * max(column["count"], 1) < column["nulls"]:
        return None
    if column is not None and column.get("levels"):
        names, counts = zip(*column["levels"], strict=True)
        return draw.choices(names, counts)[0]
    if field.type in (Type.FLOAT, Type.INTEGER, Type.DECIMAL, Type.DURATION):
        number = _number(column, draw)
        return round(number) if field.type is Type.INTEGER else round(number, 6)
    if field.type is Type.BOOLEAN:
        return draw.random() < 0.5
    if field.type is Type.TIMESTAMP:
        return encode(after_us + draw.randrange(_DAY_US), Type.TIMESTAMP)
    if field.type is Type.DATE:
        return encode(after_us // _DAY_US, Type.DATE)
    return f"{field.name}-{draw.randrange(MOST)}"


def _number(column: Mapping[str, Any] | None, draw: random.Random) -> float:
    if column is None or not column.get("edges"):
        return draw.uniform(0, 1000)
    edges = [column["minimum"], *column["edges"], column["maximum"]]
    [place] = draw.choices(range(len(column["counts"])), column["counts"])
    return draw.uniform(edges[place], edges[place + 1])
