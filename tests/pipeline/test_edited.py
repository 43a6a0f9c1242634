"""A project that is edited between checks comes to what a fresh one comes to: nothing out of date is taken as cached.

Each case changes one setting that only one part of a stage's fingerprint tells.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter
from tests.examples import define

from headrace.app import Project
from headrace.errors import HeadraceError
from headrace.runs.history import get_run

HEAD = 'format = 1\n[project]\nname = "edited"\nsource = "s"\nlabel = "k > 1"\nrequest = ["x"]\n'
CASES: dict[str, tuple[str, str]] = {
    "format": ('read = "tabs"\nformat = "csv"', 'read = "tabs"\nformat = "tsv"'),
    "query": ('read = "a.db"\nquery = "SELECT k, x FROM t"', 'read = "a.db"\nquery = "SELECT k + 5 AS k, x FROM t"'),
    "separator": ('read = "a.csv"', 'read = "a.csv"\nseparator = ";"'),
    "sheet": ('read = "a.xlsx"\nsheet = "one"', 'read = "a.xlsx"\nsheet = "two"'),
    "skip": ('read = "a.xlsx"\nsheet = "two"\nskip = 0', 'read = "a.xlsx"\nsheet = "two"\nskip = 1'),
    "rows": ('read = "a.json"\nrows = "one"', 'read = "a.json"\nrows = "two"'),
    "fields": (
        'read = "a.fix"\nformat = "fixed"\nfields = [{ name = "k", width = 1 }, { name = "x", width = 2 }]',
        'read = "a.fix"\nformat = "fixed"\nfields = [{ name = "k", width = 2 }, { name = "x", width = 1 }]',
    ),
    "missing": ('read = "a.csv"\nmissing = [""]', 'read = "a.csv"\nmissing = ["", "a"]'),
    "rename": ('read = "a.csv"', 'read = "a.csv"\nrename = { n = "y", y = "n" }'),
    "type": (
        'read = "a.csv"\ncolumns = { n = { type = "float" } }',
        'read = "a.csv"\ncolumns = { n = { type = "string" } }',
    ),
    "decimal comma": (
        'read = "a.csv"\ncolumns = { n = { type = "float" } }',
        'read = "a.csv"\ncolumns = { n = { type = "float", decimal = "," } }',
    ),
    "zone": (
        'read = "times.csv"\ncolumns = { at = { type = "timestamp", zone = "UTC" } }',
        'read = "times.csv"\ncolumns = { at = { type = "timestamp", zone = "Europe/Paris" } }',
    ),
    "version": ('read = "lake"\nformat = "delta"\nversion = 0', 'read = "lake"\nformat = "delta"'),
    "match": (
        'read = "people.csv"\nmatch = { compare = { x = "name" } }',
        'read = "people.csv"\nmatch = { compare = { y = "email" } }',
    ),
    "on_match": (
        'read = "people.csv"\nmatch = { compare = { x = "name" } }',
        'read = "people.csv"\nmatch = { compare = { x = "name" }, on_match = "warn" }',
    ),
}
_TWO = '\n[sources.a]\nread = "one.csv"{}\n[sources.b]\nread = "two.csv"'
_BOTH = 'from = ["a", "b"]\nkey = "k"'
_MAX, _RECENT = '\nsurvive = { x = "max" }', '\nsurvive = { x = "most_recent" }'
_AT, _UNTIL = '\nevent_time = "at"', '\nevent_time = "until"'
_ASIDE = '\n[[sources.b.checks]]\nname = "{}"\nwhere = "n < 8"\non_fail = "quarantine"'
COMBINED: dict[str, tuple[str, str]] = {
    "order of members": (_BOTH + _TWO.format(""), 'from = ["b", "a"]\nkey = "k"' + _TWO.format("")),
    "rule": (_BOTH + _MAX + _TWO.format(""), _BOTH + _MAX.replace("max", "min") + _TWO.format("")),
    "event time": (
        _BOTH + _RECENT + _TWO.format(_AT) + _AT,
        _BOTH + _RECENT + _TWO.format(_UNTIL) + _UNTIL,
    ),
    "a member's repair": (
        _BOTH + _TWO.format("") + '\n[sources.a.columns]\nn = { max = 2, on_fail = "repair", repair = "clip" }',
        _BOTH + _TWO.format("") + '\n[sources.a.columns]\nn = { max = 1, on_fail = "repair", repair = "clip" }',
    ),
    "why a member's row is set aside": (
        _BOTH + _TWO.format("") + _ASIDE.format("one"),
        _BOTH + _TWO.format("") + _ASIDE.format("other"),
    ),
    "a member's quarantine": (
        _BOTH + _TWO.format(""),
        _BOTH + _TWO.format("") + '\n[sources.b.columns]\nn = { max = 7, on_fail = "quarantine" }',
    ),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    (root / "a.csv").write_text("k,x,y,n\n1,a,a;b,1.50\n2,b,c;d,2.50\n")
    (root / "times.csv").write_text("k,x,at\n1,a,2020-01-01 00:00:00\n2,b,2020-06-01 00:00:00\n")
    (root / "tabs").write_text("k,x\ty\n1,a\tb\n2,c\td\n")
    (root / "a.json").write_text('{"one": [{"k": 1, "x": "a"}], "two": [{"k": 2, "x": "b"}]}')
    (root / "a.fix").write_text("123\n456\n")
    names = ("Anna Weber,anna@example.org", "Weber Anna,other@example.net", "Bill Gruber,b@example.org")
    (root / "people.csv").write_text("k,x,y\n" + "".join(f"{n},{row}\n" for n, row in enumerate(names)))
    (root / "one.csv").write_text("k,x,n,at,until\n1,b,3,2020-01-02,2020-01-03\n2,d,1,2020-01-01,2020-01-01\n")
    (root / "two.csv").write_text("k,x,n,at,until\n1,a,9,2020-01-01,2020-01-04\n3,e,2,2020-01-01,2020-01-01\n")
    with closing(sqlite3.connect(root / "a.db")) as database:
        database.executescript("CREATE TABLE t (k int, x text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    with xlsxwriter.Workbook(root / "a.xlsx") as book:
        for name, rows in (("one", [[1, "a"], [2, "b"]]), ("two", [["k", "x"], [3, "c"], [4, "d"]])):
            sheet = book.add_worksheet(name)
            for at, row in enumerate([["k", "x"], *rows]):
                sheet.write_row(at, 0, row)
    for n in (1, 2):
        pl.DataFrame({"k": [n], "x": ["a"]}).write_delta(str(root / "lake"), mode="append")
    return root


def found(root: Path, text: str) -> Any:
    """What a check of the definition comes to: tables, rows set aside and what combining tells, or its error."""
    define(root, HEAD + "[sources.s]\n" + text + "\n")
    try:
        with Project.open(root) as project:
            checked = project.check()
    except HeadraceError as error:
        return error.code
    return (
        {name: one.table for name, one in checked.sources.items()},
        {name: one.quarantine for name, one in checked.sources.items()},
        checked.combined,
    )


@pytest.mark.parametrize("case", [*CASES, *COMBINED])
def test_an_edited_project_finds_what_a_fresh_one_finds(files: Path, tmp_path: Path, case: str) -> None:
    before, after = (CASES | COMBINED)[case]
    edited, fresh = tmp_path / "edited", tmp_path / "fresh"
    shutil.copytree(files, edited)
    first = found(edited, before)
    assert not isinstance(first, str), first
    shutil.copytree(edited, fresh, ignore=shutil.ignore_patterns(".headrace"))
    there = found(edited, after)
    assert there == found(fresh, after)
    assert there != first, "the case shows nothing"
    assert found(edited, before) == first


def test_a_column_that_must_be_there_after_all_is_asked_for_again(files: Path) -> None:
    text, policy = 'read = "a.csv"', '\n[sources.s.schema]\nbreaking = "{}"'
    assert not isinstance(found(files, text), str)
    (files / "a.csv").write_text("k,x\n1,a\n2,b\n")
    assert not isinstance(found(files, text + policy.format("warn")), str)
    assert found(files, text + policy.format("fail")) == "source-column-missing"


def test_a_type_that_is_edited_in_the_lock_is_checked_again(files: Path) -> None:
    text, lock = 'read = "a.csv"', files / "headrace.lock"
    first = found(files, text)
    held = json.loads(lock.read_text())
    assert held["sources"]["s"]["x"]["type"] == "string"
    held["sources"]["s"]["x"]["type"] = "category"
    lock.write_text(json.dumps(held))
    assert found(files, text) != first


def test_a_rule_about_values_reads_nothing_again(files: Path) -> None:
    found(files, 'read = "a.csv"')
    define(files, HEAD + '[sources.s]\nread = "a.csv"\ncolumns = { n = { max = 2 } }\n')
    with Project.open(files) as project:
        project.check()
        with project.catalog.read() as reader:
            states = {stage.name: stage.state for stage in get_run(reader, project.name, "last").stages}
    assert (states["read s"], states["check s"]) == ("cached", "done")
