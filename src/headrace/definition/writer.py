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


class FirstRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition asks of a column beside its type."""

    entries: tuple[tuple[str, str], ...] = ()
    """Key, and its value as TOML writes it."""
    evidence: str = ""


class FirstReference(msgspec.Struct, frozen=True, kw_only=True):
    """A column whose values are those of another source's column."""

    column: str
    source: str
    key: str
    evidence: str


class FirstLookup(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of another source, by its key."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    """(column here, column there)."""
    take: tuple[str, ...]
    evidence: str


class FirstExpression(msgspec.Struct, frozen=True, kw_only=True):
    """A feature made of the request."""

    name: str
    text: str
    evidence: str


class FirstPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of the prediction and its features."""

    label_evidence: str = ""
    """Why the label is one, when nobody named it."""
    time: str | None = None
    time_evidence: str = ""
    """Of `time`; without one, why there is none."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Columns that the request does not carry, and why."""
    lookups: tuple[FirstLookup, ...] = ()
    expressions: tuple[FirstExpression, ...] = ()
    drop: tuple[tuple[str, str], ...] = ()
    """Columns that are no inputs of the model themselves, and why."""


class FirstSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source that `init` was given."""

    name: str
    """Made one that a source may have, as `source_names` does."""
    read: tuple[str, ...]
    columns: Mapping[str, LockedColumn]
    """As read, with the evidence for each type."""
    unique: tuple[str, ...] = ()
    """Columns that were found to tell its rows apart."""
    unique_evidence: str = ""
    is_cut: bool = False
    """Whether there are rows that were not looked at: then `unique` is no more than a hint."""
    event_time: str | None = None
    event_time_evidence: str = ""
    """Of `event_time`; without one, why there is none."""
    rules: Mapping[str, FirstRule] = {}
    references: tuple[FirstReference, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of the source as a whole."""
    separator: str | None = None
    format: str | None = None
    """Needed when the addresses do not tell it."""
    query: str | None = None
    """Of a database."""


def first_definition(
    project_name: str,
    sources: Sequence[FirstSource],
    label: str | None,
    request: Sequence[str],
    plan: FirstPlan = FirstPlan(),  # noqa: B008 - it cannot be changed
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
    plan
        Its names are those of the sources and their columns.

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
        *_label_lines(label, plan),
        *_time_lines(first, plan),
        *_request_lines(carried, plan),
    ]
    for name, source in zip(names, sources, strict=True):
        lines += ["", *_source_lines(name, source)]
    lines += _feature_lines(plan)
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


def _label_lines(label: str | None, plan: FirstPlan) -> list[str]:
    if label is not None:
        why = f"  # {_one_line(plan.label_evidence)}" if plan.label_evidence else ""
        return [f"label = {toml_string(label)}{why}"]
    return ['# label = "…"  # what to predict: a column, or an expression such as "arr_delay > 30"']


def _time_lines(first: FirstSource, plan: FirstPlan) -> list[str]:
    if plan.time is not None:
        return [
            "# When a prediction is asked for; what came before it is the past.",
            f"time = {toml_string(plan.time)}  # {_one_line(plan.time_evidence)}",
            "# No table tells when its values become known. Say it with `known` on the label's columns: then no model",
            "# learns from a label that nobody had yet.",
        ]
    times = [name for name, column in first.columns.items() if column.type is Type.TIMESTAMP and _is_usable(name)]
    why = [f"# No time is proposed: {_one_line(plan.time_evidence)}."] if plan.time_evidence else []
    if not times:
        return why
    hint = f"# time = {toml_string(times[0])}  # when a prediction is asked for: what came before it is the past"
    return [*why, hint]


def _request_lines(carried: Sequence[str], plan: FirstPlan) -> list[str]:
    left_out = [f"# left out: {_one_line(name)}: {_one_line(why)}" for name, why in plan.left_out]
    if not carried:
        return left_out
    return [
        "# Keep only what is known when a prediction is asked for: a column that is known later makes the model look",
        "# better than it will be.",
        *left_out,
        "request = [",
        *(f"  {toml_string(name)}," for name in carried),
        "]",
    ]


def _source_lines(name: str, source: FirstSource) -> list[str]:
    addresses = [toml_string(address) for address in source.read]
    lines = [f"[sources.{name}]", *(f"# {_one_line(note)}" for note in source.notes)]
    lines.append(f"read = {addresses[0] if len(addresses) == 1 else '[' + ', '.join(addresses) + ']'}")
    if source.format is not None and {format_of(address) for address in source.read} != {source.format}:
        lines.append(f"format = {toml_string(source.format)}")
    if source.separator is not None:
        lines.append(f"separator = {toml_string(source.separator)}")
    if source.query is not None:
        lines.append(f"query = {toml_string(source.query)}")
    if source.event_time is not None and _is_usable(source.event_time):
        lines.append(f"event_time = {toml_string(source.event_time)}  # {_one_line(source.event_time_evidence)}")
    elif source.event_time_evidence:
        lines.append(f"# No event_time is proposed: {_one_line(source.event_time_evidence)}.")
    unique = [column for column in source.unique if _is_usable(column)]
    if unique:
        why = source.unique_evidence or "no two rows were found to be equal in it"
        hint = "# " if source.is_cut else ""
        lines.append(f"{hint}unique = [{', '.join(map(toml_string, unique))}]  # {_one_line(why)}")
    return [*lines, *_column_lines(name, source), *_reference_lines(name, source)]


def _column_lines(name: str, source: FirstSource) -> list[str]:
    entries = []
    for column, locked in source.columns.items():
        if _is_usable(column):
            rule = source.rules.get(column, FirstRule())
            keys = [("type", toml_string(locked.type)), *rule.entries]
            text = ", ".join(f"{key} = {value}" for key, value in keys)
            why = "; ".join(part for part in (locked.evidence, rule.evidence) if part)
            entries.append((f"{toml_key(column)} = {{ {text} }}", _one_line(why)))
    if not entries:
        return []
    width = min(_WIDEST_ENTRY, max(len(entry) for entry, _ in entries))
    return [f"[sources.{name}.columns]", *(f"{entry:<{width}}  # {why}" for entry, why in entries)]


def _reference_lines(name: str, source: FirstSource) -> list[str]:
    lines: list[str] = []
    for n, one in enumerate(source.references, start=1):
        there = toml_string(f"{one.source}.{one.key}")
        lines += [
            f"[[sources.{name}.checks]]",
            f"name = {toml_string(f'known_{one.source}_{n}')}",
            f"foreign_key = {{ {toml_key(one.column)} = {there} }}  # {_one_line(one.evidence)}",
        ]
    return lines


def _feature_lines(plan: FirstPlan) -> list[str]:
    lines: list[str] = []
    if plan.drop:
        lines += ["", "[features]", *(f"# {_one_line(name)}: {_one_line(why)}" for name, why in plan.drop)]
        lines.append(f"drop = [{', '.join(toml_string(name) for name, _ in plan.drop)}]")
    if plan.expressions:
        lines += ["", "[features.expressions]"]
        lines += [
            f"{toml_key(one.name)} = {toml_string(one.text)}  # {_one_line(one.evidence)}" for one in plan.expressions
        ]
    for one in plan.lookups:
        pairs = ", ".join(f"{toml_key(here)} = {toml_string(there)}" for here, there in one.key)
        lines += [
            "",
            f"[features.lookups.{one.name}]  # {_one_line(one.evidence)}",
            f"source = {toml_string(one.source)}",
            f"key = {{ {pairs} }}",
            f"take = [{', '.join(map(toml_string, one.take))}]",
        ]
    return lines


def _is_usable(column: str) -> bool:
    """Whether a definition can name the column: not without a name."""
    return bool(column) and "\0" not in column


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
