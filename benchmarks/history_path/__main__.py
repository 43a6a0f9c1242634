"""Measures the history path of every engine, as whole processes in turn, and records the ratios to Polars by hand.

usage: python -m benchmarks.history_path [COPIES …] [--without ENGINE …]      default: 1 10 30, every engine
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.harness import ROOT, Measured, in_turn, measure, python, record, table

DATA: Final = ROOT / "benchmarks" / ".data"
ENGINES: Final = {"ours": "ours", "Polars": "polars_by_hand", "pandas": "pandas_by_hand", "DuckDB": "duckdb_by_hand"}
COPIES: Final = (1, 10, 30)
TIMES: Final = {1: 5}
"""Counted runs by copies; one where nothing is said."""
WINDOW_SUMS: Final = ("origin_count_24h", "plane_count_24h")
HOP_SHARE: Final = 0.05
"""How much more a day that begins at a whole hour holds, at most; on average it is half an hour longer."""


def measure_all(copies: int, engines: Sequence[str], *, times: int) -> dict[str, Measured]:
    """Each engine's median at one size; their answers agree."""
    project = DATA / f"x{copies}"
    measure(python("-m", "benchmarks.history_path.layout", str(project), str(copies)))
    with tempfile.TemporaryDirectory(dir=DATA, prefix="out-") as out:
        commands = {
            name: python("-m", f"benchmarks.history_path.{ENGINES[name]}", str(project), f"{out}/{ENGINES[name]}")
            for name in engines
        }
        found = in_turn(commands, times=times)
    compare({name: json.loads(measured.output) for name, measured in found.items()})
    return found


def compare(sums: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse engines that did different work: sums are equal, but for our windows, which reach back to a hop."""
    slides = {name: found for name, found in sums.items() if name != "ours"}
    expected = next(iter(slides.values()))
    for name, found in slides.items():
        if found != expected:
            raise SystemExit(f"{name} gives {found}, expected {expected}")
    if "ours" not in sums:
        return
    for name, value in sums["ours"].items():
        most = expected[name] * (1 + HOP_SHARE) if name in WINDOW_SUMS else expected[name]
        if not expected[name] <= value <= most:
            raise SystemExit(f"ours gives {name} = {value}, expected {expected[name]}")


def report(sizes: Mapping[int, Mapping[str, Measured]]) -> str:
    """The table, and how memory grows."""
    rows = []
    for copies, found in sizes.items():
        base = found["Polars"]
        count = json.loads(base.output)["rows"]
        rows += [
            (
                f"{name}, ×{copies}: {count:,} rows of the frame",
                *(m.wall_s, m.cpu_s, round(m.peak_mb)),
                *(m.wall_s / base.wall_s, m.cpu_s / base.cpu_s, m.peak_mb / base.peak_mb),
            )
            for name, m in found.items()
        ]
    body = table(["engine", "wall s", "CPU s", "peak MB", "wall × Polars", "CPU × Polars", "MB × Polars"], rows)
    first, last = min(sizes), max(sizes)
    if first < last:
        growth = [f"{name} {found.peak_mb / sizes[first][name].peak_mb:.1f} ×" for name, found in sizes[last].items()]
        body += f"\n\nPeak memory as rows grow {last / first:g} ×: {', '.join(growth)}."
    return body


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    at = arguments.index("--without") if "--without" in arguments else len(arguments)
    left_out = set(arguments[at + 1 :])
    sizes = sorted(int(copies) for copies in arguments[:at]) or list(COPIES)
    engines = [name for name in ENGINES if name.lower() not in {name.lower() for name in left_out}]
    found = {copies: measure_all(copies, engines, times=TIMES.get(copies, 1)) for copies in sizes}
    command = f"python -m benchmarks.history_path {' '.join(arguments)}".strip()
    title = f"History path, {', '.join(f'×{copies}' for copies in sizes)}"
    record(title, command, report(found), libraries=["polars", "pandas", "duckdb"])


if __name__ == "__main__":
    main(sys.argv[1:])
