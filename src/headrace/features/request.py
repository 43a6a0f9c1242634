"""Which columns a request carries, and which of them can be derived when it does not."""

from __future__ import annotations

from collections.abc import Container
from difflib import get_close_matches

from headrace.data.model import Field
from headrace.definition.model import Definition
from headrace.features.errors import FeatureError
from headrace.features.known import SourceColumns
from headrace.features.model import ExpressionStep
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.types import Type


def request_columns(definition: Definition, columns: SourceColumns, errors: list[FeatureError]) -> tuple[Field, ...]:
    """The request's columns in order; what must not be among them is an error."""
    project = definition.project
    names = project.request or _default(definition, columns)
    label = _label_columns(definition)
    fields: list[Field] = []
    seen: set[str] = set()
    for name in names:
        error = _refusal(name, definition, columns, seen=seen)
        if error is not None:
            errors.append(error)
        else:
            seen.add(name)
            fields.append(Field(name=name, type=columns.types[name]))
    if label and not errors and columns.computable(label, frozenset(names)):
        errors.append(
            FeatureError(
                "project.request",
                f"the label {project.label!r} can be computed from the request alone, so there is nothing to predict",
                fix=f"take {', '.join(sorted(label & frozenset(names)) or sorted(label))} out of request",
            )
        )
    return tuple(fields)


def derived_steps(
    request: tuple[Field, ...], columns: SourceColumns
) -> tuple[tuple[ExpressionStep, ...], tuple[Field, ...]]:
    """The steps that compute request columns from raw ones, and the raw columns they read. What comes from a joined
    table cannot be computed from a request and is left out."""
    steps = dict(columns.source.derive)
    wanted = [field.name for field in request if field.name in steps]
    derivable = [name for name in wanted if not columns.closure([name]) & columns.joined]
    needed = columns.closure(derivable)
    derive = tuple(
        ExpressionStep(name=name, type=columns.types[name], node=parse(text, columns.types))
        for name, text in columns.source.derive
        if name in needed
    )
    raw = tuple(Field(name=name, type=type_) for name, type_ in columns.types.items() if name in needed - steps.keys())
    return derive, raw


def near(name: str, names: list[str]) -> str:
    """The near miss as the end of a sentence, if there is one."""
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _default(definition: Definition, columns: SourceColumns) -> tuple[str, ...]:
    """With one source and no time: every column but the key, the label's, and what tells the label."""
    project = definition.project
    if project.time is not None or len(definition.sources) > 1:
        return ()
    telling = columns.closure(_label_columns(definition))
    return tuple(
        name
        for name in columns.types
        if name not in project.key and not columns.closure([name]) & telling and not columns.own_known([name])
    )


def _label_columns(definition: Definition) -> frozenset[str]:
    try:
        return references(definition.project.label) if definition.project.label else frozenset()
    except ExpressionError:
        return frozenset()  # reported where the label is read


def _refusal(name: str, definition: Definition, columns: SourceColumns, seen: Container[str]) -> FeatureError | None:
    source, time = definition.project.source, definition.project.time
    if name in seen:
        return FeatureError("project.request", f"{name!r} is listed twice", fix=f"list {name!r} once")
    if name not in columns.types:
        return FeatureError(
            "project.request",
            f"source {source!r} has no column {name!r}{near(name, list(columns.types))}",
            fix=f"take one of: {', '.join(columns.types)}",
        )
    if name.startswith("_"):
        return FeatureError(
            "project.request",
            f"{name!r} begins with an underscore, as the frame's own columns do",
            fix=f"give it another name with rename in [sources.{source}]",
        )
    known = columns.own_known([name])
    if known:
        after = " and ".join(column for column, _ in known)
        asked = f" is asked for at {time!r}" if time else " is asked for"
        return FeatureError(
            "project.request",
            f"a request cannot carry {name!r}: it is known only after {after!r}, and the prediction{asked}",
            fix=f"take {name!r} out of request; a window or lookup on source {source!r} uses what was known before",
        )
    return None


def is_raw_input(field: Field) -> bool:
    """Whether a column can be an input of the model as it is: instants and spans are none."""
    return field.type not in (Type.TIMESTAMP, Type.DATE, Type.DURATION)
