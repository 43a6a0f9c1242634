"""How long the command line takes to start: `headrace --help` against bare Python, `headrace runs`, a run that has
nothing to do.

Needs the flights example to have been run (`make demo`).

usage: python -m benchmarks.command_start [PROJECT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness import FLIGHTS, ROOT, in_turn, python, record, table

TIMES = 9


def main(project: Path = FLIGHTS) -> None:
    """Measure and record."""
    headrace = str(ROOT / ".venv" / "bin" / "headrace")
    commands = {
        "python -c pass": python("-c", "pass"),
        "python -c 'import headrace'": python("-c", "import headrace"),
        "headrace --help": [headrace, "--help"],
        "headrace runs": [headrace, "runs"],
        "headrace run, nothing to do": [headrace, "run", "--json"],
    }
    found = in_turn(commands, times=TIMES, cwd=project)
    bare = found["python -c pass"].wall_s
    rows = [(name, m.wall_s, m.cpu_s, m.peak_mb, m.wall_s / bare) for name, m in found.items()]
    body = table(["command", "wall s", "CPU s", "peak MB", "× bare Python"], rows)
    record("Command start", "python -m benchmarks.command_start", body, libraries=["cyclopts", "msgspec", "polars"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
