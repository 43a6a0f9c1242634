"""Many points a row, none hiding another: how far each value of a feature moved an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from headrace.pages.scale import short, ticks
from headrace.pages.shapes import WIDTH, canvas, draw, markup, shortened, write

if TYPE_CHECKING:
    from markupsafe import Markup

ROW, LEFT, RIGHT, BELOW = 26, 150, 18, 62
BINS = 90
STEP, REACH = 2.6, 10.0
SHADES = 5
NAME_LENGTH = 22


@dataclass(frozen=True, slots=True)
class Swarm:
    """One row of points."""

    name: str
    x: Sequence[float]
    shades: Sequence[float | None]
    """Of each point, 0 (low) to 1 (high); None: in a colour of its own."""


def swarm_chart(title: str, rows: Sequence[Swarm], *, x_label: str, low: str, high: str, none: str) -> Markup:
    """Rows of points over one axis, where many points are close the row is thick.

    Parameters
    ----------
    low, high, none : what the colours of the lowest, the highest and no shade mean
    """
    values = [x for row in rows for x in row.x]
    if not values:
        return markup(canvas(title, 40))
    marks = ticks(min(*values, 0.0), max(*values, 0.0))
    first, last = marks[0], marks[-1]
    base = ROW * len(rows) + 6
    svg = canvas(title, base + BELOW)

    def across(value: float) -> float:
        return LEFT + (value - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    for mark in marks:
        x = f"{across(mark):.1f}"
        draw(svg, "line", "axis" if mark == 0 else "grid", x1=x, x2=x, y1="2", y2=str(base))
        write(svg, short(mark), across(mark), base + 15, anchor="middle")
    for number, row in enumerate(rows):
        middle = 4 + ROW * number + ROW / 2
        write(svg, shortened(row.name, NAME_LENGTH), LEFT - 10, middle + 4, anchor="end", kind="tick name")
        for shade, points in _places(row, [across(x) for x in row.x], middle).items():
            path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
            draw(svg, "path", f"dots {shade}", d=path)
    write(svg, x_label, (LEFT + WIDTH - RIGHT) / 2, base + 33, anchor="middle", kind="axis")
    _key(svg, base + 52, low, high, none if any(None in row.shades for row in rows) else "")
    return markup(svg)


def _places(row: Swarm, across: Sequence[float], middle: float) -> dict[str, list[tuple[float, float]]]:
    """Where each point stands, by its shade: those that would hide one another stand above and below."""
    taken: dict[int, int] = {}
    width = (WIDTH - LEFT - RIGHT) / BINS
    found: dict[str, list[tuple[float, float]]] = {}
    for x, shade in zip(across, row.shades, strict=True):
        place = int((x - LEFT) / width)
        before = taken.get(place, 0)
        taken[place] = before + 1
        away = (before + 1) // 2 * STEP * (1 if before % 2 else -1)
        if abs(away) > REACH:  # full: they lie over one another
            away = away % (2 * REACH) - REACH
        kind = "none" if shade is None else f"s{min(int(shade * SHADES), SHADES - 1)}"
        found.setdefault(kind, []).append((x, middle + away))
    return dict(sorted(found.items()))


def _key(svg: ET.Element, y: float, low: str, high: str, none: str) -> None:
    x = float(LEFT)
    write(svg, low, x, y)
    x += 7.2 * len(low) + 8
    for shade in range(SHADES):
        draw(svg, "path", f"dots s{shade}", d=f"M{x:.1f} {y - 4:.1f}h0")
        x += 8
    write(svg, high, x + 2, y)
    if none:
        x += 7.2 * len(high) + 24
        draw(svg, "path", "dots none", d=f"M{x:.1f} {y - 4:.1f}h0")
        write(svg, none, x + 8, y)
