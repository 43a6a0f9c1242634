"""What the online store holds of one key of one lookup or window, as bytes. Loads no table engine.

A lookup's record is a MessagePack array (the row's event time, then the values taken, in the row form) and its CRC-32.

A window's record is the states of all runs that a request can ask for. A request at t, at or after the watermark, asks
for the events of [floor(t - W, hop), watermark): a run that begins at the edge of a tile and ends with the last event.
So the record lists, in order, the edges at which such a run changes, and beside each edge the state of the run that
begins there: little-endian words of 8 bytes, column by column, then the texts that states name by their place,

    number of edges | edges | first column of states | second column | … | texts as a MessagePack array | CRC-32

and a window is the state beside the first edge that is not before its own. Nothing is added up when it is read.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.features.errors import OnlineUnreadable
from headrace.features.model import LookupStep, WindowStep

STEP_BYTES: Final = 8
_KEY_BYTES: Final = 16
_WORD: Final = 8
_SEAL: Final = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def step_id(step: LookupStep | WindowStep) -> str:
    """What tells a step's values apart from those of every other step: hexadecimal, equal for equal meaning.

    What does not change a record, as the names of features and of the request's columns, is no part of it: versions
    that ask for the same share one record.
    """
    key = tuple(("", theirs) for _, theirs in step.key)
    plain: LookupStep | WindowStep = msgspec.structs.replace(step, name="", key=key)
    if isinstance(plain, LookupStep):
        plain = msgspec.structs.replace(plain, max_age_us=None)
    canonical = msgspec.json.encode(plain, order="sorted")
    return hashlib.blake2b(canonical, digest_size=STEP_BYTES).hexdigest()


def prefix_of(step: str, epoch: int) -> bytes:
    """What the keys of a step begin with; another epoch is another set of values."""
    return bytes.fromhex(step) + epoch.to_bytes(4, "big")


def key_of(prefix: bytes, values: Sequence[object]) -> bytes:
    """The store's key of an entity: a digest of its values in the row form, so that all keys are short."""
    return prefix + hashlib.blake2b(_encode(values), digest_size=_KEY_BYTES).digest()


def lookup_record(event_us: int | None, values: Sequence[object]) -> bytes:
    """The record of a lookup's newest row; `event_us` is None for a static table."""
    return _sealed(_encode([event_us, *values]))


def read_lookup(record: bytes) -> list[Any]:
    """Event time and values."""
    return _decode(_opened(record))


def window_record(columns: Sequence[NDArray[Any]], kinds: str, texts: Sequence[str] = ()) -> bytes:
    """The record of a key.

    Parameters
    ----------
    columns
        Edges, then columns of states, of equal length.
    kinds
        A letter for each column of states: `q` for int64, `d` for float64, `s` for places in `texts`.
    """
    edges, *states = columns
    told = b""
    at = [place for place, kind in enumerate(kinds) if kind == "s"]
    if at:
        used, places = np.unique(np.concatenate([states[place] for place in at]), return_inverse=True)
        told = _encode([texts[place] for place in used.tolist()])
        for place, own in zip(at, np.split(places.astype(np.int64), len(at)), strict=True):
            states[place] = own
    words = [np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<"), copy=False) for column in states]
    parts = [len(edges).to_bytes(_WORD, "little"), edges.tobytes(), *(word.tobytes() for word in words), told]
    return _sealed(b"".join(parts))


def _sealed(data: bytes) -> bytes:
    """With its checksum behind it: neither LMDB nor Redis notices a flipped bit."""
    return data + crc32(data).to_bytes(_SEAL, "little")


def _opened(record: bytes) -> memoryview:
    """What was sealed.

    Raises
    ------
    OnlineUnreadable : it is not what was written.
    """
    view = memoryview(record)
    data = view[:-_SEAL]
    if crc32(data) != int.from_bytes(view[-_SEAL:], "little"):
        raise OnlineUnreadable("a record is damaged: its checksum is another one")
    return data


class WindowRecord:
    """Reads a window's record.

    Parameters
    ----------
    kinds
        As `window_record` takes them.
    """

    def __init__(self, kinds: str) -> None:
        self._kinds = kinds
        self._texts = [place for place, kind in enumerate(kinds) if kind == "s"]

    def states(self, record: bytes, edges_us: Sequence[int]) -> list[list[Any] | None]:
        """The state of the run that begins at each edge; None where no event is left."""
        data = _opened(record)
        count = int.from_bytes(data[:_WORD], "little")
        end = _WORD * (1 + count * (1 + len(self._kinds)))
        words = data[:end]
        whole: memoryview[Any] = words.cast("q")
        floats: memoryview[Any] = words.cast("d")
        texts: list[Any] = _decode(data[end:]) if self._texts else []
        found: list[list[Any] | None] = []
        columns = [
            (floats if kind == "d" else whole, 1 + (place + 1) * count) for place, kind in enumerate(self._kinds)
        ]
        for edge in edges_us:
            at = bisect_left(whole, edge, 1, count + 1) - 1
            if at == count:
                found.append(None)
                continue
            state = [held[begin + at] for held, begin in columns]
            for place in self._texts:
                state[place] = texts[state[place]]
            found.append(state)
        return found
