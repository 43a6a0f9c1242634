"""A server of pipeline runs that die on demand: each request is executed by a forked child, killed where it says.

Requests and answers are JSON lines on stdin and stdout. Everything heavy is imported before the first fork, and used
only after it, so that a killed run costs what it computed; each child opens the project anew, as a user's next
command does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from headrace.app import Project
from headrace.errors import HeadraceError
from headrace.runs.model import StageState, Usage
from headrace.runs.progress import SilentProgress
from headrace.stores.catalog import Catalog, Row, Value, Where, Writer

PRELOADED = (
    *("polars", "sqlalchemy.dialects.sqlite", "alembic.command", "onnx", "onnxruntime", "lightgbm", "optuna", "jinja2"),
    *("sklearn.linear_model", "scipy.stats", "headrace.pipeline", "headrace.data.check", "headrace.data.snapshot"),
    *("headrace.features.build", "headrace.features.frame", "headrace.training.search", "headrace.training.fit"),
    *("headrace.training.evaluate", "headrace.training.page", "headrace.registry.versions", "headrace.registry.card"),
    *("headrace.stores.catalog.sqlite", "headrace.stores.objects.local", "headrace.data.page"),
)


class Fuse(SilentProgress):
    """Notes every step that a run takes and kills the process, without a word, at the chosen one."""

    def __init__(self, kill_at: str | None) -> None:
        self.steps: list[str] = []
        self.computed: list[str] = []
        self._kill_at = kill_at
        self._stage = "begin"

    def step(self, what: str) -> None:
        name = f"{self._stage}: {what}"
        name += "" if name not in self.steps else f" {sum(step.startswith(name) for step in self.steps) + 1}"
        self.steps.append(name)
        if name == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def stage_started(self, name: str) -> None:
        self._stage = name
        self.step("started")

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        if state == "done":
            self.computed.append(name)
        self._stage = f"after {name}"


class FusedCatalog:
    """Steps before and after each transaction that commits work: a stage's end, a trial, a version, an alias."""

    def __init__(self, inner: Catalog, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse
        self.read = inner.read
        self.migrate = inner.migrate
        self.close = inner.close

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with self._inner.write() as writer:
            noted = NotingWriter(writer)
            yield noted
            if noted.what:
                self._fuse.step(f"before {noted.what}")
        if noted.what:
            self._fuse.step(f"after {noted.what}")


class NotingWriter:
    """Notes what a transaction is about."""

    def __init__(self, inner: Writer) -> None:
        self._inner = inner
        self.what = ""

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        return self._inner.select(table, where, order_by=order_by, limit=limit)

    def get(self, table: str, where: Where) -> Row | None:
        return self._inner.get(table, where)

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        if table in ("versions", "aliases", "alias_changes"):
            self.what = table
        self._inner.insert(table, row)

    def insert_if_absent(self, table: str, row: Mapping[str, Value]) -> bool:
        if table == "outcomes":
            self.what = "commit"
        elif table == "parts":
            self.what = str(row["part"])
        return self._inner.insert_if_absent(table, row)

    def update(self, table: str, where: Where, values: Mapping[str, Value]) -> int:
        if table == "runs" and values.get("state") == "done":
            self.what = "the end of the run"
        return self._inner.update(table, where, values)

    def delete(self, table: str, where: Where) -> int:
        return self._inner.delete(table, where)


def execute(request: Mapping[str, Any]) -> dict[str, Any]:
    """One run, in a process of its own."""
    fuse = Fuse(request.get("kill_at"))
    try:
        project = Project.open(request["root"], environment={**os.environ, **request.get("env", {})})
        project.__dict__["catalog"] = FusedCatalog(project.catalog, fuse)  # where the property keeps it
        outcome = project.run(progress=fuse)
    except HeadraceError as error:
        return {"error": error.code, "exit_code": error.exit_code, "message": error.message, "steps": fuse.steps}
    return {**outcome.summary(), "steps": fuse.steps, "computed": fuse.computed}


def serve() -> None:
    """Answer requests until stdin ends."""
    for module in PRELOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()  # its children, if it has any, are found by their session
            os.close(read_end)
            status = 1
            try:
                os.write(write_end, json.dumps(execute(request)).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(write_end)
        if (after_s := request.get("kill_after_s")) is not None:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        with os.fdopen(read_end, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer = json.loads(text) if text else {}
        print(json.dumps({"killed": killed, "status": status, "session": child, **answer}), flush=True)


if __name__ == "__main__":
    serve()
