"""A body in Arrow or Parquet → a table that lies in memory, checked: nobody has said yet that it is what it says."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.language.types import Type
from headrace.scoring.errors import NAME_LETTERS, ValueRefused
from headrace.serving.batch.cells import Cells, is_read, text_bytes
from headrace.serving.batch.errors import BatchRefused, BatchTooLarge, BatchUnreadable
from headrace.serving.batch.messages import Format

MOST_COLUMNS: Final = 10_000
"""Of a body; a model reads a few of them."""
_BATCH_ROWS: Final = 65_536
_FEW_CHUNKS: Final = 8
_UNREADABLE: Final = (pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError)
"""What the library says of bytes that are no table, and what comes of numbers in them that contradict each other."""
_encode: Final = msgspec.json.Encoder().encode


class Body:
    """What was sent, opened: its columns are known, nothing else is read.

    Raises
    ------
    BatchUnreadable, BatchRefused
    """

    def __init__(self, kind: Format, data: bytes, *, rows: int, decoded_bytes: int) -> None:
        self._kind, self._data, self._rows, self._bytes = kind, data, rows, decoded_bytes
        try:
            schema = self._schema()
            names = tuple(schema.names)
        except _UNREADABLE as error:
            raise BatchUnreadable(kind, type(error).__name__) from None
        if len(names) > MOST_COLUMNS:
            raise BatchRefused(f"at most {MOST_COLUMNS:,} columns", f"{len(names):,}")
        self.names: Final[tuple[str, ...]] = names
        if len(set(self.names)) < len(self.names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise BatchRefused("every column once", f"{twice[:NAME_LETTERS]!r} twice")
        self._types = {field.name: field.type for field in schema}

    def _schema(self) -> pa.Schema:
        if self._kind == "arrow":
            with pa.ipc.open_stream(pa.py_buffer(self._data)) as stream:
                return stream.schema
        return pq.ParquetFile(io.BytesIO(self._data), pre_buffer=False).schema_arrow

    def read(self, columns: Mapping[str, Sequence[Type]]) -> Batch:
        """The rows of these columns, each value of its types.

        Raises
        ------
        BatchUnreadable, BatchTooLarge, ValueRefused
        """
        wanted = [name for name in columns if name in self._types]
        for name in wanted:
            if not is_read(self._types[name]):
                found = str(self._types[name])[:NAME_LETTERS]
                raise ValueRefused(name, row=0, expected="numbers, text, truth values or times", found=found)
        try:
            batches = self._arrow(wanted) if self._kind == "arrow" else self._parquet(wanted)
            table = self._bounded(batches)
        except MemoryError:
            raise
        except _UNREADABLE as error:
            raise BatchUnreadable(self._kind, type(error).__name__) from None
        return Batch(table, columns)

    def _arrow(self, wanted: Sequence[str]) -> Iterable[pa.RecordBatch]:
        places = [self.names.index(name) for name in wanted]
        options = pa.ipc.IpcReadOptions(
            included_fields=places, use_threads=False, ensure_alignment=pa.ipc.Alignment.DataTypeSpecific
        )
        with pa.ipc.open_stream(pa.py_buffer(self._data), options=options) as stream:
            yield from stream

    def _parquet(self, wanted: Sequence[str]) -> Iterable[pa.RecordBatch]:
        texts = [name for name in wanted if pa.types.is_string(self._types[name])]
        # a text that stands once in a dictionary is not written out once for each row
        file = pq.ParquetFile(io.BytesIO(self._data), pre_buffer=False, read_dictionary=texts)
        if file.metadata.num_rows > self._rows:
            raise BatchTooLarge("rows", self._rows, found=file.metadata.num_rows)
        yield from file.iter_batches(_BATCH_ROWS, columns=list(wanted), use_threads=False)

    def _bounded(self, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """All of them, while they are not too many or too large."""
        kept, rows, size = [], 0, 0
        for batch in batches:
            rows += batch.num_rows
            if rows > self._rows:
                raise BatchTooLarge("rows", self._rows, found=None)
            batch.validate(full=True)
            size += sum(text_bytes(column) for column in batch.columns)
            if size > self._bytes:
                raise BatchTooLarge("bytes when it is read", self._bytes, found=None)
            kept.append(batch)
        if not kept:
            return pa.table({})
        table = pa.Table.from_batches(kept)
        # looking for the next rows takes as long as there are pieces
        return table if len(kept) <= _FEW_CHUNKS else table.unify_dictionaries().combine_chunks()


class Batch:
    """A table, every value of which is what it should be.

    Raises
    ------
    ValueRefused : the first value in the order of rows that is not
    """

    def __init__(self, table: pa.Table, columns: Mapping[str, Sequence[Type]]) -> None:
        self.rows: Final[int] = table.num_rows
        self._place = 0
        named = {name: table.column(name) for name in table.column_names}
        self._cells = [Cells(name, named[name], types) for name, types in columns.items() if name in named]
        self._names = [cells.name for cells in self._cells]
        first: tuple[int, str, str, str] | None = None
        for cells in self._cells:
            found = cells.misfit()
            if found is not None and (first is None or found.row < first[0]):
                first = (found.row, cells.name, found.expected, found.found)
        if first is not None:
            row, name, expected, said = first
            raise ValueRefused(name, row=row, expected=expected, found=said)

    def next(self, rows: int, most_bytes: int) -> tuple[int, bytes]:
        """As many of the next rows as were asked for and have room, and their JSON.

        Raises
        ------
        BatchTooLarge : one row alone has no room.
        """
        rows = min(rows, self.rows - self._place)
        while rows:
            columns = [cells.tell(self._place, rows) for cells in self._cells]
            body = _encode([dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)])
            if len(body) <= most_bytes:
                self._place += rows
                return rows, body
            if rows == 1:
                raise BatchTooLarge("bytes of one row as JSON", most_bytes, found=len(body))
            rows //= 2
        return 0, b"[]"
