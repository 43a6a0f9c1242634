"""The few SVG elements that all charts are made of, built by a serializer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH = 460
"""Of a chart, in its own units: a page scales it to the column that it stands in."""


def canvas(title: str, height: float, width: float = WIDTH) -> ET.Element:
    """An empty chart, with a title for screen readers."""
    box = f"0 0 {width:g} {height:g}"
    svg = ET.Element("svg", {"class": "chart", "viewBox": box, "role": "img", "aria-label": title})
    ET.SubElement(svg, "title").text = title
    return svg


def draw(parent: ET.Element, tag: str, kind: str, **attributes: str) -> ET.Element:
    """A shape whose look the page's style sheet gives by its class."""
    return ET.SubElement(parent, tag, {"class": kind, **attributes})


def write(
    parent: ET.Element, text: str, x: float, y: float, *, anchor: str = "start", kind: str = "tick"
) -> ET.Element:
    """A text."""
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    element = ET.SubElement(parent, "text", attributes)
    element.text = text
    return element


def shortened(name: str, most: int) -> str:
    """The name, cut to so many characters.

    >>> shortened("departure_delay", 8)
    'departu…'
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def markup(svg: ET.Element) -> Markup:
    """The chart as a template takes it, not to be escaped again."""
    from markupsafe import Markup

    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704  (a serializer escaped every value)
