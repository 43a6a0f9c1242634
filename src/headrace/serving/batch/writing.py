"""Answers by column → one Arrow stream or Parquet file, a row for each row that was asked, in their order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.serving.batch.messages import Answers, Format, Told, Who

_KINDS: Final[dict[str, pa.DataType]] = {
    "number": pa.float64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
}
WHO: Final = ("deployment", "arm", "model", "version")


class Written:
    """What is answered so far, in the form that it leaves in."""

    def __init__(self) -> None:
        self._arms: list[Who] = []
        self._by: list[int] = []
        self._values: list[list[list[Any]]] = []

    def add(self, told: Told) -> None:
        """Answers to the next rows."""
        self._arms += told.arms
        self._by += told.by
        self._values.append(told.values)

    def to_bytes(self, name: str, columns: Sequence[Answers], kind: Format) -> bytes:
        """The file.

        Parameters
        ----------
        name : the request's id
        """
        rows = len(self._by)
        by = pa.array(self._by, pa.int32())
        same = pa.array([name], pa.string()).take(pa.array([0] * rows, pa.int32()))
        arrays = [same, pa.array(range(rows), pa.int64())]
        for place, each in enumerate(WHO):
            told = pa.array([arm[place] for arm in self._arms], pa.int64() if each == "version" else pa.string())
            arrays.append(told.take(by))
        for place, column in enumerate(columns):
            kind_of = _KINDS[column.kind]
            pieces = [pa.array(values[place], kind_of) for values in self._values]
            arrays.append(pa.chunked_array(pieces, kind_of).combine_chunks() if pieces else pa.array([], kind_of))
        table = pa.table(dict(zip(("request_id", "row", *WHO, *(each.name for each in columns)), arrays, strict=True)))
        if kind == "parquet":
            file = io.BytesIO()
            pq.write_table(table, file, compression="zstd")
            return file.getvalue()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())
