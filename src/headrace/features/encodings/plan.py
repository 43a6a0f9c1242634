"""Which inputs of the model the encodings make, and of what: names and types, before anything is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.data.model import Field
from headrace.definition.model import Encoding, EncodingKind
from headrace.features.encodings.text import COUNTS
from headrace.language.types import Type

_TEXT: Final = (Type.STRING, Type.CATEGORY)
_TURN: Final = 6.283185307179586


@dataclass(frozen=True, slots=True)
class PlannedInput:
    """One or more inputs of the model, made alike of one output of the program."""

    of: Field
    kind: EncodingKind | None
    """None: what is taken within a group."""
    encoding: Encoding

    def names(self, classes: Sequence[str] = ()) -> tuple[str, ...]:
        """The inputs' names, in order; the target of more than two classes has one a class."""
        name = self.of.name
        match self.kind:
            case "codes" if plain_kind(self.of.type) != "codes":
                return (f"{name}_code",)
            case "frequency":
                return (f"{name}_frequency",)
            case "target":
                return target_names(name, classes)
            case "statistics":
                return tuple(f"{name}_{count}" for count in COUNTS)
            case "hashed":
                return tuple(f"{name}_hash_{bucket}" for bucket in range(self.encoding.buckets))
            case None:
                return tuple(f"{name}_by_{self.encoding.group}_{take}" for take in self.encoding.take)
            case _:
                return (name,)


def target_names(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """What the target encoding of an input is called."""
    if len(classes) <= 2:
        return (f"{name}_target",)
    return tuple(f"{name}_target_{each}" for each in classes)


def plan_inputs(outputs: Sequence[Field], encodings: Sequence[Encoding]) -> tuple[PlannedInput, ...]:
    """What the encoder makes of the program's outputs, in their order."""
    said = {encoding.name: encoding for encoding in encodings}
    return tuple(planned for field in outputs for planned in _of(field, said.get(field.name)))


def plain_kind(type_: Type) -> EncodingKind:
    """How an input of which nothing is said reaches the model."""
    return "codes" if type_ in _TEXT else "number"


def cyclic_expressions(encoding: Encoding, type_: Type) -> tuple[tuple[str, str], ...]:
    """Name and text of the features that place an instant on circles: the hour of the day, the day of the week and of
    the year, each as a sine and a cosine, so that midnight is beside midnight. Dates have no hour.

    They learn nothing, so they are expressions like the user's own.
    """
    name = '"' + encoding.name.replace('"', '""') + '"'
    zone = f", '{encoding.zone}'" if type_ is Type.TIMESTAMP else ""
    circles = {
        "weekday": f"weekday({name}{zone}) - 1) * {_TURN / 7!r}",
        "yearday": f"day_of_year({name}{zone}) - 1) * {_TURN / 366!r}",
    }
    if type_ is Type.TIMESTAMP:
        minutes = f"hour({name}{zone}) * 60 + minute({name}{zone})) * {_TURN / 1440!r}"
        circles = {"hour": minutes, **circles}
    return tuple(
        (f"{encoding.name}_{circle}_{function}", f"{function}(({angle})")
        for circle, angle in circles.items()
        for function in ("sin", "cos")
    )


def _of(field: Field, encoding: Encoding | None) -> Iterator[PlannedInput]:
    if encoding is None:
        yield PlannedInput(field, plain_kind(field.type), Encoding(name=field.name))
        return
    for kind in encoding.kinds or (plain_kind(field.type),):
        if kind != "cyclic":
            yield PlannedInput(field, kind, encoding)
    if encoding.group is not None:
        yield PlannedInput(field, None, encoding)


def count_inputs(outputs: Sequence[Field], encodings: Sequence[Encoding], classes: Sequence[str]) -> int:
    """How many inputs of the model these outputs become."""
    return sum(len(planned.names(classes)) for planned in plan_inputs(outputs, encodings))
