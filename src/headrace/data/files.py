"""Which files or objects a source's `read` patterns name, and what they look like from outside."""

from __future__ import annotations

import errno
import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headrace.data.compression import chunks
from headrace.data.errors import DiskFull, SourceMissing, SourceUnreadable
from headrace.data.model import SourceState
from headrace.definition.model import Source
from headrace.definition.secrets import Secret, resolve

if TYPE_CHECKING:
    from headrace.data.sources import Place


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a source, on this machine or in an object store."""

    name: str
    """As the user would name it: relative to the definition where it can be."""
    path: Path
    """Where it is, or where `fetch` puts it."""
    size: int
    stamp: str
    """Modification time in nanoseconds, or ETag, or what else the server tells; nothing when it tells nothing."""
    url: str | None = field(default=None, repr=False)
    """Set for an object, or a file on a web server, that must be fetched before it is read."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Of requests to a web server."""


def find(source: Source, place: Place) -> list[DataFile]:
    """Every file of a source: patterns in the order written, the files of one pattern by name, each file once."""
    found: dict[str, DataFile] = {}
    for pattern in source.read:
        address = resolve(pattern, place.env, place.root)
        files = _named(source, pattern, address, place)
        if not files and not place.may_match_none:
            where = "the bucket" if address.startswith("s3://") else str(place.root)
            raise SourceMissing(source.name, pattern, where=where)
        for file in files:
            found.setdefault(file.url or str(file.path), file)
    return [file for file in found.values() if place.only is None or file.name in place.only]


def _named(source: Source, pattern: str, address: Secret, place: Place) -> list[DataFile]:
    """The files of one pattern; of a folder, which ends with `/`, all that are not hidden or a writer's notes."""
    if is_http(address):
        from headrace.data.http_files import look

        return [look(source, pattern, address, place)]
    whole = f"{address}**/*" if address.endswith("/") else address
    if whole.startswith("s3://"):
        from headrace.data.s3 import list_objects

        found = {file: file.name.removeprefix(address) for file in list_objects(source.name, whole, place.env)}
    else:
        folder = place.root / address.removeprefix("file://")
        files = _local(source.name, whole, place.root)
        found = {file: str(file.path.relative_to(folder)) if whole != address else file.name for file in files}
    return [file for file, below in found.items() if whole == address or not _is_note(below)]


def _is_note(below: str) -> bool:
    """Whether a path below a folder is as those that engines write beside rows: `_SUCCESS`, `.part-0.crc`."""
    return any(part.startswith(("_", ".")) for part in PurePosixPath(below).parts)


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


def fetch(
    source: Source, files: Sequence[DataFile], place: Place, workdir: Path, *, is_s3_scanned: bool = False
) -> list[DataFile]:
    """The same files, all on this machine: what is elsewhere is downloaded into `workdir`, a chunk at a time.

    Parameters
    ----------
    is_s3_scanned
        Whether the reader reads S3 itself: then objects stay there.
    """
    return [
        _fetched(source, file, place, workdir / f"{position:06d}-{file.path.name}", is_s3_scanned=is_s3_scanned)
        for position, file in enumerate(files)
    ]


def _fetched(source: Source, file: DataFile, place: Place, target: Path, *, is_s3_scanned: bool) -> DataFile:
    if file.url is None:
        return file
    if is_http(file.url):
        from headrace.data import http_files

        return http_files.download(source, file, place.env, target)
    if is_s3_scanned:
        return file
    from headrace.data import s3

    return s3.download(source.name, file, place.env, target)


def is_http(url: str) -> bool:
    """Whether an address is a web server's."""
    return url.lower().startswith(("http://", "https://"))


def files_state(source: Source, place: Place) -> SourceState:
    """Names, sizes and times of a source's files."""
    files = find(source, place)
    return SourceState(
        source=source.name,
        parts=tuple((file.name, file.size, file.stamp) for file in files),
        volatile=any(not file.stamp for file in files),
    )


@contextmanager
def reading(source: str, file: DataFile) -> Iterator[None]:
    """Names the file when reading it fails."""
    try:
        yield
    except (OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(source) from error
        reason = "it ends too early or is damaged" if isinstance(error, EOFError) else _reason(error)
        raise SourceUnreadable(source, file.name, reason) from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def read_whole(source: str, file: DataFile, limit: int) -> bytes:
    """All bytes of a file, decompressed.

    Raises
    ------
    SourceUnreadable : they are more than `limit`, or the file is damaged.
    """
    parts, size = [], 0
    with reading(source, file):
        for part in chunks(file.path):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise SourceUnreadable(
                    source,
                    file.name,
                    f"it is read in one piece, which may have {limit:,} bytes, and it has more",
                    fix="write it as NDJSON (one object a line) or Parquet, or as several files",
                )
    return b"".join(parts)
