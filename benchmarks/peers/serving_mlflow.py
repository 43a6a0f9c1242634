"""Peers of `benchmarks.serving`: `mlflow models serve`, with ONNX in a PythonModel or the scikit-learn flavour.

`onnx`: a PythonModel whose type hints let rows through as they were sent, without a frame of pandas. `sklearn`: what
`mlflow.sklearn` saves. The first start saves the model.

usage: serving_mlflow.py onnx|sklearn FOLDER PORT
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow  # type: ignore[import-not-found]  # in an environment of its own


class Late(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The package's graph."""

    def load_context(self, context: Any) -> None:
        """In the process that answers."""
        from serving_model import by_onnx  # type: ignore[import-not-found]  # goes with the saved model

        self.answer = by_onnx(Path(context.model_config["folder"]))

    def predict(self, model_input: list[dict[str, Any]]) -> list[float]:
        """The rows of one request."""
        found: list[float] = self.answer(model_input)
        return found


def save(kind: str, folder: Path, model: Path) -> None:
    """In the tool's own form."""
    if kind == "onnx":
        beside = str(Path(__file__).with_name("serving_model.py"))
        mlflow.pyfunc.save_model(
            model,
            python_model=Late(),
            model_config={"folder": str(folder)},
            code_paths=[beside],
            pip_requirements=["onnxruntime"],
        )
        return
    import joblib  # type: ignore[import-untyped]
    from mlflow.models import ModelSignature  # type: ignore[import-not-found]
    from mlflow.types.schema import ColSpec, Schema  # type: ignore[import-not-found]

    about = json.loads((folder / "peers.json").read_text())
    columns = [ColSpec("double", name, required=False) for name in about["numbers"]]
    columns += [ColSpec("string", name, required=False) for name in (*about["short"], *about["long"])]
    mlflow.sklearn.save_model(
        joblib.load(folder / "pipeline.joblib"),
        model,
        signature=ModelSignature(inputs=Schema(columns)),
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn", "lightgbm"],
    )


def main(kind: str, folder: Path, port: int) -> None:
    """Serve."""
    model = folder / f"mlflow_{kind}"
    if not model.exists():
        save(kind, folder, model)
    programs = Path(sys.executable).parent
    os.environ |= {"PATH": f"{programs}:{os.environ['PATH']}", "UVICORN_LOG_LEVEL": "warning"}
    command = str(programs / "mlflow")
    served = ["models", "serve", "--model-uri", str(model), "--env-manager", "local", "--host", "127.0.0.1"]
    os.execv(command, [command, *served, "--workers", "1", "--port", str(port)])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
