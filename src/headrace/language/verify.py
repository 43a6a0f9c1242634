"""Trees that come from elsewhere: whether one is what the parser could have made; nothing is computed of another.

A package brings its trees as data. Whoever made it may have made them by hand, so every type, constant and name is
checked again before code is written from them.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.language.calls import choose_form
from headrace.language.constants import check_constant
from headrace.language.functions import FUNCTIONS
from headrace.language.row_decimals import within
from headrace.language.row_kernels import GREATEST_INTEGER, LEAST_INTEGER
from headrace.language.signatures import PROMOTIONS
from headrace.language.tree import MAX_DEPTH, MAX_SIZE, Call, Column, Literal, Node
from headrace.language.types import Type

_TEXT = (Type.STRING, Type.CATEGORY)


class TreeRefused(ValueError):
    """A tree that this language does not make, and why."""


def check_tree(node: Node, columns: Mapping[str, Type] | None) -> None:
    """Refuse a tree with unknown names, types that do not meet, or more parts than an expression may have.

    Parameters
    ----------
    columns
        The names that the tree may use, with their types; None: any, of the types that the tree says.

    Raises
    ------
    TreeRefused

    Examples
    --------
    >>> check_tree(Call("ln", (Literal("x", Type.FLOAT),), Type.FLOAT), {})
    Traceback (most recent call last):
    headrace.language.verify.TreeRefused: a constant is no float
    """
    waiting: list[tuple[Node, int]] = [(node, 1)]
    size = 0
    while waiting:
        one, depth = waiting.pop()
        size += 1
        if depth > MAX_DEPTH + 1:  # a leaf below the deepest call
            raise TreeRefused(f"an expression nests at most {MAX_DEPTH} deep")
        if size > MAX_SIZE:
            raise TreeRefused(f"an expression has at most {MAX_SIZE} parts")
        if isinstance(one, Call):
            _check_call(one)
            waiting += [(argument, depth + 1) for argument in one.arguments]
        elif isinstance(one, Literal):
            if not _is_of(one.value, one.type):
                raise TreeRefused(f"a constant is no {one.type}")
        elif columns is not None:
            _check_column(one, columns)
        elif one.name == "*" or (one.name.startswith("^") and one.name.endswith("$")):
            raise TreeRefused(f"{one.name!r} is a pattern of names, not a column")


def _check_column(column: Column, columns: Mapping[str, Type]) -> None:
    have = columns.get(column.name)
    if have is None:
        raise TreeRefused(f"there is no column {column.name!r}")
    if column.type is not have:
        raise TreeRefused(f"column {column.name!r} is a {have}, not a {column.type}")


def _check_call(call: Call) -> None:
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise TreeRefused(f"no function {call.function!r} in this version")
    chosen = choose_form(function, [argument.type for argument in call.arguments])
    if chosen is None:
        types = ", ".join(argument.type for argument in call.arguments)
        raise TreeRefused(f"function {call.function!r} does not take ({types})")
    form, match = chosen
    if match.result is not None and not _meets(match.result, call.type):
        raise TreeRefused(f"{call.function!r} gives a {match.result}, not a {call.type}")
    for position, argument in enumerate(call.arguments):
        parameter, wanted = form.signature.parameter(position), match.types[position]
        if wanted is not None and (argument.type, wanted) in PROMOTIONS:
            raise TreeRefused(f"argument {position + 1} of {call.function!r} is {argument.type}, not {wanted}")
        value = argument.value if isinstance(argument, Literal) else None
        if parameter.constant and value is None:
            raise TreeRefused(f"argument {position + 1} of {call.function!r} has to be a constant")
        if parameter.kind is not None and value is not None:
            mistake = check_constant(parameter.kind, value)
            if mistake is not None:
                raise TreeRefused(mistake.message)


def _meets(result: Type, stated: Type) -> bool:
    return result is stated or (result in _TEXT and stated in _TEXT)


def _is_of(value: object, type_: Type) -> bool:
    if value is None:
        return True
    if type_ is Type.BOOLEAN:
        return isinstance(value, bool)
    if type_ is Type.FLOAT:
        return isinstance(value, float)
    if type_ in _TEXT:
        return isinstance(value, str)
    if type_ is Type.DECIMAL:
        return type(value) is int and within(value) is not None
    return type(value) is int and LEAST_INTEGER <= value <= GREATEST_INTEGER
