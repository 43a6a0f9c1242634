"""Sources on web servers: a real nginx, and a server of ours for the faults that nginx does not have."""

from __future__ import annotations

import gzip
import logging
import os
import re
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from tests.conftest import WebPlace
from tests.data.stage import Bench, source_of

from headrace.data import http_client
from headrace.data.errors import (
    AddressRefused,
    DiskFull,
    SourceChanged,
    SourceMissing,
    SourceUnavailable,
    SourceUnreadable,
)
from headrace.data.infer import infer_types
from headrace.data.sources import Copied, Place, adapter
from headrace.data.state import source_state
from headrace.definition.errors import SecretNotFound
from headrace.definition.model import Source
from headrace.language.types import Type
from headrace.testing.sources import TYPES, FileSourceSuite

KX = {"k": Type.INTEGER, "x": Type.STRING}
ROWS = b"k,x\n1,a\n2,b\n"
PRIVATE: dict[str, Any] = {"format": "csv", "headers": (("Authorization", "Bearer ${env:TOKEN}"),)}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_PAUSE_S", 0.01)


class OverHttp(FileSourceSuite):
    """The suite of sources of files, with every file read from a web server."""

    @pytest.fixture(autouse=True)
    def _served(self, web: WebPlace) -> None:
        self.web = web

    def source(self, *read: str) -> Source:
        names = [file.name for pattern in read for file in sorted(self.web.folder.glob(pattern))] or list(read)
        return super().source(*map(self.web.at, names))

    def copy(self, folder: Path, *read: str, types: Mapping[str, Type] = TYPES) -> tuple[Copied, pl.DataFrame]:
        copied, rows = super().copy(folder, *read, types=types)
        files = tuple((name.removeprefix(self.web.at("")), count) for name, count in copied.files)
        return Copied(copied.columns, copied.rows, files, malformed_rows=copied.malformed_rows), rows


class TestCsvOverHttp(OverHttp):
    ending = ".csv"
    sees_damage: ClassVar[bool] = False

    def write(self, path: Path, rows: pl.DataFrame) -> None:
        rows.write_csv(path)


class TestPackedCsvOverHttp(OverHttp):
    ending = ".csv.gz"

    def write(self, path: Path, rows: pl.DataFrame) -> None:
        path.write_bytes(gzip.compress(rows.write_csv().encode()))


class TestParquetOverHttp(OverHttp):
    ending = ".parquet"

    def write(self, path: Path, rows: pl.DataFrame) -> None:
        rows.write_parquet(path)


class TestNginx:
    def test_files_are_read_in_the_order_written(self, bench: Bench, web: WebPlace) -> None:
        bench.write("1.csv", ROWS)
        bench.write("2.csv", b"k,x\n3,c\n4\n")
        source = source_of(web.at("2.csv"), web.at("1.csv"))
        assert set(infer_types(source, bench.root, bench.env)) == {"k", "x"}
        checked = bench.check(source, KX)
        assert bench.accepted(checked) == {"k": [3, 1, 2], "x": ["c", "a", "b"]}
        assert bench.read(checked.quarantine)["_file"].to_list() == [web.at("2.csv")]

    def test_a_database_file_is_fetched_too(self, bench: Bench, web: WebPlace) -> None:
        with sqlite3.connect(bench.root / "t.db") as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS k, 'z' AS x")
        connection.close()
        source = source_of(web.at("t.db"), format="sqlite", query="SELECT k, x FROM t")
        assert bench.accepted(bench.check(source, KX)) == {"k": [7], "x": ["z"]}

    @pytest.mark.parametrize("kind", ["plain", "dated"])
    def test_the_state_tells_a_change_and_reads_no_data(self, bench: Bench, web: WebPlace, kind: str) -> None:
        path = bench.write("a.csv", ROWS)
        source = source_of(web.at("a.csv", kind))
        first = source_state(source, bench.root, {})
        assert first == source_state(source, bench.root, {})
        ((name, size, stamp),) = first.parts
        assert (name, size, first.volatile, bool(stamp)) == (web.at("a.csv", kind), len(ROWS), False, True)
        os.utime(path, (1, 1))
        assert source_state(source, bench.root, {}) != first
        assert set(web.requests("a.csv")) == {"HEAD 200"}

    def test_a_file_that_tells_neither_tag_nor_time_is_always_read_again(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS)
        source = source_of(web.at("a.csv", "bare"))
        state = source_state(source, bench.root, {})
        assert (state.volatile, state.parts) == (True, ((web.at("a.csv", "bare"), len(ROWS), ""),))
        assert bench.snapshot(source, KX).rows == 2

    def test_a_header_by_reference_opens_what_is_private_and_is_never_shown(
        self, bench: Bench, web: WebPlace, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        bench.write("a.csv", ROWS)
        source = source_of(web.at("a.csv", "private") + "?token=${env:QUERY}", **PRIVATE)
        bench.env = {"TOKEN": web.authorization.removeprefix("Bearer "), "QUERY": "hunter3"}
        snapshot = bench.snapshot(source, KX)
        assert snapshot.rows == 2
        bench.env = {"TOKEN": "hunter2", "QUERY": "hunter3"}
        with pytest.raises(SourceUnavailable, match=r"401 Unauthorized \(headers sent: Authorization\)") as caught:
            bench.check(source, KX)
        told = str(caught.value) + repr(caught.value.facts) + caplog.text + repr(snapshot)
        assert "token=***" in told
        assert not re.search("hunter|of-the-tests", told)

    def test_the_user_of_the_address_is_sent_and_never_shown(self, bench: Bench, web: WebPlace) -> None:
        source = source_of(web.url.replace("//", "//me:${env:PASSWORD}@") + "/echo.csv")
        bench.env = {"PASSWORD": "hunter2/@"}
        checked = bench.check(source, KX)
        assert bench.accepted(checked)["x"] == ["<Basic bWU6aHVudGVyMi9A>"]
        assert "hunter2" not in repr(checked)

    def test_without_a_header_the_error_says_that_none_is_sent(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS)
        with pytest.raises(SourceUnavailable, match="no headers are sent"):
            bench.check(source_of(web.at("a.csv", "private")), KX)

    def test_a_variable_that_is_not_set_is_named(self, bench: Bench, web: WebPlace) -> None:
        with pytest.raises(SecretNotFound, match="TOKEN"):
            bench.check(source_of(web.at("a.csv", "private"), **PRIVATE), KX)

    def test_a_value_that_is_no_header_is_refused_without_it(self, bench: Bench, web: WebPlace) -> None:
        bench.env = {"TOKEN": "hunter2\r\nX-Evil: 1"}
        with pytest.raises(AddressRefused, match="header Authorization") as caught:
            bench.check(source_of(web.at("a.csv", "private"), **PRIVATE), KX)
        assert "hunter2" not in str(caught.value) + repr(caught.value.facts)

    def test_a_redirect_on_the_same_server_keeps_the_headers(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS)
        bench.env = {"TOKEN": web.authorization.removeprefix("Bearer ")}
        assert bench.snapshot(source_of(web.at("a.csv", "moved"), **PRIVATE), KX).rows == 2

    def test_a_redirect_to_another_server_gets_no_headers(self, bench: Bench, web: WebPlace) -> None:
        bench.env = {"TOKEN": "secret"}
        kept = bench.check(source_of(f"{web.url}/echo.csv", **PRIVATE), KX)
        assert bench.accepted(kept)["x"] == ["<Bearer secret>"]
        lost = bench.check(source_of(f"{web.url}/away/echo.csv", **PRIVATE), KX)
        assert bench.accepted(lost)["x"] == ["<>"]

    def test_a_redirect_may_lead_to_tls_and_not_away_from_it(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS)
        bench.env = {"SSL_CERT_FILE": web.authority}
        assert bench.snapshot(source_of(web.at("a.csv", "secured")), KX).rows == 2
        with pytest.raises(AddressRefused, match=r"redirected from https:// to http://"):
            bench.check(source_of(web.at("a.csv", "down").replace(web.url, web.tls_url)), KX)

    def test_redirects_come_to_an_end(self, bench: Bench, web: WebPlace) -> None:
        with pytest.raises(SourceUnavailable, match="more than 10 times"):
            bench.check(source_of(f"{web.url}/round/a.csv"), KX)

    def test_a_certificate_nobody_vouches_for_is_refused_at_once(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS)
        source = source_of(web.at("a.csv").replace(web.url, web.tls_url))
        with pytest.raises(SourceUnavailable, match=r"certificate.*SSL_CERT_FILE") as caught:
            bench.check(source, KX)
        assert "tries" not in str(caught.value)
        bench.env = {"SSL_CERT_FILE": web.authority}
        assert bench.snapshot(source, KX).rows == 2

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
    def test_what_the_server_packs_is_unpacked_once(self, bench: Bench, web: WebPlace, name: str) -> None:
        packed = gzip.compress(ROWS)
        source = source_of(web.at(name, "coded"), format="csv")
        bench.write(name, packed)
        assert bench.snapshot(source, KX).rows == 2
        if name.endswith(".gz"):
            bench.write(name, gzip.compress(packed))
            assert bench.snapshot(source, KX).rows == 2
        bench.write(name, packed[:-5])
        with pytest.raises(SourceUnreadable, match="damaged"):
            bench.check(source, KX)

    def test_a_file_that_is_not_there(self, bench: Bench, web: WebPlace) -> None:
        with pytest.raises(SourceMissing, match=r"no.csv' in the web server, which answers 404") as caught:
            bench.check(source_of(web.at("no.csv")), KX)
        assert caught.value.exit_code == 3
        assert web.requests("no.csv") == ["HEAD 404"]

    def test_a_web_page_is_no_table(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", "\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n")
        with pytest.raises(SourceUnreadable, match="web page"):
            bench.check(source_of(web.at("a.csv")), KX)

    def test_a_file_larger_than_allowed_is_refused_before_it_is_fetched(self, bench: Bench, web: WebPlace) -> None:
        bench.write("a.csv", ROWS * 100)
        with pytest.raises(SourceUnreadable, match=r"more than 100 bytes.*\n?.*max_size"):
            bench.check(source_of(web.at("a.csv"), max_size=100), KX)
        bench.write("bomb.csv", gzip.compress(b"k,x\n" + b"1,a\n" * 100_000))
        with pytest.raises(SourceUnreadable, match=r"more than 10,000 bytes"):
            bench.check(source_of(web.at("bomb.csv", "coded"), max_size=10_000), KX)

    def test_a_file_that_the_disk_does_not_hold_is_refused(
        self, bench: Bench, web: WebPlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.write("a.csv", ROWS)
        usage = shutil.disk_usage(bench.root)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3))
        with pytest.raises(DiskFull, match="12 bytes"):
            bench.check(source_of(web.at("a.csv")), KX)

    def test_a_server_without_tls(self, bench: Bench, web: WebPlace) -> None:
        with pytest.raises(SourceUnavailable, match="does not speak TLS"):
            bench.check(source_of(web.at("a.csv").replace("http:", "https:")), KX)

    def test_a_server_that_is_not_there(self, bench: Bench) -> None:
        with pytest.raises(SourceUnavailable, match=r"no connection.*4 tries"):
            bench.check(source_of("http://127.0.0.1:1/a.csv"), KX)
        with pytest.raises(SourceUnavailable, match=r"no connection: .*[Nn]ame"):
            bench.check(source_of("http://no-such-host.invalid/a.csv"), KX)


Answer = bytes | Callable[[bytes], bytes]


class RawServer:
    """Answers each request with the next bytes of a script, then cuts the connection."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/a.csv"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                    request += data
                self.requests.append(request)
                connection.sendall(answer(request) if callable(answer) else answer)
        self._listener.close()

    def asked(self, name: str) -> list[str | None]:
        """A header of each request."""
        found = [re.search(rb"(?im)^%s: *(.*?)\r$" % name.encode(), request) for request in self.requests]
        return [match[1].decode() if match else None for match in found]

    def close(self) -> None:
        self._listener.close()


def answer(status: str = "200 OK", body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    """One answer; its length is the body's unless said otherwise."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


HEAD = answer(length=len(ROWS), ETag='"1"')
WHOLE = answer(body=ROWS, ETag='"1"')
CUT = answer(body=ROWS[:6], length=len(ROWS), ETag='"1"')


def rest(at: int = 6, *, total: int = len(ROWS), etag: str = '"1"') -> bytes:
    content_range = f"bytes {at}-{len(ROWS) - 1}/{total}"
    return answer("206 Partial Content", ROWS[at:], Content_Range=content_range, ETag=etag)


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    servers: list[RawServer] = []

    def start(*answers: Answer) -> RawServer:
        servers.append(RawServer(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


Serve = Callable[..., RawServer]


class TestFaults:
    def copy(self, bench: Bench, server: RawServer, **more: Any) -> list[Any]:
        """What one reading gives, which asks once for the state and once for the rows."""
        target = bench.root / "rows.parquet"
        source = source_of(server.url, **more)
        adapter("csv").copy(source, Place(bench.root, bench.env), KX, target, bench.root)
        return pl.read_parquet(target).rows()

    def good(self) -> list[Any]:
        return [(1, "a"), (2, "b")]

    def test_a_file_that_is_cut_is_gone_on_with(self, bench: Bench, serve: Serve) -> None:
        server = serve(HEAD, CUT, rest())
        assert self.copy(bench, server) == self.good()
        assert server.asked("Range") == [None, None, "bytes=6-"]
        assert server.asked("If-Range") == [None, None, '"1"']
        assert set(server.asked("Accept-Encoding")) == {"identity"}

    @pytest.mark.parametrize(
        "wrong",
        [
            rest(5),
            rest(total=99),
            rest(etag='"2"'),
            answer("206 Partial Content", ROWS[6:], ETag='"1"'),
            answer("416 Range Not Satisfiable"),
        ],
        ids=["other-start", "other-total", "other-tag", "no-range", "no-such-range"],
    )
    def test_a_part_that_does_not_fit_is_not_taken(self, bench: Bench, serve: Serve, wrong: bytes) -> None:
        server = serve(HEAD, CUT, wrong, WHOLE)
        assert self.copy(bench, server) == self.good()
        assert server.asked("Range")[-1] is None

    def test_a_server_without_ranges_sends_it_from_the_start(self, bench: Bench, serve: Serve) -> None:
        assert self.copy(bench, serve(HEAD, CUT, WHOLE)) == self.good()

    @pytest.mark.parametrize("tag", ['W/"1"', ""])
    def test_without_a_strong_tag_it_is_fetched_from_the_start(self, bench: Bench, serve: Serve, tag: str) -> None:
        headers: dict[str, Any] = {"ETag": tag} if tag else {"Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        head = answer(length=len(ROWS), **headers)
        server = serve(head, answer(body=ROWS[:6], length=len(ROWS), **headers), answer(body=ROWS, **headers))
        assert self.copy(bench, server) == self.good()
        assert server.asked("Range") == [None, None, None]

    @pytest.mark.parametrize(
        "part",
        [rest(0), answer("206 Partial Content", ROWS[:6], Content_Range="bytes 0-5/6")],
        ids=["whole", "half-without-a-tag"],
    )
    def test_a_part_that_nobody_asked_for_is_not_taken(self, bench: Bench, serve: Serve, part: bytes) -> None:
        server = serve(HEAD, *[part] * 4)
        with pytest.raises(SourceUnavailable, match="another part"):
            self.copy(bench, server)

    def test_a_file_that_is_always_cut_is_never_taken(self, bench: Bench, serve: Serve) -> None:
        cut = answer(body=ROWS[:8], length=len(ROWS))
        with pytest.raises(SourceUnavailable, match=r"cut.*4 tries"):
            self.copy(bench, serve(answer(length=len(ROWS)), *[cut] * 4))

    def test_a_body_without_a_length_is_held_against_the_length_told_before(self, bench: Bench, serve: Serve) -> None:
        cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + ROWS[:8]
        with pytest.raises(SourceUnavailable, match="ended after 8 of 12 bytes"):
            self.copy(bench, serve(answer(length=len(ROWS)), *[cut] * 4))

    def test_a_body_in_chunks_that_is_cut_is_never_taken(self, bench: Bench, serve: Serve) -> None:
        cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n" + ROWS[:8] + b"\r\n"
        with pytest.raises(SourceUnavailable, match="cut"):
            self.copy(bench, serve(answer(), *[cut] * 4))
        whole = cut + b"4\r\n" + ROWS[8:] + b"\r\n0\r\n\r\n"
        assert self.copy(bench, serve(answer(), cut, whole)) == self.good()

    @pytest.mark.parametrize("status", ["503 Service Unavailable", "500 Oops", "429 Too Many Requests"])
    def test_a_server_in_trouble_is_asked_again(self, bench: Bench, serve: Serve, status: str) -> None:
        server = serve(answer(status), HEAD, answer(status, b"trouble"), b"", WHOLE)
        assert self.copy(bench, server) == self.good()

    def test_a_server_that_stays_in_trouble_is_named(self, bench: Bench, serve: Serve) -> None:
        server = serve(*[answer("502 hunter2", b"hunter2")] * 9)
        with pytest.raises(SourceUnavailable, match=r"answers 502 Bad Gateway \(4 tries\)") as caught:
            self.copy(bench, server)
        assert "hunter2" not in str(caught.value)
        assert len(server.requests) == 4

    def test_other_refusals_are_final(self, bench: Bench, serve: Serve) -> None:
        server = serve(answer("418 Teapot"), HEAD)
        with pytest.raises(SourceUnavailable, match="answers 418"):
            self.copy(bench, server)
        assert len(server.requests) == 1

    def test_a_server_says_when_to_come_back(self, bench: Bench, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", pauses.append)
        busy = answer("429 Too Many Requests", Retry_After="7")
        assert self.copy(bench, serve(busy, HEAD, answer("503 Busy"), WHOLE)) == self.good()
        assert pauses[0] == 7
        assert 0 < pauses[1] <= http_client.FIRST_PAUSE_S
        with pytest.raises(SourceUnavailable, match="come back in 3,600 s"):
            self.copy(bench, serve(answer("503 Busy", Retry_After="3600")))

    def test_a_server_that_says_nothing_is_left(
        self, bench: Bench, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_client, "SILENCE_S", 0.1)
        wait = threading.Event()

        def never(_: bytes) -> bytes:
            wait.wait(0.3)
            return b""

        with pytest.raises(SourceUnavailable, match="sends nothing for"):
            self.copy(bench, serve(*[never] * 4))
        wait.set()

    def test_a_server_that_refuses_head_is_asked_with_get(self, bench: Bench, serve: Serve) -> None:
        server = serve(answer("405 Method Not Allowed"), WHOLE, WHOLE)
        assert self.copy(bench, server) == self.good()
        assert [request.split()[0] for request in server.requests] == [b"HEAD", b"GET", b"GET"]

    def test_a_file_that_changes_between_look_and_fetch_is_read_anew(self, bench: Bench, serve: Serve) -> None:
        new = answer(body=ROWS.replace(b"b", b"c"), ETag='"2"')
        with pytest.raises(SourceChanged, match=r"a\.csv"):
            self.copy(bench, serve(HEAD, new))
        now = answer(length=len(ROWS), ETag='"2"')
        server = serve(HEAD, HEAD, new, now, now, now, new, now)  # state, look, fetch, state; and all again
        checked = bench.check(source_of(server.url), KX)
        assert bench.accepted(checked)["x"] == ["a", "c"]

    def test_a_file_that_changes_while_it_is_fetched_is_never_a_mix(self, bench: Bench, serve: Serve) -> None:
        new = answer(body=ROWS.replace(b"b", b"c"), ETag='"2"')
        with pytest.raises(SourceChanged):
            self.copy(bench, serve(HEAD, CUT, new))

    def test_a_packing_nobody_asked_for_is_refused(self, bench: Bench, serve: Serve) -> None:
        with pytest.raises(SourceUnreadable, match="Content-Encoding"):
            self.copy(bench, serve(HEAD, answer(body=b"\x1b", ETag='"1"', Content_Encoding="br")))

    def test_more_than_is_allowed_is_not_fetched_to_its_end(self, bench: Bench, serve: Serve) -> None:
        endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nk,x\n" + b"1,a\n" * 10_000
        with pytest.raises(SourceUnreadable, match="more than 1,000 bytes"):
            self.copy(bench, serve(answer(), endless), max_size=1_000)

    def test_progress_is_worth_more_tries(self, bench: Bench, serve: Serve) -> None:
        body = b"k,x\n" + b"1,a\n" * (7 << 18)
        mib = 1 << 20

        def piece(at: int) -> bytes:
            until = f"bytes {at}-{len(body) - 1}/{len(body)}"
            whole = answer("206 Partial Content", body[at : at + mib], length=len(body) - at, Content_Range=until)
            return whole if at else answer(body=body[:mib], length=len(body), ETag='"1"')

        server = serve(answer(length=len(body), ETag='"1"'), *[piece(n * mib) for n in range(8)])
        assert len(self.copy(bench, server)) == 7 << 18
