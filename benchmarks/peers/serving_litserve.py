"""Peers of `benchmarks.serving`: LitServe with ONNX, requests joined into batches by its loop or answered singly.

usage: serving_litserve.py batches|single FOLDER PORT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve as ls  # type: ignore[import-not-found]  # in an environment of its own
from serving_model import Rows, by_onnx  # type: ignore[import-not-found]  # beside this file


class Single(ls.LitAPI):  # type: ignore[misc]
    """One request is one call of the model."""

    def __init__(self, folder: Path, **given: Any) -> None:
        super().__init__(**given)
        self.folder = folder

    def setup(self, device: str) -> None:  # noqa: ARG002
        """In the process that answers."""
        self.answer = by_onnx(self.folder)

    # without types, here and below, as they would be taken for what FastAPI has to check
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """One row or many."""
        return request if isinstance(request, list) else [request]

    def predict(self, rows: Rows) -> list[float]:
        """Of one request."""
        found: list[float] = self.answer(rows)
        return found

    def encode_response(self, found):  # type: ignore[no-untyped-def]
        """As the others say it."""
        return {"probability": found}


class Batches(Single):
    """What waits is answered by one call."""

    def batch(self, requests: list[Rows]) -> list[Rows]:
        """The rows keep their requests."""
        return requests

    def predict(self, requests: list[Rows]) -> list[list[float]]:  # type: ignore[override]
        """Of many requests."""
        found = iter(self.answer([row for rows in requests for row in rows]))
        return [[next(found) for _ in rows] for rows in requests]

    def unbatch(self, found: list[list[float]]) -> list[list[float]]:
        """They are apart already."""
        return found


def main(kind: str, folder: Path, port: int) -> None:
    """Serve."""
    api = Batches(folder, max_batch_size=64, batch_timeout=0.002) if kind == "batches" else Single(folder)
    ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60).run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
