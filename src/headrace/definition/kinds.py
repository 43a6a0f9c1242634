"""Kinds of value: each reads one from TOML, filing what is wrong, and says the same as JSON Schema.

The grammar is a table of keys and kinds; the walker and the schema that editors complete from are these two methods.
A `read` that finds a mistake notes it at its cursor and gives None.

They are structs, as are the trees of `headrace.language`: Python writes and compiles the methods of a dataclass
whenever it is loaded, 0.7 ms for each, which every command and every server would wait for.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from headrace.definition.document import At, listed, shown, suggestion
from headrace.definition.not_yet import not_yet
from headrace.definition.quantities import MONEY_PATTERN, Amounts, Money, parse_money

JsonSchema: TypeAlias = dict[str, Any]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"


class Kind(Protocol[T_co]):
    """One kind of value."""

    def read(self, value: object, at: At) -> T_co | None:
        """The value as ours, or None after noting at `at` what is wrong."""
        ...

    def schema(self) -> JsonSchema:
        """What an editor may know of it."""
        ...


class Text(msgspec.Struct, frozen=True):
    """A text, not empty, perhaps of a given form."""

    expected: str = "a text"
    example: str = "…"
    pattern: str | None = None
    may_be_empty: bool = False

    def read(self, value: object, at: At) -> str | None:
        fix = f'write {at.path[-1]} = "{self.example}"' if isinstance(at.path[-1], str) else f'write "{self.example}"'
        if not isinstance(value, str):
            at.wrong_type(value, expected=self.expected, fix=fix)
            return None
        if (
            (not value and not self.may_be_empty)
            or (self.pattern and not re.search(self.pattern, value))
            or "\0" in value
        ):
            at.wrong("the text does not have the form wanted", expected=self.expected, found=shown(value), fix=fix)
            return None
        return value

    def schema(self) -> JsonSchema:
        form: JsonSchema = {"pattern": self.pattern} if self.pattern else {} if self.may_be_empty else {"minLength": 1}
        return {"type": "string", **form}


class Choice(msgspec.Struct, frozen=True):
    """One of a few words."""

    options: tuple[str, ...]
    meant: Mapping[str, str] | None = None
    """What other systems call an option → what it is called here."""
    also: tuple[str, str] | None = None
    """A regular expression of what is taken besides, and what it is called."""

    def read(self, value: object, at: At) -> str | None:
        expected = listed(self.options).replace("`", '"')
        if self.also is not None:
            expected = f"{expected}, or {self.also[1]}"
        if not isinstance(value, str):
            at.wrong_type(value, expected=expected, fix=f'write "{self.options[0]}" or another of these')
            return None
        if value in self.options or (self.also is not None and re.fullmatch(self.also[0], value)):
            return value
        if line := not_yet(at.path, value):
            at.not_available(line, expected)
            return None
        guess = (self.meant or {}).get(value.casefold()) or suggestion(value, self.options)
        fix = f'did you mean "{guess}"?' if guess else "use one of the expected words"
        at.wrong("this is not one of the words allowed here", expected=expected, found=shown(value), fix=fix)
        return None

    def schema(self) -> JsonSchema:
        words: JsonSchema = {"enum": list(self.options)}
        return words if self.also is None else {"anyOf": [words, {"type": "string", "pattern": f"^({self.also[0]})$"}]}


class Number(msgspec.Struct, frozen=True):
    """A number within bounds."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive: bool = False
    """Whether the bounds themselves are out."""
    whole: bool = False

    def read(self, value: object, at: At) -> Any:
        expected = self._expected()
        if isinstance(value, bool) or not isinstance(value, int | float) or (self.whole and isinstance(value, float)):
            at.wrong_type(value, expected=expected, fix=self._fix(value))
            return None
        try:
            number = value if self.whole else float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not self._within(number):
            at.wrong(
                "the number is out of bounds", expected=expected, found=shown(value), fix="write a number within them"
            )
            return None
        return number

    def _within(self, number: float) -> bool:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return low < number < high if self.exclusive else low <= number <= high

    def _expected(self) -> str:
        text = "a whole number" if self.whole else "a number"
        low, high = ("above", "below") if self.exclusive else ("from", "up to")
        bounds = [f"{low} {self.minimum:g}"] if self.minimum is not None else []
        bounds += [f"{high} {self.maximum:g}"] if self.maximum is not None else []
        return f"{text} {' and '.join(bounds)}".rstrip()

    def _fix(self, value: object) -> str:
        if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%", value)):
            return f"a share is written as a number: {float(match[1]) / 100:g}"
        return "write the number alone, without quotes" if isinstance(value, str) else f"write {self._expected()}"

    def schema(self) -> JsonSchema:
        names = ("exclusiveMinimum", "exclusiveMaximum") if self.exclusive else ("minimum", "maximum")
        bounds = {name: b for name, b in zip(names, (self.minimum, self.maximum), strict=True) if b is not None}
        return {"type": "integer" if self.whole else "number", **bounds}


class YesNo(msgspec.Struct, frozen=True):
    """True or false."""

    def read(self, value: object, at: At) -> bool | None:
        if not isinstance(value, bool):
            at.wrong_type(value, expected="true or false", fix="write true or false, without quotes")
            return None
        return value

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


class Bound(msgspec.Struct, frozen=True):
    """A number, or an instant: a date or time of TOML, or its ISO 8601 text, which is what it is kept as."""

    def read(self, value: object, at: At) -> float | str | None:
        if isinstance(value, dt.date):  # a datetime is one as well
            return value.isoformat()
        if not isinstance(value, str):
            return Number().read(value, at)  # type: ignore[no-any-return]  # a float or None
        if instant_of(value) is None:
            at.wrong(
                "the bound cannot be read",
                expected="a number, a date or a time",
                found=shown(value),
                fix='for example 0, "2026-01-31" or "2026-01-31T05:00:00Z"',
            )
            return None
        return value

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"}]}


def instant_of(text: str) -> dt.datetime | None:
    """The instant that an ISO 8601 text means, in UTC where it has no offset; None where it means none."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found


class Scalar(msgspec.Struct, frozen=True):
    """A text, a number, true or false; a date or time of TOML is kept as its ISO 8601 text."""

    def read(self, value: object, at: At) -> float | str | bool | None:
        if isinstance(value, dt.date):
            return value.isoformat()
        if isinstance(value, bool | str):
            return value
        return Number().read(value, at)  # type: ignore[no-any-return]  # a float or None

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}


class Quantity(msgspec.Struct, Generic[T], frozen=True):
    """An amount written as text, such as a duration."""

    parse: Callable[[str], T | None]
    pattern: str
    expected: str
    example: str
    refused: tuple[tuple[str, str], ...] = ()
    """Forms not available yet: (pattern, the value by which `not_yet` knows it)."""

    def read(self, value: object, at: At) -> T | None:
        fix = f'for example "{self.example}"'
        if not isinstance(value, str):
            at.wrong_type(value, expected=self.expected, fix=fix)
            return None
        parsed = self.parse(value)
        if parsed is not None:
            return parsed
        for pattern, name in self.refused:
            if re.search(pattern, value) and (line := not_yet(at.path, name)):
                at.not_available(line, self.expected)
                return None
        at.wrong("the amount cannot be read", expected=self.expected, found=shown(value), fix=fix)
        return None

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": self.pattern, "examples": [self.example]}


class MoneyAmount(msgspec.Struct, frozen=True):
    """An amount of money."""

    def read(self, value: object, at: At) -> Money | None:
        expected = 'an amount above zero and its currency, such as "4 USD"'
        if not isinstance(value, str):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fix = f'say in which currency: "{value} USD"' if number else 'for example "4 USD"'
            at.wrong_type(value, expected=expected, fix=fix)
            return None
        money = parse_money(value)
        if money is None:
            at.wrong("the amount cannot be read", expected=expected, found=shown(value), fix='for example "4 USD"')
        return money

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": MONEY_PATTERN, "examples": ["4 USD"]}


class MoneyOrColumn(msgspec.Struct, frozen=True):
    """An amount of money, or the column in which each row says its own."""

    def read(self, value: object, at: At) -> Money | Amounts | None:
        if isinstance(value, str) and re.fullmatch(IDENTIFIER, value):
            return Amounts(value)
        if not isinstance(value, dict):
            return MoneyAmount().read(value, at)
        column, currency = value.get("column"), value.get("currency")
        wrong = [key for key in value if key not in ("column", "currency")]
        right = isinstance(column, str) and column and (currency is None or re.fullmatch("[A-Z]{3}", str(currency)))
        if wrong or not right:
            at.wrong(
                "the amounts of a column cannot be read",
                expected='a column and, at will, its currency: { column = "amount", currency = "USD" }',
                found=f"the keys {', '.join(map(str, value)) or 'none'}",
                fix='write { column = "amount", currency = "USD" }',
            )
            return None
        return Amounts(str(column), currency)

    def schema(self) -> JsonSchema:
        table = {
            "type": "object",
            "properties": {"column": {"type": "string"}, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}},
            "required": ["column"],
            "additionalProperties": False,
        }
        return {"anyOf": [MoneyAmount().schema(), {"type": "string", "pattern": IDENTIFIER}, table]}


class ListOf(msgspec.Struct, Generic[T], frozen=True):
    """An array without repeats; where one is the common case, a single value may stand alone."""

    item: Kind[T]
    what: str
    """What it lists, in the plural."""
    one_allowed: bool = False
    may_be_empty: bool = False
    unique: bool = True

    def read(self, value: object, at: At) -> tuple[T, ...] | None:
        if self.one_allowed and not isinstance(value, list):
            single = self.item.read(value, at)
            return None if single is None else (single,)
        if not isinstance(value, list):
            fix = f"write {at.path[-1]} = [{shown(value)}]" if isinstance(value, str) else "write an array: […]"
            at.wrong_type(value, expected=f"an array of {self.what}", fix=fix)
            return None
        if not value and not self.may_be_empty:
            at.wrong("the array is empty", expected=f"{self.what}", found="[]", fix="name at least one")
            return None
        items = [self.item.read(item, at.key(i)) for i, item in enumerate(value)]
        for i in _repeats(items) if self.unique else ():
            at.key(i).wrong(
                "named twice",
                expected=f"{self.what}, each once",
                found=shown(value[i]),
                fix="take one out",
                code="duplicate",
            )
        return None if at.is_broken else tuple(item for item in items if item is not None)

    def schema(self) -> JsonSchema:
        array: JsonSchema = {"type": "array", "items": self.item.schema()}
        array |= {} if self.may_be_empty else {"minItems": 1}
        array |= {"uniqueItems": True} if self.unique else {}
        return {"anyOf": [self.item.schema(), array]} if self.one_allowed else array


def _repeats(items: Sequence[object]) -> list[int]:
    seen: set[object] = set()
    repeats = []
    for i, item in enumerate(items):
        if item is not None and item in seen:
            repeats.append(i)
        seen.add(item)
    return repeats


class MapOf(msgspec.Struct, Generic[T], frozen=True):
    """A table whose keys are names that the user gives: pairs, as written. Broken entries are left out."""

    item: Kind[T]
    what: str
    """What one entry is."""
    name_pattern: str | None = None
    name_expected: str = "a name"

    def read(self, value: object, at: At) -> tuple[tuple[str, T], ...] | None:
        if not isinstance(value, dict):
            at.wrong_type(
                value, expected=f"a table: one key for each {self.what}", fix=f"write {at.path[-1]} = {{ name = … }}"
            )
            return None
        pairs: list[tuple[str, T]] = []
        for name, item in value.items():
            inner = at.key(name)
            if not name or "\0" in name or (self.name_pattern and not re.search(self.name_pattern, name)):
                fix = f"write {self.name_expected}"
                inner.wrong(
                    f"the name of a {self.what} has a form", expected=self.name_expected, found=shown(name), fix=fix
                )
                continue
            read = self.item.read(item, inner)
            if read is not None:
                pairs.append((name, read))
        return tuple(pairs)

    def schema(self) -> JsonSchema:
        names: JsonSchema = {"propertyNames": {"pattern": self.name_pattern}} if self.name_pattern else {}
        return {"type": "object", **names, "additionalProperties": self.item.schema()}


class ColumnPairs(msgspec.Struct, frozen=True):
    """Columns of the one side and the other: `["a"]` when both are called the same, else `{ here = "there" }`."""

    def read(self, value: object, at: At) -> tuple[tuple[str, str], ...] | None:
        if isinstance(value, dict):
            if not value:
                at.wrong("the table is empty", expected="at least one pair", found="{}", fix='{ here = "there" }')
                return None
            pairs = MapOf(COLUMN, "key column").read(value, at)
            return None if at.is_broken else pairs
        if not isinstance(value, str | list):
            at.wrong_type(value, expected='["column"] or { here = "there" }', fix='write key = ["column"]')
            return None
        names = ListOf(COLUMN, "columns", one_allowed=True).read(value, at)
        return None if names is None else tuple((name, name) for name in names)

    def schema(self) -> JsonSchema:
        table: JsonSchema = {"type": "object", "minProperties": 1, "additionalProperties": COLUMN.schema()}
        return {"anyOf": [*ListOf(COLUMN, "columns", one_allowed=True).schema()["anyOf"], table]}


COLUMN = Text("the name of a column", example="distance")


class Key(msgspec.Struct, frozen=True):
    """One key of a section."""

    name: str
    kind: Kind[Any]
    doc: str
    required: bool = False
    fix: str = ""
    """What to write when a required key is missing."""
    default: Any = None
    """What holds when it is left out, for the schema; None when that is nothing or depends on other keys."""


class Fields(msgspec.Struct, frozen=True):
    """The values of a section that were read without a mistake, and where it stands."""

    at: At
    values: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key, or `default` when it is left out or broken."""
        return self.values.get(name, default)

    def only(self, *names: str) -> dict[str, Any]:
        """Those of `names` that are there: arguments of a Struct that has their defaults."""
        return {name: self.values[name] for name in names if name in self.values}


class Section(msgspec.Struct, frozen=True):
    """A table with known keys."""

    doc: str
    keys: tuple[Key, ...]
    one_of: tuple[str, ...] = ()
    """Keys of which one must be there; the first is asked for."""

    def read(self, value: object, at: At) -> Fields | None:
        if not isinstance(value, dict):
            at.wrong_type(
                value, expected=f"a table with {listed(k.name for k in self.keys)}", fix="write it as a table"
            )
            return None
        by_name = {key.name: key for key in self.keys}
        values: dict[str, Any] = {}
        for name, item in value.items():
            key = by_name.get(name)
            if key is None:
                at.key(name).unknown_key(by_name)
                continue
            read = key.kind.read(item, at.key(name))
            if read is not None:
                values[name] = read
        for key in self.keys:
            if key.required and key.name not in value and not at.key(key.name).is_broken:
                at.missing(key.name, expected=key.doc.rstrip("."), fix=key.fix)
        if self.one_of and not any(name in value or at.key(name).is_broken for name in self.one_of):
            key = by_name[self.one_of[0]]
            at.missing(key.name, expected=key.doc.rstrip("."), fix=key.fix)
        return Fields(at, values)

    def schema(self) -> JsonSchema:
        properties = {}
        for key in self.keys:
            default = {} if key.default is None else {"default": key.default}
            properties[key.name] = {**key.kind.schema(), "description": key.doc, **default}
        required = [key.name for key in self.keys if key.required]
        schema: JsonSchema = {"type": "object", "description": self.doc, "properties": properties}
        schema |= {"required": required} if required else {}
        schema |= {"anyOf": [{"required": [name]} for name in self.one_of]} if self.one_of else {}
        return schema | {"additionalProperties": False}


class TextOrTable(msgspec.Struct, frozen=True):
    """A value with a short form (mostly one text) and a long one (a table)."""

    text: Kind[Any]
    table: Section

    def read(self, value: object, at: At) -> Any:
        return self.table.read(value, at) if isinstance(value, dict) else self.text.read(value, at)

    def schema(self) -> JsonSchema:
        return {"anyOf": [self.text.schema(), self.table.schema()]}


class TextOrMap(msgspec.Struct, Generic[T], frozen=True):
    """One text, or a table whose keys are names that the user gives."""

    text: Kind[str]
    table: MapOf[T]

    def read(self, value: object, at: At) -> str | tuple[tuple[str, T], ...] | None:
        return self.table.read(value, at) if isinstance(value, dict) else self.text.read(value, at)

    def schema(self) -> JsonSchema:
        return {"anyOf": [self.text.schema(), self.table.schema()]}


class NumberOrWord(msgspec.Struct, frozen=True):
    """A number, or the one word that stands in its place."""

    number: Number
    word: str

    def read(self, value: object, at: At) -> float | str | None:
        if value == self.word:
            return self.word
        number: float | None = self.number.read(value, at)
        return number

    def schema(self) -> JsonSchema:
        return {"anyOf": [self.number.schema(), {"const": self.word}]}


class TextOrNumber(msgspec.Struct, frozen=True):
    """A name, or a number from 1."""

    expected: str
    example: str

    def read(self, value: object, at: At) -> str | int | None:
        if isinstance(value, int):
            number: int | None = Number(minimum=1, whole=True).read(value, at)
            return number
        return Text(self.expected, self.example).read(value, at)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}]}
