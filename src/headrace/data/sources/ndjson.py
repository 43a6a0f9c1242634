"""NDJSON files: one JSON object a line; plain or compressed, one or many.

A key that a line does not have is a null there, as the format has it; keys that are not locked are not read. The fast
path hands the whole text to Polars with the locked types; when it refuses, the plain path reads line by line, sets
aside what is no object, and lets columns with misfits be text.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.data.blocks import row_count, sink
from headrace.data.files import DataFile, fetch, files_state, find, reading
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.batches import copy_batches, frame_of
from headrace.data.sources.columns import same_columns, series_of
from headrace.data.sources.malformed import MalformedRows
from headrace.data.text import check_encoding, first_lines, has_long_line, is_too_long, lines, unpack
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.language.values import dtype

if TYPE_CHECKING:
    import polars as pl

state = files_state
_NATIVE = (Type.INTEGER, Type.FLOAT, Type.BOOLEAN)
_DECODER = msgspec.json.Decoder()
_WRITTEN = msgspec.json.Decoder(float_hook=str)
_BATCH = 10_000


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:
    """The first rows of every file, each column in the JSON type of its values, or as text where they differ."""
    import polars as pl

    for file in fetch(source, find(source, place), place, workdir):
        check_encoding(source.name, file)
        with reading(source.name, file):
            objects = [found for line in islice(first_lines(file.path), rows) if (found := _object(line)) is not None]
        names = dict.fromkeys(name for one in objects for name in one)
        yield Sample(file.name, pl.DataFrame([series_of(name, [one.get(name) for one in objects]) for name in names]))


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:
    """Write every row to `target`; see `headrace.data.sources.Adapter`. The columns are those of `types`."""
    import polars as pl

    files = unpack(source.name, fetch(source, find(source, place), place, workdir), workdir)
    for file in files:
        check_encoding(source.name, file)
    same_columns(source.name, [(files[0].name, list(types))])
    if Type.DECIMAL in types.values():
        return copy_batches(files, types, partial(_as_written, source), target, workdir)
    physical = {name: type_ if type_ in _NATIVE else Type.STRING for name, type_ in types.items()}
    paths = [file.path for file in files]
    if any(_has_long_line(source, file) for file in files):
        return _copy_plainly(source, files, physical, target, workdir)
    try:
        _sink_all(paths, physical, target)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _copy_plainly(source, files, physical, target, workdir)
    rows = row_count(target)
    counts = [rows] if len(files) == 1 else [_count(path, physical) for path in paths]
    return Copied(
        columns=tuple(physical),
        rows=rows,
        files=tuple((file.name, count) for file, count in zip(files, counts, strict=True)),
    )


def _as_written(
    source: Source, file: DataFile, held: Mapping[str, Type], malformed: MalformedRows
) -> Iterator[pl.DataFrame]:
    """Rows line by line; decimals as their numbers are written, which Polars would read as floats."""
    exact = [name for name, type_ in held.items() if type_ is Type.DECIMAL]
    rows: list[dict[str, Any]] = []
    with reading(source.name, file):
        for number, line in enumerate(lines(file.path), start=1):
            if line.isspace():
                continue
            found = None if is_too_long(line) else _object(line)
            if found is None:
                malformed.add(number, "too_long" if is_too_long(line) else "not_json", line)
                continue
            malformed.row()
            written = _WRITTEN.decode(line)
            rows.append(found | {name: written[name] for name in exact if name in written})
            if len(rows) == _BATCH:
                yield frame_of({name: [row.get(name) for row in rows] for name in held}, held)
                rows = []
    yield frame_of({name: [row.get(name) for row in rows] for name in held}, held)


def _has_long_line(source: Source, file: DataFile) -> bool:
    with reading(source.name, file):
        return has_long_line(file.path)


def _copy_plainly(
    source: Source, files: Sequence[DataFile], physical: Mapping[str, Type], target: Path, workdir: Path
) -> Copied:
    misfits: set[str] = set()
    with MalformedRows(workdir / "malformed") as malformed:
        clean = [
            _clean(source, file, physical, misfits, malformed, workdir / f"clean-{n:06d}.ndjson")
            for n, file in enumerate(files)
        ]
        _sink_all(clean, {**physical, **dict.fromkeys(misfits, Type.STRING)}, target)
        for path in clean:
            path.unlink()
        return Copied(
            columns=tuple(physical),
            rows=row_count(target),
            files=malformed.files,
            malformed=malformed.finish(),
            malformed_rows=malformed.count,
        )


def _clean(
    source: Source,
    file: DataFile,
    physical: Mapping[str, Type],
    misfits: set[str],
    malformed: MalformedRows,
    target: Path,
) -> Path:
    """A copy of one file without what is no object; columns with values of another type are added to `misfits`."""
    native = [(name, type_) for name, type_ in physical.items() if type_ in _NATIVE]
    malformed.begin(file.name)
    with reading(source.name, file), target.open("wb") as out:
        for number, line in enumerate(lines(file.path), start=1):
            if line.isspace():
                continue
            found = None if is_too_long(line) else _object(line)
            if found is None:
                malformed.add(number, "too_long" if is_too_long(line) else "not_json", line)
                continue
            malformed.row()
            misfits.update(name for name, type_ in native if not _is_of(found.get(name), type_))
            out.write(line if line.endswith(b"\n") else line + b"\n")
    return target


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_of(value: object, type_: Type) -> bool:
    if value is None:
        return True
    if isinstance(value, bool):
        return type_ is Type.BOOLEAN
    if isinstance(value, int):
        return type_ is Type.FLOAT or (type_ is Type.INTEGER and -(2**63) <= value < 2**63)
    return isinstance(value, float) and type_ is Type.FLOAT


def _sink_all(paths: Sequence[Path], physical: Mapping[str, Type], target: Path) -> None:
    import polars as pl

    scans = [_scan(path, physical) for path in paths if path.stat().st_size]
    sink(pl.concat(scans) if scans else pl.LazyFrame(schema=_schema(physical)), target)


def _count(path: Path, physical: Mapping[str, Type]) -> int:
    import polars as pl

    return int(_scan(path, physical).select(pl.len()).collect().item()) if path.stat().st_size else 0


def _scan(path: Path, physical: Mapping[str, Type]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_ndjson(glob.escape(str(path)), schema=_schema(physical))


def _schema(physical: Mapping[str, Type]) -> dict[str, pl.DataType]:
    return {name: dtype(type_) for name, type_ in physical.items()}
