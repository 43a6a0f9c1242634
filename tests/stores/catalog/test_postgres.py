"""The catalog on PostgreSQL, on a real server."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.servers import PostgresServer

from headrace.stores.catalog.migrate import upgrade
from headrace.stores.catalog.open import open_catalog
from headrace.stores.catalog.schema import metadata
from headrace.stores.errors import StoreUnavailable, UnknownStore
from headrace.testing.catalog import CatalogSuite, Opener, run_row


class TestPostgresCatalog(CatalogSuite):
    @pytest.fixture
    def opener(self, postgres_url: str) -> Opener:
        return partial(open_catalog, postgres_url, Path("/"))


def test_migrations_make_the_schema_that_a_new_catalog_gets(postgres_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    open_catalog(postgres_url, Path("/")).close()


def test_text_is_sorted_by_bytes_whatever_the_language_of_the_database(postgres_url: str) -> None:
    open_catalog(postgres_url, Path("/")).close()
    engine = sa.create_engine(postgres_url)
    with engine.connect() as connection:
        collations = connection.exec_driver_sql(
            "SELECT DISTINCT collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'text'"
        )
        assert collations.scalars().all() == ["C"]
    engine.dispose()


def test_a_server_that_goes_away_in_the_middle_leaves_nothing_half_written() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with PostgresServer(Path(folder) / "server") as server:
            catalog = open_catalog(server.url(), Path("/"))
            with catalog.write() as writer:
                writer.insert("runs", run_row("kept"))
            with pytest.raises(StoreUnavailable) as caught, catalog.write() as writer:
                writer.insert("runs", run_row("lost"))
                server.stop()
                writer.insert("runs", run_row("lost too"))
            assert server.password not in str(caught.value)
            for use in (catalog.read, catalog.write):
                with pytest.raises(StoreUnavailable), use():
                    pass
            server.start()
            with catalog.write() as writer:
                assert [row["id"] for row in writer.select("runs")] == ["kept"]
                writer.insert("runs", run_row("after"))
            with pytest.raises(StoreUnavailable), catalog.write() as writer:  # gone at the commit
                writer.insert("runs", run_row("unknown"))
                server.stop()
            server.start()
            with catalog.read() as reader:
                assert [row["id"] for row in reader.select("runs", order_by=["id"])] == ["after", "kept"]
            catalog.close()


def test_an_error_of_the_block_outlives_a_lost_connection(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url, Path("/"))
    other = sa.create_engine(postgres_url)
    with pytest.raises(RuntimeError, match="of the caller"), catalog.write() as writer:
        writer.insert("runs", run_row("lost"))
        with other.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headrace' "
                "AND datname = current_database()"
            )
        raise RuntimeError("of the caller")
    with catalog.read() as reader:
        assert reader.select("runs") == []
    other.dispose()
    catalog.close()


@pytest.mark.parametrize("wrong", ["password", "database", "port"])
def test_a_refusal_names_the_server_and_never_the_password(postgres_url: str, wrong: str) -> None:
    url = sa.make_url(postgres_url)
    changed = {
        "password": url.set(password="hunter2"),
        "database": url.set(database="nothing", password=url.password),
        "port": url.set(port=9),
    }[wrong]
    with pytest.raises(StoreUnavailable) as caught:
        open_catalog(changed.render_as_string(hide_password=False), Path("/"))
    assert "127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(url.password) not in str(caught.value)


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(UnknownStore) as caught:
        open_catalog("postgresql://user:hunter2@host:notaport/x", Path("/"))
    assert "hunter2" not in str(caught.value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UnknownStore, match="mysql") as caught:
        open_catalog("mysql://user:hunter2@host/x", Path("/"))
    assert "hunter2" not in str(caught.value)
