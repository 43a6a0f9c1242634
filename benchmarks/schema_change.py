"""How often a planted change of meaning is found, and how often ordinary months raise a false alarm.

The flights example's flights and weather, month by month: each month is compared with the one before it. Untouched
pairs count false alarms. Then one column of the later month at a time is converted, recoded, shifted or swapped, on top
of whatever the month itself changed.

usage: python -m benchmarks.schema_change
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from benchmarks.harness import FLIGHTS, record, table
from headrace.data.changes import find_changes
from headrace.data.model import Change, Shape
from headrace.data.shape import take_shape
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.language.values import type_of_dtype

SOURCE: Final = Source(name="s", read=("s.parquet",), format="parquet")
NUMBERS: Final = {
    "flights": ("dep_delay", "arr_delay", "air_time", "distance", "flight"),
    "weather": ("temp", "dewp", "humid", "wind_speed", "pressure", "visib"),
}
FACTORS: Final = {
    "× 100": 100.0,
    "× 0.01": 0.01,
    "× 60": 60.0,
    "mile → km (× 1.609)": 1.609344,
    "km → mile (× 0.6214)": 1 / 1.609344,
    "pound → kg (× 0.4536)": 0.45359237,
    "foot → m (× 0.3048)": 0.3048,
    "mph → m/s (× 0.4470)": 0.44704,
}
Months = list[pl.DataFrame]
Plant = Callable[[pl.DataFrame], pl.DataFrame]


def months() -> dict[str, Months]:
    """Name → twelve tables."""
    flights = [
        pl.read_csv(FLIGHTS / "data" / "flights" / f"2013-{month:02}.csv", null_values="NA", infer_schema_length=None)
        for month in range(1, 13)
    ]
    flights = [one.with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC")) for one in flights]
    weather = pl.read_parquet(FLIGHTS / "data" / "weather.parquet").with_columns(day_of=pl.col("time_hour").dt.date())
    by_month = [weather.filter(pl.col("time_hour").dt.month() == month) for month in range(1, 13)]
    return {"flights": flights, "weather": by_month}


def shape_of(frame: pl.DataFrame) -> tuple[Shape, dict[str, Type]]:
    """The shape as a run takes it."""
    types = {name: type_ for name, kind in frame.schema.items() if (type_ := type_of_dtype(kind)) is not None}
    types |= {name: Type.CATEGORY for name, type_ in types.items() if type_ is Type.STRING}
    return take_shape(frame.lazy().select(list(types)), SOURCE, types, {}), types


def semantic(before: Shape, frame: pl.DataFrame) -> list[Change]:
    """The changes of meaning that are reported."""
    now, types = shape_of(frame)
    return [one for one in find_changes(SOURCE, types, now, before) if one.impact == "semantic"]


def plants(name: str) -> Iterator[tuple[str, str, str, Plant]]:
    """(what, kind expected, column, how) of every planted change."""
    for column in NUMBERS[name]:
        for what, factor in FACTORS.items():
            yield what, "scale", column, lambda f, c=column, k=factor: f.with_columns(pl.col(c).cast(pl.Float64) * k)  # type: ignore[misc]
        yield "sign turned", "sign", column, lambda f, c=column: f.with_columns(-pl.col(c))  # type: ignore[misc]
    if name == "flights":
        yield "codes replaced", "recoded", "origin", _replace("origin", {"EWR": "1", "JFK": "2", "LGA": "3"})
        yield "two codes renamed", "recoded", "carrier", _replace("carrier", {"UA": "UAL", "AA": "AAL"})
        yield "two codes swapped", "recoded", "carrier", _replace("carrier", {"UA": "US", "US": "UA"})
    else:
        for what, plus, times in (("°F → °C", -160 / 9, 5 / 9), ("°F → K", 273.15 - 160 / 9, 5 / 9)):
            for column in ("temp", "dewp"):
                yield what, "shift", column, lambda f, c=column, a=times, b=plus: f.with_columns(pl.col(c) * a + b)  # type: ignore[misc]
        yield "day and month swapped", "date-order", "day_of", _swap_day_and_month
    if name == "flights":
        for hours in (-5, 1, 3, 9):
            yield (
                f"zone moved by {hours:+} h",
                "zone",
                "time_hour",
                lambda f, h=hours: f.with_columns(  # type: ignore[misc]
                    pl.col("time_hour").dt.offset_by(f"{h}h")
                ),
            )


def _replace(column: str, codes: dict[str, str]) -> Plant:
    return lambda frame: frame.with_columns(pl.col(column).replace(codes))


def _swap_day_and_month(frame: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("day_of")
    swapped = pl.date(day.dt.year(), day.dt.day(), day.dt.month())
    return frame.with_columns(pl.when(day.dt.day() <= 12).then(swapped).otherwise(day).alias("day_of"))


def main() -> None:
    """Measure and record."""
    found: dict[str, list[int]] = {}
    alarms, pairs, columns, wrong = 0, 0, 0, 0
    for name, parts in months().items():
        shapes = [shape_of(part)[0] for part in parts]
        for before, part in zip(shapes, parts[1:], strict=False):
            natural = semantic(before, part)
            alarms += len(natural)
            pairs, columns = pairs + 1, columns + len(before.columns)
            for one in natural:
                print("false alarm:", name, one.kind, one.column, one.message)
            for what, kind, column, plant in plants(name):
                told = semantic(before, plant(part))
                hits = found.setdefault(what, [0, 0])
                hits[1] += 1
                hits[0] += any(one.column == column and one.kind == kind for one in told)
                wrong += sum(1 for one in told if one.column != column) - len(
                    [one for one in natural if one.column != column]
                )
    rows = [[what, f"{hits} of {tried}", f"{hits / tried:.2f}"] for what, (hits, tried) in found.items()]
    every = [sum(one[n] for one in found.values()) for n in (0, 1)]
    rows.append(["all", f"{every[0]} of {every[1]}", f"{every[0] / every[1]:.2f}"])
    precision = every[0] / max(1, every[0] + alarms + wrong)
    verdict = (
        f"{alarms} false alarms in {columns} columns of {pairs} untouched pairs of months, {wrong} further ones beside "
        f"a planted change; precision {precision:.3f}."
    )
    body = f"{table(['planted', 'found', 'recall'], rows)}\n\n{verdict}"
    record("Changes of meaning between snapshots", "python -m benchmarks.schema_change", body, libraries=("polars",))


if __name__ == "__main__":
    main()
