"""Charts as SVG elements, built by a serializer: no markup is ever pasted together from values.

Colours are CSS custom properties of the page (`--c1` … `--c4`, `--ink`, `--line`), so charts follow light and dark.
Each chart carries a title for screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from headrace.pages.scale import log_ticks, short, ticks
from headrace.pages.shapes import WIDTH, canvas, draw, markup, shortened, write

if TYPE_CHECKING:
    from markupsafe import Markup

HEIGHT = 260
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 12, 42
SMALL_WIDTH, SMALL_HEIGHT = 280, 84
KEY_ROW = 17
_NAME_LENGTH = 16
_LONG_NAME = 22
_LEAST = 1e-9
"""What a logarithmic axis shows: less stands at the least value above it."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    low: Sequence[float] = ()
    """With `high` the ends of an interval at each point, drawn as a whisker; empty: none."""
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One mark of a scatter chart."""

    x: float
    y: float
    name: str
    group: int = 0
    """Which colour."""
    marked: bool = False
    """Drawn with a ring and its name beside it."""
    name_below: bool = False
    """Its name stands to the right below, where a rising curve leaves room."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, with an interval if it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class _Plane:
    """The drawing area: data coordinates to pixels, axes and grid."""

    def __init__(
        self,
        title: str,
        xs: Sequence[float],
        ys: Sequence[float],
        x_label: str,
        y_label: str,
        *,
        log_x: bool = False,
        below: int = 0,
    ) -> None:
        x_ticks, y_ticks = (log_ticks if log_x else ticks)(min(xs), max(xs)), ticks(min(ys), max(ys))
        self.svg = canvas(title, HEIGHT + below)
        self._across = log10 if log_x else float
        self._x0, self._x1 = self._across(x_ticks[0]), self._across(x_ticks[-1])
        self._y0, self._y1 = y_ticks[0], y_ticks[-1]
        for value in y_ticks:
            y = f"{self.y(value):.1f}"
            draw(self.svg, "line", "grid", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=y, y2=y)
            write(self.svg, short(value), LEFT - 6, self.y(value) + 4, anchor="end")
        for value in x_ticks:
            write(self.svg, short(value), self.x(value), HEIGHT - BOTTOM + 16, anchor="middle")
        write(self.svg, x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, anchor="middle", kind="axis")
        label = write(self.svg, y_label, 0, 0, anchor="middle", kind="axis")
        label.set("transform", f"translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)")

    def x(self, value: float) -> float:
        """Data to pixels, across."""
        return LEFT + (self._across(value) - self._x0) / (self._x1 - self._x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Data to pixels, down."""
        return HEIGHT - BOTTOM - (value - self._y0) / (self._y1 - self._y0) * (HEIGHT - TOP - BOTTOM)


def line_chart(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str, marks: Sequence[Point] = ()
) -> Markup:
    """Lines over one pair of axes, and marked points on them; empty series are left out."""
    shown = [s for s in series if len(s.x)]
    if not shown:
        return markup(canvas(title, 40))
    xs = [v for s in shown for v in s.x] + [point.x for point in marks]
    ys = [v for s in shown for v in (*s.y, *s.low, *s.high)] + [point.y for point in marks]
    plane = _Plane(title, xs, ys, x_label, y_label)
    for number, one in enumerate(shown):
        points = " ".join(f"{plane.x(a):.1f},{plane.y(b):.1f}" for a, b in zip(one.x, one.y, strict=True))
        kind = f"line c{number % 4 + 1}" + (" dashed" if one.dashed else "")
        for a, low, high in zip(one.x, one.low, one.high, strict=False):
            x = f"{plane.x(a):.1f}"
            draw(plane.svg, "line", "whisker", x1=x, x2=x, y1=f"{plane.y(low):.1f}", y2=f"{plane.y(high):.1f}")
        draw(plane.svg, "polyline", kind, points=points)
    for point in marks:
        _ring(plane, point.x, point)
    if len(shown) > 1:
        _legend(plane.svg, [s.name for s in shown])
    return markup(plane.svg)


def scatter_chart(
    title: str,
    points: Sequence[Point],
    *,
    x_label: str,
    y_label: str,
    groups: Sequence[str],
    log_x: bool = False,
    path: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Marks over one pair of axes; each says its name when pointed at. What the marks mean stands below.

    Parameters
    ----------
    log_x : the axis across is logarithmic; a point below 1e-9 stands at the least value above that
    path : corners of a dashed line, from left to right
    """
    if not points:
        return markup(canvas(title, 40))
    least = min((p.x for p in points if p.x >= _LEAST), default=_LEAST) if log_x else float("-inf")
    xs = [max(p.x, least) for p in points]
    rows = _key_rows(groups)
    plane = _Plane(
        title, xs, [p.y for p in points], x_label, y_label, log_x=log_x, below=KEY_ROW * len(rows) + 4 if rows else 0
    )
    if len(path) > 1:
        corners = " ".join(f"{plane.x(max(a, least)):.1f},{plane.y(b):.1f}" for a, b in path)
        draw(plane.svg, "polyline", "line dashed frontier", points=corners)
    for x, point in zip(xs, points, strict=True):
        mark = _mark(plane.svg, point.group, plane.x(x), plane.y(point.y))
        ET.SubElement(mark, "title").text = f"{point.name}: {short(point.x)}, {short(point.y)}"
    for x, point in zip(xs, points, strict=True):
        if point.marked:
            _ring(plane, x, point)
    for number, row in enumerate(rows):
        for group, place in row:
            y = HEIGHT + 8 + KEY_ROW * number
            _mark(plane.svg, group, place, y - 4)
            write(plane.svg, groups[group], place + 9, y)
    return markup(plane.svg)


def _key_rows(groups: Sequence[str]) -> list[list[tuple[int, float]]]:
    """Where each group's name stands below a chart: rows of (group, place across)."""
    rows: list[list[tuple[int, float]]] = []
    place = float(WIDTH)
    for group, name in enumerate(groups):
        width = 26 + 7 * len(name)
        if place + width > WIDTH - RIGHT or not rows:
            rows.append([])
            place = float(LEFT)
        rows[-1].append((group, place))
        place += width
    return rows


def _mark(svg: ET.Element, group: int, x: float, y: float) -> ET.Element:
    """A point of a group: four colours, and another shape for each further four groups."""
    kind = f"mark c{group % 4 + 1}"
    match group // 4 % 3:
        case 0:
            return draw(svg, "circle", kind, cx=f"{x:.1f}", cy=f"{y:.1f}", r="4")
        case 1:
            return draw(svg, "rect", kind, x=f"{x - 3.5:.1f}", y=f"{y - 3.5:.1f}", width="7", height="7")
        case _:
            corners = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
            return draw(svg, "polygon", kind, points=corners)


def _ring(plane: _Plane, across: float, point: Point) -> None:
    """A ring around a point, its name beside it."""
    x, y = plane.x(across), plane.y(point.y)
    draw(plane.svg, "circle", "ring", cx=f"{x:.1f}", cy=f"{y:.1f}", r="8")
    if point.name_below:
        write(plane.svg, point.name, min(x + 10, WIDTH - RIGHT), y + 20, kind="axis mark")
        return
    side = "end" if x > WIDTH * 0.7 else "start"
    write(plane.svg, point.name, x + (-12 if side == "end" else 12), max(y - 8, TOP), anchor=side, kind="axis mark")


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Horizontal bars from zero, to the left of it where they are negative, in the order as given."""
    row, left, right = 20, 150, 54
    svg = canvas(title, row * len(bars) + 8)
    ends = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None]
    least, most = min([0.0, *ends]), max([0.0, *ends])
    span = (most - least) or 1.0

    def across(value: float) -> float:
        return left + (value - least) / span * (WIDTH - left - right)

    for number, bar in enumerate(bars):
        y = 4 + number * row
        start, end = sorted((across(0.0), across(bar.value)))
        write(svg, shortened(bar.name, _LONG_NAME), left - 8, y + 13, anchor="end", kind="tick name")
        draw(svg, "rect", "bar", x=f"{start:.1f}", y=str(y + 3), width=f"{end - start:.1f}", height="12")
        if bar.low is not None and bar.high is not None:
            x1, x2 = f"{across(bar.low):.1f}", f"{across(bar.high):.1f}"
            draw(svg, "line", "whisker", x1=x1, x2=x2, y1=str(y + 9), y2=str(y + 9))
            end = max(end, across(bar.high))
        write(svg, short(bar.value), end + 6, y + 13)
    if least < 0.0:
        zero = f"{across(0.0):.1f}"
        draw(svg, "line", "axis", x1=zero, x2=zero, y1="2", y2=str(4 + row * len(bars)))
    return markup(svg)


def small_histogram(title: str, counts: Sequence[int], *, low: str, high: str, highlight: Sequence[int] = ()) -> Markup:
    """Bars side by side over one line, its ends labelled; `highlight` are bars drawn in another colour."""
    svg = canvas(title, SMALL_HEIGHT, SMALL_WIDTH)
    most = max(counts, default=0) or 1
    base = SMALL_HEIGHT - 16
    step = SMALL_WIDTH / max(len(counts), 1)
    width = min(step * 0.86, 40.0)
    for number, count in enumerate(counts):
        if count:
            height = max(count / most * (base - 4), 1.0)
            kind = "bar other" if number in highlight else "bar"
            x = f"{step * number + (step - width) / 2:.1f}"
            bar = draw(svg, "rect", kind, x=x, y=f"{base - height:.1f}", width=f"{width:.1f}", height=f"{height:.1f}")
            bar.set("rx", "1")
    draw(svg, "line", "axis", x1="0", x2=str(SMALL_WIDTH), y1=str(base), y2=str(base))
    write(svg, low, 0, SMALL_HEIGHT - 3)
    write(svg, high, SMALL_WIDTH, SMALL_HEIGHT - 3, anchor="end")
    return markup(svg)


def small_bars(title: str, bars: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars of shares (0 to 1): a name, the bar, its figure; names too long for the place are cut."""
    row, left, right = 17, 104, 46
    svg = canvas(title, row * len(bars) + 3, SMALL_WIDTH)
    most = max((share for _, share, _ in bars), default=0.0) or 1.0
    for number, (name, share, figure) in enumerate(bars):
        y = 2 + number * row
        width = max(share / most * (SMALL_WIDTH - left - right), 1.0)
        write(svg, shortened(name, _NAME_LENGTH), 0, y + 12, kind="tick name")
        bar = draw(svg, "rect", "bar", x=str(left), y=str(y + 3), width=f"{width:.1f}", height="10")
        bar.set("rx", "1")
        write(svg, figure, left + width + 5, y + 12)
    return markup(svg)


def _legend(svg: ET.Element, names: Sequence[str]) -> None:
    """Names beside their colours, low on the right: curves of quality bend away from there."""
    for number, name in enumerate(names):
        y = HEIGHT - BOTTOM - 10 - (len(names) - 1 - number) * 16
        draw(svg, "circle", f"mark c{number % 4 + 1}", cx=str(WIDTH - RIGHT - 6), cy=str(y - 4), r="4")
        write(svg, name, WIDTH - RIGHT - 16, y, anchor="end")
