"""kill -9 at any instant of the whole pipeline, and run again: rows, frame and package are those of a quiet run."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.conftest import S3Place
from tests.examples import flights
from tests.pipeline.conftest import Ask

pytestmark = pytest.mark.heavy

RANDOM_KILLS = 30
KILLS_A_PROJECT = 5
CHAINS = 2
"""Projects over which the kills at boundaries are spread."""


class Quiet(NamedTuple):
    """A run that nobody killed."""

    answer: dict[str, Any]
    made: Made


class Made(NamedTuple):
    """What a project's stores hold, without instants, measurements and run ids."""

    data: dict[str, tuple[str, ...]]
    """Stage → digests of the objects that it kept."""
    packages: list[str]
    champion: list[int]
    parts: int
    blobs: set[str]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights example, small, before any run. Only to be copied."""
    return flights(tmp_path_factory.mktemp("fresh") / "delays", days=range(1, 6))


@pytest.fixture(scope="module")
def quiet(ask: Ask, fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    root = tmp_path_factory.mktemp("quiet") / "delays"
    shutil.copytree(fresh, root)
    answer = ask(root)
    assert len(answer["computed"]) == answer["stages_computed"] > 18
    collect(root)  # what was put aside for the end of a stage
    return Quiet(answer, made_in(root))


def collect(root: Path) -> None:
    from headrace.app import Project
    from headrace.runs.collect import collect_garbage

    project = Project.open(root, environment=os.environ)
    with closing(project.catalog):
        collect_garbage(project.catalog, project.objects, project.name, now_us=2**62, grace_us=0)


def catalog(root: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{root / '.headrace' / 'catalog.db'}?mode=ro", uri=True))


def made_in(root: Path) -> Made:
    with catalog(root) as db:
        kept = db.execute(
            "SELECT name, key FROM outcomes JOIN outcome_objects USING (project, fingerprint) ORDER BY 1, 2"
        )
        data: dict[str, tuple[str, ...]] = {}
        for name, key in kept:
            if name not in ("run page", "search"):  # seconds are on the page, which is for people
                data[name] = (*data.get(name, ()), key)
        return Made(
            data=data,
            packages=[row[0] for row in db.execute("SELECT package FROM versions ORDER BY number")],
            champion=[row[0] for row in db.execute("SELECT number FROM alias_changes ORDER BY seq")],
            parts=db.execute("SELECT count(*) FROM parts").fetchone()[0],
            blobs={path.name for path in (root / ".headrace" / "objects").rglob("*") if path.is_file()},
        )


def check_as_quiet(root: Path, answer: dict[str, Any], quiet: Quiet, kills: int) -> None:
    """The project is where the quiet run is, nothing was done twice, and nothing was left behind."""
    assert answer["package"] == quiet.answer["package"]
    made = made_in(root)
    assert made.data == quiet.made.data
    assert made.packages == [quiet.answer["package"]]
    assert made.champion == [1]
    assert made.parts == 0
    with catalog(root) as db:
        computed = db.execute("SELECT name, count(*) FROM stages WHERE state = 'done' GROUP BY fingerprint").fetchall()
        assert [name for name, count in computed if count > 1] == []
        assert len(computed) == len(quiet.answer["computed"])
        assert db.execute("SELECT count(*) FROM stages WHERE state = 'failed'").fetchone()[0] <= kills
        assert db.execute("SELECT count(*) FROM stages WHERE state = 'running'").fetchone()[0] == 0
        states = [row[0] for row in db.execute("SELECT state FROM runs ORDER BY started_us")]
    assert states[-1] == "done"
    assert set(states[:-1]) <= {"interrupted", "done"}
    assert [path.name for path in (root / ".headrace" / "work").iterdir()] == ["lock"]


def is_alone(session: int) -> bool:
    """Whether no process of that session lives, or soon: what a killed run had started ends by itself."""
    deadline = time.monotonic() + 10
    while not (alone := _nobody(session)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alone


def _nobody(session: int) -> bool:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            return False
    return True


@pytest.mark.parametrize("chain", range(CHAINS))
def test_killed_at_every_boundary_a_run_goes_on(
    chain: int, ask: Ask, fresh: Path, quiet: Quiet, tmp_path: Path
) -> None:
    boundaries = quiet.answer["steps"]
    assert len(boundaries) > 60
    root = shutil.copytree(fresh, tmp_path / "delays")
    chosen = boundaries[chain::CHAINS]
    for kill_at in chosen:
        killed = ask(root, kill_at=kill_at)
        assert killed["killed"], kill_at
        assert is_alone(killed["session"])
    check_as_quiet(root, ask(root), quiet, kills=len(chosen))


def test_killed_at_random_instants_a_run_goes_on(ask: Ask, fresh: Path, quiet: Quiet, tmp_path: Path) -> None:
    instants = random.Random(20261123)
    kills, whole_s = 0, quiet.answer["wall_s"]
    for number in range(RANDOM_KILLS):
        root = shutil.copytree(fresh, tmp_path / str(number))
        here = 0
        # a resumed run gets further in the same time: half a run's length reaches every stage
        while here < KILLS_A_PROJECT:
            killed = ask(root, kill_after_s=instants.uniform(0, whole_s / 2))
            if not killed["killed"]:
                whole_s *= 0.7  # the machine is not as busy as it was
                break
            assert is_alone(killed["session"])
            here += 1
        kills += here
        check_as_quiet(root, ask(root), quiet, kills=here)
        shutil.rmtree(root)
        if kills >= RANDOM_KILLS:
            return
    pytest.fail(f"only {kills} kills")


def test_what_killed_runs_left_is_collected(ask: Ask, fresh: Path, quiet: Quiet, tmp_path: Path) -> None:
    root = shutil.copytree(fresh, tmp_path / "delays")
    for before, after in pairwise(quiet.answer["steps"]):
        if after.endswith("before commit") and "page" not in before:
            assert ask(root, kill_at=after)["killed"]
    check_as_quiet(root, ask(root), quiet, kills=len(quiet.answer["steps"]))
    collect(root)
    pages = {name for name in made_in(root).blobs ^ quiet.made.blobs if not name.endswith(".html")}
    assert pages == set()


def test_killed_on_postgresql_and_s3_a_run_goes_on(
    ask: Ask, fresh: Path, quiet: Quiet, tmp_path: Path, postgres_url: str, s3_server: S3Place
) -> None:
    root = shutil.copytree(fresh, tmp_path / "delays")
    with (root / "headrace.toml").open("a") as definition:
        definition.write('\n[stores]\ncatalog = "${env:CATALOG}"\nobjects = "${env:OBJECTS}"\n')
    env = {**s3_server.env, "CATALOG": postgres_url, "OBJECTS": s3_server.url}
    for stage in ("check weather", "assemble", "search", "compile", "register"):
        for moment in ("before", "after"):
            killed = ask(root, env=env, kill_at=f"{stage}: {moment} commit")
            assert killed["killed"], killed
    answer = ask(root, env=env)
    assert answer["package"] == quiet.answer["package"]
    assert answer["computed"] == ["run page"], "each stage was done in the run that was killed after it"
