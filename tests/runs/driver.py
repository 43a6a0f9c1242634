"""A server of runs that die on demand: each request is executed by a forked child, killed where the request says.

Requests and answers are JSON lines on stdin and stdout. Forking from a process that has everything imported makes a
killed run cost milliseconds; each child opens the stores anew, as a user's next command does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from headrace.cost.prices import load_prices
from headrace.errors import HeadraceError
from headrace.runs.collect import collect_garbage
from headrace.runs.model import ObjectRef, StageContext, StageState, Usage
from headrace.runs.progress import SilentProgress
from headrace.runs.runner import Runner
from headrace.stores.catalog import Catalog, Row, Value, Where, Writer
from headrace.stores.catalog import sqlite as _imported_before_forking  # noqa: F401
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.objects.open import open_objects

PARTS = 3


class Snapshot(msgspec.Struct, frozen=True):
    data: ObjectRef


class Trials(msgspec.Struct, frozen=True):
    frame: ObjectRef
    scores: tuple[int, ...]


class Package(msgspec.Struct, frozen=True):
    files: tuple[ObjectRef, ...]


class Fuse:
    """Kills the process, without a word, when it has burnt for so long."""

    def __init__(self, kill_at: int | None) -> None:
        self.burnt = 0
        self._kill_at = kill_at

    def burn(self) -> None:
        if self.burnt == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.burnt += 1


class FusedProgress(SilentProgress):
    """Dies when told that a stage began, moved or ended."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    def stage_started(self, name: str) -> None:
        self._fuse.burn()

    def stage_moved(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:
        self._fuse.burn()

    def stage_ended(self, name: str, state: StageState, usage: Usage | None) -> None:
        self._fuse.burn()


class FusedObjects(LocalObjectStore):
    """Dies before or after a call that changes something."""

    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._fuse.burn()
        answer = super().put_if_absent(key, data)
        self._fuse.burn()
        return answer

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        self._fuse.burn()
        answer = super().put_file_if_absent(key, path)
        self._fuse.burn()
        return answer

    def delete(self, key: str) -> None:
        self._fuse.burn()
        super().delete(key)
        self._fuse.burn()


class FusedCatalog:
    """Dies before a write transaction, before each of its statements, before its commit, and after it."""

    def __init__(self, inner: Catalog, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse
        self.read = inner.read
        self.migrate = inner.migrate
        self.close = inner.close

    @contextmanager
    def write(self) -> Iterator[Writer]:
        self._fuse.burn()
        with self._inner.write() as writer:
            yield FusedWriter(writer, self._fuse)
            self._fuse.burn()
        self._fuse.burn()


class FusedWriter:
    def __init__(self, inner: Writer, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        return self._inner.select(table, where, order_by=order_by, limit=limit)

    def get(self, table: str, where: Where) -> Row | None:
        return self._inner.get(table, where)

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        self._fuse.burn()
        self._inner.insert(table, row)

    def insert_if_absent(self, table: str, row: Mapping[str, Value]) -> bool:
        self._fuse.burn()
        return self._inner.insert_if_absent(table, row)

    def update(self, table: str, where: Where, values: Mapping[str, Value]) -> int:
        self._fuse.burn()
        return self._inner.update(table, where, values)

    def delete(self, table: str, where: Where) -> int:
        self._fuse.burn()
        return self._inner.delete(table, where)


class Pipeline:
    """Three stages that store files, record parts, and write every execution to a file that is only appended to."""

    def __init__(self, root: Path, *, fuse: Fuse, slow_s: float) -> None:
        self._log = os.open(root / "executed.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._fuse = fuse
        self._slow_s = slow_s

    def run(self, runner: Runner) -> dict[str, Any]:
        with runner.run("definition") as run:
            snapshot = run.stage(
                "snapshot", depends={"source": "a"}, rooms=["driver"], compute=self._read, kind=Snapshot
            )
            trials = run.stage(
                "search",
                depends={"data": snapshot.data.sha256},
                rooms=["driver"],
                compute=lambda ctx: self._search(ctx, snapshot),
                kind=Trials,
            )
            package = run.stage(
                "package",
                depends={"trials": trials},
                rooms=["driver"],
                compute=lambda c: self._pack(c, trials),
                kind=Package,
            )
            run.finish({"package": [ref.sha256 for ref in package.files]})
        return {"run": run.id, "package": [ref.key for ref in package.files]}

    def _read(self, context: StageContext) -> Snapshot:
        self._executed("snapshot")
        path = context.workdir / "rows.bin"
        path.write_bytes(bytes(range(256)) * 400)
        self._step()
        context.count(rows_out=400)
        return Snapshot(context.keep(path, "snapshots", ".bin"))

    def _search(self, context: StageContext, snapshot: Snapshot) -> Trials:
        self._executed("search")
        context.scan(snapshot.data)
        frame = context.workdir / "frame.bin"
        frame.write_bytes(context.fetch(snapshot.data)[::-1])
        done = context.recorded()
        scores = [int(score) for score in done.values()]
        for number in range(len(done), PARTS):
            self._executed(f"trial {number}")
            self._step()
            scores.append(number * number)
            context.record(f"trial {number}", str(scores[-1]).encode())
            context.progress(number + 1, PARTS, unit="trials")
        return Trials(context.keep(frame, "frames", ".bin"), tuple(scores))

    def _pack(self, context: StageContext, trials: Trials) -> Package:
        self._executed("package")
        data = context.fetch(trials.frame)
        self._step()
        model = context.keep_bytes(data[:1000] + repr(trials.scores).encode(), "packages", ".onnx")
        return Package((model, context.keep_bytes(b'{"format":1}', "packages", ".json")))

    def _step(self) -> None:
        self._fuse.burn()
        time.sleep(self._slow_s)

    def _executed(self, what: str) -> None:
        os.write(self._log, f"{os.getpid()} {what}\n".encode())


def execute(request: dict[str, Any]) -> dict[str, Any]:
    """One request, in a process of its own."""
    root, fuse, project = Path(request["root"]), Fuse(request.get("kill_at")), request.get("project", "p")
    objects: ObjectStore = FusedObjects(root / "objects", fuse)
    if "objects" in request:
        objects = open_objects(request["objects"], root, request["env"])
    catalog = FusedCatalog(open_catalog(request.get("catalog", "catalog.db"), root), fuse)
    workdir = root / request.get("workdir", "work")
    try:
        if request["act"] == "collect":
            done = collect_garbage(catalog, objects, project, now_us=_now_us(), grace_us=0, workdir=workdir)
            return {"collected": done.objects, "burnt": fuse.burnt}
        runner = Runner(
            catalog,
            objects,
            project,
            clock=_now_us,
            new_id=lambda: f"run-{time.time_ns()}-{os.getpid()}",
            prices=load_prices(),
            progress=FusedProgress(fuse),
            workdir=workdir,
            code_roots=[Path(__file__).parent],  # not our own source, which somebody may be editing
        )
        answer = Pipeline(root, fuse=fuse, slow_s=request.get("slow_s", 0.0)).run(runner)
        return {**answer, "burnt": fuse.burnt}
    except HeadraceError as error:
        return {"error": error.code, "exit_code": error.exit_code}
    finally:
        catalog.close()


def _now_us() -> int:
    return time.time_ns() // 1000


def serve() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
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
        print(json.dumps({"killed": killed, "status": status, "pid": child, **answer}), flush=True)


if __name__ == "__main__":
    serve()
