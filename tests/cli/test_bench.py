"""`headrace bench` on a server of a whole project: what it finds adds up, and it leaves nothing but the log behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.conftest import HEADRACE, Call
from tests.examples import flights_rows, write_csv

from headrace.app import Project
from headrace.cli import bench
from headrace.serving.loadtest.errors import KeyInvalid, KeyMissing
from headrace.serving.loadtest.run import Plan
from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.model import Served
from headrace.serving.revisions import Change, begin

NAME = "flight-delays"
SHORT = ("--seconds", "0.2", "--connections", "32")
pytestmark = pytest.mark.heavy


@pytest.fixture
def served(delays: Path) -> Iterator[Path]:
    """The project, with a server that is ready."""
    command = [*HEADRACE, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=delays, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("{") and json.loads(line)["event"] == "ready":
                break
        else:
            raise AssertionError(f"it ended with {process.wait()}")
        yield delays
        process.terminate()
        process.stderr.read()


def logged(project: Path) -> list[str]:
    """Ids of the requests in the log of predictions."""
    batches = read_log(project / ".headrace" / "serving" / "log")
    return [one.request_id for batch in batches if isinstance(batch, Predictions) for one in batch.records]


def keys(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("keys", "list", "--json").document["keys"]
    return found


def test_what_it_finds_adds_up_and_is_in_the_log(served: Path, call: Call) -> None:
    said = call("bench", NAME, *SHORT, "--json")
    assert said.code == 0, said.err
    found = said.document
    assert found["deployment"] == NAME
    assert found["place"]["workers"]
    assert found["plan"]["p99_s"] == 0.02
    assert "hr_" not in said.out  # no part of the key that was made
    assert found["stages"][0]["clients"] == 16
    for stage in found["stages"]:
        assert stage["sent"] == stage["answered"] + sum(stage["refused"].values()) + sum(stage["failed"].values())
        assert stage["sent"] <= stage["offered"]
        assert stage["use"]["workers"][0]["pid"] in found["place"]["workers"]
        latencies = [stage["latency_ms"][p] for p in ("p50", "p90", "p99", "p99.9")]
        assert latencies == sorted(latencies)
    assert sum(stage["answered"] for stage in found["stages"]) < found["answered"] <= found["asked"]
    assert found["bottleneck"]["sentence"]
    ids = logged(served)
    assert len(ids) == len(set(ids))
    assert found["answered"] <= found["logged"] <= len(ids)
    assert all(name.startswith(found["ids"]) for name in ids)
    [key] = keys(call)
    assert key["revoked_us"] is not None
    assert (key["verbs"], key["deployments"]) == (["predict"], [NAME])


def test_one_rate_and_rows_of_a_file_are_told_in_words(served: Path, call: Call) -> None:
    write_csv(served / "asked.csv", *flights_rows(range(1, 3), ["LGA"]))
    said = call("bench", NAME, *SHORT, "--rate", "50", "--rows", "asked.csv", "--p99", "10s")
    assert said.code in (0, 1), said.err  # 1 where the machine was so busy that answers came after the stage
    assert "of asked.csv" in said.out
    assert "one stage of 0.2 s" in said.out
    assert "answers of this test: request ids begin with bench-" in said.out
    assert "bottleneck: " in said.out


def test_a_key_that_is_given_is_used_and_none_is_made(
    served: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_KEY", "hr_none_such")
    said = call("bench", NAME, *SHORT, "--json")
    assert (said.code, said.document["error"]["code"]) == (1, "load-test-refused")
    assert said.document["error"]["facts"]["status"] == 401
    assert keys(call) == []
    key = call("keys", "create", "--deployment", NAME, "--json").document["key"]
    (tmp_path / "key").write_text(key + "\n", encoding="utf-8")
    said = call("bench", NAME, *SHORT, "--rate", "20", "--key-file", tmp_path / "key", "--json")
    assert said.document["answered"] > 0
    assert [each["revoked_us"] for each in keys(call)] == [None]


def test_rows_made_by_the_profile_are_answered_too(served: Path, call: Call) -> None:
    definition = served / "headrace.toml"
    definition.write_text(definition.read_text() + '\n[stores]\ncatalog = "none.db"\n', encoding="utf-8")
    said = call("bench", NAME, *SHORT, "--rate", "20", "--json")
    assert "made by the package's profile" in said.document["said_of_rows"]
    assert said.document["answered"] > 0


def test_the_limit_of_a_key_is_told_from_the_server_s(served: Path, call: Call, tmp_path: Path) -> None:
    key = call("keys", "create", "--deployment", NAME, "--rate", "5", "--json").document["key"]
    (tmp_path / "key").write_text(key, encoding="utf-8")
    said = call("bench", NAME, "--seconds", "1", "--rate", "200", "--key-file", tmp_path / "key", "--json")
    assert (said.code, said.document["bottleneck"]["kind"]) == (1, "key limit")


def test_stopped_by_hand_it_ends_its_key_and_its_generators(served: Path, call: Call) -> None:
    command = [*HEADRACE, "bench", NAME, "--seconds", "300", "--rate", "20"]
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=served, stdout=subprocess.PIPE, text=True, env=unbuffered) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "offered/s" in line:
                break
        else:
            raise AssertionError(f"it ended with {process.wait()}")
        while not (generators := psutil.Process(process.pid).children()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    assert psutil.wait_procs(generators, timeout=30)[1] == []
    assert [key["revoked_us"] is not None for key in keys(call)] == [True]


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        ((NAME,), 2, "deployment-unknown"),
        ((NAME, "--p99", "soon"), 2, "load-test-option-invalid"),
        ((NAME, "--seconds", "0"), 2, "load-test-option-invalid"),
        ((NAME, "--rate", "0"), 2, "load-test-option-invalid"),
        ((NAME, "--connections", "0"), 2, "load-test-option-invalid"),
        ((NAME, "--generators", "2000"), 2, "load-test-option-invalid"),
        ((NAME, "--seed", "-1"), 2, "load-test-option-invalid"),
        ((NAME, "--rate", "1e7", "--seconds", "600"), 2, "load-test-option-invalid"),  # 6e9 instants of 8 bytes
    ],
)
def test_what_cannot_be_is_refused_first(
    delays: Path, call: Call, words: tuple[str, ...], exit_code: int, code: str
) -> None:
    said = call("bench", *words, "--json")
    assert (said.code, said.document["error"]["code"]) == (exit_code, code)


def test_without_a_server_nothing_is_asked(delays: Path, call: Call) -> None:
    assert call("deploy", NAME).code == 0
    said = call("bench", NAME, "--json")
    assert (said.code, said.document["error"]["code"]) == (3, "no-prediction-server")
    assert "headrace serve" in said.document["error"]["fix"]
    for url, exit_code, code in (
        ("http://192.0.2.1:8000", 2, "load-test-not-confirmed"),
        ("192.0.2.1:8000", 2, "server-url-invalid"),
        ("http://127.0.0.1:9", 3, "prediction-server-not-reached"),
    ):
        said = call("bench", NAME, "--url", url, "--json")
        assert (said.code, said.document["error"]["code"]) == (exit_code, code)
    [key] = keys(call)
    assert key["revoked_us"] is not None  # of the server that was not reached


def test_a_key_file_that_holds_none_is_said_to_be_so(delays: Path, call: Call) -> None:
    assert call("deploy", NAME).code == 0
    (delays / "empty").write_text("", encoding="utf-8")
    for name in ("empty", "missing"):
        said = call("bench", NAME, "--url", "http://127.0.0.1:9", "--key-file", name, "--json")
        assert (said.code, said.document["error"]["code"]) == (2, "api-key-file-unreadable")


@pytest.mark.parametrize("text", ["hr_1_é", "hr_1\r\nx-more: 1", "hr_1\u20ac", "hr_\x7f"])
def test_what_cannot_be_sent_as_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text.split("\r")[0] + "\u2026", encoding="utf-8")
    for environment, path in (({"HEADRACE_KEY": text}, None), ({}, tmp_path / "key")):
        with pytest.raises(KeyInvalid) as refused:
            bench._given_key(environment, path)
        assert text not in refused.value.message
    assert bench._given_key({"HEADRACE_KEY": " hr_1_a\n"}, None) == "hr_1_a"  # as `export HEADRACE_KEY="$(…)"` may


def test_no_key_is_made_where_the_objects_are_not_on_this_machine(delays: Path) -> None:
    definition = delays / "headrace.toml"
    definition.write_text(definition.read_text() + '\n[stores]\nobjects = "s3://bucket/prefix"\n', encoding="utf-8")
    change = Change(at_us=1, by="ann", salt="s")
    deployment = begin(Served(model=NAME, version=1, package="0" * 64), change, project=NAME, name=NAME, sticky=())
    with Project.open(delays, environment={}) as opened, pytest.raises(KeyMissing, match="HEADRACE_KEY"):
        bench._key(opened, deployment, None, Plan(p99_s=0.02)).__enter__()
