"""Rows that are no rows, kept with their place: collected on disk, handed on as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from headrace.data.blocks import sink

_LONGEST_TEXT = 1 << 16
"""Bytes of a row that are kept; the place leads to the rest."""


class _Entry(msgspec.Struct, frozen=True):
    row: int
    file: str
    line: int
    reason: str
    text: str


class MalformedRows:
    """Counts the rows of each file and collects those that are none.

    Parameters
    ----------
    path
        Where to collect, without a suffix.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._out = path.with_suffix(".ndjson").open("wb")
        self._row = 0
        self._starts: list[tuple[str, int]] = []
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def begin(self, file: str) -> None:
        """What follows is from this file."""
        self._starts.append((file, self._row))

    def row(self, count: int = 1) -> None:
        """A good row, or several."""
        self._row += count

    def add(self, line: int, reason: str, data: bytes) -> None:
        """A row that is none."""
        self._row += 1
        self.count += 1
        text = data[:_LONGEST_TEXT].rstrip(b"\r\n").decode(errors="backslashreplace")
        self._out.write(msgspec.json.encode(_Entry(self._row, self._starts[-1][0], line, reason, text)) + b"\n")

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """(file, its rows, malformed ones included)."""
        ends = [start for _, start in self._starts[1:]] + [self._row]
        return tuple((file, end - start) for (file, start), end in zip(self._starts, ends, strict=True))

    def finish(self) -> Path | None:
        """The Parquet file of what was collected; None when there was nothing."""
        import polars as pl

        self._out.flush()
        if not self.count:
            return None
        schema = {"row": pl.Int64, "file": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String}
        target = self._path.with_suffix(".parquet")
        sink(pl.scan_ndjson(self._path.with_suffix(".ndjson"), schema=schema), target)
        return target
