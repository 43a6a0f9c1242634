"""Sources of which only what is new is read: nothing twice, nothing lost, and an old run as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.servers import connect_mysql

from headrace.app import Project
from headrace.data.errors import ColumnsDiffer, FilesRewritten, NoMark, SourceMissing
from headrace.data.sources import csv
from headrace.definition.errors import DefinitionErrors

FILES = """
format = 1
[project]
name = "visits"
[sources.visits]
read = "in/*.csv"
incremental = "files"
unique = "k"
[sources.visits.columns.k]
type = "integer"
not_null = true
"""

QUERY = """
format = 1
[project]
name = "visits"
[sources.visits]
read = "{url}"
format = "{format}"
query = "SELECT k, at, x FROM visits WHERE x <> 'm' -- the unlucky one"
incremental = {{ column = "{column}" }}
"""


def write(root: Path, name: str, text: str) -> Path:
    path = root / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def check(root: Path, *, refresh: bool = False) -> tuple[pl.DataFrame, Any]:
    """The accepted rows, and the source's outcome."""
    with Project.open(root) as project:
        checked = project.check(refresh=refresh)
        table = checked.sources["visits"].table
        return pl.read_parquet(project.objects.scan_target(table.ref.key).url), checked


def keys(root: Path, *, refresh: bool = False) -> list[int]:
    return check(root, refresh=refresh)[0]["k"].to_list()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the files of every reading."""
    copy, found = csv.copy, []

    def noted(*of: Any) -> Any:
        copied = copy(*of)
        found.append([name for name, _ in copied.files])
        return copied

    monkeypatch.setattr(csv, "copy", noted)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headrace.toml").write_text(FILES)
    write(tmp_path, "a.csv", "k,x\n1,a\n2,b\n")
    return tmp_path


def test_only_new_files_are_read_and_their_rows_come_last(root: Path, readings: list[list[str]]) -> None:
    assert keys(root) == [1, 2]
    write(root, "0.csv", "k,x\n3,c\n")
    write(root, "b.csv", "k,x\n4,d\n")
    assert keys(root) == [1, 2, 3, 4]
    assert keys(root) == [1, 2, 3, 4]
    assert readings == [["in/a.csv"], ["in/0.csv", "in/b.csv"]]


def test_files_that_are_gone_keep_their_rows_and_also_all_of_them(root: Path, readings: list[list[str]]) -> None:
    keys(root)
    (root / "in" / "a.csv").unlink()
    assert keys(root) == [1, 2]
    write(root, "b.csv", "k,x\n3,c\n")
    assert keys(root) == [1, 2, 3]
    (root / "in" / "b.csv").unlink()
    (root / "in").rmdir()
    assert keys(root) == [1, 2, 3]
    assert readings == [["in/a.csv"], ["in/b.csv"]]


def test_a_pattern_that_names_nothing_any_more_hides_no_file_of_another(root: Path, readings: list[list[str]]) -> None:
    (root / "headrace.toml").write_text(FILES.replace('read = "in/*.csv"', 'read = ["in/*.csv", "late/*.csv"]'))
    (root / "late").mkdir()
    (root / "late" / "b.csv").write_text("k,x\n2,b\n3,c\n")
    assert keys(root) == [1, 2, 3]
    (root / "in" / "a.csv").unlink()
    (root / "late" / "c.csv").write_text("k,x\n4,d\n")
    assert keys(root) == [1, 2, 3, 4]
    assert readings == [["in/a.csv", "late/b.csv"], ["late/c.csv"]]


def test_without_anything_read_before_a_missing_file_is_an_error(root: Path) -> None:
    (root / "in" / "a.csv").unlink()
    with pytest.raises(SourceMissing):
        check(root)


def test_a_file_that_changed_has_everything_read_again(root: Path, readings: list[list[str]]) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n3,c\n")
    keys(root)
    write(root, "a.csv", "k,x\n1,a\n2,b\n5,e\n")
    assert keys(root) == [1, 2, 5, 3]
    assert readings[-1] == ["in/a.csv", "in/b.csv"]
    write(root, "c.csv", "k,x\n6,f\n")
    assert keys(root) == [1, 2, 5, 3, 6]
    assert readings[-1] == ["in/c.csv"]


def test_a_file_that_changed_while_others_are_gone_is_refused_and_refresh_starts_anew(root: Path) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n3,c\n")
    keys(root)
    (root / "in" / "a.csv").unlink()
    write(root, "b.csv", "k,x\n3,c\n4,d\n")
    with pytest.raises(
        FilesRewritten, match=r"in/b\.csv changed after it was read, but .* is gone: in/a\.csv"
    ) as refused:
        check(root)
    assert refused.value.exit_code == 1
    assert keys(root, refresh=True) == [3, 4]
    assert keys(root) == [3, 4]
    write(root, "c.csv", "k,x\n5,e\n")
    assert keys(root) == [3, 4, 5]


def test_refresh_reads_all_files_again(root: Path, readings: list[list[str]]) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n3,c\n")
    keys(root)
    for n in (3, 4):
        assert keys(root, refresh=True) == [1, 2, 3]
        assert readings[-1] == ["in/a.csv", "in/b.csv"]
        assert len(readings) == n
    assert keys(root) == [1, 2, 3]
    assert len(readings) == 4


def test_a_snapshot_that_is_gone_from_the_store_is_nothing_to_append_to(root: Path, readings: list[list[str]]) -> None:
    keys(root)
    for path in (root / ".headrace" / "objects" / "snapshots").glob("*"):
        path.unlink()
    write(root, "b.csv", "k,x\n3,c\n")
    assert keys(root) == [1, 2, 3]
    assert readings[-1] == ["in/a.csv", "in/b.csv"]


def test_a_source_that_is_read_in_another_way_is_read_from_the_start_unless_that_would_lose_rows(
    root: Path, readings: list[list[str]]
) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n3,-\n")
    keys(root)
    definition = root / "headrace.toml"
    definition.write_text(FILES.replace('unique = "k"', 'unique = "k"\nmissing = ["-"]'))
    assert check(root)[0]["x"].to_list() == ["a", "b", None]
    assert readings[-1] == ["in/a.csv", "in/b.csv"]
    (root / "in" / "a.csv").unlink()
    definition.write_text(FILES.replace('unique = "k"', 'unique = "k"\nmissing = ["?"]'))
    with pytest.raises(FilesRewritten, match="how it is read has changed"):
        check(root)
    definition.write_text(FILES)  # as it was: what was read then is still there
    assert check(root)[0]["x"].to_list() == ["a", "b", "-"]


def test_an_older_way_of_reading_does_not_lose_what_came_since(root: Path) -> None:
    keys(root)
    (root / "headrace.toml").write_text(FILES.replace('unique = "k"', 'unique = "k"\nmissing = ["-"]'))
    write(root, "b.csv", "k,x\n3,c\n")
    assert keys(root) == [1, 2, 3]
    (root / "in" / "b.csv").unlink()
    (root / "headrace.toml").write_text(FILES)
    with pytest.raises(FilesRewritten, match=r"in/b\.csv"):
        check(root)


def test_rows_that_are_none_have_their_place_over_all_files(root: Path) -> None:
    write(root, "a.csv", "k,x\n1,a\n2,b,c\n3,d\n")
    keys(root)
    write(root, "b.csv", "k,x\n4,e\n5,f,g\n,h\n")
    rows, checked = check(root)
    assert rows["k"].to_list() == [1, 3, 4]
    with Project.open(root) as project:
        target = project.objects.scan_target(checked.sources["visits"].quarantine.key)
        aside = pl.read_parquet(target.url)
    assert list(zip(aside["_row"], aside["_file"], aside["_line"], strict=True)) == [
        (2, "in/a.csv", 3),
        (5, "in/b.csv", 3),
        (6, "in/b.csv", None),
    ]
    report = checked.sources["visits"].report
    assert (report.read, report.accepted, report.quarantined) == (6, 3, 3)


def test_a_column_whose_new_values_are_of_another_type_keeps_all_values(root: Path) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n03,c\nIV,d\n")
    rows, checked = check(root)
    assert rows["k"].to_list() == [1, 2, 3]
    assert checked.sources["visits"].report.quarantined == 1
    write(root, "c.csv", "k,x\n5,e\n")
    assert keys(root) == [1, 2, 3, 5]


def test_new_files_with_other_columns_are_refused_by_name(root: Path) -> None:
    keys(root)
    write(root, "b.csv", "k,y\n3,c\n")
    with pytest.raises(ColumnsDiffer, match="what was read before"):
        check(root)


def test_a_header_without_rows_adds_none(root: Path) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n")
    assert keys(root) == [1, 2]


def test_of_one_key_in_an_old_and_a_new_file_the_newer_row_is_kept(root: Path) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n2,z\n")
    rows, checked = check(root)
    assert rows["x"].to_list() == ["a", "z"]
    assert checked.sources["visits"].report.quarantined == 1


def test_the_garbage_collector_leaves_what_the_next_reading_appends_to(root: Path) -> None:
    from headrace.runs.collect import collect_garbage
    from headrace.runs.history import remove_run

    keys(root)
    write(root, "b.csv", "k,x\n3,c\n")
    keys(root)
    (root / "in" / "a.csv").unlink()
    (root / "in" / "b.csv").unlink()
    with Project.open(root) as project:
        with project.catalog.read() as reader:
            first = reader.select("runs", {"project": "visits"}, order_by=["started_us"])[0]["id"]
        remove_run(project.catalog, "visits", str(first))
        now_us = 2**62
        assert collect_garbage(project.catalog, project.objects, "visits", now_us=now_us, grace_us=0).objects > 0
    write(root, "c.csv", "k,x\n4,d\n")
    assert keys(root) == [1, 2, 3, 4]


def test_a_file_that_comes_while_others_are_read_waits_for_the_next_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(root)
    write(root, "b.csv", "k,x\n3,c\n")
    copy, came = csv.copy, iter(["c.csv"])

    def copy_while_one_comes(*of: Any) -> Any:
        copied = copy(*of)
        for name in came:
            write(root, name, "k,x\n4,d\n")
        return copied

    monkeypatch.setattr(csv, "copy", copy_while_one_comes)
    assert keys(root) == [1, 2, 3]
    assert keys(root) == [1, 2, 3, 4]


def test_a_file_that_is_written_to_while_it_is_read_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys(root)
    path = write(root, "b.csv", "k,x\n3,c\n")
    copy, changes = csv.copy, iter(["k,x\n7,c\n8,d\n"])

    def copy_while_it_is_replaced(*of: Any) -> Any:
        copied = copy(*of)
        for text in changes:
            path.write_text(text)
        return copied

    monkeypatch.setattr(csv, "copy", copy_while_it_is_replaced)
    assert keys(root) == [1, 2, 7, 8]


def rows_above(root: Path, run: Callable[[str], None], at: Callable[[int], str]) -> None:
    """The life of a table that grows, from its first reading on."""
    run("CREATE TABLE visits (k INTEGER, at TIMESTAMP, x VARCHAR(20))")
    run(f"INSERT INTO visits VALUES (1, {at(1)}, 'a'), (2, {at(2)}, 'b')")
    assert keys(root) == [1, 2]
    assert keys(root) == [1, 2]
    run(f"INSERT INTO visits VALUES (5, {at(5)}, 'e'), (3, {at(3)}, 'c'), (13, {at(13)}, 'm')")
    assert keys(root) == [1, 2, 3, 5]
    run(f"INSERT INTO visits VALUES (5, {at(5)}, 'E'), (NULL, NULL, 'n')")  # one that equals the greatest is seen
    assert check(root)[0]["x"].to_list() == ["a", "b", "c", "e", "E"]
    run("DELETE FROM visits WHERE k < 3")
    run("UPDATE visits SET x = 'later' WHERE k = 3")
    run(f"INSERT INTO visits VALUES (6, {at(6)}, 'f')")
    assert check(root)[0]["x"].to_list() == ["a", "b", "c", "e", "E", "f"]
    assert sorted(check(root, refresh=True)[0]["x"].to_list()) == ["E", "e", "f", "later", "n"]
    run(f"INSERT INTO visits VALUES (7, {at(7)}, 'g')")
    assert sorted(check(root)[0]["x"].to_list()) == ["E", "e", "f", "g", "later", "n"]


COLUMNS = pytest.mark.parametrize("column", ["k", "at"])


@COLUMNS
def test_a_growing_table_of_sqlite(tmp_path: Path, column: str) -> None:
    (tmp_path / "headrace.toml").write_text(QUERY.format(url="visits.db", format="sqlite", column=column))

    def run(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "visits.db")) as connection:
            connection.execute(statement)
            connection.commit()

    rows_above(tmp_path, run, lambda n: f"'2026-01-{n:02} 10:00:00'")


@COLUMNS
@pytest.mark.parametrize("zone", ["", "+05"])
def test_a_growing_table_of_postgresql(
    tmp_path: Path, postgres_url: str, column: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setenv("DATABASE", postgres_url)
    (tmp_path / "headrace.toml").write_text(QUERY.format(url="${env:DATABASE}", format="postgresql", column=column))

    def run(statement: str) -> None:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(statement.replace("TIMESTAMP", "TIMESTAMPTZ" if zone else "TIMESTAMP"))

    rows_above(tmp_path, run, lambda n: f"'2026-01-{n:02} 10:00:00.123456{zone}'")


@COLUMNS
@pytest.mark.parametrize("kind", ["DATETIME(6)", "TIMESTAMP(6) NULL"])
def test_a_growing_table_of_mysql(
    tmp_path: Path, mysql_url: str, column: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", mysql_url)
    (tmp_path / "headrace.toml").write_text(QUERY.format(url="${env:DATABASE}", format="mysql", column=column))

    def run(statement: str) -> None:
        with closing(connect_mysql(mysql_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement.replace("TIMESTAMP", kind))
            connection.commit()

    rows_above(tmp_path, run, lambda n: f"'2026-01-{n:02} 10:00:00.123456'")


@pytest.mark.parametrize(
    ("column", "found"), [("x", "string"), ("nothing", "no such column"), ("none", "no values in the rows read before")]
)
def test_a_column_that_tells_no_order_is_refused(tmp_path: Path, column: str, found: str) -> None:
    (tmp_path / "headrace.toml").write_text(
        QUERY.format(url="visits.db", format="sqlite", column=column).replace("k, at, x", "k, at, x, none")
        + '[sources.visits.columns.none]\ntype = "integer"\n'
    )
    with closing(sqlite3.connect(tmp_path / "visits.db")) as connection:
        connection.execute("CREATE TABLE visits (k INTEGER, at TEXT, x TEXT, none INTEGER)")
        connection.execute("INSERT INTO visits VALUES (1, '2026-01-01 00:00:00', 'a', NULL)")
        connection.commit()
        check(tmp_path)
        connection.execute("INSERT INTO visits VALUES (2, '2026-01-02 00:00:00', 'b', 1)")
        connection.commit()
    with pytest.raises(NoMark, match=found) as refused:
        check(tmp_path)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ('incremental = "files"', 'incremental = "rows"', '"files"'),
        ('incremental = "files"', 'incremental = { column = "k" }', "only queries are read from a value on"),
        ('incremental = "files"', "incremental = {}", "column"),
        ('read = "in/*.csv"', 'read = "in.db"\nquery = "SELECT 1"', 'incremental = { column = "id" }'),
        ('read = "in/*.csv"', 'read = "in"\nformat = "delta"', "what is new in it is not told by files"),
    ],
)
def test_what_cannot_be_read_in_increments_is_refused_when_the_definition_is_read(
    root: Path, was: str, now: str, words: str
) -> None:
    path = root / "headrace.toml"
    path.write_text(path.read_text().replace(was, now))
    with pytest.raises(DefinitionErrors) as refused:
        Project.open(root)
    assert words in str(refused.value)


def test_a_touched_file_counts_as_changed(root: Path, readings: list[list[str]]) -> None:
    keys(root)
    os.utime(root / "in" / "a.csv", (1, 1))
    assert keys(root) == [1, 2]
    assert len(readings) == 2
