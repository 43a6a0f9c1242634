"""Draws the pictures of docs/explanation/features.md: python scripts/feature_pictures.py [FOLDER]"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parents[1]
INK, PALE, BLUE, GREEN, RED = "#1f2430", "#c9ced8", "#3b6ea8", "#3f8f5f", "#b5483f"
WIDTH: Final = 760


def text(x: float, y: float, words: str, *, size: int = 14, colour: str = INK, anchor: str = "start") -> str:
    """Words; the font is the reader's own."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, *, width: float = 1.5, dash: str = "") -> str:
    """A straight line."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def box(x: float, y: float, w: float, h: float, fill: str, *, stroke: str = "none", opacity: float = 1) -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" fill="{fill}" stroke="{stroke}"'
        f' fill-opacity="{opacity:g}"/>'
    )


def dot(x: float, y: float, colour: str, *, hollow: bool = False) -> str:
    """An event."""
    fill = "#ffffff" if hollow else colour
    return f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str = INK) -> str:
    """A line that points."""
    turn = 1 if x2 >= x1 else -1
    if y1 == y2:
        head = f"{x2:g},{y2:g} {x2 - 8 * turn:g},{y2 - 4:g} {x2 - 8 * turn:g},{y2 + 4:g}"
    else:
        down = 1 if y2 > y1 else -1
        head = f"{x2:g},{y2:g} {x2 - 4:g},{y2 - 8 * down:g} {x2 + 4:g},{y2 - 8 * down:g}"
    return line(x1, y1, x2, y2, colour) + f'<polygon points="{head}" fill="{colour}"/>'


def picture(height: int, title: str, parts: Sequence[str]) -> str:
    """A whole file, on white, so that it can be read on dark pages."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}" font-family="system-ui, sans-serif">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def clocks() -> str:
    """One definition, three clocks."""
    parts = [
        box(20, 90, 170, 84, "#eef2f8", stroke=BLUE),
        text(105, 122, "headrace.toml", anchor="middle", size=15),
        text(105, 146, "a feature, once", anchor="middle", colour=BLUE),
    ]
    rows = (
        ("history", "millions of rows at once, in columns", "training table, batch scoring"),
        ("request", "one row, in plain Python", "values from the online store"),
        ("stream", "event by event, the same states", "not built yet"),
    )
    for number, (name, how, what) in enumerate(rows):
        y = 22 + number * 84
        colour = PALE if name == "stream" else GREEN
        parts += [
            line(190, 132, 240, 132),
            line(240, 132, 240, y + 32),
            arrow(240, y + 32, 278, y + 32),
            box(280, y, 290, 64, "#ffffff", stroke=colour),
            text(294, y + 26, name, size=15),
            text(294, y + 48, how),
            text(580, y + 36, what, size=12),
        ]
    parts += [text(105, 214, "proved equal,", anchor="middle"), text(105, 234, "to the bit", anchor="middle")]
    return picture(280, "One definition is computed over history, at a request and event by event", parts)


def sawtooth() -> str:
    """A window's new edge is exact, its old edge hops."""
    left, hop, top = 60, 64, 70
    right = left + 10 * hop
    parts = [text(20, 24, "A window of half an hour, asked for at two moments of the same five minutes", size=15)]
    for number in range(11):
        x = left + number * hop
        parts.append(line(x, top - 20, x, top + 190, PALE, dash="3 4"))
    parts += [text(left, top - 26, "tiles of five minutes", size=12, colour="#6b7280")]
    for row, (asked, name) in enumerate(((8.3, "t"), (8.8, "t + 2½ min"))):
        y = top + row * 90
        x = left + asked * hop
        parts += [
            box(left + 2 * hop, y, 6 * hop, 34, BLUE, opacity=0.25, stroke=BLUE),
            box(left + 8 * hop, y, x - left - 8 * hop, 34, GREEN, opacity=0.35, stroke=GREEN),
            line(x, y - 12, x, y + 46, RED, width=2),
            text(x + 6, y - 2, name, colour=RED),
            text(left + 5 * hop, y + 22, "whole tiles, kept ready", anchor="middle", size=13),
        ]
        for event in (0.6, 2.2, 3.7, 5.1, 6.4, 8.1, 8.6, 9.5):
            inside = 2 <= event < asked
            parts.append(dot(left + event * hop, y + 54, INK if inside else PALE, hollow=not inside))
    parts += [
        arrow(left + 2 * hop, top + 170, left + 2 * hop, top + 156, BLUE),
        text(
            left + 2 * hop,
            top + 190,
            "old edge: floor(t − 30 min, 5 min), the same for both",
            colour=BLUE,
            anchor="start",
        ),
        text(right + 4, top + 190, "new edge: exactly t", colour=RED, anchor="end"),
        text(20, top + 222, "What became known in [old edge, t) counts; what became known at t does not.", size=14),
    ]
    return picture(310, "A sawtooth window: the old edge hops from tile to tile, the new edge is exact", parts)


def known_before() -> str:
    """When it happened, when it was known, and what a prediction sees."""
    t, top = 470, 70
    rows = (
        ("temperature at 9:00", 170, 210, True, "seen: known before t"),
        ("temperature at 10:00", 270, 310, True, "seen, newer: counts"),
        ("10:00 again, corrected", 270, 560, False, "not seen yet: the correction came after t"),
        ("last flight's delay", 250, 470, False, "not seen: known at t, not before it"),
        ("yesterday, filled in later", 110, 640, False, "not seen: about the past, known in the future"),
    )
    parts = [
        text(20, 26, "A row counts for a prediction at t when it was known before t, whenever it happened", size=15),
        text(t, 58, "t, the prediction", colour=RED, anchor="middle"),
        line(t, 64, t, top + len(rows) * 46 + 4, RED, width=2),
    ]
    for number, (name, happened, known, seen, why) in enumerate(rows):
        y = top + 22 + number * 46
        colour = GREEN if seen else "#6b7280"
        parts += [
            dot(happened, y, colour, hollow=True),
            arrow(happened + 6, y, known - 6, y, colour),
            dot(known, y, colour),
            text(20, y - 10, name, size=12),
            text(
                known + 12 if known + 250 < WIDTH else WIDTH - 12,
                y + 4 if known + 250 < WIDTH else y + 20,
                why,
                size=12,
                colour=colour,
                anchor="start" if known + 250 < WIDTH else "end",
            ),
        ]
    y = top + len(rows) * 46 + 30
    parts += [dot(30, y - 4, INK, hollow=True), text(44, y, "when it happened (event time)", size=12)]
    parts += [dot(260, y - 4, INK), text(274, y, "when it became known", size=12)]
    return picture(y + 22, "Which rows a prediction sees: those known before it", parts)


PICTURES: Final = {"clocks.svg": clocks, "sawtooth.svg": sawtooth, "known-before.svg": known_before}


def main(folder: Path) -> None:
    """Write them."""
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
