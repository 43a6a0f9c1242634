"""What every test may use: real servers, one of each a session, and Hypothesis without deadlines."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # `tests.…` by name, in child processes too

from tests import servers

settings.register_profile("headrace", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "headrace"))

_owned = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell takes Ctrl-C from what it starts in the background, and so from the commands that tests send it to
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not servers.in_session():  # else this is a worker, or a session inside one
        config.stash[_owned] = servers.begin_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _owned in config.stash:
        servers.end_session(config.stash[_owned])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A file is run by one worker, so that what a module makes is made once; those that take long begin, so that no
    # worker waits long for the other at the end.
    long = {item.path for item in items if item.get_closest_marker("heavy")}
    items.sort(key=lambda item: item.path not in long)


@dataclass(frozen=True, slots=True)
class S3Place:
    """An empty prefix on a real S3 server."""

    url: str
    """`s3://BUCKET/PREFIX`, as `[stores] objects` takes it."""
    env: dict[str, str]
    """`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …"""


@pytest.fixture
def s3_server() -> S3Place:
    """A place of this test's own on the session's S3 server."""
    facts = servers.shared("s3")
    return S3Place(f"s3://{facts['bucket']}/test-{secrets.token_hex(8)}", facts["env"])


@dataclass(frozen=True, slots=True)
class WebPlace:
    """An empty folder that a real web server serves; see `tests.servers.NginxServer`."""

    name: str
    folder: Path
    url: str
    tls_url: str
    authority: str
    """The file that `SSL_CERT_FILE` should name."""
    authorization: str
    """What `private` wants in the header."""
    access_log: Path

    def at(self, file: str, kind: str = "plain") -> str:
        """The address of a file of the folder."""
        return f"{self.url}/{kind}/{self.name}/{file}"

    def requests(self, file: str) -> list[str]:
        """Method and status of the requests for a file: `GET 200`, …"""
        time.sleep(0.3)  # nginx notes a request after it has answered
        lines = [
            line.split('"') for line in self.access_log.read_text().splitlines() if f"/{self.name}/{file} " in line
        ]
        return [f"{line[1].split()[0]} {line[2].split()[0]}" for line in lines]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebPlace]:
    """A folder of this test's own on the session's web server: `tmp_path` itself."""
    facts = servers.shared("nginx")
    link = Path(facts["files"]) / f"test-{secrets.token_hex(8)}"
    link.symlink_to(tmp_path)
    yield WebPlace(
        name=link.name,
        folder=tmp_path,
        access_log=Path(facts["access_log"]),
        **{name: facts[name] for name in ("url", "tls_url", "authority", "authorization")},
    )
    link.unlink()


def remove_objects(place: S3Place, ending: str) -> None:
    """Delete every object of a place whose key ends so."""
    import obstore
    from obstore.store import S3Store

    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    config = {name.lower(): value for name, value in place.env.items()}
    store = S3Store(bucket, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
    keys = [entry["path"] for batch in obstore.list(store, prefix) for entry in batch]
    for key in keys:
        if key.endswith(ending):
            obstore.delete(store, key)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty database of this test's own on the session's PostgreSQL server."""
    import psycopg

    url = servers.shared("postgres")["url"]
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # a name of our own making
    yield f"{url.rpartition('/')[0]}/{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """The URL of an empty database of this test's own on the session's MariaDB server."""
    url = servers.shared("mariadb")["url"]
    name = f"test_{secrets.token_hex(8)}"
    with servers.connect_mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")  # a name of our own making
    yield f"{url.rpartition('/')[0]}/{name}"
    with servers.connect_mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
