"""Where a project's own models are: their names, in the definition's words, and files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

ONNX = "onnx:"
MARK = "own|"
_folder: ContextVar[Path] = ContextVar("own_models_folder", default=Path())


@contextmanager
def own_models_in(root: Path) -> Iterator[None]:
    """Names of own models mean files in this folder, for the length of the context."""
    token = _folder.set(root)
    try:
        yield
    finally:
        _folder.reset(token)


def is_own(name: str) -> bool:
    """Whether it names a project's own model."""
    return ":" in name


def path_of_own(name: str) -> str:
    """What a trial's process, which knows nothing of the project, opens it by."""
    return f"{MARK}{_folder.get().resolve()}|{name}"


def is_path_of_own(path: str) -> bool:
    """Whether `path_of_own` made it."""
    return path.startswith(MARK)


def own_digests(names: Sequence[str], root: Path) -> dict[str, str]:
    """SHA-256 of each own model's file: what a stage depends on. Installed packages have none."""
    digests = {}
    for name in filter(is_own, names):
        file = root / name.removeprefix(ONNX) if name.startswith(ONNX) else module_file(name, root)
        if file.is_file():
            digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return digests


def module_file(name: str, root: Path) -> Path:
    """Where the module of `module:Class` is, if it is the project's own."""
    return root / (name.partition(":")[0].replace(".", "/") + ".py")
