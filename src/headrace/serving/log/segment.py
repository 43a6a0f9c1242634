"""One segment file that is being written."""

from __future__ import annotations

import os
from typing import Final

from headrace.serving.log.epochs import segment_name


class Segment:
    """A new segment of an epoch; what it is opened with stands in it, or it does not exist.

    Raises
    ------
    OSError : it cannot be made, or there is no space for its beginning.
    """

    __slots__ = ("_folder", "_named", "fd", "number", "size")

    def __init__(self, folder: int, number: int, beginning: bytes) -> None:
        self.number: Final = number
        self._folder: Final = folder
        self._named = False
        name = segment_name(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.fd = os.open(name, flags, 0o600, dir_fd=folder)
        self.size = 0
        try:
            self.write(beginning)
        except OSError:
            os.close(self.fd)
            os.unlink(name, dir_fd=folder)
            raise

    def write(self, data: bytes) -> None:
        """Append all of it or nothing.

        Raises
        ------
        OSError : nothing of it is in the file; if even that cannot be made so, `size` is -1 and the segment's end is
            torn, so that nothing may follow it.
        """
        written = 0
        try:
            written = os.write(self.fd, data)
            while written < len(data):
                written += os.write(self.fd, data[written:])
        except OSError:
            if written:
                self._take_back()
            raise
        self.size += written

    def sync(self) -> None:
        """Make what was written durable, and at first the file's name."""
        os.fdatasync(self.fd)
        if not self._named:
            os.fsync(self._folder)
            self._named = True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self.fd, self.size)
        except OSError:
            self.size = -1
