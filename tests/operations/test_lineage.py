"""Lineage: what a run tells, to a file and to a URL, and that the reference client takes it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.examples import python_with

from headrace.app import Project
from headrace.errors import HeadraceError
from headrace.operations.events import HttpEvents

READ_BACK = Path(__file__).parents[2] / "proofs" / "openlineage_read_back.py"
DEFINITION = """format = 1
[project]
name = "rows"
[sources.rows]
read = "rows.csv"
[[sources.rows.checks]]
name = "small"
where = "a < 100"
on_fail = "warn"
[lineage]
openlineage = "{address}"
"""


class Receiver:
    """A server that takes events, or answers as it is told."""

    def __init__(self) -> None:
        self.answer = 200
        self.taken: list[dict[str, Any]] = []
        self.authorization: set[str | None] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.answer == 200:
                    receiver.taken.append(json.loads(body))
                    receiver.authorization.add(self.headers["Authorization"])
                self.send_response(receiver.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1/lineage"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def make(folder: Path, address: str, more: str = "") -> Path:
    (folder / "rows.csv").write_text("a,b\n1,x\n200,y\n3,z\n")
    (folder / "headrace.toml").write_text(DEFINITION.format(address=address) + more)
    return folder


def check(folder: Path, **env: str) -> None:
    with Project.open(folder, environment=env) as project:
        project.check()


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "lineage.ndjson").read_text().splitlines()]


def test_a_run_and_its_stages_are_told_from_start_to_end(tmp_path: Path) -> None:
    check(make(tmp_path, "lineage.ndjson"))
    events = told(tmp_path)
    ends = [(event["job"]["name"], event["eventType"]) for event in events]
    assert ends[0] == ("rows", "START")
    assert ends[-1] == ("rows", "COMPLETE")
    assert ends[1:5] == [
        ("rows.read rows", "START"),
        ("rows.read rows", "COMPLETE"),
        ("rows.check rows", "START"),
        ("rows.check rows", "COMPLETE"),
    ]
    read, checked = events[2], events[4]
    assert [(one["namespace"], one["name"]) for one in read["inputs"]] == [("file", str(tmp_path / "rows.csv"))]
    assert read["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert checked["inputs"][0]["name"] == read["outputs"][0]["name"]
    assertions = checked["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    small = next(one for one in assertions if one["name"] == "check:small")
    assert (small["success"], small["actual"], small["severity"]) == (False, "1", "warn")
    fields = checked["outputs"][0]["facets"]["schema"]["fields"]
    assert [(field["name"], field["type"]) for field in fields] == [("a", "integer"), ("b", "string")]
    parent = checked["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == events[0]["run"]["runId"] != checked["run"]["runId"]


def test_what_fails_is_told_with_its_message(tmp_path: Path) -> None:
    make(tmp_path, "lineage.ndjson")
    (tmp_path / "rows.csv").write_bytes(b"\x1f\x8b not gzip")
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(HeadraceError):
        check(tmp_path)
    last = told(tmp_path)[-1]
    assert last["eventType"] == "FAIL"
    assert "rows.csv" in last["run"]["facets"]["errorMessage"]["message"]


def test_a_file_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    check(make(tmp_path, "no/such/folder.ndjson"))


def test_a_receiver_gets_each_event_once_in_order(tmp_path: Path, receiver: Receiver) -> None:
    make(tmp_path, receiver.url, 'headers = { Authorization = "Bearer ${env:TOKEN}" }\n')
    check(tmp_path, TOKEN="abc")
    taken = [(event["job"]["name"], event["eventType"]) for event in receiver.taken]
    assert taken[0] == ("rows", "START")
    assert taken[-1] == ("rows", "COMPLETE")
    assert len(set(taken)) == len(taken)
    assert receiver.authorization == {"Bearer abc"}
    assert list((tmp_path / ".headrace" / "lineage").iterdir()) == []


def test_what_a_receiver_that_is_down_misses_is_sent_by_the_next_run(tmp_path: Path, receiver: Receiver) -> None:
    make(tmp_path, receiver.url)
    receiver.answer = 503
    check(tmp_path)
    waiting = len(list((tmp_path / ".headrace" / "lineage").iterdir()))
    assert waiting > 5
    receiver.answer = 200
    check(tmp_path)
    assert len(receiver.taken) > waiting
    assert [event["eventType"] for event in receiver.taken].count("COMPLETE") * 2 == len(receiver.taken)


def test_the_spool_is_bounded_and_its_trouble_is_said_once(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.operations.events.SPOOL_EVENTS", 3)
    receiver.answer = 500
    said: list[str] = []
    events = HttpEvents(receiver.url, {}, tmp_path / "spool", say=said.append)
    for _ in range(10):
        events.send(b"{}")
    events.close()
    assert len(list((tmp_path / "spool").iterdir())) == 3
    assert sorted(text.split(":")[0] for text in said) == sorted(
        ["lineage is lost", "the receiver of lineage answers 500; events wait on disk"]
    )


def test_the_reference_client_reads_every_event_and_emits_it_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make(tmp_path, "lineage.ndjson")
    check(tmp_path)
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(HeadraceError):
        check(tmp_path)
    command = [python_with("openlineage", tmp_path_factory), READ_BACK]
    command += [tmp_path / "lineage.ndjson", tmp_path / "again.ndjson"]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    again = [json.loads(line) for line in (tmp_path / "again.ndjson").read_text().splitlines()]
    names = ("eventType", "eventTime")
    assert [[one[name] for name in names] for one in again] == [[one[name] for name in names] for one in told(tmp_path)]
    assert [one["run"]["runId"] for one in again] == [one["run"]["runId"] for one in told(tmp_path)]
    assert [one["outputs"] == mine["outputs"] for one, mine in zip(again, told(tmp_path), strict=True)]
