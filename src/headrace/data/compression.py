"""Compressed files: their bytes a chunk at a time, whatever they unpack to, and a plain copy where a reader needs one.

The four formats are told by the ending. Decompression is ours and not Polars's, which knows two of them, holds a line
of any length in memory and takes time quadratic in it: a gzip file of 1 MB that holds one line of 1 GB took it 14 s
and 5.2 GB.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_CHUNK = 1 << 22
_ZSTD_INPUT = 1 << 11
"""Bytes of a Zstandard file taken at a time: each may become a block of 128 KiB by four bytes, so 64 MiB at most."""
_FREE_BYTES = 1 << 30
_LARGEST_RATIO = 400
"""Beyond the first GiB, a file may unpack to this many times its size: tables stay below 100, bombs reach 1,000."""


class TooMuchToUnpackError(OSError):
    """A file that unpacks to far more than tables do."""


def is_compressed(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in COMPRESSED


def chunks(path: Path, size: int = _CHUNK) -> Iterator[bytes]:
    """A file's bytes, decompressed if its name says that it is compressed.

    Raises
    ------
    EOFError : the file is damaged, or ends too early.
    TooMuchToUnpackError : it unpacks to far more than a table does.
    """
    if not is_compressed(path):
        with path.open("rb") as stream:
            while chunk := stream.read(size):
                yield chunk
        return
    largest = max(_FREE_BYTES, path.stat().st_size * _LARGEST_RATIO)
    total = 0
    try:
        for chunk in _decompressed(path, size):
            total += len(chunk)
            if total > largest:
                raise TooMuchToUnpackError(
                    f"it unpacks to more than {_LARGEST_RATIO} times its size, which no table does (unpack it yourself "
                    "if it is what it should be)"
                )
            yield chunk
    except (zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise EOFError(str(error)) from None


def _decompressed(path: Path, size: int) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _zstd_chunks(path)
        return
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        with cast("IO[bytes]", openers[suffix](path, "rb")) as stream:
            while chunk := stream.read(size):
                yield chunk
    except OSError as error:
        if error.errno is None:  # bz2's word for damage
            raise EOFError(str(error)) from None
        raise


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """One frame after the other; the library's own stream takes a frame that is cut for one that ends."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    is_inside = False
    try:
        with path.open("rb") as stream:
            while data := stream.read(_ZSTD_INPUT):
                while data:
                    is_inside = True
                    if chunk := frame.decompress(data):
                        yield chunk
                    data = b""
                    if frame.eof:
                        data = frame.unused_data
                        is_inside = False
                        frame = zstandard.ZstdDecompressor().decompressobj()
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from None
    if is_inside:
        raise EOFError
