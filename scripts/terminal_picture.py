"""Draws what a command printed as an SVG terminal: `COMMAND | python scripts/terminal_picture.py "make demo" OUT.svg`.

The text is the command's own output, read from standard input; nothing is edited but its length in the middle.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

CHARACTER, LINE, PAD, BAR = 7.8, 18.0, 16.0, 30.0
MOST_LINES = 60
MOST_CHARACTERS = 132


def picture(command: str, lines: list[str]) -> ET.Element:
    """The window with its lines."""
    shown = [f"$ {command}", *lines]
    if len(shown) > MOST_LINES:
        shown = [*shown[: MOST_LINES // 2], "…", *shown[-MOST_LINES // 2 :]]
    shown = [line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…" for line in shown]
    width = max(len(line) for line in shown) * CHARACTER + 2 * PAD
    height = len(shown) * LINE + BAR + PAD
    svg = ET.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:.0f} {height:.0f}", "role": "img"}
    )
    ET.SubElement(svg, "title").text = f"What {command} prints"
    ET.SubElement(svg, "rect", {"width": "100%", "height": "100%", "rx": "8", "fill": "#10171e"})
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        ET.SubElement(svg, "circle", {"cx": f"{18 + number * 18}", "cy": "15", "r": "5", "fill": colour})
    for number, line in enumerate(shown):
        attributes = {
            "x": f"{PAD:.0f}",
            "y": f"{BAR + LINE * (number + 0.7):.1f}",
            "fill": "#d5dee6",
            "font-size": "13",
        }
        if number == 0:
            attributes |= {"fill": "#6fcf97"}
        text = ET.SubElement(
            svg, "text", attributes | {"font-family": "ui-monospace, Menlo, monospace", "xml:space": "preserve"}
        )
        text.text = line
    return svg


def main() -> None:
    """Standard input to a file."""
    command, out = sys.argv[1:]
    lines = [line.rstrip("\n") for line in sys.stdin]
    ET.ElementTree(picture(command, lines)).write(Path(out), encoding="utf-8")


if __name__ == "__main__":
    main()
