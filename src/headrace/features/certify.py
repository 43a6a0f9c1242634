"""The certificate: rows of history through the row form, with the online values as they were, against the frame.

For each row drawn, the records that the online store would have held at the row's prediction time are made from history
(a key at a time, of the states that `headrace materialize` makes of all keys), and read by what a server uses; every
feature then has to be the frame's, to the bit. Half of the rows see records of the earliest watermark at which these
were already the same, as if nothing had been written since the last event.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from headrace.features.certificate import Certificate, Difference
from headrace.features.columns import Index, build_indexes
from headrace.features.errors import CertificateEmpty
from headrace.features.lookups import LookupIndex
from headrace.features.model import LookupStep, Program, WindowStep
from headrace.features.online import StepReader
from headrace.features.program import ReadRow, RowProgram
from headrace.features.windows import key_of
from headrace.language.values import physical

DEFAULT_ROWS: Final = 1_000
MOST_TOLD: Final = 20
"""Differences that are listed; all are counted."""


def certify(
    program: Program,
    frame: pl.LazyFrame,
    tables: Mapping[str, pl.LazyFrame],
    *,
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
) -> Certificate:
    """Replay rows of the frame one by one and compare.

    Parameters
    ----------
    program
        The frame's own, with its scales.
    frame
        As `headrace.features.model.Frame` describes it.
    tables
        The accepted tables that the frame was made of.
    rows
        How many to draw; all when there are fewer. Which, a digest of each row's place and `seed` decides.

    Raises
    ------
    CertificateEmpty : `rows` is less than one.
    """
    if rows < 1:
        raise CertificateEmpty(rows)
    places = frame.select("_row").collect().to_series()
    drawn = _drawn(places.to_numpy(), rows, seed)
    expected = frame.filter(pl.col("_row").is_in(drawn)).sort("_row").collect()
    asked = tables[program.source].with_row_index("_row").filter(pl.col("_row").is_in(drawn)).sort("_row")
    names = [field.name for field in program.request]
    wanted = asked.select(list(dict.fromkeys([*names, *([program.time] if program.time else [])]))).collect()
    indexes = build_indexes(program, _of_keys(program, tables, wanted))
    replay = _Replay(program, indexes)
    outputs = RowProgram(program, replay if indexes else None).outputs
    request = zip(*(physical(wanted[name]).to_list() for name in names), strict=True)
    times = physical(wanted[program.time]).to_list() if program.time else [None] * wanted.height
    found = []
    for number, (row, t_us) in enumerate(zip(request, times, strict=True)):
        replay.is_early = bool(number % 2)
        found.append(outputs(row, t_us))
    differences: list[Difference] = []
    count = 0
    for place, field in enumerate(program.outputs):
        column = physical(expected[field.name]).to_list()
        for row_number, value, row in zip(expected["_row"].to_list(), column, found, strict=True):
            if _bits(value) != _bits(row[place]):
                count += 1
                if len(differences) < MOST_TOLD:
                    differences.append(Difference(feature=field.name, row=row_number))
    return Certificate(
        rows=wanted.height,
        features=len(program.outputs),
        differences=count,
        first=tuple(differences),
        seed=seed,
        steps=tuple(step.name for step in program.steps),
    )


def _drawn(places: np.ndarray[tuple[int], np.dtype[np.uint32]], rows: int, seed: int) -> list[int]:
    """The rows of the smallest digests: the same for the same frame and seed."""
    if len(places) <= rows:
        return [int(place) for place in places]
    salt = str(seed).encode()
    # enough candidates, evenly spread, that digests need not be made of millions
    step = max(1, len(places) // (rows * 20))
    candidates = np.sort(places)[::step].tolist()
    return sorted(candidates, key=lambda place: hashlib.blake2b(place.to_bytes(8, "big") + salt).digest())[:rows]


def _of_keys(program: Program, tables: Mapping[str, pl.LazyFrame], wanted: pl.DataFrame) -> Mapping[str, pl.LazyFrame]:
    """Tables without the rows of keys that nobody asks for, where the request says them."""
    kept = dict(tables)
    for name in tables:
        steps = [s for s in program.steps if isinstance(s, LookupStep | WindowStep) and s.source == name]
        if not steps or not all(ours in wanted.columns for step in steps for ours, _ in step.key):
            continue
        masks = []
        for n, step in enumerate(steps):
            keys = wanted.select(pl.col(ours).alias(theirs) for ours, theirs in step.key).unique()
            mark = keys.lazy().with_columns(pl.lit(value=True).alias(f"_asked_{n}"))
            on = [theirs for _, theirs in step.key]
            kept[name] = kept[name].join(mark, on=on, how="left", maintain_order="left")
            masks.append(pl.col(f"_asked_{n}").is_not_null())
        kept[name] = kept[name].filter(pl.any_horizontal(masks))
    return kept


class _Replay:
    """A `HistoryLike` that makes each record as of the row's prediction time and reads it as a server does."""

    def __init__(self, program: Program, indexes: Mapping[int, Index]) -> None:
        self._indexes = indexes
        self._readers = {
            number: StepReader(step)
            for number, step in enumerate(program.steps)
            if isinstance(step, LookupStep | WindowStep)
        }
        self.is_early = False

    def reader(self, steps: Sequence[int]) -> ReadRow:
        chosen = [(self._indexes[number], self._readers[number]) for number in steps]

        def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
            row: list[object] = []
            for (index, reader), key in zip(chosen, keys, strict=True):
                one = key_of(key)
                if reader.is_static:
                    assert isinstance(index, LookupIndex)
                    row += reader.static(index.record(one, None))
                elif t_us is None:
                    row += reader.nothing
                else:
                    watermark = index.same_since(one, t_us) if self.is_early else t_us
                    row += reader.features(index.record(one, watermark), t_us, one is not None)
            return row

        return read


def _bits(value: object) -> object:
    return ("float", struct.pack("<d", value)) if isinstance(value, float) else (type(value).__name__, value)
