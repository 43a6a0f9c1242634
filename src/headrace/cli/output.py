"""What people see: aligned tables, human numbers, errors with their fix. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from headrace.errors import HeadraceError


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")


def print_line(text: str = "") -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be; numbers are the caller's strings."""
    widths = [max(len(str(r[i])) for r in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        print_line("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_error(error: HeadraceError, *, as_json: bool) -> None:
    """The error, what to do about it, and its stable code."""
    if as_json:
        print_json({"error": error.to_dict()})
        return
    red, bold, plain = ("\033[31m", "\033[1m", "\033[0m") if wants_colour(sys.stderr) else ("", "", "")
    sys.stderr.write(f"{red}{bold}error{plain} ({error.code}): {error.message}\n")
    if error.fix:
        sys.stderr.write(f"{bold}fix{plain}: {error.fix}\n")


def wants_colour(stream: Any) -> bool:
    """A terminal that did not ask for plain text (NO_COLOR)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def seconds(value: float) -> str:
    """4.2 s, 3 min 05 s."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {int(value % 60):02d} s"


def size(value: float) -> str:
    """812 B, 4.1 kB, 37 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def count(value: float) -> str:
    """330,712."""
    return f"{value:,.0f}"


_MANY = {"is": "are", "was": "were", "comes": "come"}
"""What a verb is of several."""


def things(n: int, one: str) -> str:
    """1 file, 2 files; 1 entity, 2 entities; 1 answer is, 2 answers are."""
    if n == 1:
        return f"{n:,} {one}"
    thing, space, verb = one.partition(" ")
    many = f"{thing[:-1]}ies" if thing.endswith("y") and thing[-2] not in "aeiou" else f"{thing}s"
    return f"{n:,} {many}{space}{_MANY.get(verb, verb)}"


def figure(value: float) -> str:
    """0.9767; 25,048,112 from a million on, and four significant digits where four decimals would not hold them."""
    size = abs(value)
    if 1e6 <= size < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}" if size >= 1e15 or 0 < size < 1e-3 else f"{value:.4f}"


def money(value: float, currency: str = "USD") -> str:
    """Two decimals from one unit on, three significant digits below."""
    return f"{value:,.2f} {currency}" if abs(value) >= 1 or value == 0 else f"{value:.3g} {currency}"


def instant(us: int | None) -> str:
    """2026-11-23 21:40:05, in the reader's own zone."""
    return "" if us is None else datetime.fromtimestamp(us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def near(path: Path) -> str:
    """A path as one would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
