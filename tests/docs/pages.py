"""The pages of the documentation, taken apart: code blocks with what is said about them, headings, links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))

_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->\s*")


class Block(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None
    """The reason why it is not run, from a comment right above."""

    @property
    def where(self) -> str:
        """For people: docs/how-to/predict.md:12."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Link(NamedTuple):
    """A link as it is written."""

    page: Path
    target: str


def _parsed(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of one language, in order."""
    found, reason = [], None
    for token in _parsed(page):
        if token.type == "fence" and token.info.strip() == language:
            line = (token.map or [0])[0] + 1
            found.append(Block(page, line, language, textwrap.dedent(token.content), reason))
        match = _NOT_RUN.fullmatch(token.content) if token.type == "html_block" else None
        reason = match["reason"] if match else None
    return found


def all_blocks(language: str) -> list[Block]:
    """The fenced blocks of one language on every page."""
    return [block for page in PAGES for block in blocks(page, language)]


def inline(page: Path) -> Iterator[Token]:
    """Text, code and links of running text, tables and headings."""
    for token in _parsed(page):
        yield from token.children or ()


def links(page: Path) -> list[Link]:
    """Every link and picture."""
    found = [token.attrGet("href") or token.attrGet("src") for token in inline(page)]
    return [Link(page, str(target)) for target in found if target]


def anchors(page: Path) -> set[str]:
    """What `#…` may name on a page: headings as the docs tool writes them."""
    tokens = _parsed(page)
    titles = [after.children or [] for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {_slug("".join(child.content for child in children)) for children in titles}


def _slug(title: str) -> str:
    """As Python-Markdown does it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())
