"""Charts as SVG elements, built by a serializer: no markup is ever pasted together from values.

Colours are CSS custom properties of the page (`--c1` … `--c4`, `--ink`, `--line`), so charts follow light and dark.
Each chart carries a title for screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from headrace.pages.scale import short, ticks

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 42
SMALL_WIDTH, SMALL_HEIGHT = 280, 84
_NAME_LENGTH = 16


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


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, with an interval if it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class _Plane:
    """The drawing area: data coordinates to pixels, axes and grid."""

    def __init__(self, title: str, xs: Sequence[float], ys: Sequence[float], x_label: str, y_label: str) -> None:
        x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
        self.svg = _svg(title, HEIGHT)
        self._x0, self._x1, self._y0, self._y1 = x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1]
        for value in y_ticks:
            y = f"{self.y(value):.1f}"
            _shape(self.svg, "line", "grid", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=y, y2=y)
            _text(self.svg, short(value), LEFT - 6, self.y(value) + 4, anchor="end")
        for value in x_ticks:
            _text(self.svg, short(value), self.x(value), HEIGHT - BOTTOM + 16, anchor="middle")
        _text(self.svg, x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, anchor="middle", kind="axis")
        label = _text(self.svg, y_label, 0, 0, anchor="middle", kind="axis")
        label.set("transform", f"translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)")

    def x(self, value: float) -> float:
        """Data to pixels, across."""
        return LEFT + (value - self._x0) / (self._x1 - self._x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Data to pixels, down."""
        return HEIGHT - BOTTOM - (value - self._y0) / (self._y1 - self._y0) * (HEIGHT - TOP - BOTTOM)


def line_chart(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str, marks: Sequence[Point] = ()
) -> Markup:
    """Lines over one pair of axes, and marked points on them; empty series are left out."""
    shown = [s for s in series if len(s.x)]
    if not shown:
        return _markup(_svg(title, 40))
    xs = [v for s in shown for v in s.x] + [point.x for point in marks]
    ys = [v for s in shown for v in (*s.y, *s.low, *s.high)] + [point.y for point in marks]
    plane = _Plane(title, xs, ys, x_label, y_label)
    for number, one in enumerate(shown):
        points = " ".join(f"{plane.x(a):.1f},{plane.y(b):.1f}" for a, b in zip(one.x, one.y, strict=True))
        kind = f"line c{number % 4 + 1}" + (" dashed" if one.dashed else "")
        for a, low, high in zip(one.x, one.low, one.high, strict=False):
            x = f"{plane.x(a):.1f}"
            _shape(plane.svg, "line", "whisker", x1=x, x2=x, y1=f"{plane.y(low):.1f}", y2=f"{plane.y(high):.1f}")
        _shape(plane.svg, "polyline", kind, points=points)
    for point in marks:
        _ring(plane, point)
    if len(shown) > 1:
        _legend(plane.svg, [s.name for s in shown])
    return _markup(plane.svg)


def scatter_chart(title: str, points: Sequence[Point], *, x_label: str, y_label: str, groups: Sequence[str]) -> Markup:
    """Marks over one pair of axes; each says its name when pointed at."""
    if not points:
        return _markup(_svg(title, 40))
    plane = _Plane(title, [p.x for p in points], [p.y for p in points], x_label, y_label)
    for point in points:
        x, y = plane.x(point.x), plane.y(point.y)
        if point.marked:
            _ring(plane, point)
        mark = _shape(plane.svg, "circle", f"mark c{point.group % 4 + 1}", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3.5")
        ET.SubElement(mark, "title").text = f"{point.name}: {short(point.x)}, {short(point.y)}"
    _legend(plane.svg, groups)
    return _markup(plane.svg)


def _ring(plane: _Plane, point: Point) -> None:
    """A ring around a point, its name beside it."""
    x, y = plane.x(point.x), plane.y(point.y)
    _shape(plane.svg, "circle", "ring", cx=f"{x:.1f}", cy=f"{y:.1f}", r="8")
    side = "end" if x > WIDTH * 0.7 else "start"
    _text(plane.svg, point.name, x + (-12 if side == "end" else 12), y - 8, anchor=side, kind="axis")


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Horizontal bars from zero, largest first as given."""
    row, left = 20, 170
    svg = _svg(title, row * len(bars) + 8)
    reach = max((max(abs(b.value), abs(b.high or 0.0)) for b in bars), default=0.0) or 1.0
    for number, bar in enumerate(bars):
        y = 4 + number * row
        width = max(bar.value, 0.0) / reach * (WIDTH - left - 70)
        _text(svg, bar.name, left - 6, y + 13, anchor="end")
        _shape(svg, "rect", "bar", x=str(left), y=str(y + 3), width=f"{width:.1f}", height="12")
        end = width
        if bar.low is not None and bar.high is not None:
            a, b = (left + max(v, 0.0) / reach * (WIDTH - left - 70) for v in (bar.low, bar.high))
            _shape(svg, "line", "whisker", x1=f"{a:.1f}", x2=f"{b:.1f}", y1=str(y + 9), y2=str(y + 9))
            end = max(end, b - left)
        _text(svg, short(bar.value), left + end + 6, y + 13)
    return _markup(svg)


def small_histogram(title: str, counts: Sequence[int], *, low: str, high: str, highlight: Sequence[int] = ()) -> Markup:
    """Bars side by side over one line, its ends labelled; `highlight` are bars drawn in another colour."""
    svg = _svg(title, SMALL_HEIGHT, SMALL_WIDTH)
    most = max(counts, default=0) or 1
    base = SMALL_HEIGHT - 16
    step = SMALL_WIDTH / max(len(counts), 1)
    width = min(step * 0.86, 40.0)
    for number, count in enumerate(counts):
        if count:
            height = max(count / most * (base - 4), 1.0)
            kind = "bar other" if number in highlight else "bar"
            x = f"{step * number + (step - width) / 2:.1f}"
            bar = _shape(svg, "rect", kind, x=x, y=f"{base - height:.1f}", width=f"{width:.1f}", height=f"{height:.1f}")
            bar.set("rx", "1")
    _shape(svg, "line", "axis", x1="0", x2=str(SMALL_WIDTH), y1=str(base), y2=str(base))
    _text(svg, low, 0, SMALL_HEIGHT - 3)
    _text(svg, high, SMALL_WIDTH, SMALL_HEIGHT - 3, anchor="end")
    return _markup(svg)


def small_bars(title: str, bars: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars of shares (0 to 1): a name, the bar, its figure; names too long for the place are cut."""
    row, left, right = 17, 104, 46
    svg = _svg(title, row * len(bars) + 3, SMALL_WIDTH)
    most = max((share for _, share, _ in bars), default=0.0) or 1.0
    for number, (name, share, figure) in enumerate(bars):
        y = 2 + number * row
        width = max(share / most * (SMALL_WIDTH - left - right), 1.0)
        _text(svg, name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…", 0, y + 12, kind="tick name")
        bar = _shape(svg, "rect", "bar", x=str(left), y=str(y + 3), width=f"{width:.1f}", height="10")
        bar.set("rx", "1")
        _text(svg, figure, left + width + 5, y + 12)
    return _markup(svg)


def _svg(title: str, height: int, width: int = WIDTH) -> ET.Element:
    svg = ET.Element("svg", {"class": "chart", "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title})
    ET.SubElement(svg, "title").text = title
    return svg


def _shape(parent: ET.Element, tag: str, kind: str, **attributes: str) -> ET.Element:
    """A shape whose look the page's style sheet gives by its class."""
    return ET.SubElement(parent, tag, {"class": kind, **attributes})


def _text(
    parent: ET.Element, text: str, x: float, y: float, *, anchor: str = "start", kind: str = "tick"
) -> ET.Element:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    element = ET.SubElement(parent, "text", attributes)
    element.text = text
    return element


def _legend(svg: ET.Element, names: Sequence[str]) -> None:
    """Names beside their colours, low on the right: curves of quality bend away from there."""
    for number, name in enumerate(names):
        y = HEIGHT - BOTTOM - 10 - (len(names) - 1 - number) * 16
        _shape(svg, "circle", f"mark c{number % 4 + 1}", cx=str(WIDTH - RIGHT - 6), cy=str(y - 4), r="4")
        _text(svg, name, WIDTH - RIGHT - 16, y, anchor="end")


def _markup(svg: ET.Element) -> Markup:
    from markupsafe import Markup

    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704  (a serializer escaped every value)
