"""Peers of `benchmarks.serving`: FastAPI on uvicorn, as it is usually written, with ONNX or a scikit-learn pipeline.

usage: serving_fastapi.py onnx|sklearn FOLDER PORT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from serving_model import by_onnx, by_sklearn  # type: ignore[import-not-found]  # beside this file


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
