"""How a run says how far it is: live lines in a terminal, plain lines elsewhere, or nothing.

They write to standard error unless given another stream, because standard output is for data. None can fail a run: a
stream that is gone is written to no more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from headrace.runs.model import StageState, Usage

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.text import Text

PLAIN_EVERY_S = 5.0
_REFRESHES_PER_S = 8
_SAID = {"done": "done", "cached": "unchanged", "failed": "failed"}
_STYLE = {"done": "green", "cached": "cyan", "failed": "red"}
_MARK = {"done": "✓", "cached": "=", "failed": "✗"}


@dataclass(slots=True)
class Movement:
    """How far one stage is."""

    started_s: float
    """By the progress's own clock."""
    done: float = 0.0
    total: float | None = None
    unit: str = "rows"
    note: str = ""

    def rate(self, now_s: float) -> float:
        """Units a second since the stage began; 0 before anything was done."""
        elapsed_s = now_s - self.started_s
        return self.done / elapsed_s if elapsed_s > 0 else 0.0

    def left_s(self, now_s: float) -> float | None:
        """Seconds to the end at the rate so far; None when the end or the rate is not known."""
        rate = self.rate(now_s)
        return None if self.total is None or rate <= 0 else max(0.0, self.total - self.done) / rate

    def text(self, now_s: float) -> str:
        """For people: `1,200 of 4,000 rows · 600 rows/s · 2 s · 5 s left · note`."""
        parts = []
        if self.done or self.total is not None:
            of = "" if self.total is None else f" of {amount(self.total)}"
            parts.append(f"{amount(self.done)}{of} {self.unit}")
            if self.done and self.unit != "s":
                parts.append(f"{amount(self.rate(now_s))} {self.unit}/s")
        parts.append(duration(now_s - self.started_s))
        left_s = self.left_s(now_s)
        if left_s is not None and self.done < (self.total or 0.0):
            parts.append(f"{duration(left_s)} left")
        return " · ".join([*parts, self.note] if self.note else parts)


class SilentProgress:
    """Says nothing: for `--json`."""

    def stage_started(self, name: str) -> None:
        """Nothing."""

    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        """Nothing."""

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


class PlainProgress:
    """One line when a stage begins, one when it ends, and one about every five seconds between."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = PLAIN_EVERY_S,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._every_s = every_s
        self._movement: dict[str, Movement] = {}
        self._said_s = 0.0

    def stage_started(self, name: str) -> None:
        """Say that it begins."""
        self._said_s = self._clock()
        self._movement[name] = Movement(self._said_s)
        self.say(f"{name}: started")

    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        """Say how far it is, unless something was said just now."""
        now_s = self._clock()
        if now_s - self._said_s < self._every_s:
            return
        self._said_s = now_s
        movement = self._movement.setdefault(name, Movement(now_s))
        movement.done, movement.total, movement.unit, movement.note = done, total, unit, note
        self.say(f"{name}: {movement.text(now_s)}")

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        """Say how it ended, and what it used."""
        self._movement.pop(name, None)
        self.say(f"{name}: {ending(state, usage)}")

    def say(self, text: str) -> None:
        """A line of its own."""
        with suppress(OSError, ValueError):  # the reader has gone, or the stream is closed: the run goes on
            self._stream.write(text + "\n")
            self._stream.flush()


class LiveProgress:
    """A terminal's view: one line a stage, that of the stage in progress moving; nothing moves between stages."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console  # 80 ms: only for a terminal

        self._clock = clock
        self._console = Console(file=stream or sys.stderr, highlight=False)  # obeys NO_COLOR by itself
        self._movement: dict[str, Movement] = {}
        self._live: Live | None = None

    def stage_started(self, name: str) -> None:
        """Show its line."""
        from rich.live import Live

        self._movement[name] = Movement(self._clock())
        if self._live is None:
            lines = _Lines(self._movement, self._clock)
            self._live = Live(lines, console=self._console, refresh_per_second=_REFRESHES_PER_S, transient=True)
            with suppress(OSError, ValueError):
                self._live.start()

    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        """Note how far it is; the view refreshes by itself."""
        movement = self._movement.get(name)
        if movement is not None:
            movement.done, movement.total, movement.unit, movement.note = done, total, unit, note

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        """Leave its last line."""
        from rich.text import Text

        self._movement.pop(name, None)
        if self._live is not None and not self._movement:
            with suppress(OSError, ValueError):
                self._live.stop()
            self._live = None
        mark = Text(f"{_MARK.get(state, ' ')} ", style=_STYLE.get(state, ""))
        self._print(mark + Text(f"{name}  ", style="bold") + Text(ending(state, usage), style="dim"))

    def say(self, text: str) -> None:
        """A line of its own."""
        from rich.text import Text

        self._print(Text(text))

    def _print(self, text: Text) -> None:
        with suppress(OSError, ValueError):
            self._console.print(text, soft_wrap=True)


class _Lines:
    """The stages in progress, as rich draws them at each refresh."""

    def __init__(self, movement: Mapping[str, Movement], clock: Callable[[], float]) -> None:
        self._movement = movement
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        now_s = self._clock()
        for name, movement in list(self._movement.items()):
            line = Text("· ", style="yellow") + Text(f"{name}  ", style="bold") + Text(movement.text(now_s))
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def ending(state: StageState, usage: Usage | None) -> str:
    """How a stage ended, for people."""
    said = _SAID.get(state, state)
    if usage is None or state == "cached":
        return said
    count = usage.rows_out or usage.rows_in
    rows = f" · {amount(count)} rows" if count else ""
    if count and usage.wall_s >= 1:
        rows += f" · {amount(round(count / usage.wall_s))} rows/s"
    return f"{said} in {duration(usage.wall_s)}{rows} · peak {size(usage.peak_memory_bytes)}"


def amount(value: float) -> str:
    """A number with at most three places that matter below a thousand.

    Examples
    --------
    >>> amount(1234567.8), amount(12.34), amount(0.5), amount(0)
    ('1,234,568', '12.3', '0.5', '0')
    """
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A span of time for people.

    Examples
    --------
    >>> duration(0.0123), duration(4.26), duration(61), duration(7384)
    ('12 ms', '4.3 s', '1 min 1 s', '2 h 3 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes for people, in powers of ten.

    Examples
    --------
    >>> size(999), size(2_500_000), size(1.2e10)
    ('999 B', '2.5 MB', '12.0 GB')
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
