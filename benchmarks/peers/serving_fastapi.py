"""Peers of `benchmarks.serving`: FastAPI on uvicorn, as it is usually written, with two models of the same shape.

`onnx`: our own package's graph on ONNX Runtime, rows encoded by a plain loop over columns. `sklearn`: a scikit-learn
pipeline with LightGBM of as many trees, asked through a one-row pandas frame.

usage: serving_fastapi.py KIND FOLDER PORT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def by_onnx(folder: Path) -> Callable[[Rows], list[float]]:
    """The package's graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    columns = json.loads((folder / "columns.json").read_text())
    codes = [None if levels is None else {level: n for n, level in enumerate(levels)} for _, levels in columns]

    def answer(rows: Rows) -> list[float]:
        X = np.full((len(rows), len(columns)), np.nan, np.float32)
        for i, row in enumerate(rows):
            for j, (name, _) in enumerate(columns):
                value, levels = row[name], codes[j]
                if value is not None:
                    X[i, j] = value if levels is None else levels.get(value, len(levels))
        found: list[float] = session.run(["y"], {"x": X})[0][:, 0].tolist()
        return found

    return answer


def by_sklearn(folder: Path) -> Callable[[Rows], list[float]]:
    """A pipeline that is fitted here."""
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    about = json.loads((folder / "peers.json").read_text())
    frame = pd.read_csv(folder / "rows.csv")
    numbers, short, long = about["numbers"], about["short"], about["long"]
    gap = SimpleImputer(strategy="constant", fill_value="missing")
    prepared = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("oh", make_pipeline(gap, OneHotEncoder(handle_unknown="ignore", sparse_output=False)), short),
            (
                "ord",
                make_pipeline(gap, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
                long,
            ),
        ]
    )
    model = LGBMClassifier(n_estimators=about["trees"], num_leaves=about["leaves"], n_jobs=1, verbose=-1)
    pipe = Pipeline([("prep", prepared), ("clf", model)]).fit(frame[numbers + short + long], frame["late"])

    def answer(rows: Rows) -> list[float]:
        table = pd.DataFrame([{k: np.nan if v is None else v for k, v in row.items()} for row in rows])
        found: list[float] = pipe.predict_proba(table)[:, 1].tolist()
        return found

    return answer


def main(kind: str, folder: Path, port: int) -> None:
    """Serve."""
    import uvicorn  # type: ignore[import-not-found]
    from fastapi import FastAPI  # type: ignore[import-not-found]
    from pydantic import create_model

    answer = {"onnx": by_onnx, "sklearn": by_sklearn}[kind](folder)
    about = json.loads((folder / "peers.json").read_text())
    fields: dict[str, Any] = dict.fromkeys(about["numbers"], (float | None, None))
    fields |= dict.fromkeys(about["short"] + about["long"], (str | None, None))
    row_type = create_model("Row", **fields)
    app = FastAPI()

    def predict(row: row_type) -> dict[str, float]:  # type: ignore[valid-type]
        return {"probability": answer([row.model_dump()])[0]}  # type: ignore[attr-defined]

    def predict_many(rows: list[row_type]) -> dict[str, list[float]]:  # type: ignore[valid-type]
        return {"probability": answer([row.model_dump() for row in rows])}  # type: ignore[attr-defined]

    predict.__annotations__["row"] = row_type
    predict_many.__annotations__["rows"] = list[row_type]  # type: ignore[valid-type]
    app.post("/predict")(predict)
    app.post("/predict_many")(predict_many)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
