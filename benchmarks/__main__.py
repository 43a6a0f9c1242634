"""Every benchmark in order, each in a process of its own; RESULTS.md collects what they record.

usage: python -m benchmarks [--quick]      --quick leaves out the sizes that take long (history path ×10 and ×30)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks.harness import FLIGHTS, ROOT, python

PEERS = str(ROOT / "benchmarks" / ".data" / "matching-peers")
"""The environment of Splink and of the packages with names, which `benchmarks.matching` says how to make."""
QUICK = (
    ("command_start",),
    ("expressions",),
    ("row_form",),
    ("parity", "1e6"),
    ("windows", "1e6", "--duckdb"),
    ("window_aggregates", "1e5"),
    ("leaks",),
    ("online",),
    ("prediction_log",),
    ("serving", "--seconds", "2", "--times", "1", "--contenders", "limit,headrace,fastapi,fastapi-sklearn"),
    ("batches", "--times", "1", "--rows", "20000"),
    ("load_generator", "1", "1"),
    ("front", "1", "1"),
    ("quality",),
    ("experiments", "400"),
    ("automatic",),
    ("evaluation",),
    ("checks",),
    ("profile",),
    ("combine",),
    ("database_readers",),
    ("iceberg",),
    ("schema_change",),
    ("kills", "20"),
    ("overhead",),
    ("coverage", "1"),
    ("keel", "1"),
    ("automl", "--tasks", "diabetes,german", "--contenders", "headrace,lightgbm"),
    ("wide", "2000", "300"),
    ("memory_limit", "1", "2GB"),
    ("matching", PEERS, "1e4"),
    ("history_path", "1"),
)
REPEATED = (
    "experiments",
    "parity",
    "window_aggregates",
    "kills",
    "coverage",
    "keel",
    "automl",
    "wide",
    "serving",
    "batches",
    "load_generator",
    "front",
)
"""Of these the whole run has another size."""
WHOLE = (
    *(entry for entry in QUICK[:-3] if entry[0] not in REPEATED),
    ("experiments",),
    ("batches",),
    ("load_generator",),
    ("front",),
    ("kills",),
    ("coverage",),
    ("keel",),
    ("automl",),
    ("window_aggregates",),
    ("parity",),
    ("matching", PEERS),
    ("windows", "1e7", "--duckdb"),
    ("history_path", "1", "10", "30"),
    ("memory_limit",),
    ("wide",),
    ("serving",),
)


def main(arguments: Sequence[str]) -> None:
    """Run them; the flights example first, whose last run some of them read."""
    headrace = str(ROOT / ".venv" / "bin" / "headrace")
    subprocess.run(python(str(FLIGHTS / "prepare.py")), check=True)
    subprocess.run([headrace, "run"], cwd=FLIGHTS, check=True)
    for name, *given in QUICK if "--quick" in arguments else WHOLE:
        subprocess.run(python("-m", f"benchmarks.{name}", *given), cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
