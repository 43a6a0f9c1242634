"""A peer of `benchmarks.serving`: MLServer with a runtime of one's own on ONNX, asked in two ways.

Its inference protocol, a row being a JSON document in a tensor of strings, and a route of the runtime's own beside it.
Its adaptive batching is off: to join requests takes it longer than the model does.

usage: serving_mlserver.py FOLDER PORT
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlserver import MLModel  # type: ignore[import-not-found]  # in an environment of its own
from mlserver.codecs import StringCodec  # type: ignore[import-not-found]
from mlserver.handlers import custom_handler  # type: ignore[import-not-found]
from mlserver.types import InferenceResponse, ResponseOutput  # type: ignore[import-not-found]
from serving_model import by_onnx  # type: ignore[import-not-found]  # beside this file
from starlette.requests import Request  # type: ignore[import-not-found]
from starlette.responses import Response  # type: ignore[import-not-found]


class Late(MLModel):  # type: ignore[misc]
    """Loaded by `mlserver start`."""

    async def load(self) -> bool:
        """In the process that answers."""
        self.answer = by_onnx(Path(os.environ["MODEL_FOLDER"]))
        return True

    async def predict(self, payload: Any) -> Any:
        """By the protocol."""
        found = self.answer([json.loads(row) for row in StringCodec.decode_input(payload.inputs[0])])
        told = ResponseOutput(name="probability", shape=[len(found)], datatype="FP64", data=found)
        return InferenceResponse(model_name=self.name, outputs=[told])

    @custom_handler(rest_path="/predict")  # type: ignore[untyped-decorator]
    async def rows(self, request: Request) -> Response:
        """Beside the protocol."""
        asked = await request.json()
        found = self.answer(asked if isinstance(asked, list) else [asked])
        return Response(json.dumps({"probability": found}), media_type="application/json")


def main(folder: Path, port: int) -> None:
    """Serve."""
    here = Path(__file__)
    home = folder / "mlserver"
    home.mkdir(exist_ok=True)
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = {"host": "127.0.0.1", **ports, "parallel_workers": 0, "debug": False}
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps({"name": "late", "implementation": f"{here.stem}.Late"}))
    os.environ |= {"MODEL_FOLDER": str(folder), "PYTHONPATH": str(here.parent)}
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", str(home)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
