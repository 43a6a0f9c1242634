"""The front: a configuration that HAProxy takes, behind which losing a server is seen by nobody."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import json
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.packaging.balanced import Balancer, Load, Server, make_place
from tests.scoring.made import ROW
from tests.servers import free_ports
from tests.serving.http.running import PROJECT, Place

from headrace.cli import main
from headrace.packaging.errors import NameTaken, NotWritable, ServerAddressInvalid
from headrace.packaging.haproxy import Address, Front, haproxy_config, parse_servers
from headrace.serving.log.ship import ship
from headrace.serving.log.table import PREDICTIONS, table_name
from headrace.stores.tables.delta import DeltaTableStore

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def servers(place: Place) -> Iterator[list[Server]]:
    """Two, ready."""
    made = [
        Server(place.root / name, place.root / "objects", port) for name, port in zip("ab", free_ports(2), strict=True)
    ]
    for server in made:
        server.start()
    for server in made:
        server.wait_until_ready()
    yield made
    for server in made:
        server.end()


@pytest.fixture
def balancer(place: Place, servers: list[Server]) -> Iterator[Balancer]:
    made = Balancer(place.root / "front", servers, free_ports(1)[0])
    made.wait_until("UP", "UP")
    yield made
    made.end()


def test_no_request_fails_while_a_server_is_killed_five_times_and_each_is_kept_once(
    place: Place, servers: list[Server], balancer: Balancer
) -> None:
    load = Load(balancer.port, place.key)

    def kill() -> None:
        load.wait_for_more(500)
        for turn in range(5):
            server = servers[turn % 2]
            server.kill()
            load.wait_for_more(300)
            server.start()
            server.wait_until_ready()
            balancer.wait_until("UP", "UP")
            load.wait_for_more(500)

    asyncio.run(load.run(64, kill))
    assert not load.failed
    assert len(load.ids) == len(set(load.ids)) >= 4_500
    assert set(load.ids) <= kept_once(place, servers)


def test_no_request_fails_while_servers_are_ended_in_turn(
    place: Place, servers: list[Server], balancer: Balancer
) -> None:
    load = Load(balancer.port, place.key)

    def end() -> None:
        load.wait_for_more(200)
        for server in servers:
            assert server.end() == 0
            load.wait_for_more(200)
            server.start()
            server.wait_until_ready()
            balancer.wait_until("UP", "UP")

    asyncio.run(load.run(16, end))
    assert not load.failed


def test_no_request_fails_while_a_server_stands_still_and_each_is_kept_once(
    place: Place, servers: list[Server], balancer: Balancer
) -> None:
    """What it had been sent it answers and logs when it goes on, to nobody."""
    load = Load(balancer.port, place.key)

    def stop() -> None:
        load.wait_for_more(200)
        servers[0].signal(signal.SIGSTOP)
        try:
            balancer.wait_until("DOWN", "UP")
            load.wait_for_more(200)
        finally:
            servers[0].signal(signal.SIGCONT)
        balancer.wait_until("UP", "UP")
        load.wait_for_more(200)

    asyncio.run(load.run(32, stop))
    assert not load.failed
    assert set(load.ids) <= kept_once(place, servers)


def kept_once(place: Place, servers: list[Server]) -> set[str]:
    """End the servers and ship their logs: the ids in the table, each of which is there once."""
    for server in servers:
        assert server.end() == 0
    tables = DeltaTableStore(place.objects)
    shipped = [ship(server.log, tables, PROJECT) for server in servers]
    assert not any(each.missing for each in shipped)
    kept = pl.DataFrame(tables.scan(table_name(PROJECT, PREDICTIONS)).select("request_id").collect())
    assert kept["request_id"].n_unique() == len(kept) == sum(each.predictions for each in shipped)
    return set(kept["request_id"])


def test_an_id_of_the_clients_own_goes_through_and_others_get_one(place: Place, balancer: Balancer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=30)
    found = []
    for headers in ({"x-request-id": "order-7"}, {}, {}):
        sent = {"authorization": f"Bearer {place.key}", "content-type": "application/json"} | headers
        connection.request("POST", "/v1/deployments/delays/predict", json.dumps(ROW), sent)
        found.append(json.loads(connection.getresponse().read())["id"])
    connection.close()
    assert found[0] == "order-7"
    assert len(set(found)) == 3


def test_what_is_for_those_who_keep_servers_is_not_seen_through_it(balancer: Balancer) -> None:
    for path in ("/metrics", "/readyz", "/healthz", "/metrics?x=1"):
        connection = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=30)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()


def test_the_front_ends_tls(place: Place, servers: list[Server], tmp_path: Path) -> None:
    certificate = tmp_path / "it's a 'front' #1.pem"  # what is read as it is, whatever is in it
    authority = write_certificate(certificate)
    balancer = Balancer(tmp_path / "tls", servers, free_ports(1)[0], certificate=certificate)
    try:
        balancer.wait_until("UP", "UP")
        trusted = ssl.create_default_context(cadata=authority)
        connection = http.client.HTTPSConnection("localhost", balancer.port, context=trusted, timeout=30)
        sent = {"authorization": f"Bearer {place.key}", "content-type": "application/json"}
        connection.request("POST", "/v1/deployments/delays/predict", json.dumps(ROW), sent)
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        balancer.end()


def write_certificate(path: Path) -> str:
    """A certificate for localhost that signs itself, with its key; the certificate alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(text + private)
    return text.decode()


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:65536", "host:1 check", "a b:1", "http://a:1", "b:1\n#"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ServerAddressInvalid):
        parse_servers(["a:1", text or ":"])


def test_a_server_is_named_once() -> None:
    with pytest.raises(NameTaken):
        parse_servers(["a:1,b:1", "a:1"])


def test_a_path_with_a_line_break_is_refused() -> None:
    with pytest.raises(NotWritable):
        haproxy_config(Front((Address("a", 1),), Address("b", 2), certificate="x.pem\n    stats enable"))


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["front", "--server", "10.0.0.1:8000,10.0.0.2:8000", "-o", "front", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["servers"] == ["10.0.0.1:8000", "10.0.0.2:8000"]
    assert "server server2 10.0.0.2:8000" in (tmp_path / "front" / "haproxy.cfg").read_text()
    assert main(["front", "--server", "a:1", "-o", "front", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "export-target-taken"
    assert main(["front", "-o", "other", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no-servers"
