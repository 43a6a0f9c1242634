"""Real projects for tests: the shipped examples, laid out small in a folder of the test's own.

`flights` is `examples/flights` with its own definition, over fewer days and airports and with a small budget. The
download is done once, whichever test asks first.
"""

from __future__ import annotations

import csv
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from headrace.app import Project

EXAMPLES = Path(__file__).parents[1] / "examples"
PROOFS = EXAMPLES.with_name("proofs")


def _prepared(name: str) -> Path:
    """The data folder of an example, laid out by its own script: once, by whoever holds the lock."""
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", EXAMPLES / name / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    data = EXAMPLES / name / "data"
    data.mkdir(exist_ok=True)
    once(data / ".lock", lambda: prepare.main(data))
    return data


def example_data(name: str) -> Path:
    """The whole data folder of an example; not to be changed."""
    return _prepared(name)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The session's temporary folder, the same for all its workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(lock: Path, make: Callable[[], object]) -> None:
    """Have something made by the first who asks, others wait for it; where making fails, the next one tries."""
    with lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held.fileno()).st_size == 0:
            make()
            held.write("done")


def python_with(name: str, factory: pytest.TempPathFactory) -> Path:
    """A Python that has what `proofs/NAME.txt` pins, installed once a session."""
    shared = shared_folder(factory)
    folder, uv = shared / name, Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"

    def install() -> None:
        for command in (
            [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", PROOFS / f"{name}.txt"],
        ):
            subprocess.run([str(word) for word in command], check=True)

    once(shared / f"{name}.lock", install)
    return python


def copy_finished(name: str, shared: Path, target: Path) -> Path:
    """Copy an example as its first run left it: run once a session, signed with the key in `shared / "keys"`."""
    done = shared / f"finished-{name}"

    def run() -> None:
        flights(done) if name == "flights" else tumours(done)
        with Project.open(done, environment={**os.environ, "HEADRACE_CONFIG": str(shared / "keys")}) as project:
            project.run()

    once(shared / f"{name}.lock", run)
    return Path(shutil.copytree(done, target))


def flights_rows(days: Iterable[int], origins: Sequence[str], *, month: int = 1) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the flights of some days of a month from some airports, as published."""
    with (_prepared("flights") / "flights" / f"2013-{month:02}.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames is not None
        wanted = {str(day) for day in days}
        rows = [list(row.values()) for row in reader if row["day"] in wanted and row["origin"] in origins]
        return list(reader.fieldnames), rows


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """A CSV file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def flights(
    root: Path, *, days: Iterable[int] = range(1, 9), origins: Sequence[str] = ("LGA",), change: Mapping[str, str] = {}
) -> Path:
    """Lay out the flights example small; `change` is regular expression → replacement, each found exactly once."""
    import polars as pl

    data = _prepared("flights")
    days = list(days)
    root.mkdir(parents=True, exist_ok=True)
    write_csv(root / "data" / "flights" / "2013-01.csv", *flights_rows(days, origins))
    hours = pl.read_parquet(data / "weather.parquet")
    near = hours.filter(pl.col("time_hour").dt.month() == 1, pl.col("time_hour").dt.day() <= max(days) + 2)
    near.write_parquet(root / "data" / "weather.parquet")
    for name in ("planes.ndjson", "reference.db"):
        shutil.copy(data / name, root / "data" / name)
    text = (EXAMPLES / "flights" / "headrace.toml").read_text(encoding="utf-8")
    small = {r'^budget = ".*"': 'budget = "3 trials"', r"^folds = \d+": "folds = 2"}
    return define(root, changed(text, {**small, **change}))


def tumours(root: Path, *, text: str = '\n[training]\nbudget = "2 trials"\n') -> Path:
    """Lay out the second example, with `text` added to its definition."""
    shutil.copytree(_prepared("tumours"), root / "data", dirs_exist_ok=True)
    return define(root, (EXAMPLES / "tumours" / "headrace.toml").read_text(encoding="utf-8") + text)


def define(root: Path, text: str) -> Path:
    """Write a definition; the folder."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "headrace.toml").write_text(text, encoding="utf-8")
    return root


def changed(text: str, change: Mapping[str, str]) -> str:
    """The text with each regular expression replaced where it is found: exactly once."""
    for pattern, replacement in change.items():
        literal = replacement.replace("\\", r"\\")
        text, count = re.subn(pattern, literal, text, flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} was found {count} times"
    return text


def edit(root: Path, change: Mapping[str, str]) -> None:
    """Change the definition of a project in place."""
    path = root / "headrace.toml"
    path.write_text(changed(path.read_text(encoding="utf-8"), change), encoding="utf-8")
