"""When the columns of a source become known, through everything they are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from headrace.definition.model import Known, Source
from headrace.language.parse import references
from headrace.language.types import Type

Instants = tuple[tuple[str, int], ...]
"""Pairs (timestamp column, delay in microseconds): known at the latest of them."""


class SourceColumns:
    """The columns of one source's accepted table: what each is computed from, and when it is known."""

    def __init__(self, source: Source, types: Mapping[str, Type]) -> None:
        self.source = source
        self.types = types

    @cached_property
    def uses(self) -> dict[str, frozenset[str]]:
        """Derived or joined column → the columns of this source that it is computed from."""
        joined = {
            f"{join.name}_{column}": frozenset(ours for ours, _ in join.key)
            for join in self.source.joins
            for column in join.take
        }
        return joined | {name: references(text) for name, text in self.source.derive}

    @cached_property
    def joined(self) -> frozenset[str]:
        """Columns that come from a static table."""
        return frozenset(f"{join.name}_{column}" for join in self.source.joins for column in join.take)

    def closure(self, columns: Iterable[str]) -> frozenset[str]:
        """The columns and all that they are computed from."""
        found: set[str] = set()
        waiting = list(columns)
        while waiting:
            column = waiting.pop()
            if column not in found:
                found.add(column)
                waiting.extend(self.uses.get(column, ()))
        return frozenset(found)

    def own_known(self, columns: Iterable[str]) -> Instants:
        """The known instants that the columns' own rules state, and those of what they are computed from."""
        rules = (self.source.rule(column).known for column in sorted(self.closure(columns)))
        return _distinct(rule for rule in rules if rule is not None)

    def known(self, columns: Iterable[str]) -> Instants:
        """`own_known`, and on top of it when the row as a whole became known."""
        row = [self.source.known] if self.source.known is not None else []
        own = [Known(after=after, delay_us=delay) for after, delay in self.own_known(columns)]
        return _distinct([*row, *own])

    def computable(self, columns: Iterable[str], given: frozenset[str]) -> bool:
        """Whether the columns can be computed from the given ones."""
        return all(
            column in given or (column in self.uses and self.computable(self.uses[column], given)) for column in columns
        )


def _distinct(rules: Iterable[Known]) -> Instants:
    """Of several delays after one column the longest counts."""
    latest: dict[str, int] = {}
    for rule in rules:
        latest[rule.after] = max(rule.delay_us, latest.get(rule.after, rule.delay_us))
    return tuple(latest.items())
