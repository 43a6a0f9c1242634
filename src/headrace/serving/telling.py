"""Lines for who keeps a server, on standard error. A line that cannot be written is lost, and nothing else: the server
goes on when the disk that its log is on is full, or when whoever read its lines has ended.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import msgspec

_STANDARD_ERROR: Final = 2


def write_line(text: str) -> None:
    """One line, or nothing.

    Past `sys.stderr`, whose buffer would keep what it could not write, and have the process end with code 120 for it;
    in one write, so that the lines of several processes do not mix.
    """
    with suppress(OSError):
        os.write(_STANDARD_ERROR, f"{text}\n".encode(errors="backslashreplace"))


def note(event: str, /, **facts: object) -> None:
    """An event as a line of JSON."""
    write_line(msgspec.json.encode({"event": event, **facts}).decode())
