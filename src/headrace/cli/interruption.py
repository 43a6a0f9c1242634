"""Ctrl-C that is not lost.

Python raises `KeyboardInterrupt` wherever it happens to be; where that is a finaliser, or a library's callback that
lets nothing out, it is printed and gone, and a run that was told to stop goes on. What was asked for is remembered
here, and raised again when the run next says how far it is.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from headrace.runs.model import Progress, StageState, Usage

_asked = threading.Event()


def listen() -> None:
    """From now on remember that Ctrl-C was typed; nothing changes where somebody else handles it."""
    _asked.clear()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _ask)


def _ask(_: int, __: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


class Heeding:
    """A progress that stops what it is told of once Ctrl-C was typed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage_started(self, name: str) -> None:
        """Raises `KeyboardInterrupt`."""
        _heed()
        self._progress.stage_started(name)

    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        """Raises `KeyboardInterrupt`."""
        _heed()
        self._progress.stage_moved(name, done, total, unit, note)

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        """What has ended is told whatever was typed."""
        self._progress.stage_ended(name, state, usage)

    def say(self, text: str) -> None:
        """Likewise."""
        self._progress.say(text)


def _heed() -> None:
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt
