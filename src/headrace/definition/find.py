"""Which `headrace.toml` a command is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.definition.errors import ProjectNotFound

FILE_NAME = "headrace.toml"


def find_project(explicit: str | None, env: Mapping[str, str], cwd: Path) -> Path:
    """The definition: that of `--project`, else of `HEADRACE_PROJECT`, else of the nearest folder upward from `cwd`.

    Parameters
    ----------
    explicit
        What `--project` says: a folder, or the file itself.

    Raises
    ------
    ProjectNotFound : with every place that was looked at.
    """
    for asked_by, named in (("--project", explicit), ("HEADRACE_PROJECT", env.get("HEADRACE_PROJECT"))):
        if named:
            path = cwd / named
            for candidate in (path, path / FILE_NAME):
                if candidate.is_file():
                    return candidate
            raise ProjectNotFound([str(path), str(path / FILE_NAME)], asked_by=asked_by)
    looked = [folder / FILE_NAME for folder in (cwd, *cwd.parents)]
    for candidate in looked:
        if candidate.is_file():
            return candidate
    raise ProjectNotFound([str(candidate) for candidate in looked], asked_by=None)
