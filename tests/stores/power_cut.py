"""A disk whose power can be cut: ext4 on a loop device, shut down in the middle of what is written to it.

`EXT4_IOC_SHUTDOWN` stops the file system as if the machine had lost power: nothing more reaches the disk, the journal
included. What a reader then finds is what was made durable. It does not reorder what a drive holds in its own cache.
Needs root and loop devices.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE_BYTES = 96 << 20


class CuttableDisk:
    """A mounted file system of its own; `cut` ends it, `mount` brings back what was durable."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self._image = folder / "disk.img"

    def __enter__(self) -> Self:
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", str(self._image))
        self.mount()
        return self

    def mount(self) -> None:
        """Mount, replaying the journal as a machine does when it starts again."""
        _run("mount", "-o", "loop", str(self._image), str(self.root))

    def cut(self) -> None:
        """Stop the disk at once."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def unmount(self) -> None:
        """Let go of the file system and its device, once nothing has a file of it open: what a killed process has
        started sees a moment later that it is alone, and ends.

        The kernel lets go of the device a moment later: who mounts the image before that gets the one that ends.
        """
        until = time.monotonic() + 30
        while (done := _done("umount", str(self.root))).returncode:
            assert "busy" in done.stderr, done.stderr
            assert time.monotonic() < until, "something has still a file of it open"
            time.sleep(0.01)
        while subprocess.run(("losetup", "-j", self._image), capture_output=True, check=True).stdout:
            assert time.monotonic() < until, "the device is still there"
            time.sleep(0.01)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if os.path.ismount(self.root):
            _run("umount", "--lazy", str(self.root))


def _run(*command: str) -> None:
    done = _done(*command)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _done(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False)
