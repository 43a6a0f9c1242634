"""Typed parts of an expression that is being read.

What is made of constants alone is computed at once; a number written with a point is exact where it meets decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.language.row_decimals import SCALE, within
from headrace.language.rows import compile_rows
from headrace.language.signatures import PROMOTIONS
from headrace.language.tree import Call, Literal, Node
from headrace.language.types import Type


@dataclass(frozen=True, slots=True)
class Part:
    """A typed part of the expression and where it begins; `node` None is a NULL whose type is not known yet."""

    node: Node | None
    place: int
    depth: int = 1
    size: int = 1
    exact: int | None = None
    """Of a float that is written with at most six places: its millionths, for where it meets decimals."""

    @property
    def type(self) -> Type | None:
        return None if self.node is None else self.node.type

    @property
    def is_constant(self) -> bool:
        return isinstance(self.node, Literal) and self.node.value is not None


def exact_if_met(parts: Sequence[Part]) -> list[Part]:
    """The parts, with decimals for floats written with at most six places where all others are exact and one a decimal.

    So `amount * 1.08` is exact when the amount is, and 1.08 is a float elsewhere.
    """
    numbers = [part for part in parts if part.type in (Type.DECIMAL, Type.FLOAT)]
    if all(part.type is Type.DECIMAL or part.exact is not None for part in numbers) and any(
        part.type is Type.DECIMAL for part in numbers
    ):
        return exact(parts)
    return list(parts)


def exact(parts: Sequence[Part]) -> list[Part]:
    """The parts, with decimals for floats written with at most six places."""
    return [part if part.exact is None else replace(part, node=Literal(part.exact, Type.DECIMAL)) for part in parts]


def exact_result(name: str, parts: Sequence[Part]) -> int | None:
    """The millionths of a sum, a difference or a product of constants of which one is written with a point."""
    if name not in _EXACTLY or not any(part.exact is not None for part in parts):
        return None
    values = [part.exact if part.exact is not None else _whole(part.node) for part in parts]
    if None in values:
        return None
    return _EXACTLY[name](*values)


def _whole(node: Node | None) -> int | None:
    """The millionths of an integer constant."""
    if isinstance(node, Literal) and node.type is Type.INTEGER and isinstance(node.value, int):
        return within(node.value * SCALE)
    return None


def _product(a: int, b: int) -> int | None:
    return None if a * b % SCALE else within(a * b // SCALE)


_EXACTLY: dict[str, Callable[..., int | None]] = {
    "negate": lambda a: -a,
    "add": lambda a, b: within(a + b),
    "subtract": lambda a, b: within(a - b),
    "multiply": _product,
}


def promoted(part: Part, wanted: Type | None) -> Node:
    """An argument in the type that its place wants."""
    node = part.node
    if node is None:
        return Literal(None, Type.STRING if wanted is None else wanted)
    if wanted is Type.DECIMAL and part.exact is not None:
        return Literal(part.exact, wanted)
    promotion = None if wanted is None else PROMOTIONS.get((node.type, wanted))
    return node if promotion is None or wanted is None else folded(Call(promotion, (node,), wanted))


def folded(call: Call) -> Node:
    """The constant that a call of constants gives; an infinity stays a call, since JSON has none."""
    if not all(isinstance(argument, Literal) for argument in call.arguments):
        return call
    value: Any = compile_rows((), (("", call),))(())[0]
    if isinstance(value, float) and math.isinf(value):
        return call
    return Literal(value, call.type)
