"""How much memory a run may hold: what is written, what the machine says, and what Polars is told."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headrace.runs.errors import MemoryTooSmall, NoSize
from headrace.runs.memory import LEAST, hold_polars_to, machine_bytes, memory_of
from headrace.runs.model import Memory


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GB", 4 * 10**9),
        ("4 gb", 4 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("2500 MB", 2_500_000_000),
        ("2TiB", 2**41),
        ("3000000000", 3 * 10**9),
        ("3000000000B", 3 * 10**9),
    ],
)
def test_sizes_are_read_in_powers_of_ten_or_of_two(text: str, expected: int) -> None:
    assert memory_of(text, {}).limit_bytes == expected


@pytest.mark.parametrize("text", ["four", "4G", "4 G B", "-4GB", "4GB!", "GB", "1e9", "4,5GB", "٤GB", "inf"])
def test_what_is_no_size_is_refused_with_where_it_stands(text: str) -> None:
    with pytest.raises(NoSize, match="HEADRACE_MEMORY") as refused:
        memory_of(None, {"HEADRACE_MEMORY": text})
    assert "kB, MB, GB or TB" in (refused.value.fix or "")


def test_less_than_any_run_takes_is_refused() -> None:
    with pytest.raises(MemoryTooSmall, match="at least 1 GB, found 900MB"):
        memory_of("900MB", {})
    assert memory_of("1GB", {}).limit_bytes == LEAST


def test_the_argument_goes_before_the_environment_and_both_before_the_machine() -> None:
    environment = {"HEADRACE_MEMORY": "3GB"}
    assert memory_of("2GB", environment) == Memory(2 * 10**9, is_given=True)
    assert memory_of(None, environment) == Memory(3 * 10**9, is_given=True)
    assert memory_of(None, {"HEADRACE_MEMORY": ""}).is_given is False


def test_without_a_limit_a_run_takes_most_of_what_is_free() -> None:
    free, found = machine_bytes(), memory_of(None, {})
    assert not found.is_given
    assert found.limit_bytes == LEAST or 0.6 * free < found.limit_bytes < 0.95 * free


@pytest.mark.parametrize(
    ("own", "files", "allowed"),
    [
        ("0::/", {"memory.max": "3000"}, 3000),  # a container: its own group looks like the top
        ("0::/user.slice/run-1.scope", {"user.slice/run-1.scope/memory.max": "2000"}, 2000),  # systemd-run
        ("0::/a/b", {"a/memory.max": "1500", "a/b/memory.max": "max"}, 1500),  # a group above allows less
        ("0::/a/b", {"a/memory.max": "1500", "a/b/memory.max": "900"}, 900),
        ("4:memory:/c\n3:cpu:/d", {"memory/c/memory.limit_in_bytes": "700", "memory.max": "1"}, 700),  # version 1
        ("4:cpu,cpuacct:/x\n0::/a", {"a/memory.max": "max"}, None),
        ("", {"memory.max": "5"}, None),
    ],
)
def test_a_control_group_and_all_above_it_limit_what_is_free(
    tmp_path: Path, own: str, files: dict[str, str], allowed: int | None
) -> None:
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    (tmp_path / "own").write_text(f"{own}\n" if own else "")
    found = machine_bytes(tmp_path / "groups", tmp_path / "own")
    assert found == allowed if allowed else found > 10**6
    assert machine_bytes(tmp_path / "groups", tmp_path / "none") > 10**6


SORTS = """
    import resource, sys
    from pathlib import Path
    import polars as pl
    from headrace.runs.memory import hold_polars_to
    from headrace.runs.model import Memory

    spill = Path(sys.argv[1])
    hold_polars_to(Memory(int(sys.argv[2])), spill)
    rows = pl.scan_parquet(spill.parent / "rows.parquet").sort("b")
    rows.sink_parquet(spill.parent / "sorted.parquet")
    assert pl.scan_parquet(spill.parent / "sorted.parquet").select(pl.col("b").is_sorted()).collect().item()
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.heavy
def test_a_sort_that_does_not_fit_is_spilt_and_holds_less(tmp_path: Path) -> None:
    import polars as pl

    rows = pl.select(pl.int_range(0, 4_000_000).alias("a")).with_columns(
        (pl.col("a").hash(7) % 2**40).alias("b"), *(pl.col("a").hash(n).alias(f"c{n}") for n in range(6))
    )
    rows.write_parquet(tmp_path / "rows.parquet", compression="uncompressed", row_group_size=200_000)

    def peak(limit: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SORTS), str(tmp_path / "spill"), str(limit)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout.split()[-1])

    assert peak(10**9) < 0.7 * peak(2**40)


def test_what_dead_processes_left_is_deleted_and_only_the_owner_reads(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    (spill / "999999").mkdir(parents=True)
    (spill / "999999" / "part").write_bytes(b"rows")
    (spill / str(os.getpid())).mkdir()
    hold_polars_to(Memory(2 * 10**9), spill)
    assert [path.name for path in spill.iterdir()] == [str(os.getpid())]
