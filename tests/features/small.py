"""A small world for the features' tests: flights, weather and planes, and a stage's context on a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from headrace.data.model import Field, Table
from headrace.definition.model import ColumnRule, Definition, Features, Known, Lookup, Project, Source, Split, Window
from headrace.language.types import Type
from headrace.language.values import column_of
from headrace.runs.model import Memory, ObjectRef

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_700_000_000_000_000

FLIGHTS: dict[str, Type] = {
    "carrier": Type.CATEGORY,
    "origin": Type.STRING,
    "tail": Type.STRING,
    "distance": Type.FLOAT,
    "due": Type.TIMESTAMP,
    "left": Type.TIMESTAMP,
    "landed": Type.TIMESTAMP,
    "dep_delay": Type.FLOAT,
    "arr_delay": Type.FLOAT,
}
WEATHER = {"place": Type.STRING, "hour": Type.TIMESTAMP, "temp": Type.FLOAT, "sky": Type.STRING}
PLANES = {"tail": Type.STRING, "built": Type.INTEGER, "seats": Type.INTEGER}
TYPES: dict[str, dict[str, Type]] = {"flights": FLIGHTS, "weather": WEATHER, "planes": PLANES}


def flights_definition(**changes: Any) -> Definition:
    """Three sources, a lookup as of a time, a static one, a window, expressions before and after them."""
    known = {"dep_delay": "left", "arr_delay": "landed", "left": "left", "landed": "landed"}
    parts: dict[str, Any] = {
        "format": 1,
        "project": Project(
            name="delays",
            source="flights",
            key=("tail", "due"),
            time="due",
            label="arr_delay > 30",
            request=("carrier", "origin", "tail", "distance", "due"),
        ),
        "sources": (
            Source(
                name="flights",
                read=("flights.csv",),
                format="csv",
                event_time="due",
                columns=tuple((name, ColumnRule(known=Known(after=after))) for name, after in known.items()),
            ),
            Source(
                name="weather",
                read=("weather.parquet",),
                format="parquet",
                event_time="hour",
                known=Known(after="hour", delay_us=10 * MINUTE),
            ),
            Source(name="planes", read=("planes.ndjson",), format="ndjson"),
        ),
        "features": Features(
            expressions=(("late_here", "delay_mean_1h > 5"), ("far", "distance > 1000"), ("cold", "weather_temp < 0")),
            lookups=(
                Lookup(
                    name="weather",
                    source="weather",
                    key=(("origin", "place"),),
                    take=("temp", "sky"),
                    max_age_us=3 * HOUR,
                ),
                Lookup(name="plane", source="planes", key=(("tail", "tail"),), take=("built",)),
            ),
            windows=(
                Window(
                    name="delay",
                    source="flights",
                    key=(("origin", "origin"),),
                    value="dep_delay",
                    over_us=(HOUR, 24 * HOUR),
                    over_text=("1h", "24h"),
                    take=("mean", "sum", "min", "max", "count"),
                ),
            ),
            drop=("tail",),
        ),
        "split": Split(by="time", holdout=0.25),
    }
    return msgspec.structs.replace(Definition(**parts), **changes)


EVERY_KIND = (
    Window(
        name="here",
        source="flights",
        key=(("origin", "origin"),),
        value="carrier",
        where="dep_delay > 0 AND distance < 1500",
        over_us=(6 * HOUR,),
        over_text=("6h",),
        take=("last", "top1", "n_unique", "rate", "seconds_since"),
    ),
    Window(
        name="late",
        source="flights",
        key=(("origin", "origin"), ("carrier", "carrier")),
        value="dep_delay",
        over_us=(HOUR, 24 * HOUR),
        over_text=("1h", "24h"),
        half_life_us=(3 * HOUR,),
        half_life_text=("3h",),
        take=("stddev", "p90", "first", "decayed_mean", "top2"),
    ),
)
"""Windows with what the one of `flights_definition` has not."""


def with_project(definition: Definition, **changes: Any) -> Definition:
    return msgspec.structs.replace(definition, project=msgspec.structs.replace(definition.project, **changes))


def with_features(definition: Definition, **changes: Any) -> Definition:
    return msgspec.structs.replace(definition, features=msgspec.structs.replace(definition.features, **changes))


def with_source(definition: Definition, name: str, **changes: Any) -> Definition:
    sources = tuple(
        msgspec.structs.replace(source, **changes) if source.name == name else source for source in definition.sources
    )
    return msgspec.structs.replace(definition, sources=sources)


def table(types: Mapping[str, Type], rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows in the row form as a table; columns left out are null."""
    columns = []
    for name, type_ in types.items():
        columns.append(column_of(name, [row.get(name) for row in rows], type_))
    return pl.DataFrame(columns)


PLENTY = Memory(2**40)


class FolderContext:
    """A stage's context that keeps its objects in a folder."""

    def __init__(self, root: Path, memory: Memory = PLENTY) -> None:
        self.memory = memory
        self.workdir = root / "work"
        self.workdir.mkdir(parents=True)
        self._root = root
        self.moves: list[float] = []
        self.rows_in = self.rows_out = 0

    def keep(self, path: Path, kind: str, suffix: str) -> ObjectRef:
        return self.keep_bytes(path.read_bytes(), kind, suffix)

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        digest = hashlib.sha256(data).hexdigest()
        target = self._root / kind / f"{digest}{suffix}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        return ObjectRef(key=f"{kind}/{target.name}", sha256=digest, size=len(data))

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        return self.keep_bytes(data, kind, suffix)

    def fetch(self, ref: ObjectRef) -> bytes:
        return (self._root / ref.key).read_bytes()

    def scan(self, ref: ObjectRef) -> tuple[str, dict[str, str]]:
        return str(self._root / ref.key), {}

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        self.moves.append(done)

    def count(self, *, rows_in: int = 0, rows_out: int = 0, bytes_in: int = 0) -> None:
        self.rows_in += rows_in
        self.rows_out += rows_out

    def recorded(self) -> Mapping[str, bytes]:
        return {}

    def record(self, part: str, data: bytes) -> None:
        raise AssertionError("the frame records no parts")

    def table(self, source: str, types: Mapping[str, Type], data: pl.DataFrame) -> Table:
        """Store an accepted table."""
        path = self.workdir / f"{source}.parquet"
        data.write_parquet(path)
        fields = tuple(Field(name=name, type=type_) for name, type_ in types.items())
        return Table(source=source, ref=self.keep(path, "tables", ".parquet"), rows=data.height, fields=fields)
