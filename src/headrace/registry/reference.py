"""How people name a version: `flight-delays`, `flight-delays@champion`, `flight-delays@3`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from headrace.registry.errors import AliasInvalid, ReferenceInvalid

CHAMPION: Final = "champion"
"""The alias that a reference without one means."""

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


class Reference(NamedTuple):
    """A model, and either the number of a version or an alias."""

    model: str
    number: int | None
    alias: str | None

    def __str__(self) -> str:
        return f"{self.model}@{self.number if self.alias is None else self.alias}"


def parse_ref(text: str, *, model: str | None = None) -> Reference:
    """What a reference names; `model` is the model that `@3` and `@champion` alone mean.

    Raises `ReferenceInvalid`.

    Examples
    --------
    >>> str(parse_ref("flight-delays"))
    'flight-delays@champion'
    >>> parse_ref("flight-delays@3").number
    3
    >>> str(parse_ref("@challenger", model="churn"))
    'churn@challenger'
    """
    name, at, which = text.partition("@")
    name = name or (model or "")
    which = which if at else CHAMPION
    if not _MODEL.fullmatch(name):
        raise ReferenceInvalid(text)
    if _NUMBER.fullmatch(which):
        return Reference(name, int(which), None)
    if _ALIAS.fullmatch(which):
        return Reference(name, None, which)
    raise ReferenceInvalid(text)


def check_alias(alias: str) -> str:
    """The alias, if it can be one: never a number, so that a reference has one meaning."""
    if not _ALIAS.fullmatch(alias):
        raise AliasInvalid(alias)
    return alias
