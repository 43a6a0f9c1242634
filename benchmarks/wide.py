"""A whole run on a table of very many columns and few rows: time, processors, memory.

usage: python -m benchmarks.wide [COLUMNS] [ROWS]      default: 10000 300

Of ten columns five are numbers with decimals, one whole numbers, one a text of three levels, one constant, one repeats
another; the label depends on two. The definition says what is predicted, and the search's budget: 20 seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.harness import measure, record, table

DEFINITION: Final = """format = 1
[project]
name = "wide"
label = "label = 'yes'"
[sources.t]
read = "t.csv"
[training]
budget = "20s"
"""


def wide(columns: int, rows: int) -> pl.DataFrame:
    """The table."""
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for place in range(columns):
        kind = place % 10
        if kind == 9:
            made[f"c{place}"] = made[f"c{place - 4}"]
        elif kind == 8:
            made[f"c{place}"] = np.full(rows, 5)
        elif kind == 7:
            made[f"c{place}"] = rng.integers(0, 3, rows).astype(str)
        elif kind == 6:
            made[f"c{place}"] = rng.integers(0, 9, rows)
        else:
            made[f"c{place}"] = np.round(rng.normal(size=rows), 4)
    score = made["c0"] + made["c1"] + 0.5 * rng.normal(size=rows)
    return pl.DataFrame({**made, "label": np.where(score > 0, "yes", "no")})


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    columns, rows = (int(each) for each in (*arguments, *("10000", "300")[len(arguments) :]))
    headrace = str(Path(sys.executable).with_name("headrace"))
    with tempfile.TemporaryDirectory(prefix="wide-") as out:
        root = Path(out) / "project"
        root.mkdir()
        wide(columns, rows).write_csv(root / "t.csv")
        (root / "headrace.toml").write_text(DEFINITION)
        found = measure([headrace, "run", "--json", "--project", str(root)], env={"HEADRACE_CONFIG": f"{out}/config"})
        summary = json.loads(found.output)
        shown = [headrace, "show", "last", "--json", "--project", str(root)]
        stages = json.loads(subprocess.run(shown, capture_output=True, check=True, text=True).stdout)["stages"]
    used = [
        (str(stage["name"]), float(usage["wall_s"]), float(usage["cpu_s"]), round(usage["peak_memory_bytes"] / 10**6))
        for stage in stages
        if (usage := stage.get("usage")) and usage["wall_s"] >= 1
    ]
    used.append(("the whole run", found.wall_s, found.cpu_s, round(found.peak_mb)))
    said = next((each["says"] for each in summary["verdicts"] if each["topic"] == "inputs"), "nothing was left out")
    record(
        "A table of very many columns",
        "python -m benchmarks.wide",
        f'{columns:,} columns × {rows:,} rows of CSV, a definition that says the label and `budget = "20s"`. {said}\n\n'
        + table(["stage", "seconds", "of processors", "peak MB"], used),
        libraries=("polars", "lightgbm"),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
