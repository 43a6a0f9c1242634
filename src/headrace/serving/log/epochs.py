"""Epochs: the folder of one life of one worker, locked while it lives, so that a reader can tell the dead ones.

`LOG/EPOCH/0001.log, 0002.log, …`. The name begins with the instant for people; nothing is ordered by it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from headrace.serving.log.gap_slot import GapSlot
from headrace.stores.durable import TEMPORARY_PREFIX, make_folder, open_folder, translated
from headrace.stores.errors import StoreFull

SPARES: Final = 16
_SPARE: Final = f"{TEMPORARY_PREFIX}spare-"
SEGMENT: Final = re.compile(r"(\d{4,})\.log\Z")


def segment_name(number: int) -> str:
    """The file of a segment, which count from 1."""
    return f"{number:04d}.log"


class Begun(NamedTuple):
    """An epoch that has begun."""

    name: str
    folder: int
    """A descriptor, which holds the lock."""
    slot: GapSlot


def begin_epoch(log: Path, worker: str, now_us: int) -> Begun:
    """Make and lock the folder of a new epoch, durably; where there is no space for one, the next that was made for
    then becomes it (`keep_spares`).

    Raises
    ------
    StoreFull, StoreUnavailable : nothing is left behind.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_us // 1_000_000))
    safe = re.sub(r"[^A-Za-z0-9_]", "_", worker)[:40]
    name = f"{stamp}-{safe}-{secrets.token_hex(8)}"
    make_folder(log)
    try:
        with translated(str(log)):
            return _new_epoch(log, name)
    except StoreFull:
        spare = _take_spare(log, name)
        if spare is None:
            raise
        return spare


def _new_epoch(log: Path, name: str) -> Begun:
    temporary = log / f"{TEMPORARY_PREFIX}{name}"
    temporary.mkdir(mode=0o700)
    folder = -1
    try:
        folder = _locked(temporary)
        # Named only when it is locked: nobody ever sees an epoch that has not begun to live as one that is dead.
        temporary.rename(log / name)
        _sync(log)
        return Begun(name, folder, GapSlot(folder))
    except OSError:
        if folder >= 0:
            os.close(folder)
        discard(temporary)
        discard(log / name)
        raise


def keep_spares(log: Path) -> None:
    """Have some epochs ready whose worker is still to come: it may find no space to make one, and then counts what it
    answers in the slot of one of these. Whoever makes them already keeps others from it.

    Raises
    ------
    OSError : there are fewer.
    """
    with open_folder(log) as one_at_a_time, suppress(BlockingIOError):
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for _ in range(SPARES - len(_spares(log))):
            path = log / f"{_SPARE}{secrets.token_hex(8)}"
            path.mkdir(mode=0o700)
            try:
                with open_folder(path) as folder:
                    GapSlot(folder).close()
            except OSError:
                discard(path)
                raise
        os.fsync(one_at_a_time)


def _take_spare(log: Path, name: str) -> Begun | None:
    for path in _spares(log):
        with ExitStack() as undo, suppress(OSError):  # another worker is first, or it is not whole
            folder = _locked(path)
            undo.callback(os.close, folder)
            slot = GapSlot(folder, there=True)
            undo.callback(slot.close)
            path.rename(log / name)
            _sync(log)
            undo.pop_all()
            return Begun(name, folder, slot)
    return None


def _spares(log: Path) -> list[Path]:
    return sorted(log.glob(f"{_SPARE}*"))


def _locked(path: Path) -> int:
    """A descriptor of a folder that holds its lock."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(folder)
        raise
    return folder


def _sync(path: Path) -> None:
    with open_folder(path) as folder:
        os.fsync(folder)


def discard(epoch: Path) -> None:
    """Take away the folder of a worker that has logged nothing; what cannot be is an epoch without records."""
    shutil.rmtree(epoch, ignore_errors=True)


def epochs(log: Path) -> list[Path]:
    """The folders of epochs, by name."""
    with translated(str(log)):
        try:
            found = list(log.iterdir())
        except FileNotFoundError:
            return []
        return sorted(one for one in found if one.is_dir() and not one.name.startswith(TEMPORARY_PREFIX))


def is_alive(epoch: Path) -> bool:
    """Whether its worker lives: the kernel lets go of the lock when it does not."""
    with translated(str(epoch)):
        try:
            with open_folder(epoch) as folder:
                fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:  # shipped meanwhile
            return False
    return False


def segments(epoch: Path) -> list[tuple[int, Path]]:
    """The segments of an epoch by number; none once all of it was shipped."""
    with translated(str(epoch)):
        try:
            found = [(SEGMENT.match(path.name), path) for path in epoch.iterdir()]
        except FileNotFoundError:
            return []
    return sorted((int(name[1]), path) for name, path in found if name)
