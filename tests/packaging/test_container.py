"""A version in a container: built by a real builder, and answering from a root that it cannot write to."""

from __future__ import annotations

import datetime as dt
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.packaging.images import Builder, in_tree
from tests.packaging.made import DEFINITION, make_project, open_project
from tests.scoring.made import ROW

from headrace.packaging.containerfile import Arg, From, Instruction, Pairs, parse_image, render
from headrace.packaging.context import RUN, container_files, folder_files
from headrace.registry.export import write_folder
from headrace.scoring.scorer import Scorer

BASE = "localhost/python"
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.geteuid() != 0, reason="building images and entering their trees is for root"),
]


class Built(NamedTuple):
    key: str
    root: Path
    """The project."""
    context: Path
    config: dict[str, Any]
    tree: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """An image of the only version that answers batches too, built without a network from the locked files."""
    folder = tmp_path_factory.mktemp("container")
    key = make_project(folder / "project", definition=f"{DEFINITION}\n[serving]\nbatch = true\n")
    builder = Builder(folder / "builder")
    digest = builder.base(BASE)
    with open_project(folder / "project") as project:
        contents, _ = project.service.packing().contents("delays@champion", hosts=("predict.example",), everywhere=True)
    context = write_folder(folder / "context", container_files(contents, parse_image(f"{BASE}@{digest}")))
    download_wheels(context)
    config = builder.build(context, "localhost/delays:1", PIP_NO_INDEX="1")
    yield Built(key, folder / "project", context, config, builder.tree("localhost/delays:1"))
    builder.close()
    shutil.rmtree(context / "wheels")


def download_wheels(context: Path) -> None:
    """As the page on containers says."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    done = subprocess.run(
        [*fetch, "-r", "requirements.lock", "-d", "wheels"], cwd=context, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Serving:
    """A packed server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], key: str) -> None:
        self.process, self.key = process, key
        self.events: list[dict[str, Any]] = []
        assert process.stderr is not None
        for line in process.stderr:
            assert line.startswith(b"{"), line  # it says nothing but its events
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "ready":
                break
        assert self.events
        assert self.events[-1]["event"] == "ready", self.events
        self.port = int(self.events[-1]["address"].rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, told = self._ask(method, path, None if body is None else json.dumps(body).encode(), headers)
        return status, json.loads(told)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json"} | headers
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def batch(self, table: pa.Table) -> pa.Table:
        """Ask with a Parquet file; again while what reads it has not loaded."""
        sent, kind = io.BytesIO(), {"content-type": "application/vnd.apache.parquet"}
        pq.write_table(table, sent)
        status, told = 503, b""
        while status == 503:
            status, told = self._ask("POST", "/v1/deployments/delays/predict", sent.getvalue(), kind)
        assert status == 200, told
        return pq.read_table(io.BytesIO(told))

    def end(self, process: int) -> list[dict[str, Any]]:
        """As a container's host ends it; what it said meanwhile."""
        os.kill(process, signal.SIGTERM)
        assert self.process.stderr is not None
        with self.process.stderr as told:
            said = [json.loads(line) for line in told]
        assert self.process.wait(60) == 0
        return said


def test_the_image_answers_as_the_project_does_from_a_root_that_cannot_be_written_to(built: Built) -> None:
    serving = Serving(
        in_tree(built.tree, built.config, *built.config["Entrypoint"], "--port", "0", "--json", stderr=subprocess.PIPE),
        built.key,
    )
    health = built.config["Healthcheck"]["Test"][1:-1]
    try:
        status, answer = serving.ask("POST", "/v1/deployments/delays/predict", ROW)
        due = dt.datetime(2013, 1, 1, 23, 15, tzinfo=dt.UTC)
        there = pa.array([due] * 500, pa.timestamp("ns", "America/New_York"))  # of which the image knows nothing
        answers = serving.batch(pa.table({**{name: [value] * 500 for name, value in ROW.items()}, "due": there}))
        assert in_tree(built.tree, built.config, *health, str(serving.port)).wait(30) == 0
        assert serving.ask("GET", "/readyz", host="predict.example")[0] == 200
        assert serving.ask("GET", "/readyz", host="elsewhere.example")[0] == 421
    finally:
        [first] = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children").read_text().split()
        said = serving.end(int(first))
    with open_project(built.root) as project:
        registry = project.registry()
        [expected] = Scorer(registry.read(registry.get("delays@1"))).predict([ROW])
    assert (status, answer["version"], answer["probability"]) == (200, 1, expected.probability)
    assert answers["probability"].to_pylist() == [expected.probability] * 500
    assert answers["version"].to_pylist() == [1] * 500
    events = [event["event"] for event in (*serving.events, *said) if event["event"] != "batch_process"]  # beside
    assert events == ["keys", "probed", "serving", "ready", "draining", "ended"]
    assert in_tree(built.tree, built.config, *health, str(serving.port)).wait(30) == 1


def test_the_image_runs_as_nobody_and_says_what_it_is(built: Built) -> None:
    assert built.config["User"] == "10001:10001"
    assert list(built.config["Volumes"]) == ["/srv/headrace/.headrace/serving"]
    labels = built.config["Labels"]
    assert (labels["headrace.model"], labels["org.opencontainers.image.version"]) == ("delays", "1")
    assert labels["org.opencontainers.image.base.name"] == BASE
    writable = [
        path
        for path in built.tree.rglob("*")
        if not path.is_symlink() and (path.stat().st_uid == 10001 or path.stat().st_mode & 0o002)
    ]
    inside = {path.relative_to(built.tree).as_posix() for path in writable if not path.is_char_device()}
    assert inside == {"tmp", "srv/headrace/.headrace", "srv/headrace/.headrace/serving"}


def test_the_image_holds_what_serves_and_no_more(built: Built) -> None:
    installed = {
        path.name.partition("-")[0] for path in built.tree.glob("opt/headrace/lib/*/site-packages/*.dist-info")
    }
    assert {"headrace", "onnxruntime", "uvloop", "pyarrow"} <= installed
    assert not installed & {"pip", "setuptools", "polars", "scikit_learn", "sqlalchemy", "lightgbm", "pytest"}


def test_a_folder_answers_without_containers(built: Built, tmp_path: Path) -> None:
    with open_project(built.root) as project:
        contents, _ = project.service.packing().contents("delays@1", deployment="late", everywhere=False)
    folder = write_folder(tmp_path / "served", folder_files(contents), executable={RUN})
    for wheel in (built.context / "wheels").glob("*.whl"):
        target = folder / "wheels" / wheel.name
        if not target.exists():
            target.hardlink_to(wheel)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        "HOME": str(tmp_path),
    }
    for where in (folder, tmp_path / "moved elsewhere"):
        if where != folder:
            folder.rename(where)
            shutil.rmtree(where / "wheels")  # what was made the first time is enough
        process = subprocess.Popen([where / RUN, "--port", "0", "--json"], env=environment, stderr=subprocess.PIPE)
        serving = Serving(process, built.key)
        try:
            status, answer = serving.ask("POST", "/v1/deployments/late/predict", ROW)
            assert (status, answer["deployment"]) == (200, "late")
        finally:
            serving.end(process.pid)
    shutil.rmtree(tmp_path / "moved elsewhere")


def test_a_label_says_what_was_meant_whatever_is_in_it(built: Built, tmp_path: Path) -> None:
    """The builder reads quotes, backslashes and dollars as data."""
    hard = {"a.b": "it \"is\" $HOME ${PATH} \\ \\n 'x' # 5 %", "c": "--from=x", "d": "", "e": "ä 日本 \\"}
    context = tmp_path / "context"
    context.mkdir()
    digest = built.config["Labels"]["org.opencontainers.image.base.digest"]
    lines: list[Instruction] = [
        Arg("NAME", BASE),
        Arg("DIGEST", digest),
        From("NAME", "DIGEST", "only"),
        Pairs("LABEL", hard),
    ]
    (context / "Containerfile").write_text(render(lines), encoding="utf-8")
    labels = Builder(built.root.parent / "builder").build(context, "localhost/labels:1")["Labels"]
    assert {name: labels[name] for name in hard} == hard
