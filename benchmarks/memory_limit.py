"""The flights, ×91 (30 million rows), up to the training table under a limit that the kernel enforces.

usage: python -m benchmarks.memory_limit [COPIES] [LIMIT]      default: 91 4GB

`headrace features build --memory LIMIT` reads, checks, finds duplicate keys, joins, looks up and windows, in a control
group of the same limit where we may make one (as root): a process that needed more would be killed, not slowed. The
group counts what the kernel caches of files too, which it drops when the group is full.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import ROOT, measure, python, record, table
from benchmarks.history_path.ours import new_project
from headrace.runs.memory import memory_of

DATA: Final = ROOT / "benchmarks" / ".data"
_V1: Final = Path("/sys/fs/cgroup/memory")
_V2: Final = Path("/sys/fs/cgroup")


@contextmanager
def group(limit: int) -> Iterator[Path | None]:
    """A control group of that limit without swap; None where we may not make one."""
    is_old = (_V1 / "memory.limit_in_bytes").exists()
    path = (_V1 if is_old else _V2) / f"headrace-{os.getpid()}"
    try:
        path.mkdir()
        (path / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(limit))
        (path / ("memory.swappiness" if is_old else "memory.swap.max")).write_text("0")
    except OSError:
        yield None
        return
    try:
        yield path
    finally:
        path.rmdir()


def stages(project: Path) -> list[dict[str, Any]]:
    """The stages of the newest run."""
    command = [str(Path(sys.executable).with_name("headrace")), "show", "last", "--json", "--project", str(project)]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found: list[dict[str, Any]] = json.loads(told)["stages"]
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    copies, limit = int(next(iter(arguments), 91)), next(iter(arguments[1:]), "4GB")
    data = DATA / f"x{copies}"
    measure(python("-m", "benchmarks.history_path.layout", str(data), str(copies)))
    headrace = str(Path(sys.executable).with_name("headrace"))
    with tempfile.TemporaryDirectory(dir=DATA, prefix="limit-") as out, group(memory_of(limit, {}).limit_bytes) as held:
        new_project(data, Path(out) / "project")
        command = [headrace, "features", "build", "--json", "--memory", limit, "--project", f"{out}/project"]
        if held is not None:
            command = ["sh", "-c", f'echo $$ > {held}/cgroup.procs && exec "$@"', "sh", *command]
        found = measure(command, env={"HEADRACE_CONFIG": f"{out}/config"})
        rows = [
            (
                str(stage["name"]),
                f"{count:,}" if (count := int(used["rows_out"] or used["rows_in"])) else "",
                float(used["wall_s"]),
                float(used["cpu_s"]),
                round(used["peak_memory_bytes"] / 10**6),
                f"{count / used['wall_s']:,.0f}" if count else "",
            )
            for stage in stages(Path(out) / "project")
            if (used := stage.get("usage")) and used["wall_s"] >= 1
        ]
    made = json.loads(found.output)
    body = table(["stage of a second or more", "rows", "wall s", "CPU s", "peak MB", "rows/s"], rows)
    body += f"\n\n{made['rows']:,} examples x {len(made['features'])} features; {found.wall_s:.0f} s, "
    body += (
        f"{found.cpu_s:.0f} s of CPU, the kernel's mark of the whole process {found.peak_mb * 2**20 / 10**9:.2f} GB "
    )
    body += f"under a limit of {limit}, " + ("enforced by a control group." if held else "without a control group.")
    record(
        f"Memory limit, ×{copies}", f"python -m benchmarks.memory_limit {copies} {limit}", body, libraries=["polars"]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
