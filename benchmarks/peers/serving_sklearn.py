"""Fits the scikit-learn pipeline that peers of `benchmarks.serving` share, and writes what it answers in batches.

usage: serving_sklearn.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib  # type: ignore[import-untyped]  # in an environment of its own
import pandas as pd
from lightgbm import LGBMClassifier
from serving_model import by_sklearn  # type: ignore[import-not-found]  # beside this file
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler


def main(folder: Path) -> None:
    """`pipeline.joblib` and `expected_sklearn.json`."""
    about = json.loads((folder / "peers.json").read_text())
    frame = pd.read_csv(folder / "rows.csv")
    numbers, short, long = about["numbers"], about["short"], about["long"]
    gap = SimpleImputer(strategy="constant", fill_value="missing")
    prepared = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("oh", make_pipeline(gap, OneHotEncoder(handle_unknown="ignore", sparse_output=False)), short),
            ("ord", make_pipeline(gap, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)), long),
        ]
    )
    model = LGBMClassifier(n_estimators=about["trees"], num_leaves=about["leaves"], n_jobs=1, verbose=-1)
    pipeline = Pipeline([("prep", prepared), ("clf", model)]).fit(frame[numbers + short + long], frame["late"])
    joblib.dump(pipeline, folder / "pipeline.joblib")
    answer = by_sklearn(folder)
    one = answer([json.loads(line) for line in (folder / "one.txt").read_text().splitlines()])
    many = [answer(json.loads(line)) for line in (folder / "many.txt").read_text().splitlines()]
    (folder / "expected_sklearn.json").write_text(json.dumps({"one": one, "many": many}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
