"""How much memory a run may take: what is given, else what the machine has left; and Polars held to its share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from headrace.runs.errors import MemoryTooSmall, NoSize
from headrace.runs.model import Memory
from headrace.runs.place import discard
from headrace.stores import durable

VARIABLE: Final = "HEADRACE_MEMORY"
LEAST: Final = 1_000_000_000
"""With less, reading and checking alone were seen to take more."""
_MACHINE_SHARE: Final = 0.8
_POLARS_SHARE: Final = 0.4
"""Of what is left of the limit: from this on a sort writes to disk what it holds."""
_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS_OF_TWO: Final = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_CGROUPS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_of(text: str | None, environment: Mapping[str, str]) -> Memory:
    """The limit that is asked for, by argument or else by HEADRACE_MEMORY; without either, most of what is free.

    Raises
    ------
    NoSize, MemoryTooSmall
    """
    asked, where = (text, "--memory") if text is not None else (environment.get(VARIABLE) or None, VARIABLE)
    if asked is None:
        return Memory(max(LEAST, int(_MACHINE_SHARE * machine_bytes())), is_given=False)
    limit = size_of(asked, where)
    if limit < LEAST:
        raise MemoryTooSmall(where, asked, limit, LEAST)
    return Memory(limit, is_given=True)


def size_of(text: str, where: str = "--memory") -> int:
    """Bytes of a written size: powers of ten for kB, MB, GB, TB, of two for KiB, MiB, GiB, TiB.

    Examples
    --------
    >>> size_of("4GB"), size_of("1.5 GiB"), size_of("2000000000")
    (4000000000, 1610612736, 2000000000)
    """
    found = _SIZE.fullmatch(text)
    unit = None if found is None else (_UNITS | _UNITS_OF_TWO).get(found[2].upper())
    if found is None or unit is None:
        raise NoSize(where, text)
    return int(float(found[1]) * unit)


def machine_bytes() -> int:
    """What is available to this process: by the kernel's estimate, and at most what its control group allows."""
    found = [_available()]
    for path in _CGROUPS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return 1024 * int(kilobytes) if kilobytes else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def hold_polars_to(memory: Memory, spill: Path) -> None:
    """Let Polars write to `spill` what does not fit into its share; what dead processes left there is deleted.

    Polars makes a folder there that only its owner reads, named by the process, and stays with the first `spill` that
    it has used.
    """
    with durable.translated(str(spill)):
        spill.mkdir(parents=True, exist_ok=True)
    for left in spill.iterdir():
        if left.name != str(os.getpid()):
            discard(left)
    os.environ["POLARS_OOC_MEMORY_BUDGET_MB"] = str(int(_POLARS_SHARE * memory.free_bytes / 10**6))
    os.environ["POLARS_OOC_SPILL_DIR"] = str(spill)
    if "polars" in sys.modules:
        import polars._plr as plr

        plr.config_reload_env_vars()
