"""The names and types of what a step gives, and the hops of windows: one place for both forms."""

from __future__ import annotations

from typing import Final

from headrace.data.model import Field
from headrace.definition.model import DECAYED, Aggregate
from headrace.features.model import ExpressionStep, LookupStep, Step, WindowStep
from headrace.language.tree import Call, Column, Node
from headrace.language.types import Type

TEXT: Final = (Type.STRING, Type.CATEGORY)
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
_DAY: Final = 24 * _HOUR


def hop_of(width_us: int) -> int:
    """How far the old edge of a sawtooth window moves at a time: Chronon's rule."""
    if width_us >= 12 * _DAY:
        return _DAY
    return _HOUR if width_us >= 12 * _HOUR else 300 * _SECOND


def fields_of(step: Step) -> tuple[Field, ...]:
    """What the step adds to a row, in order; a window's aggregates each over every width."""
    match step:
        case ExpressionStep():
            return (Field(name=step.name, type=step.type),)
        case LookupStep():
            return tuple(Field(name=f"{step.name}_{column}", type=type_) for column, type_ in step.take)
        case WindowStep():
            return tuple(
                Field(name=f"{step.name}_{aggregate}_{written}", type=aggregate_type(aggregate, step.value_type))
                for aggregate in step.take
                for written in widths_of(step, aggregate)
            )


def widths_of(step: WindowStep, aggregate: Aggregate) -> tuple[str, ...]:
    """The widths, or half-lives, of one of a step's aggregates, as written."""
    return tuple(written for written, _, _ in (step.half_lives if aggregate in DECAYED else step.over))


def columns_in(node: Node) -> frozenset[str]:
    """The columns that an expression reads."""
    if isinstance(node, Column):
        return frozenset([node.name])
    return frozenset().union(*map(columns_in, node.arguments)) if isinstance(node, Call) else frozenset()


def aggregate_type(aggregate: Aggregate, value: Type) -> Type:
    """The type of a window's aggregate of values of a type."""
    match aggregate:
        case "count" | "n_unique":
            return Type.INTEGER
        case "sum":
            return Type.DECIMAL if value is Type.DECIMAL else Type.FLOAT
        case "mean" | "variance" | "stddev" | "rate" | "seconds_since":
            return Type.FLOAT
        case "median" | "p10" | "p90" | "p95" | "p99" | "decayed_sum" | "decayed_mean" | "decayed_count":
            return Type.FLOAT
        case "min" | "max" | "first" | "last" | "top1" | "top2" | "top3":
            return value


def can_take(aggregate: Aggregate, value: Type) -> bool:
    """Whether there is such an aggregate of values of a type."""
    match aggregate:
        case "sum" | "mean" | "variance" | "stddev" | "median" | "p10" | "p90" | "p95" | "p99":
            return value in (*_NUMBERS, Type.BOOLEAN)
        case "decayed_sum" | "decayed_mean":
            return value in (*_NUMBERS, Type.BOOLEAN)
        case "min" | "max":
            return value in (*_NUMBERS, Type.DATE, Type.TIMESTAMP, Type.DURATION)
        case "decayed_count":
            return True
        case "count" | "n_unique" | "first" | "last" | "rate" | "seconds_since" | "top1" | "top2" | "top3":
            return True
