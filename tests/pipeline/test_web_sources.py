"""Runs over files on a web server: what is unchanged is not fetched again, and nothing secret is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.conftest import WebPlace

from headrace.app import Project
from headrace.data.errors import FilesRewritten

DEFINITION = """
format = 1
[project]
name = "visits"
[sources.visits]
read = [{read}]
format = "csv"
{more}
"""


def define(web: WebPlace, *addresses: str, more: str = "") -> None:
    read = ", ".join(f'"{address}"' for address in addresses)
    (web.folder / "headrace.toml").write_text(DEFINITION.format(read=read, more=more))


def check(web: WebPlace) -> tuple[list[int], Any]:
    """The keys accepted, and the outcome."""
    with Project.open(web.folder) as project:
        checked = project.check()
        table = checked.sources["visits"].table
        return pl.read_parquet(project.objects.scan_target(table.ref.key).url)["k"].to_list(), checked


def test_an_unchanged_file_is_fetched_once_and_a_changed_one_again(web: WebPlace) -> None:
    (web.folder / "a.csv").write_text("k\n1\n")
    define(web, web.at("a.csv"))
    assert check(web)[0] == [1]
    fetched = web.requests("a.csv").count("GET 200")
    assert check(web)[0] == [1]
    assert web.requests("a.csv").count("GET 200") == fetched
    (web.folder / "a.csv").write_text("k\n1\n2\n")
    assert check(web)[0] == [1, 2]


def test_what_tells_no_change_is_fetched_at_every_run_and_compared_by_content(web: WebPlace) -> None:
    (web.folder / "a.csv").write_text("k\n1\n")
    define(web, web.at("a.csv", "bare"))
    first = check(web)[1].snapshots["visits"]
    fetched = web.requests("a.csv").count("GET 200")
    again = check(web)[1].snapshots["visits"]
    assert (again.ref, web.requests("a.csv").count("GET 200")) == (first.ref, fetched + 1)
    (web.folder / "a.csv").write_text("k\n2\n")
    assert check(web)[0] == [2]


def test_a_file_that_tells_no_change_is_never_appended_to_itself(web: WebPlace) -> None:
    (web.folder / "a.csv").write_text("k\n1\n")
    define(web, web.at("a.csv", "bare"), more='incremental = "files"')
    assert [check(web)[0] for _ in range(3)] == [[1], [1], [1]]
    (web.folder / "headrace.toml").write_text((web.folder / "headrace.toml").read_text().replace("a.csv", "b.csv"))
    (web.folder / "b.csv").write_text("k\n2\n")
    with pytest.raises(FilesRewritten):
        check(web)


def test_no_secret_is_stored(web: WebPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    (web.folder / "a.csv").write_text("k\n1\n")
    monkeypatch.setenv("TOKEN", web.authorization)
    monkeypatch.setenv("KEY", "hunter3")
    headers = 'headers = { Authorization = "${env:TOKEN}", X-Key = "${env:KEY}" }'
    define(web, web.at("a.csv", "private") + "?token=${env:KEY}", more=headers)
    assert check(web)[0] == [1]
    kept = [path for path in Path(web.folder).rglob("*") if path.is_file()]
    assert any(path.name.startswith("catalog.db") for path in kept)
    for secret in (b"hunter3", web.authorization.encode()):
        assert [path for path in kept if secret in path.read_bytes()] == []
