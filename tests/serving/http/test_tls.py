"""TLS: who may listen to what without it, which clients are taken, and how a certificate is renewed."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import re
import signal
import socket
import ssl
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.scoring.made import ROW
from tests.serving.http.inside import request
from tests.serving.http.running import Place, Running
from tests.serving.http.test_metrics import count

from headrace.serving.errors import AddressNotLocal, TlsUnusable
from headrace.serving.limits import Limits
from headrace.serving.listening import bind
from headrace.serving.tls import HANDSHAKES, Certificate, Tls

NAME = "headrace_tls_handshakes_total"
DAY = dt.timedelta(days=1)


class Authority:
    """One that signs certificates."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._made(self.name, self.key, is_ca=True)

    def _made(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, is_ca, is_ca, False, False), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, folder: Path, name: str) -> int:
        """A new certificate and key; its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._made(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, is_ca=False)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for path, data in ((folder / f"{name}.key", text), (folder / f"{name}.pem", _pem(made))):
            part = path.with_suffix(".part")
            part.touch(mode=0o600)
            part.write_bytes(data)
            part.replace(path)
        (folder / "authority.pem").write_bytes(_pem(self.certificate))
        return made.serial_number


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def tls(folder: Path, *, clients: bool = False) -> Tls:
    authority = str(folder / "authority.pem") if clients else None
    return Tls(certificate=str(folder / "server.pem"), key=str(folder / "server.key"), clients=authority)


def client(folder: Path, *, shows: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    if shows is not None:
        context.load_cert_chain(folder / f"{shows}.pem", folder / f"{shows}.key")
    return context


def ask(running: Running, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("localhost", running.address[1], timeout=20, context=context)
    try:
        headers = {"authorization": f"Bearer {running.place.key}", "content-type": "application/json"}
        connection.request("POST", "/v1/deployments/delays/predict", json.dumps(ROW), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def serial(running: Running, context: ssl.SSLContext) -> int:
    with (
        socket.create_connection(running.address) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def test_a_server_with_a_certificate_speaks_tls_alone_and_takes_up_a_new_one(tmp_path: Path) -> None:
    authority = Authority()
    first = authority.write(tmp_path, "server")
    place = Place(tmp_path, tls=tls(tmp_path))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        assert running.wait_for("ready")["address"].startswith("https://")
        context = client(tmp_path)
        assert [ask(running, context) for _ in range(3)] == [200] * 3
        assert serial(running, context) == first
        assert Certificate(tls(tmp_path)).context.minimum_version == ssl.TLSVersion.TLSv1_2
        plain = http.client.HTTPConnection("localhost", running.address[1], timeout=20)
        plain.request("GET", "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()
        second = authority.write(tmp_path, "server")
        running.wait_for("certificate_renewed")
        assert serial(running, context) == second
        (tmp_path / "server.pem").write_bytes(b"nonsense")
        running.wait_for("certificate_refused")
        assert serial(running, context) == second
        assert ask(running, context) == 200
    finally:
        running.end()


def shaken(held: Certificate, asking: ssl.SSLContext) -> int:
    """The serial number of what a server with that context shows; raises `ssl.SSLError` where they do not agree."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        asking.wrap_bio(to_client, to_server, server_hostname="localhost"),
        held.context.wrap_bio(to_server, to_client, server_side=True),
    )
    for side in sides * 4:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = sides[0].getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def test_a_certificate_whose_key_has_not_come_yet_changes_nothing(tmp_path: Path) -> None:
    authority = Authority()
    first = authority.write(tmp_path, "server")
    second = authority.write(tmp_path, "other")
    held, asking = Certificate(tls(tmp_path)), client(tmp_path)
    assert shaken(held, asking) == first
    (tmp_path / "other.pem").replace(tmp_path / "server.pem")
    with pytest.raises(TlsUnusable):
        held.renew()
    assert shaken(held, asking) == first
    (tmp_path / "other.key").replace(tmp_path / "server.key")
    assert held.renew() is True
    assert shaken(held, asking) == second


def test_a_server_that_could_never_answer_says_so_and_ends(tmp_path: Path) -> None:
    Authority().write(tmp_path, "server")
    (tmp_path / "server.pem").write_bytes(b"nonsense")
    place = Place(tmp_path, tls=tls(tmp_path))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        assert running.process.wait(60) != 0
        assert "TlsUnusable" in (tmp_path / "server.log").read_text()
        assert running.events() == []
    finally:
        running.end()


def test_a_worker_that_finds_no_certificate_is_replaced_until_there_is_one(tmp_path: Path) -> None:
    """A worker that nobody can reach is none."""
    place = Place(tmp_path, tls=tls(tmp_path))
    Authority().write(tmp_path, "server")
    place.deploy(place.version(1))
    running = Running(place)
    running.wait_for("ready")
    (tmp_path / "server.key").rename(tmp_path / "elsewhere")
    os.kill(running.workers()[0], signal.SIGKILL)
    running.wait_for("worker_lost", 3)
    (tmp_path / "elsewhere").rename(tmp_path / "server.key")
    assert ask(running, client(tmp_path)) == 200
    running.end()


def test_what_is_no_request_is_refused_over_tls_in_its_place_and_the_connection_ends(tmp_path: Path) -> None:
    Authority().write(tmp_path, "server")
    place = Place(tmp_path, tls=tls(tmp_path))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        running.wait_for("ready")
        context = client(tmp_path)
        for n in (0, 1, 3):
            with (
                socket.create_connection(running.address, timeout=20) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as secured,
            ):
                secured.sendall(request(ROW, text=place.key) * n + b"HACK / HTTP/1.1\r\n\r\n")
                told = b""
                while part := secured.recv(65_536):
                    told += part
            assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [b"200"] * n + [b"400"]
        for data in (request(ROW, text=place.key), b"GET / HT"):
            with socket.create_connection(running.address, timeout=20) as plain:
                secured = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=True)
                secured.sendall(data)
                secured.close()  # before the answer, and without TLS's own farewell
        assert ask(running, context) == 200
    finally:
        running.end()
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith('{"event"')] == []
    assert "fault" not in {json.loads(line)["event"] for line in lines}


def test_a_client_without_a_certificate_that_is_trusted_is_not_heard(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path, "server")
    authority.write(tmp_path, "client")
    strange = tmp_path / "strange"
    strange.mkdir()
    Authority().write(strange, "client")
    place = Place(tmp_path, tls=tls(tmp_path, clients=True))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        running.wait_for("ready")
        assert ask(running, client(tmp_path, shows="client")) == 200
        with pytest.raises((ssl.SSLError, http.client.HTTPException, OSError)):
            ask(running, client(tmp_path))
        other = client(tmp_path)
        other.load_cert_chain(strange / "client.pem", strange / "client.key")
        with pytest.raises((ssl.SSLError, http.client.HTTPException, OSError)):
            ask(running, other)
        assert ask(running, client(tmp_path, shows="client")) == 200
    finally:
        running.end()


def begun(address: tuple[str, int], number: int) -> socket.socket:
    """A handshake that goes no further: nothing was said, or half of a hello, or all of it and the answer is unread."""
    plain = socket.create_connection(address, timeout=20)
    plain.sendall(hello()[: (0, 40, None)[number % 3]])
    return plain


def hello() -> bytes:
    """What a client says first."""
    sent = ssl.MemoryBIO()
    waiting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        waiting.do_handshake()
    return sent.read()


def is_cut(plain: socket.socket) -> bool:
    """Whether the server ends it before somebody loses patience."""
    with plain, suppress(ConnectionResetError):
        while plain.recv(65_536):
            pass
    return True


def test_handshakes_without_end_keep_nobody_out_and_are_cut_in_time(tmp_path: Path) -> None:
    Authority().write(tmp_path, "server")
    place = Place(tmp_path, tls=tls(tmp_path), limits=Limits(read_s=1.0, connections=20))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        running.wait_for("ready")
        context = client(tmp_path)
        slow = [begun(running.address, number) for number in range(200)]
        assert [ask(running, context) for _ in range(25)] == [200] * 25
        assert all(is_cut(each) for each in slow)
        told = dict[str, float]()

        def is_told() -> bool:
            with closing(http.client.HTTPSConnection("localhost", running.address[1], context=context)) as connection:
                connection.request("GET", "/metrics")
                page = connection.getresponse().read().decode()
            told.update({outcome: count(page, NAME, outcome=outcome) for outcome in HANDSHAKES})
            return told["late"] == 200

        running.wait_until(is_told, "told of all")
        assert told.pop("done") > 25
        assert told == {"late": 200, "left": 0, "failed": 0, "displaced": 0, "full": 0}
    finally:
        running.end()
    assert not running.faults()


def test_what_is_no_certificate_is_said_before_anything_is_served(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path, "server")
    authority.write(tmp_path, "other")
    made = tls(tmp_path, clients=True)
    Certificate(made)
    wrong = [
        Tls(certificate=str(tmp_path / "none.pem"), key=made.key),
        Tls(certificate=made.certificate, key=str(tmp_path / "none.key")),
        Tls(certificate=made.certificate, key=str(tmp_path / "other.key")),
        Tls(certificate=made.certificate, key=made.key, clients=str(tmp_path / "none.pem")),
        Tls(certificate=made.certificate, key=made.key, clients=made.key),
    ]
    for each in wrong:
        with pytest.raises(TlsUnusable):
            Certificate(each)
    held = Certificate(made)
    (tmp_path / "server.key").chmod(0o644)
    with pytest.raises(TlsUnusable, match="everybody"):
        Certificate(made)
    with pytest.raises(TlsUnusable, match="everybody"):
        held.renew()
    (tmp_path / "server.key").chmod(0o600)
    assert held.renew() is True  # as the error said


def test_other_machines_reach_a_server_with_tls_or_where_that_is_meant(tmp_path: Path) -> None:
    with pytest.raises(AddressNotLocal):
        bind(("0.0.0.0", 0))
    bind(("0.0.0.0", 0), to_all=True).close()


def test_a_certificate_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path, "server")
    made = Certificate(tls(tmp_path))
    assert made.renew() is False
    time.sleep(0.01)
    authority.write(tmp_path, "server")
    assert made.renew() is True
    assert made.renew() is False
