"""Whatever is sent, a server answers as its OpenAPI page says, or ends the connection; and is the same afterwards."""

from __future__ import annotations

import ast
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from tests.scoring.made import ROW, program
from tests.serving.http.hostile import MARK, Maker, traversals
from tests.serving.http.inside import Inside, answers, deployment, request, turns, version, within
from tests.serving.http.running import PROJECT, Client, Place, Running, change

import headrace.serving.http
from headrace.data.model import Field
from headrace.language.types import Type
from headrace.serving.log.ship import ship
from headrace.serving.model import Arm
from headrace.serving.pulling import tell_changes
from headrace.serving.revisions import begin
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.tables.delta import DeltaTableStore

DEPLOYMENTS = ("delays", "kinds", "amounts", "mixed")
UNLIKE = {
    "program.json": msgspec.json.encode(
        msgspec.structs.replace(program(), request=(*program().request, Field(name="gate", type=Type.INTEGER)))
    )
}
"""A version that reads one column more."""
HEADERS = {
    "allow",
    "connection",
    "content-length",
    "content-type",
    "date",
    "inference-header-content-length",
    "retry-after",
    "www-authenticate",
    "x-request-id",
}
INTERNALS = re.compile(
    r"Traceback|\.py\b|/tmp|/home|/usr|site-packages|Exception|[a-z]Error\b|<class|\b0x[0-9a-f]{6}|onnx|llhttp"
)
"""What no client is to read."""

SCHEMATHESIS = """
[generation]
allow-extra-parameters = false  # headers may be added
"""


class Target:
    """A server of deployments of every kind, with a key for all and one for the second alone."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.deploy(self.place.version(1))
        self.place.deploy(self.place.version(2, task="multiclass"), name="kinds")
        self.place.deploy(self.place.version(3, task="regression"), name="amounts")
        mixed = begin(self.place.version(1), change(), project=PROJECT, name="mixed", sticky=("carrier",))
        unlike = Arm(name="unlike", serves=self.place.version(4, replaced=UNLIKE), weight=0.5)
        self.place.write(
            msgspec.structs.replace(
                mixed,
                arms=(unlike, msgspec.structs.replace(mixed.arms[0], weight=0.5)),
                shadows=(self.place.version(5),),
                fallbacks=(self.place.version(6),),
                constant=0.5,
            )
        )
        self.both, _ = self.place.keys.create(verbs=("predict", "outcomes"), lifetime_us=None, by="ann")
        self.scoped, _ = self.place.keys.create(verbs=("predict",), deployments=("kinds",), lifetime_us=None, by="ann")
        tell_changes(self.place.objects, PROJECT)
        self.running = Running(self.place)
        self.address = self.running.address

    def page(self) -> dict[str, Any]:
        """The OpenAPI page."""
        status, _, found = Client(self.running, self.both).ask("GET", "/openapi.json")
        assert status == 200
        return dict(found)

    def faults(self) -> list[Any]:
        """See `Running.faults`."""
        return self.running.faults()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.running.end()


@pytest.mark.parametrize(
    ("scope", "addresses"),
    [
        ("both", ["--exclude-path-regex=/infer$"]),
        # no schema says that shapes and data agree
        ("both", ["--include-path-regex=/infer$", "--exclude-checks=positive_data_acceptance"]),
        ("scoped", ["--exclude-path-regex=/infer$"]),
    ],
)
def test_requests_made_of_the_page_are_answered_as_the_page_says(
    target: Target, tmp_path: Path, scope: str, addresses: list[str]
) -> None:
    (tmp_path / "schemathesis.toml").write_text(
        "[generation]\nallow-extra-parameters = false\n"
    )  # headers may be added
    key = target.both if scope == "both" else target.scoped
    host, port = target.address
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    options = ["--phases=examples,coverage,fuzzing", "--max-examples=40", "--seed=1", "--no-shrink"]
    options += ["--continue-on-failure", "--generation-database=none", "--request-timeout=30", "--no-color"]
    found = subprocess.run(
        [*command, f"http://{host}:{port}/openapi.json", "-H", f"Authorization: Bearer {key}", *options, *addresses],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = found.stdout + found.stderr
    failures, statuses = re.findall(r"- (ST\d+) ", told), re.findall(r"^\[(\d+)\] ", told, re.MULTILINE)
    assert found.returncode in (0, 1), told
    late = set(failures) == {"ST101"} and set(statuses) == {"504"}  # some are given a millisecond
    assert found.returncode == 0 or late, told
    assert " generated, " in told
    assert not target.faults()


def test_ten_thousand_hostile_requests_leave_the_server_as_it_was(target: Target) -> None:
    page = target.page()
    assert {f"/v1/deployments/{name}/predict" for name in DEPLOYMENTS} <= set(page["paths"])
    problem = jsonschema_rs.validator_for(page["components"]["schemas"]["Problem"])
    declared = set(page["paths"]["/v1/deployments/delays/predict"]["post"]["responses"])
    [worker] = target.running.workers()
    maker = Maker(seed=16, keys=[target.both, target.scoped], deployments=DEPLOYMENTS)
    seen: Counter[int] = Counter()
    warm_kib = 0
    files = open_files(worker)
    while seen.total() < 12_000:
        hostile = maker.draw()
        answer = exchange(target.address, hostile.pieces)
        told = read_answers(answer)
        assert len(told) <= hostile.requests + 1, (hostile, answer)  # what is cut or bent may look like one more
        for status, kind, body in told:
            seen[status] += 1
            assert str(status) in declared | {"100", "202"}, (status, hostile)
            if status >= 400:
                assert status in (400, 401, 403, 404, 405, 413, 414, 415, 421, 422, 429, 431, 504), (status, hostile)
                assert kind == "application/problem+json"
                if body:
                    check_problem(problem, status, body, values_known=hostile.speaks_for_itself)
        if not warm_kib and seen.total() > 3_000:
            warm_kib = resident_kib(worker)
    assert target.running.workers() == [worker]
    assert not target.faults()
    assert resident_kib(worker) - warm_kib <= 20 * 1024
    wait_until(lambda: open_files(worker) <= files)
    assert Client(target.running, target.both).predict(ROW)[0] == 200
    tables = DeltaTableStore(LocalObjectStore(target.place.root / "tables"))
    shipped = ship(target.place.root / "serving" / "log", tables, PROJECT)
    assert min(shipped.predictions, shipped.outcomes) > 0  # whatever was taken, its table takes too
    assert {200, 202, 400, 401, 403, 404, 405, 414, 415, 421, 422, 431} <= set(seen), seen


def test_every_status_that_the_code_can_answer_is_on_the_page(target: Target) -> None:
    page = target.page()
    answered: set[str] = set()
    of_batches: set[str] = set()
    """Of a server that takes them: `test_batches` looks at its page."""
    for path in Path(headrace.serving.http.__path__[0]).glob("*.py"):
        found = of_batches if path.name == "batches.py" else answered
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Problem", "problem_of")
            ):
                constants = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
                found |= {str(value) for value in constants if type(value) is int and 400 <= value < 600}
    assert {"400", "401", "404", "413", "422", "429", "431", "503", "507"} <= answered
    assert of_batches - answered == {"406"}
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            assert answered <= set(operation["responses"]), (path, method)


def test_no_spelling_of_an_address_opens_a_file(tmp_path: Path) -> None:
    opened: list[object] = []
    watching = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "os.exec", "import"):
            opened.append((event, arguments))

    async def run() -> None:
        nonlocal watching
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        for path in ("/nowhere", "/v2/models/none"):  # what is imported at first need
            await inside.ask(b"", path=path, method="GET")
        spelled = [path for path in traversals() if path.isascii()]
        assert len(spelled) >= 600
        watching = True
        for path in spelled:
            for method in ("GET", "POST"):
                told = []
                for start in ("", "http://localhost"):
                    connection, transport = inside.connect()
                    connection.data_received(request(ROW, path=start + path, method=method))
                    await turns(2)
                    [(status, _, problem)] = answers(transport.sent)
                    assert status in (400, 403, 404, 405)
                    assert "passwd" not in json.dumps(problem)
                    told.append((status, problem["code"]))
                    connection.connection_lost(None)
                assert told[0] == told[1]  # a whole address opens no way that a path does not
        watching = False
        assert not inside.faults
        inside.log.close()

    sys.addaudithook(hook)  # it cannot be taken away again, and does nothing once this ends
    try:
        within(run())
    finally:
        watching = False
    assert not opened


@pytest.mark.parametrize("size", [70_000, 300_000, 900_000])
def test_who_is_refused_in_the_middle_reads_why(target: Target, size: int) -> None:
    data = request(b"x" * size, text="hr_no_key")
    for _ in range(20):
        with socket.create_connection(target.address) as client:
            client.settimeout(30)
            client.sendall(data)
            told = b""
            while part := client.recv(65_536):
                told += part
        assert [status for status, _, _ in read_answers(told)] == [401]


def exchange(address: tuple[str, int], pieces: list[bytes]) -> bytes:
    """Send, say that nothing follows, and read to the end; half a minute of silence is a failure."""
    answer = b""
    with socket.create_connection(address) as client:
        client.settimeout(30)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            pass  # it has been refused before it was whole
        with suppress(ConnectionResetError):
            while part := client.recv(65_536):
                answer += part
    return answer


def read_answers(data: bytes) -> list[tuple[int, str, bytes]]:
    """Status, content type and body of each, by the letter of HTTP/1.1; raises AssertionError for anything else."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        line, *lines = head.decode("ascii").split("\r\n")
        matched = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", line)
        assert matched is not None, data
        status = int(matched[1])
        if status == 100:
            data = rest
            continue
        headers = {}
        for one in lines:
            name, colon, value = one.partition(": ")
            assert colon, data
            assert name in HEADERS, data
            assert name not in headers, data
            assert value.isprintable(), data
            headers[name] = value
        length = int(headers["content-length"])
        if length and (not rest or rest.startswith(b"HTTP/1.1 ")):  # an answer to HEAD
            length = 0
        assert len(rest) >= length, data
        found.append((status, headers["content-type"], rest[:length]))
        data = rest[length:]
    return found


def check_problem(schema: Any, status: int, body: bytes, *, values_known: bool) -> None:
    told = json.loads(body)
    schema.validate(told)
    assert set(told) <= {"type", "title", "status", "detail", "code", "fix", "facts", "id", "error"}
    assert told["status"] == status
    assert told["type"] == f"urn:headrace:error:{told['code']}"
    assert re.fullmatch("[a-z0-9-]{3,60}", told["code"])
    assert len(body) < 4_000
    assert not INTERNALS.search(json.dumps(told)), told
    if values_known:
        assert MARK not in json.dumps(told), told


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def wait_until(holds: Any, within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)
