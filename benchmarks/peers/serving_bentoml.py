"""A peer of `benchmarks.serving`: BentoML with ONNX and its adaptive batching.

usage: serving_bentoml.py FOLDER PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["BENTOML_DO_NOT_TRACK"] = "True"
import bentoml  # type: ignore[import-not-found]  # in an environment of its own
from serving_model import by_onnx  # type: ignore[import-not-found]  # beside this file


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Late:
    """Started by `bentoml serve`."""

    def __init__(self) -> None:
        self.answer = by_onnx(Path(os.environ["MODEL_FOLDER"]))

    # `list` alone: rows are not checked cell by cell; async: none waits for a thread
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    async def predict(self, rows: list) -> list:  # type: ignore[type-arg]
        """The rows of some requests."""
        found: list[float] = self.answer(rows)
        return found


def main(folder: Path, port: int) -> None:
    """Serve."""
    os.environ["MODEL_FOLDER"] = str(folder)
    here = Path(__file__)
    command = str(Path(sys.executable).with_name("bentoml"))
    served = ["serve", f"{here.stem}:Late", "--working-dir", str(here.parent), "--host", "127.0.0.1"]
    os.execv(command, [command, *served, "--port", str(port)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
