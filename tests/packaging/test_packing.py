"""`headrace package`: what is written, and what is refused."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.packaging.balanced import wait_until
from tests.packaging.made import config_of, make_project, open_project
from tests.scoring.made import ROW
from tests.serving.http.running import Place

from headrace.cli import main
from headrace.definition.reader import read_serving
from headrace.serving.deployments import Deployments
from headrace.serving.keys import Keys
from headrace.serving.model import Served
from headrace.stores.objects.local import LocalObjectStore


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that commands in this folder are about."""
    root = tmp_path / "project"
    make_project(root)
    monkeypatch.setenv("HEADRACE_CONFIG", str(config_of(root)))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    monkeypatch.chdir(root)
    return root


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_packed_store_is_one_that_a_server_reads(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, "package", "delays@champion", "--container", "-o", "out", "--deployment", "late")
    assert (code, told["packed"]["version"], told["packed"]["needs"]) == (0, 1, [])
    read = read_serving(root / "out" / "app" / "headrace.toml")
    store = LocalObjectStore(root / "out" / "app" / read.stores.objects)
    deployments = Deployments(store, read.project.name)
    assert deployments.names() == ["late"]
    assert deployments.get("late").arms[0].serves.package == told["packed"]["package"]
    assert len(Keys(store, read.project.name, clock=lambda: 0).list()) == told["packed"]["keys"] == 1


def test_only_keys_that_hold_and_may_ask_there_are_packed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_project(root) as project:
        keys = project.service.api_keys()
        [usual] = keys.list()
        keys.revoke(usual.id)
        _, usual = keys.create(verbs=("predict",), lifetime_us=None, by="ann.smith", note="for bob@customer.example")
        _, other = keys.create(verbs=("predict",), deployments=("other",), lifetime_us=None, by="ann")
        _, ended = keys.create(verbs=("predict",), lifetime_us=None, by="ann")
        keys.create(verbs=("predict",), lifetime_us=1, by="ann")
        keys.revoke(ended.id)
    assert said(capsys, "package", "delays", "-o", "one")[1]["packed"]["keys"] == 1
    assert said(capsys, "package", "delays", "-o", "two", "--deployment", "other")[1]["packed"]["keys"] == 2
    packed = (root / "one" / "app" / "objects" / "serving" / "delays" / "keys.json").read_text()
    assert usual.id in packed
    assert other.id not in packed
    assert not [said for said in ("ann", "bob") if said in packed]  # who has an image has no list of customers


def test_the_same_version_gives_the_same_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = said(capsys, "package", "delays", "-o", "one")[1]["files"]
    assert said(capsys, "package", "delays", "-o", "two")[1]["files"] == names
    assert [name for name in names if (root / "one" / name).read_bytes() != (root / "two" / name).read_bytes()] == []


def test_without_the_version_everything_comes_from_a_store(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, "package", "delays", "-o", "out", "--no-embed", "--workers", "3")
    assert (code, told["packed"]["needs"]) == (0, ["HEADRACE_OBJECTS", "HEADRACE_ONLINE"])
    assert not [name for name in told["files"] if name.startswith("app/objects")]
    read = read_serving(root / "out" / "app" / "headrace.toml")
    assert (read.stores.objects, read.serving.workers) == ("${env:HEADRACE_OBJECTS}", 3)
    assert not (root / "out" / "Containerfile").read_text().count("headrace.model")


def test_so_many_workers_as_were_asked_for_are_packed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (root / "headrace.toml").open("a", encoding="utf-8") as definition:
        definition.write("\n[serving]\nworkers = { min = 1, max = 4 }\n")
    assert said(capsys, "package", "delays", "-o", "one")[0] == 0
    assert said(capsys, "package", "delays", "-o", "two", "--workers", "8")[0] == 0
    one, two = (read_serving(root / name / "app" / "headrace.toml").serving for name in ("one", "two"))
    assert (one.workers, one.most_workers) == (1, 4)
    assert (two.workers, two.most_workers) == (8, None)


@pytest.mark.parametrize("to", ["container", "folder"])
def test_a_packed_server_wants_no_library_that_is_not_locked(
    root: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    with (root / "headrace.toml").open("a", encoding="utf-8") as definition:
        definition.write("\n[serving]\ngrpc_port = 9000\n")
    assert said(capsys, "package", "delays", "-o", "out", "--to", to)[0] == 0
    asks_for_grpc = read_serving(root / "out" / "app" / "headrace.toml").serving.grpc_port is not None
    assert asks_for_grpc == ("grpcio==" in (root / "out" / "requirements.lock").read_text(encoding="utf-8"))


def test_nothing_is_installed_that_is_not_held_to_its_hash_or_that_would_have_to_be_built(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "package", "delays", "-o", "one")[0] == 0
    lines = (root / "one" / "Containerfile").read_text(encoding="utf-8").splitlines()
    programs = [json.loads(line.removeprefix("RUN ")) for line in lines if line.startswith("RUN ")]
    assert said(capsys, "package", "delays", "-o", "two", "--to", "folder")[0] == 0
    script = (root / "two" / "run.sh").read_text(encoding="utf-8").replace("\\\n", "")
    programs += [shlex.split(line) for line in script.splitlines() if "-m pip" in line]
    installed = [words[words.index("install") :] for words in programs if "install" in words]
    assert [words[-1] for words in installed] == ["requirements.lock", "headrace.lock"] * 2
    for words in installed:
        assert words[-2] == "-r"
        assert "--require-hashes" in words
        assert ("--no-index" in words) == (words[-1] == "headrace.lock")  # ours is in no index
        assert (words.count(":all:") == 1) == (words[-1] == "requirements.lock")
    own = (root / "one" / "headrace.lock").read_text(encoding="utf-8").split()
    wheel = (root / "one" / own[0]).read_bytes()
    assert own[1:] == [f"--hash=sha256:{hashlib.sha256(wheel).hexdigest()}"]


def test_what_serves_in_a_container_is_nobody_and_writes_in_one_place(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "package", "delays", "-o", "out")[0] == 0
    stages = (root / "out" / "Containerfile").read_text(encoding="utf-8").split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1].splitlines()
    assert all(stage.startswith("${BASE_IMAGE}@${BASE_DIGEST} AS ") for stage in stages[1:])
    [user] = [line.removeprefix("USER ") for line in last if line.startswith("USER ")]
    assert user.split(":") == ["10001", "10001"]
    assert last.index(f"USER {user}") < next(n for n, line in enumerate(last) if line.startswith("ENTRYPOINT "))
    owned = [json.loads(line[line.index("[") :])[-1] for line in last if line.startswith("COPY ") and "--chown" in line]
    assert owned == ["/srv/headrace/.headrace"]
    assert 'RUN ["/opt/headrace/bin/python", "-m", "pip", ' in stages[1]
    assert '"uninstall", "--yes", "pip", "setuptools"]' in stages[1]


@pytest.mark.parametrize("to", ["container", "folder"])
@pytest.mark.parametrize("batch", [True, False])
def test_what_reads_batches_is_locked_where_they_are_answered_and_nowhere_else(
    root: Path, capsys: pytest.CaptureFixture[str], to: str, batch: bool
) -> None:
    with (root / "headrace.toml").open("a", encoding="utf-8") as definition:
        definition.write("\n[serving]\nbatch = true\n" if batch else "")
    assert said(capsys, "package", "delays", "-o", "out", "--to", to)[0] == 0
    assert read_serving(root / "out" / "app" / "headrace.toml").serving.batch is batch
    assert ("pyarrow==" in (root / "out" / "requirements.lock").read_text(encoding="utf-8")) is batch


@pytest.mark.parametrize("to", ["container", "folder"])
def test_a_private_key_is_never_packed(root: Path, capsys: pytest.CaptureFixture[str], to: str) -> None:
    (root / "key.pem").write_text("secret-key", encoding="utf-8")
    (root / "certificate.pem").write_text("certificate", encoding="utf-8")
    with (root / "headrace.toml").open("a", encoding="utf-8") as definition:
        definition.write(
            '\n[serving]\ncertificate = "certificate.pem"\ncertificate_key = "key.pem"\nhost = "10.0.0.1"\n'
        )
    code, told = said(capsys, "package", "delays", "-o", "out", "--to", to)
    assert code == 0
    assert not [name for name in told["files"] if b"secret-key" in (root / "out" / name).read_bytes()]
    serving = read_serving(root / "out" / "app" / "headrace.toml").serving
    assert (serving.certificate, serving.certificate_key) == (None, None)
    assert serving.tls == ("front" if to == "container" else None)  # else it does not start where others reach it


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("delays@nobody",), "alias-unknown"),
        (("delays@7",), "version-unknown"),
        (("other",), "model-unknown"),
        (("delays", "--base", "Python 3"), "image-name-invalid"),
        (("delays", "--host", "a b"), "host-name-invalid"),
        (("delays", "--workers", "0"), "usage"),
        (("delays", "--workers", "257"), "usage"),
        (("delays", "--deployment", "A/B"), "deployment-name-invalid"),
        (("delays", "--container", "--to", "folder"), "package-options-unclear"),
        (("delays", "--to", "folder", "--base", "python"), "package-options-unclear"),
        (("delays", "--log-claim", "logs"), "package-options-unclear"),
        (("delays", "--container", "--pods", "3"), "package-options-unclear"),
        (("delays", "--to", "folder", "--namespace", "scoring"), "package-options-unclear"),
    ],
)
def test_what_cannot_be_packed_is_refused_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str
) -> None:
    status, told = said(capsys, "package", *words, "-o", "out")
    assert (status, told["error"]["code"]) == (2, code)
    assert not (root / "out").exists()


def test_a_folder_that_holds_something_is_left_as_it_is(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "out").mkdir()
    (root / "out" / "mine.txt").write_text("mine")
    status, told = said(capsys, "package", "delays", "-o", "out")
    assert (status, told["error"]["code"]) == (2, "export-target-taken")
    assert [path.name for path in (root / "out").iterdir()] == ["mine.txt"]


def test_a_package_that_was_tampered_with_is_not_packed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [model] = (root / ".headrace" / "objects" / "packages").glob("*/model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    status, told = said(capsys, "package", "delays", "-o", "out")
    assert (status, told["error"]["code"]) == (1, "package-damaged")
    assert not (root / "out").exists()


@pytest.mark.heavy
def test_a_server_without_a_version_waits_for_one_in_its_store(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "package", "delays", "--to", "folder", "--no-embed", "-o", "out")[0] == 0
    place = Place(tmp_path / "place")  # a store with a key, in which nothing is deployed
    with open_project(root) as project:
        champion = project.registry().get("delays")
        files = project.registry().files(champion)
    for name, data in files.items():
        place.objects.put(f"packages/{champion.package}/{name}", data)
    log = tmp_path / "said"
    environment = {"HEADRACE_OBJECTS": str(place.root / "objects"), "HEADRACE_ONLINE": str(tmp_path / "online")}
    with log.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "serve", "--project", "out/app", "--port", "0", "--json"],
            stderr=told,
            env=os.environ | environment,
        )
    try:
        ready = event_of(log, "ready")
        place.deploy(Served(model="delays", version=1, package=champion.package))
        assert event_of(log, "serving")["revision"] == 1
        connection = http.client.HTTPConnection("127.0.0.1", int(ready["address"].rpartition(":")[2]), timeout=30)
        sent = {"authorization": f"Bearer {place.key}", "content-type": "application/json"}
        connection.request("POST", "/v1/deployments/delays/predict", json.dumps(ROW), sent)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["version"]) == (200, 1)
        connection.close()
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def event_of(log: Path, name: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        lines = log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and f'"event":"{name}"' in line]

    wait_until(lambda: bool(found()), log.read_text)
    return found()[0]
