"""No secret is told: runs that succeed and runs that fail in every way leave none in what is stored or said."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote, urlsplit

import obstore
import polars as pl
import psycopg
import pytest
from obstore.store import S3Store
from psycopg import sql
from tests.canaries import forms, told, told_in_folder
from tests.cli.conftest import HEADRACE
from tests.conftest import S3Place
from tests.examples import define
from tests.pipeline.test_bad_input import visits
from tests.servers import connect_mysql, free_ports

DEFINITION = """
format = 1
[project]
name = "visits"
source = "visits"
label = "paid = 'yes'"
request = ["age", "shop"]
[sources.visits]
read = "postgresql://{user}:${{env:PG_CANARY}}@127.0.0.1:{pg_port}/{pg_name}"
query = "SELECT id, age, shop, paid FROM visits ORDER BY id"
[[sources.visits.checks]]
name = "grown_up"
where = "age >= 18"
on_fail = "fail"
[sources.shops]
read = "mysql://{user}:${{file:secrets/mysql}}@127.0.0.1:{mysql_port}/{mysql_name}"
query = "SELECT 'north' AS shop, 1 AS size"
[sources.prices]
read = "{s3}/prices.csv"
[sources.lake]
read = "{s3}/lake"
format = "delta"
[training]
families = ["linear"]
budget = "1 trials"
[split]
by = "random"
folds = 2
[lineage]
openlineage = "http://127.0.0.1:{closed_port}/lineage"
headers = {{ Authorization = "Bearer ${{env:TOKEN_CANARY}}" }}
"""
FAR = """
[stores]
catalog = "postgresql://{user}:${{env:PG_CANARY}}@127.0.0.1:{pg_port}/{pg_name}"
objects = "{s3}/objects"
"""
BROKEN = [sys.executable, "-c", "import psycopg; psycopg.connect = None; " + HEADRACE[-1]]
"""The command with a library that fails as nobody expects."""
WRONG = "wr0ng/+Ω~&=canary"


@dataclass(frozen=True)
class Setting:
    """A project whose sources, and stores if it is `far`, want secrets; what its commands said."""

    root: Path
    env: dict[str, str]
    secrets: tuple[str, ...]
    names: dict[str, object]
    said: list[bytes]

    def call(self, code: int, *words: str, env: Mapping[str, str] = {}, command: Sequence[str] = HEADRACE) -> bytes:
        """What a command says on stderr; it must end with this code."""
        keys = {"HEADRACE_CONFIG": str(self.root / "keys")}
        done = subprocess.run(
            [*command, *words], cwd=self.root, env={**os.environ, **keys, **self.env, **env}, capture_output=True
        )
        self.said.extend((done.stdout, done.stderr))
        assert done.returncode == code, done.stderr.decode()
        return done.stderr

    def write(self, more: str = "") -> None:
        define(self.root, (DEFINITION + more).format(**self.names))


def secret(kind: str) -> str:
    """Distinctive, and with characters that URLs, JSON and shells quote."""
    return f"{kind}-{token_hex(6)}/+é~&='\"canary"


@pytest.fixture
def setting(postgres_url: str, mysql_url: str, s3_server: S3Place, tmp_path: Path) -> Iterator[Setting]:
    pg, mysql, token = secret("pg"), secret("my"), f"tk-{token_hex(8)}/+~canary"
    user = f"canary_{token_hex(4)}"
    with psycopg.connect(postgres_url) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), pg))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(user)))
        connection.execute("CREATE TABLE visits (id bigint, age bigint, shop text, paid text)")
        connection.execute("GRANT SELECT ON visits TO PUBLIC")
        with connection.cursor() as cursor:
            rows = [(row["id"], row["age"], row["shop"], row["paid"]) for row in visits(300)]
            cursor.executemany("INSERT INTO visits VALUES (%s, %s, %s, %s)", rows)
    with connect_mysql(mysql_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY %s", (mysql,))
        cursor.execute(f"GRANT SELECT ON *.* TO {user}@'127.0.0.1'")
    prices = pl.DataFrame({"shop": ["north", "south"], "price": [1.5, 2.5]})
    bucket, _, prefix = s3_server.url.removeprefix("s3://").partition("/")
    config = {name.lower(): value for name, value in s3_server.env.items()}
    store = S3Store(bucket, prefix=prefix, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
    obstore.put(store, "prices.csv", prices.write_csv().encode())
    prices.write_delta(f"{s3_server.url}/lake", storage_options={**s3_server.env, "AWS_ALLOW_HTTP": "true"})
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mysql").write_text(mysql + "\n")
    at, there = urlsplit(postgres_url), urlsplit(mysql_url)
    names: dict[str, object] = {"user": user, "pg_port": at.port, "pg_name": at.path[1:], "s3": s3_server.url}
    names |= {"mysql_port": there.port, "mysql_name": there.path[1:], "closed_port": free_ports(1)[0]}
    env = {**s3_server.env, "PG_CANARY": pg, "TOKEN_CANARY": token}
    kept = (pg, mysql, token, WRONG, s3_server.env["AWS_SECRET_ACCESS_KEY"])
    yield Setting(tmp_path, env, kept, names, [])
    with psycopg.connect(postgres_url) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(user)))
    with connect_mysql(mysql_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER {user}@'127.0.0.1'")


def in_stores(place: S3Place, url: str) -> Iterator[tuple[str, bytes]]:
    """Every byte of the catalog on PostgreSQL, and of the objects on S3."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            copied = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
            with connection.cursor().copy(copied) as chunks:
                yield f"table {table}", b"".join(map(bytes, chunks))
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    config = {name.lower(): value for name, value in place.env.items()}
    store = S3Store(bucket, prefix=prefix, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
    for entries in obstore.list(store):
        for entry in entries:
            yield str(entry["path"]), bytes(obstore.get(store, entry["path"]).bytes())


def fail_in_every_way(setting: Setting) -> None:
    """Wrong addresses, wrong secrets, a contract that is broken, an exception that nobody caught."""
    pg_at, mysql_at = (f"@127.0.0.1:{setting.names[port]}/" for port in ("pg_port", "mysql_port"))
    text = DEFINITION.format(**setting.names)
    for source, old, new, code in (
        ("visits", pg_at, "@127.0.0.1:1/", 3),
        ("visits", pg_at, "@no-such-host.invalid/", 3),
        ("visits", "SELECT id, age", "SELECT nothing, age", 2),
        ("visits", "age >= 18", "age >= 30", 1),
        ("shops", mysql_at, "@127.0.0.1:1/", 3),
        ("shops", "SELECT 'north' AS shop", "SELECT nothing AS shop", 2),
        ("lake", '/lake"', '/gone"', 3),
    ):
        assert text.count(old) == 1
        define(setting.root, text.replace(old, new))
        setting.call(code, "check", "--source", source, "--refresh")
    define(setting.root, text)
    for source in ("prices", "lake"):
        setting.call(3, "check", "--source", source, "--refresh", env={"AWS_SECRET_ACCESS_KEY": WRONG})
    setting.call(3, "run", "--refresh", "--json", env={"PG_CANARY": WRONG})
    assert b"Traceback" in setting.call(1, "check", "--refresh", command=BROKEN)


@pytest.mark.heavy
def test_no_secret_is_stored_or_said(setting: Setting, s3_server: S3Place, postgres_url: str) -> None:
    setting.write()
    setting.call(0, "run")
    setting.call(0, "check", "--refresh", "--json")
    fail_in_every_way(setting)
    setting.write(FAR)
    setting.call(0, "run")
    setting.call(3, "check", env={"PG_CANARY": WRONG})
    setting.call(3, "check", env={"AWS_SECRET_ACCESS_KEY": WRONG})
    assert b"".join(setting.said).count(b"error (") > 9
    assert [told(said, setting.secrets) for said in setting.said] == [[]] * len(setting.said)
    kept = setting.root / "secrets" / "mysql"
    assert told_in_folder(setting.root, setting.secrets, but=kept) == {}
    assert any(path.match("*lineage*/*.json") for path in setting.root.rglob("*")), "events wait, and were searched"
    found = {name: told(held, setting.secrets) for name, held in in_stores(s3_server, postgres_url)}
    assert len(found) > 20
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("before", ["", "a", "ab", "reader:"])
def test_a_secret_is_found_in_any_form(before: str) -> None:
    hidden = secret("x")
    whole = f"{before}{hidden}@db".encode()
    for held in (whole, base64.b64encode(whole), base64.urlsafe_b64encode(whole), quote(whole).encode(), whole.hex()):
        text = held if isinstance(held, bytes) else held.encode()
        assert told(b"..." + text + b"...", [hidden]) == [hidden]
    assert told(base64.b64encode(b"another"), [hidden]) == []
    assert len(forms(hidden)) > 8
