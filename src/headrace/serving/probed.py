"""Which packages were tried here before: a server that starts again need not try them again.

What comes of trying a version depends on its package, on what tries it, and on the machine. A package's content id
stands for every byte of it, which whoever loads it checks again; the rest is `circumstances`. The file that remembers
is believed if it is this user's own and nobody else may write it: who can write as this user needs no such file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Annotated, Final

import msgspec

from headrace.stores import durable
from headrace.stores.errors import StoreFull, StoreUnavailable

MOST: Final = 256
"""Packages that are remembered; the newest."""
MOST_BYTES: Final = 64 * 1024
CODE: Final = (
    ("onnxruntime", ("capi",)),
    ("numpy", ("_core",)),
    ("headrace", ("scoring", "features", "features/encodings", "language", "language/functions")),
)
"""What a package reaches: libraries, and the folders in them."""
READ: Final = ("LD_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "ORT_", "PYTHON")
"""What variables begin with that change what libraries do."""
PROCESSOR: Final = frozenset(
    {"vendor_id", "cpu family", "model", "model name", "stepping", "flags", "CPU implementer", "CPU part", "Features"}
)
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered."""

    under: str
    """The circumstances that it was found out under."""
    row_us: dict[str, Annotated[float, msgspec.Meta(gt=0.0, lt=1e9)]]
    """By content id: what one row took; the newest last."""


class ProbedBefore:
    """What one server remembers of trying packages. What cannot be read or written is as if it had never been.

    Parameters
    ----------
    under : the circumstances of now; None: they cannot be told, and nothing is believed or kept
    """

    def __init__(self, path: Path, under: str | None) -> None:
        self._path, self._under = path, under
        self._writing = Lock()  # deployments are taken up side by side: each change is of what the one before it wrote

    def row_us(self, package: str) -> float | None:
        """What one row took of a package that was tried; None: it has to be."""
        return self._read().get(package)

    def remember(self, row_us: Mapping[str, float]) -> None:
        """These were tried, and are served."""
        with self._writing:
            found = {package: us for package, us in self._read().items() if package not in row_us} | dict(row_us)
            self._write(dict(list(found.items())[-MOST:]))

    def forget(self, packages: Iterable[str]) -> None:
        """Have these tried again."""
        gone = set(packages)
        with self._writing:
            found = self._read()
            left = {package: us for package, us in found.items() if package not in gone}
            if len(left) < len(found):
                self._write(left)

    def _read(self) -> dict[str, float]:
        if self._under is None:
            return {}
        try:
            found = msgspec.json.decode(_own_content(self._path), type=_File)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return dict(found.row_us) if found.under == self._under else {}

    def _write(self, row_us: dict[str, float]) -> None:
        if self._under is not None:
            with suppress(StoreFull, StoreUnavailable):
                durable.make_folder(self._path.parent)
                durable.write_file(self._path, msgspec.json.encode(_File(under=self._under, row_us=row_us)))


def _own_content(path: Path) -> bytes:
    """Of a plain file that is this user's and that nobody else may write; raises `OSError` for any other."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)  # of the file that was opened, not of whatever has the name a moment later
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & _OTHERS_MAY_WRITE:
            raise PermissionError
        return file.read(MOST_BYTES)


def circumstances(*limits: float, environment: Mapping[str, str] = os.environ) -> str | None:
    """What trying a package depends on beside the package, as a digest; None where it cannot be told.

    Parameters
    ----------
    limits : those that it is tried within
    """
    try:
        machine = os.uname()
        facts = [
            (sys.version, str(os.confstr("CS_GNU_LIBC_VERSION"))),
            tuple(map(repr, limits)),
            (machine.machine, machine.release, *_processor()),
            tuple(_code()),
            tuple(sorted(f"{name}={value}" for name, value in environment.items() if name.startswith(READ))),
        ]
    except (OSError, ValueError, ImportError):
        return None
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _processor() -> list[str]:
    """What the first of them can do: which code a library takes depends on it."""
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    return [line for line in first.splitlines() if line.partition(":")[0].strip() in PROCESSOR]


def _code() -> Iterator[str]:
    """Every file of it: one that was put in another's place has another time or size."""
    for library, folders in CODE:
        spec = find_spec(library)
        if spec is None or spec.origin is None:
            raise ImportError(library)
        for folder in folders:
            with os.scandir(Path(spec.origin).parent / folder) as found:
                files = [entry for entry in found if entry.name.endswith((".py", ".dylib")) or ".so" in entry.name]
            for entry in sorted(files, key=lambda each: each.name):
                about = entry.stat()
                yield f"{entry.path} {about.st_size} {about.st_mtime_ns}"
