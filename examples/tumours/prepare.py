"""Writes `data/tumours.csv`: 569 breast tumours, 30 measurements each, from the data set that scikit-learn carries
(Wolberg, Street, Mangasarian: Breast Cancer Wisconsin (Diagnostic), UCI 1995, CC BY 4.0)."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main(folder: Path) -> None:
    """Lay the table out as a team would keep it: an id, the measurements, the diagnosis as text."""
    data = load_breast_cancer()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tumours.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([name.replace(" ", "_") for name in data.feature_names] + ["diagnosis"])
        for measurements, target in zip(data.data, data.target, strict=True):
            writer.writerow([*(repr(float(v)) for v in measurements), data.target_names[target]])


if __name__ == "__main__":
    main(Path(__file__).resolve().parent / "data")
