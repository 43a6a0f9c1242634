"""The folds' models, as they are put away: of a bag, and of what has shorter forms."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from headrace.training.families import Fitted
from headrace.training.trial_worker import FoldAnswer


class KeptModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fold's model."""

    data: bytes
    """`Fitted.keep`."""
    shift: tuple[float, ...]
    """By how much the odds of each class are brought back; empty: not at all."""


def pack_models(folds: Sequence[FoldAnswer]) -> bytes:
    """The models that the folds have kept, together."""
    return _packed([KeptModel(fold.kept, () if fold.shift is None else tuple(fold.shift.tolist())) for fold in folds])


def pack_fitted(models: Sequence[Fitted]) -> bytes:
    """Models that say what they have learnt, together."""
    return _packed([KeptModel(model.keep(), ()) for model in models])


def _packed(models: Sequence[KeptModel]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(models), 3)


def unpack_models(data: bytes) -> list[KeptModel]:
    """The models that were packed."""
    return msgspec.msgpack.decode(zstandard.decompress(data), type=list[KeptModel])
