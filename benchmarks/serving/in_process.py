"""What the model itself takes for the rows of a request, in a process that does nothing else.

usage: python -m benchmarks.serving.in_process PACKAGE BODIES
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from headrace.scoring.package import MANIFEST, content_id, read_package
from headrace.scoring.scorer import Scorer

PASSES: Final = 5


def load(folder: Path) -> Scorer:
    """An exported version, whoever signed it."""
    package = content_id((folder / MANIFEST).read_bytes())
    signer = json.loads((folder / "manifest.sig").read_bytes())["signer"]
    return Scorer(read_package(lambda name: (folder / name).read_bytes(), package=package, signers=(signer,)), 1)


def median_us(work: Callable[[Any], object], items: list[Any]) -> float:
    """Of all of them, some times over."""
    took = []
    for _ in range(PASSES):
        for item in items:
            began = time.perf_counter()
            work(item)
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


def main(arguments: list[str]) -> None:
    """Print what one request's rows take."""
    scorer = load(Path(arguments[0]))
    requests = [json.loads(line) for line in Path(arguments[1]).read_text().splitlines()]
    matrices = [
        np.frombuffer(b"".join(map(scorer.row_to_features, rows)), np.float32).reshape(len(rows), -1)
        for rows in requests
    ]
    found = {
        "predict_us": median_us(scorer.predict, requests),
        "graph_us": median_us(lambda X: scorer.graph.raw(X, threads=1), matrices),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
