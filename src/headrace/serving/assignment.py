"""Which arm answers an entity: the same on every worker and host, for as long as the weights are.

An entity's place in [0, 1) is the BLAKE2b digest of the deployment's salt and its key; the arms divide that range in
their order. While a canary, which comes first, gets a larger share, whom it has answered stays with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from headrace.serving.model import Arm

_DROPPED: Final = 11
"""Bits of 64 that a float cannot hold: what is left is below 1 for certain."""
_PLACES: Final = 2.0**-53
_encode: Final = msgspec.msgpack.Encoder().encode


def entity_place(salt: str, key: Sequence[object]) -> float:
    """The entity's place in [0, 1).

    Parameters
    ----------
    key : values of the sticky columns in the row form (`language.values.decode`)

    Examples
    --------
    >>> entity_place("a1", ["N14228"]) == entity_place("a1", ["N14228"])
    True
    """
    return _place(salt.encode(), key)


def arm_chooser(arms: Sequence[Arm], salt: str) -> Callable[[Sequence[object]], int]:
    """From an entity's key to the place of its arm among `arms`."""
    if len(arms) == 1:
        return lambda _: 0
    ends: list[float] = []
    reached = 0.0
    for arm in arms:
        reached += arm.weight
        ends.append(reached)
    last = len(arms) - 1
    key = salt.encode()

    def choose(entity: Sequence[object]) -> int:
        place = _place(key, entity)
        for number in range(last):
            if place < ends[number]:
                return number
        return last

    return choose


def _place(salt: bytes, key: Sequence[object]) -> float:
    digest = blake2b(_encode(key), digest_size=8, key=salt).digest()
    return (int.from_bytes(digest, "little") >> _DROPPED) * _PLACES
