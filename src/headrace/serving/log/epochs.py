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
from pathlib import Path
from typing import Final

from headrace.stores.durable import TEMPORARY_PREFIX, make_folder, open_folder, translated

SEGMENT: Final = re.compile(r"(\d{4,})\.log\Z")


def segment_name(number: int) -> str:
    """The file of a segment, which count from 1."""
    return f"{number:04d}.log"


def new_epoch(log: Path, worker: str, now_us: int) -> tuple[str, int]:
    """Make and lock the folder of a new epoch, durably; its name, and its descriptor, which holds the lock."""
    make_folder(log)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_us // 1_000_000))
    safe = re.sub(r"[^A-Za-z0-9_]", "_", worker)[:40]
    name = f"{stamp}-{safe}-{secrets.token_hex(8)}"
    temporary = log / f"{TEMPORARY_PREFIX}{name}"
    temporary.mkdir(mode=0o700)
    descriptor = -1
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Named only when it is locked: nobody ever sees an epoch that has not begun to live as one that is dead.
        temporary.rename(log / name)
        with open_folder(log) as folder:
            os.fsync(folder)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        discard(temporary)
        discard(log / name)
        raise
    return name, descriptor


def discard(epoch: Path) -> None:
    """Take away the folder of a worker that could not begin; what cannot be is an epoch without records.

    Where a disk is full a worker is begun again every few seconds, and each time would leave a folder.
    """
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
