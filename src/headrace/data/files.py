"""Which files or objects a source's `read` patterns name, and what they look like from outside."""

from __future__ import annotations

import errno
import glob
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.data.errors import DiskFull, SourceMissing, SourceUnreadable
from headrace.data.model import SourceState
from headrace.definition.model import Source
from headrace.definition.secrets import resolve

if TYPE_CHECKING:
    import polars as pl

    from headrace.data.sources import Place


_TAIL = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a source, on this machine or in an object store."""

    name: str
    """As the user would name it: relative to the definition where it can be."""
    path: Path
    """Where it is, or where `fetch` puts it."""
    size: int
    stamp: str
    """Modification time in nanoseconds, or ETag."""
    url: str | None = None
    """Set for an object that must be fetched before it is read."""


def find(source: Source, place: Place) -> list[DataFile]:
    """Every file of a source: patterns in the order written, the files of one pattern by name, each file once."""
    found: dict[str, DataFile] = {}
    for pattern in source.read:
        resolved = resolve(pattern, place.env, place.root)
        if resolved.startswith("s3://"):
            from headrace.data.s3 import list_objects

            files = list_objects(source.name, resolved, place.env)
        else:
            files = list(_local(source.name, resolved, place.root))
        if not files:
            raise SourceMissing(
                source.name, pattern, where="the bucket" if resolved.startswith("s3://") else str(place.root)
            )
        for file in files:
            found.setdefault(file.url or str(file.path), file)
    return list(found.values())


def _local(source: str, pattern: str, root: Path) -> Iterator[DataFile]:
    literal = root / pattern.removeprefix("file://")
    if literal.is_file():
        paths = [literal]
    else:
        names = glob.iglob(pattern.removeprefix("file://"), root_dir=root, recursive=True)  # noqa: PTH207 - absolute too
        paths = sorted(path for path in (root / name for name in names) if path.is_file())
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise SourceUnreadable(source, str(path), error.strerror or "cannot be read") from None
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        yield DataFile(name=name, path=path, size=stat.st_size, stamp=str(stat.st_mtime_ns))


def fetch(source: str, files: list[DataFile], place: Place, workdir: Path) -> list[DataFile]:
    """The same files, all on this machine: objects are downloaded into `workdir`, a chunk at a time."""
    if all(file.url is None for file in files):
        return files
    from headrace.data.s3 import download

    return [
        file if file.url is None else download(source, file, place.env, workdir / f"{position:06d}-{file.path.name}")
        for position, file in enumerate(files)
    ]


def files_state(source: Source, place: Place) -> SourceState:
    """Names, sizes and times of a source's files."""
    files = find(source, place)
    return SourceState(source=source.name, parts=tuple((file.name, file.size, file.stamp) for file in files))


@contextmanager
def reading(source: str, file: DataFile) -> Iterator[None]:
    """Names the file when reading it fails."""
    try:
        yield
    except (OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(source) from error
        reason = "it ends too early or is damaged" if isinstance(error, EOFError | gzip.BadGzipFile) else _reason(error)
        raise SourceUnreadable(source, file.name, reason) from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def chunks(path: Path, size: int = 1 << 22) -> Iterator[bytes]:
    """A file's bytes, decompressed if its name says that it is compressed."""
    if path.suffix == ".zst":
        yield from _zstd_chunks(path)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        while chunk := stream.read(size):
            yield chunk


def lines(path: Path) -> Iterator[bytes]:
    """A file's lines with their ends (LF ends a line), decompressed; a byte order mark at its begin is taken off."""
    return _lines(chunks(path))


def first_lines(path: Path) -> Iterator[bytes]:
    """The same for who wants a few: the first ten thousand lines of a Zstandard file, all lines of any other."""
    return _lines(_zstd_chunks(path, 10_000) if path.suffix == ".zst" else chunks(path, 1 << 16))


def last_line(path: Path) -> bytes:
    """A file's last line if it is not ended, else nothing; of a compressed file the last line in any case."""
    if path.suffix in (".gz", ".zst"):
        import polars as pl

        return "".join(pl.scan_lines(path).tail(1).collect()["line"]).encode()
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(0, end - _TAIL))
        return stream.read().rpartition(b"\n")[2]


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    first = True
    for part in parts:
        data = rest + (part.removeprefix(BYTE_ORDER_MARK) if first else part)
        first = False
        found = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
        rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
        yield from found
    if rest:
        yield rest


def _split(data: bytes) -> list[bytes]:
    *whole, last = data.split(b"\n")
    found = [part + b"\n" for part in whole]
    return [*found, last] if last else found


def _zstd_chunks(path: Path, rows: int | None = None) -> Iterator[bytes]:
    """A Zstandard file's bytes, or those of its first lines; where it is not UTF-8, the offending bytes come as 0xFF.

    Python 3.11 has no zstd, so Polars decompresses."""
    import polars as pl

    texts = pl.scan_lines(path)
    try:
        (texts if rows is None else texts.head(rows)).select(pl.col("line").str.len_bytes().sum()).collect()
        is_utf8 = True
    except pl.exceptions.ComputeError:
        is_utf8, texts = False, _mended_lines(path)
    try:
        for batch in (texts if rows is None else texts.head(rows)).collect_batches(maintain_order=True):
            data = "".join(f"{line or ''}\n" for line in batch["line"]).encode()
            yield data if is_utf8 else data.replace("\ufffd".encode(), b"\xff")
    except pl.exceptions.ComputeError:
        raise OSError("it holds bytes that are not UTF-8 beside unit separators; recompress it with gzip") from None


def _mended_lines(path: Path) -> pl.LazyFrame:
    """Each line as a cell, with U+FFFD for what is not UTF-8; refuses a file that holds the separator."""
    import polars as pl

    return pl.scan_csv(
        path,
        schema={"line": pl.String},
        separator="\x1f",
        quote_char=None,
        has_header=False,
        encoding="utf8-lossy",
    )
