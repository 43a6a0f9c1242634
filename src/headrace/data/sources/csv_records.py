"""CSV records, byte by byte: the plain path that names every record which is none, and the fast check for short ones.

The grammar is RFC 4180's, with what files in the wild do beside it: a quote inside an unquoted field is a character
like any other; lines end with LF or CRLF; blank lines are no records (in a file of one column they are nulls).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from headrace.data.text import is_too_long

_LONGEST_RECORD = 1 << 20
"""A quote that is still open after this many bytes is taken for a mistake in its first line."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file separates its fields."""

    separator: bytes
    n_columns: int


class Record(NamedTuple):
    """One record of a file."""

    line: int
    """Where it begins, from 1."""
    data: bytes
    """The record, rewritten if its quotes were not RFC 4180's, with its line end."""
    reason: str | None
    """Why it is no row; None when it is one."""


class StrayQuoteError(ValueError):
    """Text after a closing quote, or a quote that never closes."""


class HeaderError(ValueError):
    """What should be the line of names is none."""


def header_of(lines: Iterable[bytes], separator: bytes) -> tuple[tuple[str, ...], int] | None:
    """The column names, without blanks around them and `column_3` for one without, and how many lines they and the
    blank lines before them take; None when there are none.

    Raises `HeaderError`.

    >>> header_of([b"\\n", b'k, "a",\\n', b"1,2,3\\n"], b",")
    (('k', '"a"', 'column_3'), 2)
    """
    record = b""
    for n_lines, line in enumerate(lines, start=1):
        record += line
        if is_too_long(record) or b"\0" in line:
            what = "is longer than a line may be" if is_too_long(record) else "holds NUL bytes"
            raise HeaderError(f"its header line {what}: it is no text of columns")
        bare = record.strip(b"\r\n")
        try:
            fields = fields_of(bare, separator) if bare else None
        except StrayQuoteError:
            raise HeaderError("the quotes of its header line do not pair") from None
        if fields is not None:
            names = [text.decode(errors="replace").strip() for text, _ in fields]
            return tuple(name or f"column_{n}" for n, name in enumerate(names, start=1)), n_lines
    return None


def fields_of(record: bytes, separator: bytes) -> list[tuple[bytes, bool]] | None:
    """The fields of a record without its line end, each with whether it was quoted; None while a quote is open."""
    fields: list[tuple[bytes, bool]] = []
    at = 0
    while True:
        if record[at : at + 1] == b'"':
            text, end = _quoted(record, at + 1)
            if text is None:
                return None
            if end < len(record) and record[end : end + 1] != separator:
                raise StrayQuoteError
            fields.append((text, True))
        else:
            end = record.find(separator, at)
            end = len(record) if end < 0 else end
            fields.append((record[at:end], False))
        if end >= len(record):
            return fields
        at = end + 1


def _quoted(record: bytes, at: int) -> tuple[bytes | None, int]:
    """Text of a quoted field that begins at `at`, and the place after its closing quote."""
    parts = []
    while True:
        close = record.find(b'"', at)
        if close < 0:
            return None, at
        parts.append(record[at:close])
        if record[close + 1 : close + 2] != b'"':
            return b'"'.join(parts), close + 1
        at = close + 2


class _Lines:
    """Lines that can be put back."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._returned: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._returned.pop() if self._returned else next(self._lines)

    def put_back(self, lines: list[bytes]) -> None:
        self._returned += reversed(lines)


def records(lines: Iterator[bytes], dialect: Dialect, first_line: int = 1) -> Iterator[Record]:
    """Every record of a file; what is none comes with its reason, and reading goes on with the next line."""
    source = _Lines(lines)
    number = first_line
    for line in source:
        if is_too_long(line):
            yield Record(number, line, "too_long")
            number += 1
            continue
        if b'"' not in line:
            bare = line.rstrip(b"\r\n")
            if bare or dialect.n_columns == 1:
                yield Record(number, line, _shape(line, bare.count(dialect.separator) + 1, dialect))
            number += 1
            continue
        taken = [line]
        try:
            fields = _fields(taken, source, dialect.separator)
        except StrayQuoteError:
            source.put_back(taken[1:])
            yield Record(number, line, "quotes")
            number += 1
            continue
        data = b"".join(taken)
        reason = _shape(data, len(fields), dialect)
        yield Record(number, data if reason else _written(data, fields, dialect), reason)
        number += len(taken)


def _fields(taken: list[bytes], source: _Lines, separator: bytes) -> list[tuple[bytes, bool]]:
    """The fields of the record that begins with `taken[0]`; lines that belong to it are added to `taken`."""
    size = len(taken[0])
    while True:
        fields = fields_of(_bare(b"".join(taken)), separator)
        if fields is not None:
            return fields
        while True:  # up to a line that closes the quote
            line = next(source, None) if size <= _LONGEST_RECORD else None
            if line is None:
                raise StrayQuoteError
            taken.append(line)
            size += len(line)
            if b'"' in line and _quoted(line, 0)[0] is not None:
                break


def _bare(data: bytes) -> bytes:
    """A record without its line end, which at a file's end may be half of one."""
    return data.removesuffix(b"\n").removesuffix(b"\r")


def _shape(data: bytes, n_fields: int, dialect: Dialect) -> str | None:
    if n_fields != dialect.n_columns:
        return "too_many_fields" if n_fields > dialect.n_columns else "too_few_fields"
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return "not_utf8"
    return None


def _written(data: bytes, fields: list[tuple[bytes, bool]], dialect: Dialect) -> bytes:
    """The record as RFC 4180 writes it: unchanged, unless an unquoted field holds a quote."""
    if not any(not quoted and b'"' in text for text, quoted in fields):
        return data
    cells = [
        b'"' + (text if quoted else text.removesuffix(b"\r")).replace(b'"', b'""') + b'"'
        if quoted or b'"' in text
        else text
        for text, quoted in fields
    ]
    return dialect.separator.join(cells) + data[len(_bare(data)) :]


def is_rectangular(chunks: Iterator[bytes], dialect: Dialect) -> bool:
    """Whether quotes pair and the separators outside them are as many as full records have.

    True means that no record is short, for a file in which none is too long (which the fast reader refuses itself), and
    that the last one is not cut inside quotes (of `"1` at a file's end the fast reader makes a null). False may be a
    false alarm."""
    import numpy as np

    separators = newlines = 0
    is_inside = 0
    last = b"\n"
    for chunk in chunks:
        last = chunk[-1:]
        data = np.frombuffer(chunk, np.uint8)
        is_separator, is_newline = data == dialect.separator[0], data == 10
        if is_inside or b'"' in chunk:
            inside = np.add.accumulate((data == 34).view(np.uint8), dtype=np.uint8)
            inside = (inside + np.uint8(is_inside)) & 1
            outside = inside == 0
            is_inside = int(inside[-1])
            is_separator &= outside
            is_newline &= outside
        separators += int(np.count_nonzero(is_separator))
        newlines += int(np.count_nonzero(is_newline))
    return not is_inside and separators == (newlines + (last != b"\n")) * (dialect.n_columns - 1)
