"""The locked libraries of a prediction server: what is installed in a container, and what its bill of materials lists.

The lock is written by scripts/lock.sh from the same resolution as those that the tests run with, and is shipped.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final, NamedTuple

LOCK: Final = "requirements.lock"
OF_BATCHES: Final = frozenset({"pyarrow"})
"""What nothing but batches needs: by far the largest of all, so that who answers none does not get it."""
_PIN: Final = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\")
_HASH: Final = re.compile(r"    --hash=sha256:(?P<sha256>[0-9a-f]{64})(?: \\)?")
_VIA: Final = re.compile(r"    #(?: via|  ) (?P<name>[a-z0-9-]+)(?: \(pyproject\.toml\))?")


class Locked(NamedTuple):
    """One library."""

    name: str
    version: str
    marker: str | None
    """Where it is needed at all, as PEP 508 says it."""
    sha256: tuple[str, ...]
    """Of each file of that version that an index has."""
    needed_by: tuple[str, ...]
    """Libraries that ask for it; `headrace` itself among them."""


def locked_text(*, batch: bool) -> str:
    """The lock as pip reads it.

    Parameters
    ----------
    batch : whether batches in Arrow and Parquet are to be answered, too
    """
    text = files("headrace.packaging").joinpath(LOCK).read_text(encoding="utf-8")
    if batch:
        return text
    kept, passes = list[str](), False
    for line in text.splitlines(keepends=True):
        if not line.startswith(" "):
            passes = line.partition("==")[0] in OF_BATCHES
        kept += [] if passes else [line]
    return "".join(kept)


def read_locked(text: str) -> tuple[Locked, ...]:
    """What a lock says, in its order."""
    found: list[Locked] = []
    for line in text.splitlines():
        if match := _PIN.fullmatch(line):
            found.append(Locked(match["name"], match["version"], match["marker"], (), ()))
        elif match := _HASH.fullmatch(line):
            found[-1] = found[-1]._replace(sha256=(*found[-1].sha256, match["sha256"]))
        elif match := _VIA.fullmatch(line):
            found[-1] = found[-1]._replace(needed_by=(*found[-1].needed_by, match["name"]))
        elif line.strip() not in ("# via", "#   -c requirements-dev.lock", "# via -c requirements-dev.lock"):
            raise ValueError(f"the lock has a line of no form that is written: {line!r}")
    return tuple(found)
