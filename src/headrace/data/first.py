"""Data files described for a first definition: names, formats and types with their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.data.infer import infer_types
from headrace.definition.locations import DATABASES, ENDINGS, format_of
from headrace.definition.lock import Lock
from headrace.definition.model import Source
from headrace.definition.writer import FirstSource, source_names
from headrace.errors import WrongUse

KINDS = tuple(ending for ending, format_ in ENDINGS.items() if ending.count(".") == 1 and format_ not in DATABASES)
"""Endings of files that a first definition can be made of."""


class NoData(WrongUse):
    """`init` was given nothing to describe, or something that is no data file."""

    code = "no-data"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"expected data files ({', '.join(KINDS)}), found {found}",
            fix="headrace init data/flights.csv data/weather.parquet",
            found=found,
        )


def describe_sources(folder: Path, data: Sequence[Path], env: Mapping[str, str]) -> tuple[list[FirstSource], Lock]:
    """The sources that these files are, paths relative to `folder`, and the lock that freezes their types."""
    if not data:
        raise NoData("no file")
    described: list[FirstSource] = []
    locked = {}
    for path, name in zip(data, source_names([_stem(path) for path in data]), strict=True):
        read = _relative(path, folder)
        found = format_of(read)
        if found is None:
            raise NoData(path.name)
        source = Source(name=name, read=(read,), format=found)
        locked[name] = infer_types(source, folder, env)
        described.append(FirstSource(name=name, read=(read,), columns=locked[name]))
    return described, Lock(sources=locked)


def _stem(path: Path) -> str:
    ending = max((one for one in ENDINGS if path.name.lower().endswith(one)), key=len, default="")
    return path.name[: len(path.name) - len(ending)]


def _relative(path: Path, folder: Path) -> str:
    """As the definition writes it: relative when below its folder, else a file:// address."""
    whole = path.resolve()
    base = folder.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else whole.as_uri()
