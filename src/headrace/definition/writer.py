"""The definition that `headrace init` writes: small, commented, and read back without a mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from headrace.definition.build import name_from
from headrace.definition.expressions import columns_of
from headrace.definition.locations import format_of
from headrace.definition.lock import LockedColumn
from headrace.definition.positions import toml_key, toml_string
from headrace.language.types import Type

_WIDEST_ENTRY = 60


class FirstSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source that `init` was given."""

    name: str
    """Made one that a source may have, as `source_names` does."""
    read: tuple[str, ...]
    columns: Mapping[str, LockedColumn]
    """As read, with the evidence for each type."""
    unique: tuple[str, ...] = ()
    """Columns that were found to tell its rows apart."""
    format: str | None = None
    """Needed when the addresses do not tell it."""
    query: str | None = None
    """Of a database."""


def first_definition(
    project_name: str, sources: Sequence[FirstSource], label: str | None, request: Sequence[str]
) -> str:
    """The text of a first `headrace.toml`.

    Parameters
    ----------
    project_name
        Characters that a name may not hold become "-".
    sources
        At least one; the first is the one whose rows are predicted.
    label
        An expression over the first source's columns; None leaves a place for it.
    request
        The columns that a request carries; empty: all of the first source's but the label's and `unique`. Columns of
        the label, and those whose names begin with "_", are left out in any case.

    Raises
    ------
    ExpressionError : the label cannot be read, or uses a column that the first source does not have.
    """
    names = source_names([source.name for source in sources])
    first = sources[0]
    carried = _carried(first, label, request)
    lines = [
        "# A first definition, written by `headrace init`. Its types were inferred: the evidence stands behind each.",
        "format = 1",
        "",
        "[project]",
        f"name = {toml_string(name_from(project_name) or 'project')}",
        *([f"source = {toml_string(names[0])}"] if len(sources) > 1 else []),
        *_key_lines(first),
        *_label_lines(label),
        *_time_lines(first),
        *_request_lines(carried),
    ]
    for name, source in zip(names, sources, strict=True):
        lines += ["", *_source_lines(name, source)]
    lines += ["", "[training]", 'budget = "60s"  # of wall clock; "60 trials" makes runs byte-equal', ""]
    return "\n".join(lines)


def source_names(names: Sequence[str]) -> list[str]:
    """Names that sources may have, made from file names or whatever is at hand, each of them different.

    >>> source_names(["flights-2013", "2014", "flights 2013"])
    ['flights_2013', 'source_2014', 'flights_2013_2']
    """
    taken: list[str] = []
    for name in names:
        made = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        made = candidate = made if re.match(r"[A-Za-z]", made) else f"source_{made}".rstrip("_")
        number = 1
        while candidate in taken:
            number += 1
            candidate = f"{made}_{number}"
        taken.append(candidate)
    return taken


def _carried(first: FirstSource, label: str | None, request: Sequence[str]) -> list[str]:
    of_label = frozenset() if label is None else _label_columns(label, first)
    wanted = request or [name for name in first.columns if name not in first.unique]
    return [name for name in dict.fromkeys(wanted) if name not in of_label and _is_usable(name) and name[0] != "_"]


def _label_columns(label: str, first: FirstSource) -> frozenset[str]:
    from headrace.language.parse import parse  # loads the SQL parser

    parse(label, {name: column.type for name, column in first.columns.items()})
    return columns_of(label)


def _key_lines(first: FirstSource) -> list[str]:
    if not first.unique or not all(_is_usable(name) and name[0] != "_" for name in first.unique):
        return []
    return [f"key = [{', '.join(map(toml_string, first.unique))}]  # what one row is about"]


def _label_lines(label: str | None) -> list[str]:
    if label is not None:
        return [f"label = {toml_string(label)}"]
    return ['# label = "…"  # what to predict: a column, or an expression such as "arr_delay > 30"']


def _time_lines(first: FirstSource) -> list[str]:
    times = [name for name, column in first.columns.items() if column.type is Type.TIMESTAMP and _is_usable(name)]
    if not times:
        return []
    return [f"# time = {toml_string(times[0])}  # when a prediction is asked for: what came before it is the past"]


def _request_lines(carried: Sequence[str]) -> list[str]:
    if not carried:
        return []
    return [
        "# Keep only what is known when a prediction is asked for: a column that is known later makes the model look",
        "# better than it will be.",
        "request = [",
        *(f"  {toml_string(name)}," for name in carried),
        "]",
    ]


def _source_lines(name: str, source: FirstSource) -> list[str]:
    addresses = [toml_string(address) for address in source.read]
    lines = [f"[sources.{name}]", f"read = {addresses[0] if len(addresses) == 1 else '[' + ', '.join(addresses) + ']'}"]
    if source.format is not None and {format_of(address) for address in source.read} != {source.format}:
        lines.append(f"format = {toml_string(source.format)}")
    if source.query is not None:
        lines.append(f"query = {toml_string(source.query)}")
    unique = [column for column in source.unique if _is_usable(column)]
    if unique:
        lines.append(f"unique = [{', '.join(map(toml_string, unique))}]  # no two rows were found to be equal in it")
    entries = [
        (f"{toml_key(column)} = {{ type = {toml_string(locked.type)} }}", _one_line(locked.evidence))
        for column, locked in source.columns.items()
        if _is_usable(column)
    ]
    if not entries:
        return lines
    width = min(_WIDEST_ENTRY, max(len(entry) for entry, _ in entries))
    return [*lines, f"[sources.{name}.columns]", *(f"{entry:<{width}}  # {why}" for entry, why in entries)]


def _is_usable(column: str) -> bool:
    """Whether a definition can name the column: not without a name."""
    return bool(column) and "\0" not in column


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
