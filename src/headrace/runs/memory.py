"""How much memory a run may take: what is given, else what the machine has left; and Polars held to its share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.definition.quantities import parse_size
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
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def memory_of(text: str | None, environment: Mapping[str, str]) -> Memory:
    """The limit that is asked for, by argument or else by HEADRACE_MEMORY; without either, most of what is free.

    Raises
    ------
    NoSize, MemoryTooSmall
    """
    asked, where = (text, "--memory") if text is not None else (environment.get(VARIABLE) or None, VARIABLE)
    if asked is None:
        return Memory(max(LEAST, int(_MACHINE_SHARE * machine_bytes())), is_given=False)
    limit = int(asked) if asked.isascii() and asked.isdigit() else parse_size(asked.strip())
    if limit is None:
        raise NoSize(where, asked)
    if limit < LEAST:
        raise MemoryTooSmall(where, asked, limit, LEAST)
    return Memory(limit, is_given=True)


def machine_bytes(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """What is available to this process: by the kernel's estimate, and at most what its control groups allow.

    Parameters
    ----------
    groups, own
        Where the kernel shows control groups, and those of this process; of version 1 and 2 alike.
    """
    found = [_available()]
    for path in _limits(groups, own):
        with suppress(OSError, ValueError):  # not there, as within a container; or "max"
            found.append(int(path.read_text()))
    return min(found)


def _limits(groups: Path, own: Path) -> Iterator[Path]:
    """The files with the limits of this process's group and of all above it: each holds."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = groups / controllers
            file = "memory.limit_in_bytes" if controllers else "memory.max"
            place = top / name.removeprefix("/")
            yield from (folder / file for folder in (place, *place.parents) if folder.is_relative_to(top))


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
