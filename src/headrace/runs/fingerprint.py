"""What a stage's outcome depends on, as one short text: equal fingerprints mean that the work need not be done again.

A fingerprint covers the stage's name, the definition part and inputs that it is given, the source of our own packages
that do the work, the versions of the libraries they compute with, the Python version and the machine's architecture:
floats may differ between architectures.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from headrace.runs.errors import NotCanonical
from headrace.runs.model import Fingerprint

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "language": ("polars", "sqlglot", "tzdata"),
    "data": ("deltalake", "polars", "tzdata"),
    "features": ("numpy", "polars", "tzdata"),
    "scoring": ("numpy", "onnx", "onnxruntime"),
    "training": (
        "catboost",
        "lightgbm",
        "numpy",
        "onnx",
        "onnxruntime",
        "optuna",
        "polars",
        "scikit-learn",
        "scipy",
        "xgboost-cpu",
    ),
    "registry": ("cryptography", "onnxruntime"),
    "pages": ("jinja2",),
}
"""Libraries whose version can change what a room computes; `msgspec` writes every outcome and counts everywhere."""

_INSTALLED = Path(__file__).parents[1]
_SOURCE_SUFFIXES = frozenset({".py", ".sql", ".j2"})


def canonical(value: Any, what: str = "the value") -> bytes:
    """One byte string for equal values: JSON with sorted keys, NaN and infinities refused.

    Examples
    --------
    >>> canonical({"b": 1.0, "a": {3, 1}})
    b'{"a":[1,3],"b":1.0}'
    """
    return msgspec.json.encode(_plain(value, what, "sorted"), order="sorted")


def as_json(value: Any, what: str = "the value") -> str:
    """JSON that decodes to an equal value: keys in the order given, NaN and infinities refused."""
    return msgspec.json.encode(_plain(value, what, None)).decode()


def fingerprint_of(
    name: str, depends: Mapping[str, Any], rooms: Sequence[str], *, roots: Sequence[Path] = ()
) -> Fingerprint:
    """The fingerprint of one stage.

    Parameters
    ----------
    name : the stage's name
    depends : JSON-able values and structs: the definition part, content ids of inputs
    rooms : our packages or modules whose code matters, such as `data` or `training.families`
    roots : folders in which rooms are found; the installed headrace package when empty
    """
    document = {
        "stage": name,
        "depends": depends,
        "code": {room: code_hash(room, tuple(roots)) for room in rooms},
        "libraries": library_versions(rooms),
        "python": ".".join(map(str, sys.version_info[:2])),
        "machine": platform.machine(),
    }
    data = canonical(document, f"what stage {name!r} depends on")
    return Fingerprint(hashlib.blake2b(data, digest_size=32, person=b"headrace.stage").hexdigest())


@functools.cache
def code_hash(room: str, roots: tuple[Path, ...] = ()) -> str:
    """BLAKE2b over paths and bytes of the room's `.py`, `.sql` and `.j2` files; read once a process."""
    for root in roots or (_INSTALLED,):
        base = root.joinpath(*room.split("."))
        sources = sorted(_sources(base), key=lambda path: path.relative_to(root).as_posix())
        if sources:
            digest = hashlib.blake2b(digest_size=32, person=b"headrace.code")
            for path in sources:
                data = path.read_bytes()
                digest.update(canonical([path.relative_to(root).as_posix(), len(data)]))
                digest.update(data)
            return digest.hexdigest()
    raise ValueError(f"headrace has no room {room!r}")


def library_versions(rooms: Sequence[str]) -> dict[str, str | None]:
    """Installed versions of the libraries that the rooms compute with; None for one that is not installed."""
    names = {"msgspec"}.union(*(LIBRARIES.get(room.split(".")[0], ()) for room in rooms))
    return {name: version_of(name) for name in sorted(names)}


@functools.cache
def version_of(library: str) -> str | None:
    """The installed version, looked up once a process; None for a library that is not installed."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plain(value: Any, what: str, order: Literal["sorted"] | None) -> Any:
    """The value as JSON's own types; msgspec would write a NaN as null without a word."""
    try:
        plain = msgspec.to_builtins(value, order=order, str_keys=True)
    except TypeError as error:
        raise NotCanonical(what, "", str(error)) from error
    for place in _not_finite(plain, ""):
        raise NotCanonical(what, place, "not a finite number")
    return plain


def _sources(base: Path) -> Iterator[Path]:
    """A module's one file, or all source files below a package."""
    module = base.with_suffix(".py")
    if module.is_file():
        yield module
    if base.is_dir():
        yield from (path for path in base.rglob("*") if path.suffix in _SOURCE_SUFFIXES and path.is_file())


def _not_finite(plain: Any, place: str) -> Iterator[str]:
    """Places of floats that JSON cannot write."""
    if isinstance(plain, float):
        if not math.isfinite(plain):
            yield place
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield from _not_finite(value, f"{place}.{key}" if place else key)
    elif isinstance(plain, list | tuple):
        for index, value in enumerate(plain):
            yield from _not_finite(value, f"{place}[{index}]")
