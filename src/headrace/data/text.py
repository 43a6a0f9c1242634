"""The lines of text files, in any compression, with memory that no line can exhaust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from headrace.data.blocks import writing
from headrace.data.compression import chunks, is_compressed
from headrace.data.errors import SourceUnreadable
from headrace.data.files import DataFile, reading

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 24
"""Bytes. A longer line is no row; of it this many and one more are kept, so that whoever reads it can tell."""
_PROBE = 1 << 16
_TAIL = 1 << 20
_OTHER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def lines(path: Path, size: int = 1 << 22) -> Iterator[bytes]:
    """A file's lines with their ends (LF ends a line), decompressed; a byte order mark at its begin is taken off.

    Of a line that is longer than `LONGEST_LINE`, what is beyond its first `LONGEST_LINE + 1` bytes is left out."""
    rest = b""
    is_first, is_skipping = True, False
    for part in chunks(path, size):
        if is_skipping:
            end = part.find(b"\n")
            if end < 0:
                continue
            is_skipping = False
            yield rest + b"\n"
            data = part[end + 1 :]
        else:
            data = rest + (part.removeprefix(BYTE_ORDER_MARK) if is_first else part)
        is_first = False
        found = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
        rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
        for line in found:
            yield line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE + 1] + b"\n"
        if len(rest) > LONGEST_LINE:
            rest, is_skipping = rest[: LONGEST_LINE + 1], True
    if rest:
        yield rest


def first_lines(path: Path) -> Iterator[bytes]:
    """The same for who wants a few."""
    return lines(path, 1 << 16)


def is_too_long(line: bytes) -> bool:
    """Whether a line was longer than lines may be."""
    return len(line) > LONGEST_LINE


def has_long_line(path: Path) -> bool:
    """Whether a plain file has a line longer than `LONGEST_LINE`; may say so of one longer than half of that.

    It looks at a few bytes in each half of the length: a longer line covers one of these halves."""
    step = LONGEST_LINE // 2
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        for begin in range(0, size - step, step):
            stream.seek(begin)
            end = begin + step
            while (at := stream.tell()) < end:
                piece = stream.read(min(_PROBE, end - at))
                if not piece or b"\n" in piece:
                    break
            else:
                return True
    return False


def last_line(path: Path) -> bytes:
    """A plain file's last line if it is not ended, else nothing."""
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(0, end - _TAIL))
        return stream.read().rpartition(b"\n")[2]


def unpack(source: str, files: Sequence[DataFile], workdir: Path, n_lines: int | None = None) -> list[DataFile]:
    """The same files, none of them compressed: what is, or its first `n_lines` lines, is copied to `workdir`.

    Raises
    ------
    SourceUnreadable : a file is damaged, ends too early, or unpacks to far more than a table does.
    DiskFull
    """
    plain = []
    for position, file in enumerate(files):
        if not is_compressed(file.path):
            plain.append(file)
            continue
        target = workdir / f"unpacked-{position:06d}{file.path.with_suffix('').suffix}"
        parts = chunks(file.path) if n_lines is None else islice(first_lines(file.path), n_lines)
        with reading(source, file), writing(target), target.open("wb") as out:
            out.writelines(parts)
        plain.append(replace(file, path=target))
    return plain


def check_encoding(source: str, file: DataFile) -> None:
    """Refuse a file that says itself that it is not UTF-8.

    Raises
    ------
    SourceUnreadable : it begins with the mark of another encoding.
    """
    with reading(source, file):
        begin = next(chunks(file.path, 4), b"")
    for mark, encoding in _OTHER_MARKS.items():
        if begin.startswith(mark):
            raise SourceUnreadable(
                source,
                file.name,
                f"it is {encoding}, as its first bytes say, and must be UTF-8",
                fix=f"write it as UTF-8 (iconv -f {encoding} -t UTF-8), and run again",
            )


def _split(data: bytes) -> list[bytes]:
    *whole, last = data.split(b"\n")
    found = [part + b"\n" for part in whole]
    return [*found, last] if last else found
