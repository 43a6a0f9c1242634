"""Contenders of the serving benchmark: how they are pinned, checked, told of and ended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from benchmarks.serving import __main__ as serving
from benchmarks.serving import tables
from benchmarks.serving.client import answers, wrong
from benchmarks.serving.contenders import CONTENDERS, PEERS, TOOLS, Contender, python_of, version, wanted
from benchmarks.serving.servers import Trouble, gets, next_port, running

ROWS: list[dict[str, Any]] = [{"x": n / 10} for n in range(10)]
FIGURES: dict[str, Any] = {
    "p50_us 16": 1.0, "p99_us 16": 2.0, "cpu_us 64": 3.0, "pss_mb": 4.0, "first_s": 2.0, "ready_s": 1.0,
    "wrong": 0, "wrong_many": 0, "many": 5.0, "many_cpu_us": 6.0,
}  # fmt: skip
ABOUT = {"trees": 1, "nodes": 2, "columns": 3}


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_has_its_script_and_pinned_packages(name: str) -> None:
    contender = CONTENDERS[name]
    if contender.script:
        assert (PEERS / contender.script).is_file()
    if contender.environment:
        lines = wanted(contender.environment).splitlines()
        assert [line for line in lines if not re.fullmatch(r"[a-z-]+(\[[a-z]+\])?==[0-9.]+", line)] == []


def test_each_tool_for_serving_models_is_there_in_a_form_that_it_describes() -> None:
    assert {each.tool for each in CONTENDERS.values() if each.documented and each.tool} == set(TOOLS)
    assert all(re.fullmatch(r"[0-9.]+", version(tool)) for tool in TOOLS)


def test_peers_have_the_same_libraries() -> None:
    texts = [wanted(each) for each in {one.environment for one in CONTENDERS.values()} - {""}]
    for library in ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools"):
        found = {tuple(re.findall(rf"^{library}==.*$", text, re.MULTILINE)) for text in texts}
        assert len(found) == 1, library


@contextmanager
def server(answer: Any) -> Iterator[int]:
    """Answers by a function of the body: what is told, or None for a 500."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told = answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = json.dumps(told).encode()
            self.send_response(500 if told is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()


def says(rows: Any) -> Any:
    """Right in a list; alone one is off, one is no number, one is short and one fails."""
    if isinstance(rows, list):
        return {"probability": [row["x"] for row in rows]}
    odd = {1: {"probability": 0.2}, 2: {"probability": "much"}, 3: {"probability": []}, 4: None}
    return odd.get(round(rows["x"] * 10), {"probability": rows["x"]})


def test_wrong_answers_are_counted_alone_and_together() -> None:
    contender = Contender("one", bare=True)
    singles = [(row, row["x"]) for row in ROWS]
    batch = [row["x"] for row in ROWS]
    with server(says) as port:
        assert answers(port, contender, ROWS[0], "")
        assert not answers(port, contender, ROWS[4], "")
        assert wrong(port, contender, "", singles, [(ROWS, batch)]) == (4, 0)
        assert wrong(port, contender, "", singles[:1], [(ROWS, [*batch[:9], float("nan")]), (ROWS, batch[:9])]) == (
            0,
            1 + 9,
        )


def test_a_contender_that_cannot_be_measured_has_a_line_that_says_so() -> None:
    found: dict[str, Any] = {
        "limit": FIGURES | {"rate 16": 100.0, "rate 64": 100.0},
        "headrace": FIGURES | {"rate 16": 60.0, "rate 64": 80.0},
        "fastapi": FIGURES | {"rate 16": 50.0, "rate 64": 50.0},
        "bentoml": Trouble("cannot be installed"),
        "mlflow": FIGURES | {"rate 16": 2.0, "rate 64": 1.0, "wrong": 63},
        "mlserver": FIGURES | {"rate 16": 1.0, "rate 64": 4.0},
        "mlserver-route": FIGURES | {"rate 16": 6.0, "rate 64": 5.0},
    }
    del found["limit"]["wrong"]
    text = tables.report(found, ABOUT, 200, 100)
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines() if line.startswith("|")}
    assert len({len(line) for line in cells.values()}) == 1
    assert cells["BentoML, ONNX, batches"][1:3] == ["not measured: cannot be installed", "–"]
    assert cells["MLflow, ONNX"][4] == "30.0 / 80.0"
    assert cells["MLflow, ONNX"][8] == "63 / 0"
    assert cells["limit"][8] == "–"
    assert (
        "in a form that their documents describe MLflow, ONNX at 16 connections (headrace × 30.0) and MLServer, ONNX "
        "at 64 connections (headrace × 20.0); in any form that was measured MLServer, ONNX, beside its protocol at "
        "16 connections (headrace × 10.0) and MLServer, ONNX, beside its protocol at 64 connections (headrace × 16.0)."
    ) in text
    del found["mlserver-route"]
    assert "in any form" not in tables.report(found, ABOUT, 200, 100), "no other form was measured"
    many = tables.report_many(found, {"graph_us": 1.0, "predict_us": 2.0}, 100)
    assert "BentoML" not in many
    assert "| MLflow, ONNX | 6 | 3.00 |" in many


def test_an_unknown_contender_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        serving.main(["--contenders", "headrace,tritn"])
    assert "no contender is called tritn" in capsys.readouterr().err


def test_packages_that_cannot_be_installed_are_trouble_and_not_taken_for_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.serving.contenders.ENVIRONMENTS", tmp_path)
    monkeypatch.setattr("benchmarks.serving.contenders.wanted", lambda _: "")
    monkeypatch.setattr("benchmarks.serving.contenders.PEERS", tmp_path)  # where there is no list of packages
    for _ in range(2):
        with pytest.raises(Trouble, match="cannot be installed"):
            python_of("none")


LEAVES = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open("child", "w").write(str(child.pid))
from http.server import SimpleHTTPRequestHandler, HTTPServer
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


def test_what_a_server_leaves_behind_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.servers.LEFT_S", 0.01)
    port = next_port()
    with running([sys.executable, "-c", LEAVES, str(port)], tmp_path, lambda: gets(port, "/")) as (_, took):
        child = psutil.Process(int((tmp_path / "child").read_text()))
        assert took > 0
        assert child.is_running()
        assert next_port() != port
    assert not child.is_running()


def test_a_server_that_ends_is_trouble(tmp_path: Path) -> None:
    with (
        pytest.raises(Trouble, match="ended with 3 before it was ready"),
        running([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, lambda: False),
    ):
        pass


def test_peers_are_asked_by_a_graph_as_the_package_is(tmp_path: Path) -> None:
    """Rows as they are sent become what the graph was learnt on: gaps, levels, and levels it does not know."""
    onnx = pytest.importorskip("onnx")
    f32 = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", f32, [None, 2])], [value("y", f32, [None, 2])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "columns.json").write_text(json.dumps([["c", ["a", "b"]], ["n", None]]))
    code = (
        "import sys, pathlib, json; from serving_model import by_onnx;"
        "print(json.dumps([str(p) for p in by_onnx(pathlib.Path(sys.argv[1]))("
        "[{'c': c, 'n': 1.5} for c in ('a', 'b', 'z', None)])]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PEERS, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == ["0.0", "1.0", "2.0", "nan"]
