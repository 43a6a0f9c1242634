"""The folds' models of a bag, as they are put away."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from headrace.training.trial_worker import FoldAnswer


class KeptModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fold's model of a bag."""

    data: bytes
    """`Fitted.keep`."""
    shift: tuple[float, ...]
    """By how much the odds of each class are brought back; empty: not at all."""


def pack_models(folds: Sequence[FoldAnswer]) -> bytes:
    """The models that the folds have kept, together."""
    kept = [KeptModel(fold.kept, () if fold.shift is None else tuple(fold.shift.tolist())) for fold in folds]
    return zstandard.compress(msgspec.msgpack.encode(kept), 3)


def unpack_models(data: bytes) -> list[KeptModel]:
    """The models of a bag."""
    return msgspec.msgpack.decode(zstandard.decompress(data), type=list[KeptModel])
