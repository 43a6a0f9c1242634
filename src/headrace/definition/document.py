"""A TOML file being read: its text, its places, and the mistakes found so far."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.definition.errors import DefinitionErrors, Mistake
from headrace.definition.not_yet import NotYet, not_yet
from headrace.definition.positions import KeyPath, Positions, written
from headrace.definition.secrets import redact

MAX_BYTES = 1 << 20
_SHOWN = 80


@dataclass(slots=True)
class Document:
    """A parsed file. Checks add to `mistakes`; the reader raises them together at the end."""

    file: Path
    table: Mapping[str, object]
    positions: Positions
    mistakes: list[Mistake] = field(default_factory=list)
    _broken: set[KeyPath] = field(default_factory=set)

    def at(self, *path: str | int) -> At:
        """A cursor."""
        return At(self, path)

    def has(self, *path: str) -> bool:
        """Whether the file has that key."""
        value: object = self.table
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    def is_broken(self, *path: str | int) -> bool:
        """Whether a mistake was found at that key or under it: what rests on it is then not judged."""
        return path in self._broken

    def add(self, mistake: Mistake, path: KeyPath) -> None:
        """Note a mistake."""
        self.mistakes.append(mistake)
        self.mark_broken(path)

    def mark_broken(self, path: KeyPath) -> None:
        """Note that what should stand at `path` is not known, so that nothing is said of its absence."""
        self._broken.update(path[:end] for end in range(len(path) + 1))


@dataclass(frozen=True, slots=True)
class At:
    """A key path of a document: where a check looks, and what its mistakes are filed under."""

    document: Document
    path: KeyPath

    def key(self, *names: str | int) -> At:
        """A cursor further in."""
        return At(self.document, self.path + names)

    def item(self, index: int) -> At:
        """A cursor to an array's element; here itself when a single value stands for an array of one."""
        return self.key(index) if index in self.document.positions.nearest(self.path).children else self

    @property
    def is_broken(self) -> bool:
        """Whether a mistake was found here or below."""
        return self.document.is_broken(*self.path)

    def wrong(
        self,
        message: str,
        *,
        expected: str,
        found: str,
        fix: str,
        code: str = "wrong-value",
        character: int | None = None,
    ) -> None:
        """Note a mistake here; `character` points into the text that stands here as a value."""
        positions = self.document.positions
        if character is None:
            offset = positions.nearest(self.path).offset
        else:
            offset = positions.offset_in_string(self.path, character)
        line, column = positions.line_and_column(offset)
        mistake = Mistake(
            code=code,
            file=self.document.file.name,
            line=line,
            column=column,
            key=written(self.path),
            message=redact(message),
            expected=expected,
            found=redact(found),
            fix=fix,
        )
        self.document.add(mistake, self.path)

    def wrong_type(self, value: object, *, expected: str, fix: str) -> None:
        """Note that TOML's type is not the one wanted."""
        self.wrong("the value has the wrong type", expected=expected, found=shown(value), fix=fix, code="wrong-type")

    def missing(self, name: str, *, expected: str, fix: str) -> None:
        """Note that a key that must be under this one is not."""
        self.key(name).wrong(
            f"the key `{name}` is missing", expected=expected, found="nothing", fix=fix, code="missing-key"
        )

    def unknown_key(self, known: Iterable[str]) -> None:
        """Note that the key of this cursor is none of `known`."""
        name, known = str(self.path[-1]), sorted(known)
        if line := not_yet(self.path):
            self.not_available(line, listed(known))
            return
        guess = suggestion(name, known)
        fix = f"did you mean `{guess}`?" if guess else "take it out, or use one of the expected keys"
        self.wrong(
            f"there is no key `{name}` here", expected=listed(known), found=f"`{name}`", fix=fix, code="unknown-key"
        )
        if guess:
            self.document.mark_broken((*self.path[:-1], guess))

    def not_available(self, line: NotYet, expected: str) -> None:
        """Refuse a part of the language that is not built."""
        found = f"`{self.path[-1]}`" if line.value is None else f'"{line.value}"'
        message = "not available in this version" + (f": {line.reason}" if line.reason else "")
        self.wrong(message, expected=expected, found=found, fix=line.fix, code="not-available")


def load(file: Path) -> Document:
    """Read and parse a TOML file.

    Raises
    ------
    DefinitionErrors : with the one mistake that keeps the file from being read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, found=error.strerror or "an error", expected="a file that can be read") from None
    if len(data) > MAX_BYTES:
        raise _unreadable(file, found=f"{len(data):,} bytes", expected=f"at most {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace").replace("\r\n", "\n")
        raise _no_toml(file, before, len(before), f"byte 0x{data[error.start]:02x} is not UTF-8") from None
    try:
        table = tomllib.loads(text)
        positions = Positions(text)
    except RecursionError:
        raise _no_toml(file, text, 0, "values are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of an integer
        message, offset = _located(str(error), text)
        raise _no_toml(file, text, offset, message) from None
    return Document(file, table, positions)


def _unreadable(file: Path, *, found: str, expected: str) -> DefinitionErrors:
    mistake = Mistake(
        code="unreadable",
        file=file.name,
        line=1,
        column=1,
        key="",
        message="the file cannot be read",
        expected=expected,
        found=found,
        fix="name a headrace.toml that this user may read",
    )
    return DefinitionErrors([mistake])


def _no_toml(file: Path, text: str, offset: int, message: str) -> DefinitionErrors:
    start = text.rfind("\n", 0, offset) + 1
    line_text = redact(text[start:].partition("\n")[0])
    line, column = text.count("\n", 0, start) + 1, offset - start + 1
    mistake = Mistake(
        code="syntax",
        file=file.name,
        line=line,
        column=column,
        key="",
        message=f"this is not TOML: {message}",
        expected="TOML, as https://toml.io describes it",
        found=shown(line_text)[1:-1] or "an empty line",
        fix=f"correct line {line}, column {column}",
    )
    return DefinitionErrors([mistake])


def _located(message: str, text: str) -> tuple[str, int]:
    """tomllib's message without its place, and the place as an offset."""
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if match is None:
        digits = re.search(r"[0-9_]{4000,}", text)
        return "a number has too many digits", digits.start() if digits else 0
    if match[1] is None:
        return f"{message[: match.start()]} at the end", len(text.rstrip("\n"))
    start = 0
    for _ in range(int(match[1]) - 1):
        start = text.index("\n", start) + 1
    return message[: match.start()], start + int(match[2]) - 1


def shown(value: object) -> str:
    """What stands in the file, short, for `found`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = redact(value).replace("\n", "\\n")
        return f'"{text if len(text) <= _SHOWN else text[:_SHOWN] + "…"}"'
    if isinstance(value, int | float):
        return repr(value) if abs(value) < 1e18 else f"{value:.3e}" if isinstance(value, float) else "a huge number"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    return "a date or time"


def listed(names: Iterable[str]) -> str:
    """Names for `expected`: `a`, `b` or `c`."""
    *most, last = [f"`{name}`" for name in names] or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was probably meant to be."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.65)
    return by_folded[close[0]] if close else None
