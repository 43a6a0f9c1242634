"""When columns become known: by their own rule, their source's, and those of what they are derived from."""

from __future__ import annotations

from headrace.definition.expressions import columns_of
from headrace.definition.model import Known, Source
from headrace.language.errors import ExpressionError


def derived_from(source: Source, column: str) -> tuple[str, ...]:
    """`column` and every column that its value is computed from, through `derive`, each once."""
    derive = dict(source.derive)
    found = [column]
    for name in found:  # grows while it is walked
        if name in derive:
            try:
                uses = columns_of(derive[name])
            except ExpressionError:
                continue  # filed at its own place
            found += [use for use in sorted(uses) if use not in found]
    return tuple(found)


def column_waits_for(source: Source, column: str) -> tuple[Known, ...]:
    """The instants that the columns behind `column` are known at; empty when none of them says."""
    rules = (source.rule(name).known for name in derived_from(source, column))
    return tuple(dict.fromkeys(known for known in rules if known is not None))


def waits_for(source: Source, column: str) -> tuple[Known, ...]:
    """All that must have passed before a value of `column` is known: its source's instant and its columns' own.

    Empty when nothing says when it is known: then the past cannot be told from the future.
    """
    row = () if source.known is None else (source.known,)
    return tuple(dict.fromkeys((*row, *column_waits_for(source, column))))
