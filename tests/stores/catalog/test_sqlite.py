"""The catalog on SQLite, and its light reader."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from headrace.stores.catalog import Catalog, Row, Where
from headrace.stores.catalog.migrate import MIGRATIONS, upgrade
from headrace.stores.catalog.open import open_catalog
from headrace.stores.catalog.revisions import NEWEST, REVISIONS
from headrace.stores.catalog.schema import metadata
from headrace.stores.catalog.sqlite_reader import quick_reader
from headrace.stores.errors import CatalogCorrupted, SchemaTooNew, StoreFull, StoreUnavailable
from headrace.testing.catalog import CatalogSuite, Opener, check_against_plain, run_row
from headrace.testing.faults import small_disk
from headrace.testing.processes import race, run_killed


class TestSqliteCatalog(CatalogSuite):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(open_catalog, "catalog.db", tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".headrace" / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    catalog = open_catalog(".headrace/catalog.db", path.parent.parent)
    yield catalog
    catalog.close()


@pytest.mark.usefixtures("catalog")
def test_only_the_owner_may_read(path: Path) -> None:
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_processes_that_switch_new_files_to_a_log_at_once_all_get_through(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.db" for n in range(20)]  # SQLite itself refused one of fifty in a fifth of the files
    assert race(50, _open_in_turn, paths) == [None] * 50


def _open_in_turn(_: int, paths: list[Path]) -> None:
    from headrace.stores.catalog.sqlite import _connect

    for path in paths:
        _connect(path).close()


def test_every_commit_is_synced_to_a_write_ahead_log(path: Path) -> None:
    from headrace.stores.catalog.sqlite import open_sqlite

    catalog = open_sqlite(path)
    with catalog.write(), sa.Connection(catalog._engine) as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    catalog.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_quick_reader_answers_as_the_catalog_does(catalog: Catalog, path: Path) -> None:
    def read(table: str, where: Where, order_by: list[str], limit: int | None) -> list[Row]:
        with quick_reader(path) as reader:
            return reader.select(table, where, order_by=order_by, limit=limit)

    check_against_plain(catalog, read)


def test_the_quick_reader_reads_beside_a_writer_and_sees_one_instant(catalog: Catalog, path: Path) -> None:
    with catalog.write() as writer:
        writer.insert("runs", run_row("a"))
    with quick_reader(path) as reader, catalog.write() as writer:
        assert [row["id"] for row in reader.select("runs")] == ["a"]
        writer.insert("runs", run_row("b"))
        assert reader.get("runs", {"id": "b"}) is None
    with quick_reader(path) as reader:
        assert reader.get("runs", {"id": "b"}) is not None
        with pytest.raises(ValueError, match="more than one"):
            reader.get("runs", {})
        for table, where in (("nothing", {}), ("runs", {"nothing": 1}), ("runs", {'id" OR 1=1 --': 1})):
            with pytest.raises(KeyError):
                reader.select(table, where)


def test_a_catalog_that_was_not_made_reads_as_empty_and_stays_unmade(tmp_path: Path) -> None:
    with quick_reader(tmp_path / "catalog.db") as reader:
        assert reader.select("runs") == []
        assert reader.get("runs", {"id": "a"}) is None
    assert list(tmp_path.iterdir()) == []


def test_the_quick_reader_cannot_write(catalog: Catalog, path: Path) -> None:
    with quick_reader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM runs")  # type: ignore[attr-defined]


def test_the_quick_reader_refuses_a_newer_schema(catalog: Catalog, path: Path) -> None:
    with catalog.write() as writer:
        writer.update("alembic_version", {}, {"version_num": "9999"})
    with pytest.raises(SchemaTooNew), quick_reader(path):
        pass


def test_the_quick_reader_finishes_an_interrupted_first_opening(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    with quick_reader(tmp_path / "catalog.db") as reader:
        assert reader.select("runs") == []


def test_the_quick_reader_loads_nothing_heavy(catalog: Catalog, path: Path) -> None:
    probe = (
        "import sys; from pathlib import Path; from headrace.stores.catalog.sqlite_reader import quick_reader\n"
        f"with quick_reader(Path({str(path)!r})) as reader: reader.select('runs')\n"
        "print(*sys.modules)"
    )
    assert not {"sqlalchemy", "alembic", "numpy", "polars"} & _modules(probe)


def test_opening_loads_no_alembic(tmp_path: Path) -> None:
    probe = (
        "import sys; from pathlib import Path; from headrace.stores.catalog.open import open_catalog\n"
        f"for _ in range(2): open_catalog('catalog.db', Path({str(tmp_path)!r})).close()\n"
        "print(*sys.modules)"
    )
    loaded = _modules(probe)
    assert "sqlalchemy" in loaded
    assert not {"alembic", "psycopg", "polars"} & loaded


def _modules(probe: str) -> set[str]:
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_migrations_make_the_schema_that_a_new_catalog_gets(catalog: Catalog, path: Path, tmp_path: Path) -> None:
    catalog.close()
    migrated = tmp_path / "migrated.db"
    engine = sa.create_engine(f"sqlite:///{migrated}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    assert _schema_of(migrated) == _schema_of(path)


def test_the_list_of_revisions_is_that_of_the_scripts() -> None:
    from alembic.script import ScriptDirectory

    scripts = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def test_a_catalog_without_tables_is_migrated_once_however_often(path: Path) -> None:
    for _ in range(2):
        open_catalog(".headrace/catalog.db", path.parent.parent).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]


def _schema_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [
                *connection.execute(f"PRAGMA table_info({name})"),
                *sorted(connection.execute(f"PRAGMA foreign_key_list({name})")),
                *sorted(row[2:] for row in connection.execute(f"PRAGMA index_list({name})")),
            ]
            for name in tables
        }


def _open_and_die(path: Path, at: int, migrating: bool) -> None:
    import os
    import signal

    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    if migrating:
        engine = sa.create_engine(f"sqlite:///{path}")
        sa.event.listen(engine, "connect", lambda raw, _record: setattr(raw, "isolation_level", None))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            upgrade(connection)
    else:
        open_catalog(str(path), Path("/")).close()


@pytest.mark.parametrize("migrating", [False, True])
def test_an_opening_killed_at_any_statement_leaves_the_old_schema_or_the_new(quick_path: Path, migrating: bool) -> None:
    n_tables = set()
    for at in range(200):
        path = quick_path / f"{at}.db"
        was_killed = run_killed(_open_and_die, path, at, migrating)
        with closing(sqlite3.connect(path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
        n_tables.add(count)
        open_catalog(str(path), Path("/")).close()
        with quick_reader(path) as reader:
            assert reader.select("alembic_version") == [{"version_num": NEWEST}]
        if not was_killed:
            break
    else:
        pytest.fail("the opening never came to its end")
    assert n_tables == {0, len(metadata.tables)}


@pytest.mark.parametrize(
    "damaged", [b"not a database, but text that is long enough for a header" * 200, None], ids=["text", "zeros"]
)
def test_a_damaged_file_is_refused_and_named(catalog: Catalog, path: Path, damaged: bytes | None) -> None:
    catalog.close()
    data = damaged or bytes(4096 * 2) + path.read_bytes()[4096 * 2 :]
    path.write_bytes(data)
    for open_ in (lambda: open_catalog(str(path), Path("/")), lambda: quick_reader(path).__enter__()):
        with pytest.raises(CatalogCorrupted, match=str(path)):
            open_()


def test_damage_inside_the_file_is_named_when_it_is_met(catalog: Catalog, path: Path) -> None:
    with catalog.write() as writer:
        for number in range(200):
            writer.insert("runs", run_row(str(number), result="x" * 500))
    catalog.close()
    data = bytearray(path.read_bytes())
    for page in range(4096 * (2 * len(metadata.tables) + 10), len(data), 4096):
        data[page : page + 100] = b"\xff" * 100
    path.write_bytes(data)
    again = open_catalog(str(path), Path("/"))
    with pytest.raises(CatalogCorrupted, match=str(path)), again.read() as reader:
        reader.select("runs")
    again.close()
    with pytest.raises(CatalogCorrupted, match=str(path)), quick_reader(path) as quick:
        quick.select("runs")


def test_a_full_disk_is_told_apart_and_the_catalog_goes_on_when_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        catalog = open_catalog(str(disk / "catalog.db"), Path("/"))
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        written = 0
        with pytest.raises(StoreFull):
            for written in range(20):
                with catalog.write() as writer:
                    writer.insert("runs", run_row(str(written), result="x" * (1 << 20)))
        with catalog.read() as reader:
            assert [row["id"] for row in reader.select("runs", order_by=["id"])] == [str(n) for n in range(written)]
        ballast.unlink()
        with catalog.write() as writer:
            writer.insert("runs", run_row("last"))
        catalog.close()


def test_a_folder_in_place_of_the_file_is_trouble_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=str(tmp_path)):
        open_catalog(str(tmp_path), Path("/"))
