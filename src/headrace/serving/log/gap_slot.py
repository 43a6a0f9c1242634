"""Where answers are counted that a full disk keeps from being logged: 40 bytes that were written while there was space.

They are written over in place, which needs no further space (on file systems that do not copy on write), so that the
count survives the process even if the disk stays full.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol
from zlib import crc32

from headrace.stores.durable import translated

NAME: Final = "gap"
_SLOT: Final = struct.Struct("<QQqqI")
_CHECK: Final = struct.Struct("<I")
_SIZE: Final = _SLOT.size + _CHECK.size
_REASONS: Final = ("full", "failed", "refused")
Reason = Literal["full", "failed", "refused"]


class Missed(NamedTuple):
    """Answers that are not in the log, by their sequence numbers."""

    first: int
    n: int
    since_us: int
    until_us: int
    reason: Reason


class Slot(Protocol):
    """Where a writer keeps the count."""

    def put(self, missed: Missed) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class NoSlot:
    """Of a writer that has no folder yet: the count lives in the process only."""

    def put(self, missed: Missed) -> None:
        """There is nothing to keep it in."""

    def sync(self) -> None:
        """There is nothing."""

    def close(self) -> None:
        """There is nothing."""


class GapSlot:
    """The slot of one epoch, which only its writer has open.

    Parameters
    ----------
    folder : the epoch's
    there : whether it is there already, and counts nothing

    Raises
    ------
    OSError : it cannot be made, or is not there.
    """

    def __init__(self, folder: int, *, there: bool = False) -> None:
        made = 0 if there else os.O_CREAT | os.O_EXCL
        self.fd: Final = os.open(NAME, os.O_WRONLY | os.O_CLOEXEC | made, 0o600, dir_fd=folder)
        try:
            if not there:
                os.write(self.fd, bytes(_SIZE))
                os.fsync(self.fd)
            elif os.fstat(self.fd).st_size != _SIZE:
                raise OSError(errno.ENOENT, "there is no room for a count")
        except OSError:
            os.close(self.fd)
            raise

    def put(self, missed: Missed) -> None:
        """Keep the count; where even that is refused it lives in the process only, until the log goes on."""
        body = _SLOT.pack(*missed[:4], _REASONS.index(missed.reason))
        with suppress(OSError):
            os.pwrite(self.fd, body + _CHECK.pack(crc32(body)), 0)

    def sync(self) -> None:
        """Make the count durable."""
        os.fdatasync(self.fd)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)


def read_slot(folder: Path) -> Missed | None:
    """What the slot of an epoch's folder counts; None where it counts nothing."""
    with translated(str(folder)):
        try:
            data = (folder / NAME).read_bytes()
        except FileNotFoundError:
            return None
    if len(data) != _SIZE or crc32(data[: _SLOT.size]) != _CHECK.unpack_from(data, _SLOT.size)[0]:
        return None
    first, n, since_us, until_us, reason = _SLOT.unpack_from(data)
    return Missed(first, n, since_us, until_us, _REASONS[reason]) if n and reason < len(_REASONS) else None
