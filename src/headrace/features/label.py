"""The label: its expression, its task, and when it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace.definition.model import Definition, Task
from headrace.features.errors import FeatureError, FeatureErrors
from headrace.features.known import Instants, SourceColumns
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.tree import Node
from headrace.language.types import Type

MOST_CLASSES: Final = 20
"""A label with more levels is no classification unless `task` says so: text is refused, whole numbers are values."""

_TASKS: Final[Mapping[Type, tuple[Task, ...]]] = {
    Type.BOOLEAN: ("binary",),
    Type.STRING: ("binary", "multiclass"),
    Type.CATEGORY: ("binary", "multiclass"),
    Type.INTEGER: ("binary", "multiclass", "regression"),
    Type.FLOAT: ("regression",),
    Type.DECIMAL: ("regression",),
}


@dataclass(frozen=True, slots=True)
class Label:
    """What is predicted."""

    text: str
    """As written."""
    node: Node
    task: Task | None
    """None: the number of levels in the data decides (text and whole numbers without a `task`)."""
    known_after: Instants
    """Known at the latest of these (column, delay in microseconds); empty: nothing says when."""
    positive: str | None


def label_of(definition: Definition, types: Mapping[str, Type]) -> Label:
    """The label of a definition over the accepted table of the project's source, whose types are given.

    Raises
    ------
    FeatureErrors : there is no label, its expression is wrong, or its type does not fit the task.
    """
    project = definition.project
    if project.label is None:
        raise FeatureErrors(
            [
                FeatureError(
                    "project.label",
                    "no label is named, so there is nothing to learn",
                    fix='name the column to predict, or an expression: label = "arr_delay > 30"',
                )
            ]
        )
    try:
        node = parse(project.label, types)
    except ExpressionError as error:
        if project.label in types:
            raise FeatureErrors(
                [
                    FeatureError(
                        "project.label",
                        f"a label is an expression, and as one {project.label!r} is not the column of that name",
                        fix=f"write label = '\"{project.label}\"'",
                    )
                ]
            ) from error
        raise FeatureErrors([expression_error("project.label", error)]) from error
    columns = SourceColumns(definition.source(project.source), types)
    return Label(
        text=project.label,
        node=node,
        task=_task(project.label, node.type, project.task),
        known_after=columns.known(references(project.label)),
        positive=project.positive,
    )


def expression_error(place: str, error: ExpressionError) -> FeatureError:
    """An expression's mistake with its place in the definition."""
    return FeatureError(place, f"{error.message}\n{error.caret()}", fix=error.fix, **error.facts)


def _task(text: str, type_: Type, wanted: Task | None) -> Task | None:
    possible = _TASKS.get(type_, ())
    if not possible:
        raise FeatureErrors(
            [
                FeatureError(
                    "project.label",
                    f"{text!r} is a {type_}, expected a boolean, a text or a number",
                    fix="write a comparison, or seconds: label = \"date_diff('second', a, b)\"",
                )
            ]
        )
    if wanted is None:
        return possible[0] if len(possible) == 1 else None
    if wanted not in possible:
        remedy = f'write a condition: label = "{text} > 0"' if wanted == "binary" else "leave `task` out"
        raise FeatureErrors(
            [FeatureError("project.task", f"the label {text!r} is a {type_}, which is no {wanted} label", fix=remedy)]
        )
    return wanted
