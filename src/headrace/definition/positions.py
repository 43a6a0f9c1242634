"""Where each key of a TOML text stands: a scanner that keeps what `tomllib` throws away.

The text has already been accepted by `tomllib`, so the scanner judges nothing; a property test holds the two to the
same keys. The index is a tree shaped like the document: tables have names as children, arrays have numbers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_ESCAPED_LINE_END = re.compile(r"\\[ \t]*\n[ \t\n]*")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class Place:
    """A key (or an array's element) and what lies under it; offsets count characters of the text."""

    __slots__ = ("children", "is_table_array", "offset", "value_offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.value_offset: int | None = None
        self.children: dict[str | int, Place] = {}
        self.is_table_array = False

    def child(self, name: str | int, offset: int) -> Place:
        """The child of that name, made when it is not there yet."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = Place(offset)
        return found

    def newest(self) -> Place:
        """Where a further key goes: the last element of an array of tables, else here."""
        return self.children[len(self.children) - 1] if self.is_table_array else self


class Positions:
    """The index of one text (line ends are "\\n")."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.root = _Scanner(text).scan()

    def nearest(self, path: KeyPath) -> Place:
        """The place of `path`, or of its nearest ancestor that is written down."""
        place = self.root
        for part in path:
            child = place.children.get(part)
            if child is None:
                break
            place = child
        return place

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Both from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def offset_in_string(self, path: KeyPath, index: int) -> int:
        """Where character `index` of the string value at `path` stands in the text, escapes counted."""
        place = self.nearest(path)
        if place.value_offset is None or self._text[place.value_offset] not in "\"'":
            return place.offset
        _, offsets, end = read_string(self._text, place.value_offset)
        return offsets[index] if index < len(offsets) else end - 1


def written(path: KeyPath) -> str:
    """The key path as TOML writes it: `sources."my table".checks[0].where`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + toml_key(part)
    return text


def toml_key(name: str) -> str:
    """`name` as a TOML key, quoted when it must be."""
    return name if _BARE_KEY.fullmatch(name) else toml_string(name)


def toml_string(text: str) -> str:
    """`text` as a TOML basic string."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(plain.get(c) or (c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in text) + '"'


def read_string(text: str, start: int) -> tuple[str, Sequence[int], int]:
    """The string that begins at `start`: its value, the offset of each of its characters, and where it ends."""
    quote = text[start]
    delimiter = quote * 3 if text.startswith(quote * 3, start) else quote
    i = start + len(delimiter)
    if len(delimiter) == 3 and text.startswith("\n", i):
        i += 1
    characters: list[str] = []
    offsets: list[int] = []
    while not text.startswith(delimiter, i):
        offsets.append(i)
        if quote == '"' and text[i] == "\\":
            if line_end := _ESCAPED_LINE_END.match(text, i):
                offsets.pop()
                i = line_end.end()
                continue
            letter = text[i + 1]
            if digits := _HEX_ESCAPES.get(letter):
                characters.append(chr(int(text[i + 2 : i + 2 + digits], 16)))
                i += 2 + digits
            else:
                characters.append(_ESCAPES.get(letter, letter))
                i += 2
        else:
            characters.append(text[i])
            i += 1
    if len(delimiter) == 3:  # up to two quotes directly before the closing three belong to the text
        while text.startswith(delimiter, i + 1):
            offsets.append(i)
            characters.append(quote)
            i += 1
    return "".join(characters), offsets, i + len(delimiter)


class _Scanner:
    """One pass over a valid TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._i = 0

    def scan(self) -> Place:
        root = table = Place(0)
        while True:
            self._skip(_BLANK)
            if self._i >= len(self._text):
                return root
            if self._text[self._i] == "[":
                table = self._header(root)
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._i)
        if match is not None:
            self._i = match.end()

    def _header(self, root: Place) -> Place:
        brackets = 2 if self._text.startswith("[[", self._i) else 1
        self._i += brackets
        *parents, (name, offset) = self._key()
        self._i += brackets
        place = _descend(root, parents)
        if brackets == 1:
            table = place.child(name, offset)
            table.offset = offset  # the header itself, not the first mention by a table inside it
            return table
        array = place.child(name, offset)
        array.is_table_array = True
        return array.child(len(array.children), offset)

    def _pair(self, table: Place) -> None:
        *parents, (name, offset) = self._key()
        place = _descend(table, parents).child(name, offset)
        self._i += 1  # the equals sign
        self._skip(_SPACE)
        self._value(place)

    def _key(self) -> list[tuple[str, int]]:
        parts: list[tuple[str, int]] = []
        while True:
            self._skip(_SPACE)
            start = self._i
            if self._text[start] in "\"'":
                name, _, self._i = read_string(self._text, start)
            else:
                self._skip(_BARE_KEY)
                name = self._text[start : self._i]
            parts.append((name, start))
            self._skip(_SPACE)
            if self._text[self._i] != ".":
                return parts
            self._i += 1

    def _value(self, place: Place) -> None:
        place.value_offset = self._i
        first = self._text[self._i]
        if first in "\"'":
            _, _, self._i = read_string(self._text, self._i)
        elif first == "[":
            self._items(place, "]")
        elif first == "{":
            self._items(place, "}")
        else:
            self._skip(_BARE_VALUE)

    def _items(self, place: Place, closing: str) -> None:
        self._i += 1
        while True:
            self._skip(_BLANK)
            if self._text[self._i] == closing:
                self._i += 1
                return
            if closing == "]":
                self._value(place.child(len(place.children), self._i))
            else:
                self._pair(place)
            self._skip(_BLANK)
            if self._text[self._i] == ",":
                self._i += 1


def _descend(place: Place, parents: Sequence[tuple[str, int]]) -> Place:
    for name, offset in parents:
        place = place.child(name, offset).newest()
    return place
