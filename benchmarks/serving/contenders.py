"""What `benchmarks.serving` holds beside each other: how each is installed, started, asked and read.

A peer is a script of `benchmarks/peers` in an environment of its own. All answer by the graph of our package, but for
those that are called scikit-learn, which share a pipeline. Where a tool has more than one good form, each is there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import ROOT
from benchmarks.serving.servers import Trouble

Row = Mapping[str, Any]

PEERS: Final = ROOT / "benchmarks" / "peers"
ENVIRONMENTS: Final = ROOT / "benchmarks" / ".data" / "serving"


def _as_it_is(rows: Sequence[Row]) -> Any:
    return rows


def _probability(answer: Any) -> list[float]:
    told = answer["probability"]
    return told if isinstance(told, list) else [told]


def _of_headrace(answer: Any) -> list[float]:
    return [one["probability"] for one in answer.get("predictions", [answer])]


def _tensor(rows: Sequence[Row]) -> Any:
    told = {"name": "rows", "shape": [len(rows)], "datatype": "BYTES", "data": [json.dumps(row) for row in rows]}
    return {"inputs": [told]}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server in one form."""

    title: str
    script: str = ""
    """In `benchmarks/peers`; ours has none."""
    environment: str = ""
    """Of `benchmarks/peers/serving_….txt`; else that of this project."""
    arguments: tuple[str, ...] = ()
    tool: str = ""
    """The package of the tool for serving models that it is a form of."""
    documented: bool = True
    """Whether the tool's documents describe the form."""
    model: str = "package"
    """`package`, `sklearn` or, where nothing is predicted, none."""
    one: str = "/predict"
    many: str = "/predict"
    """Where it is asked for one row, for many."""
    body: Callable[[Sequence[Row]], Any] = _as_it_is
    after: Sequence[str] = ()
    """What the script is told after the port."""
    bare: bool = False
    """Whether one row is asked for without a list around it."""
    read: Callable[[Any], list[float]] = _probability

    def ask_one(self, row: Row) -> Any:
        """The body of a request."""
        return row if self.bare else self.body([row])

    def ask_many(self, rows: Sequence[Row]) -> Any:
        """The body of a request."""
        return self.body(rows)

    def command(self, python: str, folder: Path, port: int) -> list[str]:
        """That starts it."""
        if not self.script:
            return [str(Path(python).with_name("headrace")), "serve", "--workers", "1", "--port", str(port)]
        where = [str(folder)] if self.environment else []
        return [python, "-W", "ignore", str(PEERS / self.script), *self.arguments, *where, str(port), *self.after]


OURS: Final = ("limit", "headrace")
CONTENDERS: Final[Mapping[str, Contender]] = {
    "limit": Contender("limit", "serving_echo.py", model="", many="", bare=True),
    "headrace": Contender(
        "headrace",
        one="/v1/deployments/late/predict",
        many="/v1/deployments/late/predict",
        bare=True,
        read=_of_headrace,
    ),
    "fastapi": Contender("FastAPI, ONNX", "serving_fastapi.py", "fastapi", ("onnx",), many="/predict_many", bare=True),
    "fastapi-sklearn": Contender(
        "FastAPI, scikit-learn",
        "serving_fastapi.py",
        "fastapi",
        ("sklearn",),
        model="sklearn",
        many="/predict_many",
        bare=True,
    ),
    "litserve": Contender(
        "LitServe, ONNX, batches", "serving_litserve.py", "litserve", ("batches",), "litserve", bare=True
    ),
    "litserve-single": Contender(
        "LitServe, ONNX", "serving_litserve.py", "litserve", ("single",), "litserve", bare=True
    ),
    "bentoml": Contender(
        "BentoML, ONNX, batches",
        "serving_bentoml.py",
        "bentoml",
        tool="bentoml",
        body=lambda rows: {"rows": rows},
        read=lambda answer: answer,
    ),
    "ray": Contender("Ray Serve, ONNX, batches, HAProxy", "serving_ray.py", "ray", ("haproxy",), "ray", bare=True),
    "ray-replica": Contender(
        "Ray Serve, ONNX, batches, past its front",
        "serving_ray.py",
        "ray",
        ("replica",),
        "ray",
        documented=False,
        bare=True,
    ),
    "mlflow": Contender(
        "MLflow, ONNX",
        "serving_mlflow.py",
        "mlflow",
        ("onnx",),
        "mlflow",
        one="/invocations",
        many="/invocations",
        body=lambda rows: {"inputs": rows},
        read=lambda answer: answer["predictions"],
    ),
    "mlflow-sklearn": Contender(
        "MLflow, scikit-learn",
        "serving_mlflow.py",
        "mlflow",
        ("sklearn",),
        "mlflow",
        model="sklearn",
        one="/invocations",
        many="/invocations",
        body=lambda rows: {"dataframe_records": rows},
        read=lambda answer: [no_and_yes[1] for no_and_yes in answer["predictions"]],
    ),
    "mlserver": Contender(
        "MLServer, ONNX",
        "serving_mlserver.py",
        "mlserver",
        tool="mlserver",
        one="/v2/models/late/infer",
        many="/v2/models/late/infer",
        body=_tensor,
        read=lambda answer: answer["outputs"][0]["data"],
    ),
    "mlserver-route": Contender(
        "MLServer, ONNX, beside its protocol",
        "serving_mlserver.py",
        "mlserver",
        tool="mlserver",
        documented=False,
        bare=True,
    ),
}
TOOLS: Final = {"litserve": "LitServe", "bentoml": "BentoML", "ray": "Ray", "mlflow": "MLflow", "mlserver": "MLServer"}
"""Tools for serving models, by their packages."""


def wanted(environment: str) -> str:
    """What is installed."""
    return (PEERS / f"serving_{environment}.txt").read_text(encoding="utf-8")


def version(tool: str) -> str:
    """Of one of the tools."""
    found: str = re.findall(rf"^{tool}(?:\[.*\])?==(\S+)$", wanted(tool), re.MULTILINE)[0]
    return found


def python_of(environment: str) -> str:
    """The Python of an environment of its own, which is made when it is not there or other packages are wanted."""
    if not environment:
        return sys.executable
    home = ENVIRONMENTS / environment
    interpreter, ready = str(home / "bin" / "python"), home / "ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted(environment):
        uv = str(Path(sys.executable).with_name("uv"))
        requirements = str(PEERS / f"serving_{environment}.txt")
        try:
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, "-r", requirements], check=True)
        except subprocess.CalledProcessError as error:
            raise Trouble("cannot be installed") from error
        ready.write_text(wanted(environment), encoding="utf-8")
    return interpreter
