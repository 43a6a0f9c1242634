"""Type rules of functions, written as text: ``"integer integer -> integer"``.

A signature is parameters, an arrow and a result, in words:

* a type's name: an argument of that type. An integer is promoted to decimal or float where one is wanted, a decimal
  to float, a category is a string where a string is wanted, and NULL is of every type;
* ``T``: a type variable, the same type in every place; ``O``: the same, but of ordered types only (not boolean);
* ``A``: any type, each place its own;
* a word that ends in ``...`` may be repeated (at least once);
* ``!kind`` or ``!kind=default``: a constant, checked when the expression is read: a zone, a unit, a pattern, a number
  of digits; ``!T``: any constant of the variable's type; ``?kind``: an argument of the kind's type, checked likewise
  when it is a constant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from headrace.language.types import Type

KIND_TYPES: dict[str, Type] = {
    "zone": Type.STRING,
    "unit": Type.STRING,
    "day_unit": Type.STRING,
    "trunc_unit": Type.STRING,
    "pattern": Type.STRING,
    "digits": Type.INTEGER,
    "text": Type.STRING,
    "fill": Type.STRING,
    "characters": Type.STRING,
    "separator": Type.STRING,
    "place": Type.INTEGER,
    "group": Type.INTEGER,
    "count": Type.INTEGER,
    "precision": Type.INTEGER,
    "places": Type.INTEGER,
    "number": Type.FLOAT,
    "positive": Type.FLOAT,
    "date_unit": Type.STRING,
    "part": Type.STRING,
    "date_part": Type.STRING,
    "replacement": Type.STRING,
    "like": Type.STRING,
    "date_format": Type.STRING,
    "time_format": Type.STRING,
}
_ORDERED = frozenset(Type) - {Type.BOOLEAN}
_VARIABLES: dict[str, frozenset[Type]] = {"T": frozenset(Type), "O": _ORDERED}


class Parameter(msgspec.Struct, frozen=True):
    """One word left of the arrow."""

    word: str
    type: Type | None
    """None: the signature's type variable."""
    kind: str | None = None
    constant: bool = False
    default: str | int | None = None
    repeated: bool = False
    alone: bool = False
    """Of any type, whatever the others are."""


class Match(msgspec.Struct, frozen=True):
    """How arguments meet a signature."""

    types: tuple[Type | None, ...]
    """What each argument becomes; None throughout a variable that only NULLs meet."""
    result: Type | None
    promotions: int


class Signature(msgspec.Struct, frozen=True):
    """A type rule: which arguments, which result."""

    parameters: tuple[Parameter, ...]
    result: Type | None
    """None: the type variable."""
    allowed: frozenset[Type]
    """What the type variable may be."""
    text: str

    @property
    def least(self) -> int:
        """The smallest number of arguments."""
        return sum(1 for parameter in self.parameters if parameter.default is None)

    @property
    def most(self) -> int | None:
        """The largest number of arguments, None for any."""
        return None if any(parameter.repeated for parameter in self.parameters) else len(self.parameters)

    def parameter(self, position: int) -> Parameter:
        """The parameter that the argument at `position` meets."""
        return self.parameters[min(position, len(self.parameters) - 1)]

    def match(self, arguments: Sequence[Type | None]) -> Match | None:
        """How `arguments` (None for NULL) meet the parameters, or None if they do not; defaults must be filled in."""
        if len(arguments) < len(self.parameters) or (self.most is not None and len(arguments) > self.most):
            return None
        parameters = [self.parameter(position) for position in range(len(arguments))]
        variable = unify(
            [given for given, p in zip(arguments, parameters, strict=True) if p.type is None and not p.alone]
        )
        if variable == "apart" or (variable is not None and variable not in self.allowed):
            return None
        types: list[Type | None] = []
        promotions = 0
        for given, parameter in zip(arguments, parameters, strict=True):
            wanted = given if parameter.alone else variable if parameter.type is None else parameter.type
            if given is not None and wanted is not None and given != wanted and not _fits(given, wanted):
                return None
            promotions += given is not None and wanted is not None and (given, wanted) in PROMOTIONS
            types.append(wanted)
        return Match(tuple(types), variable if self.result is None else self.result, promotions)


PROMOTIONS = {
    (Type.INTEGER, Type.DECIMAL): "to_decimal",
    (Type.INTEGER, Type.FLOAT): "to_float",
    (Type.DECIMAL, Type.FLOAT): "to_float",
}
"""Types that become another where it is wanted, and the function that makes it of them."""


def _fits(given: Type, wanted: Type) -> bool:
    texts = ((Type.CATEGORY, Type.STRING), (Type.STRING, Type.CATEGORY))
    return (given, wanted) in PROMOTIONS or (given, wanted) in texts


def unify(types: Sequence[Type | None]) -> Type | Literal["apart"] | None:
    """The one type that all of `types` become; None when all are NULL."""
    found = {type_ for type_ in types if type_ is not None}
    if len(found) <= 1:
        return next(iter(found), None)
    if found <= {Type.INTEGER, Type.DECIMAL, Type.FLOAT}:
        return Type.FLOAT if Type.FLOAT in found else Type.DECIMAL
    return Type.STRING if found == {Type.CATEGORY, Type.STRING} else "apart"


def signature(text: str) -> Signature:
    """Read a signature from its text."""
    left, _, right = text.partition("->")
    words = left.split()
    allowed = next((types for variable, types in _VARIABLES.items() if variable in re.findall(r"\w+", left)), None)
    return Signature(
        parameters=tuple(_parameter(word) for word in words),
        result=None if right.strip() in _VARIABLES else Type(right.strip()),
        allowed=frozenset() if allowed is None else allowed,
        text=" ".join(text.split()),
    )


def _parameter(word: str) -> Parameter:
    if word[0] in "!?" and word[1] not in _VARIABLES:
        kind, _, default = word[1:].partition("=")
        kind_type = KIND_TYPES[kind]
        value = None if not default else int(default) if kind_type is Type.INTEGER else default
        return Parameter(word, kind_type, kind=kind, constant=word[0] == "!", default=value)
    bare = word.strip("!.")
    type_ = None if bare in _VARIABLES or bare == "A" else Type(bare)
    return Parameter(word, type_, constant=word.startswith("!"), repeated=word.endswith("..."), alone=bare == "A")
