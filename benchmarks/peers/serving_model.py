"""The models of `benchmarks.serving`, for servers that run in an environment without Headrace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
Answer = Callable[[Rows], list[float]]


def by_onnx(folder: Path) -> Answer:
    """The graph of our own package, rows encoded by a plain loop over columns."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    columns: list[tuple[str, dict[str | None, int | None] | None, int]] = []
    for name, levels in json.loads((folder / "columns.json").read_text()):
        codes = None if levels is None else {None: None, **{level: n for n, level in enumerate(levels)}}
        columns.append((name, codes, len(levels or ())))

    def answer(rows: Rows) -> list[float]:
        encoded = [
            [row[name] if codes is None else codes.get(row[name], unknown) for name, codes, unknown in columns]
            for row in rows
        ]
        X = np.array(encoded, np.float32)  # None becomes NaN
        found: list[float] = session.run(["y"], {"x": X})[0][:, 0].tolist()
        return found

    return answer


def by_sklearn(folder: Path) -> Answer:
    """The pipeline that `serving_sklearn.py` has fitted, asked through a pandas frame."""
    import joblib  # type: ignore[import-untyped]
    import numpy as np
    import pandas as pd

    pipeline = joblib.load(folder / "pipeline.joblib")

    def answer(rows: Rows) -> list[float]:
        # a None in a column of text is no gap to the imputer
        table = pd.DataFrame(
            [{name: np.nan if value is None else value for name, value in row.items()} for row in rows]
        )
        found: list[float] = pipeline.predict_proba(table)[:, 1].tolist()
        return found

    return answer
