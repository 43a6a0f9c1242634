"""Which form of a function a call means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from headrace.language.forms import Form, Function
from headrace.language.functions import FUNCTIONS
from headrace.language.signatures import Match
from headrace.language.tree import Call, Literal
from headrace.language.types import Type


def choose_form(function: Function, arguments: Sequence[Type | None]) -> tuple[Form, Match] | None:
    """The form that the arguments meet with the fewest promotions, the first of equals; None if they meet none."""
    best: tuple[Form, Match] | None = None
    for form in function.forms:
        match = form.signature.match(arguments)
        if match is not None and (best is None or match.promotions < best[1].promotions):
            best = (form, match)
    return best


@lru_cache(maxsize=4096)
def _form_for(function: Function, arguments: tuple[Type, ...]) -> Form:
    chosen = choose_form(function, arguments)
    if chosen is None:
        raise ValueError(f"function {function.name!r} does not take ({', '.join(arguments)})")
    return chosen[0]


def form_of(call: Call) -> Form:
    """The form of a call in a typed tree; a ValueError when the tree was not made by this language."""
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise ValueError(f"no function {call.function!r} in this version")
    return _form_for(function, tuple(argument.type for argument in call.arguments))


def constants_of(call: Call, form: Form) -> dict[int, Any]:
    """Values of the arguments that are constants by the form's rule, by position."""
    constants = {}
    for position, argument in enumerate(call.arguments):
        if form.signature.parameter(position).constant:
            if not isinstance(argument, Literal):
                raise ValueError(f"argument {position + 1} of {call.function!r} has to be a constant")
            constants[position] = argument.value
    return constants
