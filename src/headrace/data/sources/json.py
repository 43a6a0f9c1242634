"""JSON documents: an array of objects, one object, or the array that `rows` leads to; plain or compressed, one or many.

Nested objects are flattened by path, so that `{"address": {"city": …}}` is the column `address_city`; arrays are kept
as their JSON. A key that an object does not have is a null there. A document is held in memory once, as its bytes, and
is judged as a whole before its first row counts; therefore it has a largest size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, fetch, files_state, find, read_whole
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.batches import copy_batches, frame_of
from headrace.data.sources.columns import same_columns, series_of
from headrace.data.sources.malformed import MalformedRows
from headrace.data.text import BYTE_ORDER_MARK, check_encoding
from headrace.definition.model import Source
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

state = files_state
LARGEST_DOCUMENT = 1 << 29
"""Bytes, unpacked."""
DEEPEST = 16
"""Objects nested deeper than this are kept as their JSON."""
_BATCH = 10_000
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()
_WRITTEN = msgspec.json.Decoder(float_hook=str)
"""Numbers with a point as they are written, for decimals."""
_SHOWN_KEYS = 10


class _TwoValuesError(ValueError):
    """Two values of one object that flatten to one column."""


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, each column in the JSON type of its values, or as text where they differ."""
    import polars as pl

    for file in fetch(source, find(source, place), place, workdir):
        document = _Document(source, file)
        found = [row for item in islice(document.items, rows) if isinstance(row := _flattened(item), dict)]
        names = dict.fromkeys(name for row in found for name in row)
        yield Sample(file.name, pl.DataFrame([series_of(name, [row.get(name) for row in found]) for name in names]))


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`. The columns are those of `types`."""
    files = fetch(source, find(source, place), place, workdir)
    same_columns(source.name, [(files[0].name, list(types))])
    return copy_batches(files, types, partial(_read, source), target, workdir)


def _read(source: Source, file: DataFile, held: Mapping[str, Type], malformed: MalformedRows) -> Iterator[pl.DataFrame]:
    document = _Document(source, file)
    exact = [name for name, type_ in held.items() if type_ is Type.DECIMAL]
    for begin in range(0, len(document.items), _BATCH):
        rows = []
        for item in document.items[begin : begin + _BATCH]:
            row = _flattened(item)
            if isinstance(row, str):
                malformed.add(document.line(item), row, bytes(item))
            else:
                malformed.row()
                written = _flattened(item, _WRITTEN) if exact else row
                rows.append(row if isinstance(written, str) else row | {n: written[n] for n in exact if n in written})
        yield frame_of({name: [row.get(name) for row in rows] for name in held}, held)


def _flattened(item: msgspec.Raw, decoder: msgspec.json.Decoder[Any] = _ANY) -> dict[str, Any] | str:
    """An object's values by column, or why it is no row."""
    try:
        found = decoder.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "not_json"
    except RecursionError:
        return "too_deep"
    if not isinstance(found, dict):
        return "not_an_object"
    if not any(type(value) is dict for value in found.values()):
        return found
    row: dict[str, Any] = {}
    try:
        _flatten(found, "", 1, row)
    except _TwoValuesError:
        return "two_values"
    return row


def _flatten(found: Mapping[str, Any], prefix: str, depth: int, row: dict[str, Any]) -> None:
    for key, value in found.items():
        name = prefix + key
        if isinstance(value, dict) and depth < DEEPEST:
            _flatten(value, f"{name}_", depth + 1, row)
        elif name in row:
            raise _TwoValuesError
        else:
            row[name] = value


class _Document:
    """A document's rows, each still as its JSON."""

    def __init__(self, source: Source, file: DataFile) -> None:
        check_encoding(source.name, file)
        self._data = read_whole(source.name, file, LARGEST_DOCUMENT).removeprefix(BYTE_ORDER_MARK)
        self._lines = (0, 1)
        try:
            self.items: Sequence[msgspec.Raw] = self._found(source, file)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceUnreadable(source.name, file.name, f"it is no whole JSON document: {error}") from None
        except RecursionError:
            raise SourceUnreadable(source.name, file.name, "it is nested too deeply to be data") from None

    def _found(self, source: Source, file: DataFile) -> Sequence[msgspec.Raw]:
        if not self._data.strip():
            return ()
        node = msgspec.json.decode(self._data, type=msgspec.Raw)
        fix = f'say where they are: rows = "path.to.rows" in [sources.{source.name}]'
        for key in source.rows.split(".") if source.rows else ():
            members = _OBJECT.decode(node) if _begins(node, b"{") else {}
            if key not in members:
                shown = [repr(name) for name in islice(members, _SHOWN_KEYS)]
                has = f"there are {', '.join(shown)}" if shown else "there is no object"
                raise SourceUnreadable(
                    source.name, file.name, f"rows = {source.rows!r} leads nowhere: no {key!r}, {has}", fix=fix
                )
            node = members[key]
        if _begins(node, b"["):
            return _ARRAY.decode(node)
        if _begins(node, b"{"):
            return [node]
        raise SourceUnreadable(
            source.name, file.name, "an array of objects is expected, it holds a single value", fix=fix
        )

    def line(self, item: msgspec.Raw) -> int:
        """The line on which a row begins; rows are to be asked for in their order."""
        place = _address(item) - _address(self._data)
        known, line = self._lines
        self._lines = (place, line + self._data.count(b"\n", known, place))
        return self._lines[1]


def _begins(node: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(node)[:64]).lstrip()[:1] == mark


def _address(view: bytes | msgspec.Raw) -> int:
    """Where in memory a view begins: a `Raw` is a part of the document that it was found in."""
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address
