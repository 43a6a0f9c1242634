"""The pages hold together: links lead somewhere, the navigation has every page, and the docs tool builds them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import DOCS, PAGES, ROOT, anchors, links


def _named(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_link_inside_the_documentation_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if "://" in link.target:
            continue
        name, _, anchor = link.target.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link.target)
    assert broken == []


def test_every_page_is_in_the_navigation_and_the_other_way_round() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = list(_leaves(config["project"]["nav"]))
    assert sorted(listed) == [_named(page) for page in sorted(PAGES, key=_named)]


def test_every_page_but_decisions_is_linked_from_the_first_one() -> None:
    linked = {link.target.partition("#")[0] for link in links(DOCS / "index.md")}
    pages = {_named(page) for page in PAGES if page.parent.name != "decisions"} - {"index.md"}
    assert pages - linked == set()


def test_the_docs_tool_builds_every_page_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "zensical.toml").write_bytes((ROOT / "zensical.toml").read_bytes())
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in PAGES:
        built = tmp_path / "site" / Path(_named(page)).with_suffix("") / "index.html"
        assert page.name == "index.md" or built.is_file(), f"{_named(page)} was not built"


def test_the_python_page_shows_the_docstrings() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    names = [line.removeprefix("::: ") for line in page.splitlines() if line.startswith("::: ")]
    assert {"headrace.load", "headrace.Project"} <= set(names)
    for name in names:
        module, _, attribute = name.rpartition(".")
        found = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert found.__doc__, name


def _leaves(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from _leaves(value)


def test_the_picture_of_the_demo_shows_nothing_of_the_machine_that_drew_it() -> None:
    drawn = (ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8")
    assert "$ make demo" in drawn
    assert [word for word in ("WARNING", "file://", "/home/", "/opt/", "/root/", "/tmp/") if word in drawn] == []
