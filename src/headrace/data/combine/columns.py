"""The columns of an entity: which of its sources has each, by which expression, and of what type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.data.errors import ContractError
from headrace.definition.model import Combine
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.types import Type

_TEXTS = (Type.STRING, Type.CATEGORY)
_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_TIMES = (Type.DATE, Type.TIMESTAMP)
_FAMILIES = (
    ((Type.INTEGER, Type.DECIMAL), Type.DECIMAL),
    (_NUMBERS, Type.FLOAT),
    (_TEXTS, Type.STRING),
    (_TIMES, Type.TIMESTAMP),
)


@dataclass(frozen=True, slots=True)
class EntityColumn:
    """One column of an entity."""

    name: str
    type: Type
    sources: Mapping[str, str | None]
    """Member that has it → the expression, None for its own column of that name."""


def entity_columns(source: str, combine: Combine, tables: Mapping[str, Mapping[str, Type]]) -> tuple[EntityColumn, ...]:
    """The columns, the key first, then in the order of `from` and of the members' tables.

    A member's column that none of its expressions uses is carried under its own name; one that is used is represented
    by what is made of it.

    Parameters
    ----------
    tables
        Types of the members' accepted tables.

    Raises
    ------
    ContractError : an expression, a key or a rule that these columns cannot have; all of them at once.
    """
    problems: list[str] = []
    found: dict[str, dict[str, tuple[Type, str | None]]] = {name: {} for name in combine.key}
    for member in combine.members:
        for name, typed in _columns_of(member, combine, tables[member], problems).items():
            found.setdefault(name, {})[member] = typed
    columns = []
    for name, by_member in found.items():
        problems += [
            f"key: source {member!r} has no column {name!r}; map it: [sources.{source}.map.{member}]"
            for member in combine.members
            if name in combine.key and member not in by_member
        ]
        type_ = _common(name, {member: typed[0] for member, typed in by_member.items()}, problems)
        columns.append(EntityColumn(name, type_, {member: text for member, (_, text) in by_member.items()}))
    problems += _rule_problems(combine, columns)
    if problems:
        raise ContractError(
            f"source {source!r}: " + "\n".join(problems),
            fix=f"correct [sources.{source}] in headrace.toml",
            source=source,
            problems=problems,
        )
    return tuple(columns)


def _columns_of(
    member: str, combine: Combine, table: Mapping[str, Type], problems: list[str]
) -> dict[str, tuple[Type, str | None]]:
    """Name here → type and expression, of one member."""
    mapped = combine.mapped(member)
    used: set[str] = set()
    made: dict[str, tuple[Type, str | None]] = {}
    for name, text in mapped.items():
        try:
            made[name] = (parse(text, table).type, text)
            used |= references(text)
        except ExpressionError as error:
            problems.append(f"map.{member}.{name}: {error.message}\n{error.caret()}")
    own = {name: (type_, None) for name, type_ in table.items() if name not in used and name not in mapped}
    return {**own, **made}


def _common(name: str, types: Mapping[str, Type], problems: list[str]) -> Type:
    """The one type that a column of several members has."""
    different = set(types.values())
    if len(different) <= 1:
        return next(iter(different), Type.STRING)
    for family, widest in _FAMILIES:
        if different <= set(family):
            return widest
    held = " and ".join(f"{type_} in {member!r}" for member, type_ in types.items())
    problems.append(f"column {name!r} is {held}: map one to another type or name")
    return Type.STRING


def _rule_problems(combine: Combine, columns: Sequence[EntityColumn]) -> list[str]:
    types = {column.name: column.type for column in columns}
    problems = []
    for name, rule in combine.survive:
        if name != "*" and name not in types:
            problems.append(f"survive: there is no column {name!r}")
        elif rule.rule == "longest" and name != "*" and types[name] not in _TEXTS:
            problems.append(f"survive.{name}: longest is for text, the column is {types[name]}")
        if rule.by is not None and types.get(rule.by) not in _TIMES:
            what = f"is {types[rule.by]}" if rule.by in types else "is not there"
            problems.append(f"survive.{name}: by needs a date or a timestamp, {rule.by!r} {what}")
    ruled = dict(combine.survive)
    if combine.how == "join" and "*" not in ruled:
        problems += [
            f"column {column.name!r} is in {' and '.join(map(repr, column.sources))}: say in survive which stays, or "
            "map one to another name"
            for column in columns
            if len(column.sources) > 1 and column.name not in ruled and column.name not in combine.key
        ]
    return problems
