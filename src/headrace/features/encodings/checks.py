"""Whether encodings fit the types of what they encode, and the inputs that they make have names of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from headrace.data.model import Field
from headrace.definition.model import Encoding, EncodingKind, Features
from headrace.features.encodings.levels import LEVELLED
from headrace.features.encodings.plan import plan_inputs
from headrace.language.types import Type

_TEXT: Final = (Type.STRING, Type.CATEGORY)
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.BOOLEAN)
_A_LEVEL: Final = "a text, a category or a whole number"
_FITS: Final[Mapping[EncodingKind, tuple[tuple[Type, ...], str]]] = {
    "codes": (LEVELLED, _A_LEVEL),
    "number": (_NUMBERS, "a number or a boolean"),
    "frequency": (LEVELLED, _A_LEVEL),
    "target": (LEVELLED, _A_LEVEL),
    "cyclic": ((Type.TIMESTAMP, Type.DATE), "a timestamp or a date"),
    "statistics": (_TEXT, "a text or a category"),
    "hashed": (_TEXT, "a text or a category"),
}
Fail = Callable[[str, str, str], None]
"""Notes a mistake: its place in the definition, what is wrong, what to do."""


def check_encodings(
    features: Features,
    have: Mapping[str, Type],
    broken: Collection[str],
    outputs: Sequence[Field],
    request: Collection[str],
    fail: Fail,
) -> None:
    """Note what is wrong with [features.encodings].

    Parameters
    ----------
    have : request columns and features, by name
    broken : names whose own definition is wrong: nothing more is said of them
    outputs : what the program gives
    request : names of the columns that a request carries
    """
    is_right = True
    inputs = {column.name for column in outputs}
    for encoding in features.encodings:
        if encoding.name in broken or encoding.group in broken:
            continue
        place = f"features.encodings.{encoding.name}"
        for message, fix in _mistakes(encoding, have, features.drop, inputs, request):
            fail(place, message, fix)
            is_right = False
    if is_right:
        _check_names(features, have, outputs, fail)


def _mistakes(
    encoding: Encoding,
    have: Mapping[str, Type],
    dropped: Collection[str],
    inputs: Collection[str],
    request: Collection[str],
) -> Iterator[tuple[str, str]]:
    name, group = encoding.name, encoding.group
    for wanted in (name, group):
        if wanted is not None and wanted not in have:
            close = get_close_matches(wanted, list(have), n=1)
            near = f"; did you mean {close[0]!r}?" if close else ""
            yield f"there is no request column or feature {wanted!r}{near}", f"use one of: {', '.join(have)}"
            return
        if wanted in dropped:
            yield f"{wanted!r} is dropped, and an encoding uses it", f"take {wanted!r} out of features.drop"
            return
    type_ = have[name]
    for kind in encoding.kinds:
        types, expected = _FITS[kind]
        if type_ not in types:
            yield f'"{kind}" of {name!r}, a {type_}: expected {expected}', f'take "{kind}" out'
    if not encoding.kinds and type_ not in (*_TEXT, *_NUMBERS):
        yield f"{name!r} is a {type_}, which is no input as it is", 'write ["cyclic"], or an expression with its parts'
    if "cyclic" in encoding.kinds and name not in request:
        yield f'"cyclic" of {name!r}, which no request carries', "write its sine and cosine in [features.expressions]"
    if group is None:
        return
    if type_ not in _NUMBERS or type_ is Type.BOOLEAN:
        yield f"{name!r} is a {type_}, and a group compares numbers", "take `group` and `take` out"
    if have[group] not in LEVELLED:
        yield f"the group {group!r} is a {have[group]}: expected {_A_LEVEL}", "group by a category"
    elif group not in inputs:
        yield f"the group {group!r} is no input of the model", "group by a request column or feature that is"


def _check_names(features: Features, have: Mapping[str, Type], outputs: Sequence[Field], fail: Fail) -> None:
    taken = dict.fromkeys(have, "a request column or feature")
    for planned in plan_inputs(outputs, features.encodings):
        place = f"features.encodings.{planned.of.name}"
        for name in planned.names():
            if name == planned.of.name:
                continue
            if name in taken:
                fail(place, f"the name {name!r} is taken by {taken[name]}", "give that one another name")
            taken[name] = place
