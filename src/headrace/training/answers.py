"""Out-of-fold answers of a candidate: what ensembles, tests between candidates and intervals are made of."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answers:
    """What a candidate said of rows that its model had not seen."""

    rows: NDArray[np.int64]
    """Shape (n,): positions among the training rows, fold after fold."""
    fold: NDArray[np.int64]
    """Shape (n,): the number of the fold that asked."""
    scores: NDArray[np.float64]
    """Shape (n,) or (n, k): before calibration."""


class _Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: bytes
    fold: bytes
    scores: bytes
    outputs: int
    """0: one score a row."""


def pack_answers(answers: Answers) -> bytes:
    """Bytes that depend on the answers alone; little-endian."""
    scores = answers.scores
    packed = _Packed(
        rows=answers.rows.astype("<i8").tobytes(),
        fold=answers.fold.astype("<i2").tobytes(),
        scores=scores.astype("<f8").tobytes(),
        outputs=0 if scores.ndim == 1 else scores.shape[1],
    )
    return msgspec.msgpack.encode(packed)


def unpack_answers(data: bytes) -> Answers:
    """What `pack_answers` packed."""
    packed = msgspec.msgpack.decode(data, type=_Packed)
    scores = np.frombuffer(packed.scores, "<f8")
    return Answers(
        rows=np.frombuffer(packed.rows, "<i8").astype(np.int64),
        fold=np.frombuffer(packed.fold, "<i2").astype(np.int64),
        scores=scores.reshape(-1, packed.outputs) if packed.outputs else scores,
    )
