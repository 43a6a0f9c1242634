"""Lists of runs, one run, and forgetting a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.runs.errors import RunInProgress, RunInUse, RunNotFound
from headrace.runs.history import get_run, list_runs, remove_run
from headrace.runs.model import StageContext
from headrace.runs.place import Owner, encode_owner, is_gone, this_process
from headrace.runs.runner import Runner
from headrace.stores.catalog import Catalog, Row
from headrace.stores.catalog.sqlite_reader import quick_reader

MakeRunner = Callable[..., Runner]

DEAD = msgspec.structs.replace(this_process("another folder"), started=1)
ELSEWHERE = Owner(place="another folder", boot="another boot", pid_namespace="pid:[1]", pid=1, started=1)


class Count(msgspec.Struct, frozen=True):
    n: int


def counted(n: int) -> Callable[[StageContext], Count]:
    return lambda context: Count(n)


def run_twice(make_runner: MakeRunner) -> list[str]:
    ids: list[str] = []
    for _ in range(2):
        with make_runner().run("sha") as run:
            for n in range(3):
                run.stage(f"stage {n}", depends={"n": n}, rooms=[], compute=counted(n), kind=Count)
            run.finish({"model": "m", "version": 1})
        ids.append(run.id)
    return ids


def insert_run(catalog: Catalog, run_id: str, *, owner: Owner | None = None, state: str = "running") -> None:
    row: Row = {"project": "p", "id": run_id, "state": state, "started_us": 1, "definition_sha256": "sha"}
    with catalog.write() as writer:
        writer.insert("runs", {**row, "result": None if owner is None else encode_owner(owner)})


def insert_version(catalog: Catalog, run_id: str, number: int, *aliases: str) -> None:
    version: Row = {"project": "p", "model": "m", "number": number}
    with catalog.write() as writer:
        rest: Row = {"package": f"sha{number}", "signer": "s", "run": run_id, "created_us": 1, "summary": "{}"}
        writer.insert("versions", version | rest)
        for alias in aliases:
            writer.insert("aliases", version | {"alias": alias, "changed_us": 1})


def test_runs_are_listed_newest_first_with_their_stages_in_order(make_runner: MakeRunner, catalog: Catalog) -> None:
    first, second = run_twice(make_runner)
    with catalog.read() as reader:
        runs = list_runs(reader, "p", 20)
        assert [run.id for run in list_runs(reader, "p", 1)] == [second]
        assert list_runs(reader, "q", 20) == []
    assert [run.id for run in runs] == [second, first]
    assert [(stage.name, stage.state) for stage in runs[1].stages] == [(f"stage {n}", "done") for n in range(3)]
    assert {stage.state for stage in runs[0].stages} == {"cached"}
    assert runs[0].result == {"model": "m", "version": 1}


def test_the_light_reader_tells_the_same_and_loads_no_database_library(
    make_runner: MakeRunner, catalog: Catalog, tmp_path: Path
) -> None:
    ids = run_twice(make_runner)
    with catalog.read() as reader, quick_reader(tmp_path / "catalog.db") as light:
        assert list_runs(light, "p", 20) == list_runs(reader, "p", 20)
        assert get_run(light, "p", ids[0]) == get_run(reader, "p", ids[0])
    code = (
        "import sys, pathlib; from headrace.runs.history import list_runs;"
        "from headrace.stores.catalog.sqlite_reader import quick_reader\n"
        f"with quick_reader(pathlib.Path({str(tmp_path / 'catalog.db')!r})) as r: print(len(list_runs(r, 'p', 20)))\n"
        "print(*sys.modules)"
    )
    number, modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert number == "2"
    assert not {"sqlalchemy", "polars", "numpy", "rich", "obstore"} & set(modules.split())


def test_a_run_is_found_by_its_beginning_and_by_last(catalog: Catalog) -> None:
    for run_id in ("2026-a1", "2026-b1"):
        insert_run(catalog, run_id, state="done")
    with catalog.read() as reader:
        assert get_run(reader, "p", "2026-b").id == "2026-b1"
        assert get_run(reader, "p", "last").id == "2026-b1"
        with pytest.raises(RunNotFound, match="did you mean 2026-b1, 2026-a1"):
            get_run(reader, "p", "2026-")
        with pytest.raises(RunNotFound, match="did you mean 2026-a1"):
            get_run(reader, "p", "2026-a2")
        with pytest.raises(RunNotFound, match="headrace runs lists them"):
            get_run(reader, "p", "")
        with pytest.raises(RunNotFound):
            get_run(reader, "q", "last")


def test_a_run_whose_process_died_is_shown_as_interrupted(catalog: Catalog) -> None:
    insert_run(catalog, "dead", owner=DEAD)
    insert_run(catalog, "alive", owner=this_process("here"))
    insert_run(catalog, "elsewhere", owner=ELSEWHERE)
    with catalog.read() as reader:
        states = {run.id: (run.state, run.result) for run in list_runs(reader, "p")}
    assert states == {"dead": ("interrupted", {}), "alive": ("running", {}), "elsewhere": ("running", {})}


def test_a_process_is_known_by_its_start_not_its_number() -> None:
    own = this_process("here")
    assert not is_gone(own)
    assert is_gone(DEAD)
    assert not is_gone(ELSEWHERE)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        other = msgspec.structs.replace(own, pid=child.pid, started=int(stat.rpartition(")")[2].split()[19]))
        assert not is_gone(other)
        child.kill()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert is_gone(other)  # dead, though its parent has not looked yet
    assert is_gone(other)


def test_the_next_run_marks_every_other_as_interrupted_because_it_holds_the_lease(
    make_runner: MakeRunner, catalog: Catalog
) -> None:
    insert_run(catalog, "dead", owner=DEAD)
    insert_run(catalog, "elsewhere", owner=ELSEWHERE)
    with make_runner().run("sha"):
        pass
    with catalog.read() as reader:
        runs = {found.id: found for found in list_runs(reader, "p")}
    for name in ("dead", "elsewhere"):
        assert (runs[name].state, runs[name].ended_us) == ("interrupted", None)
        assert runs[name].error == "its process ended before the run did"


def test_a_removed_run_is_forgotten_with_its_stages(make_runner: MakeRunner, catalog: Catalog) -> None:
    first, second = run_twice(make_runner)
    assert remove_run(catalog, "p", first) == first
    with catalog.read() as reader:
        assert [run.id for run in list_runs(reader, "p")] == [second]
        assert {row["run_id"] for row in reader.select("stages")} == {second}
    with pytest.raises(RunNotFound):
        remove_run(catalog, "p", first)


def test_a_run_whose_version_has_an_alias_stays(catalog: Catalog) -> None:
    insert_run(catalog, "r", state="done")
    insert_version(catalog, "r", 1)
    insert_version(catalog, "r", 2, "champion", "blue")
    for force in (False, True):
        with pytest.raises(RunInUse, match=r"m@2, which is blue, champion" if force else "m@1") as caught:
            remove_run(catalog, "p", "r", force=force)
        assert caught.value.exit_code == 2


def test_a_run_whose_version_has_no_alias_goes_by_force_only(catalog: Catalog) -> None:
    insert_run(catalog, "r", state="done")
    insert_version(catalog, "r", 1)
    with pytest.raises(RunInUse, match="--force"):
        remove_run(catalog, "p", "r")
    assert remove_run(catalog, "p", "r", force=True) == "r"
    with catalog.read() as reader:
        assert len(reader.select("versions")) == 1


@pytest.mark.parametrize("owner", [this_process("here"), ELSEWHERE], ids=["here", "elsewhere"])
def test_a_run_at_work_goes_by_force_only(catalog: Catalog, owner: Owner) -> None:
    insert_run(catalog, "r", owner=owner)
    with pytest.raises(RunInProgress):
        remove_run(catalog, "p", "r")
    remove_run(catalog, "p", "r", force=True)


def test_a_dead_run_can_be_removed_before_the_next_one_marks_it(catalog: Catalog) -> None:
    insert_run(catalog, "r", owner=DEAD)
    remove_run(catalog, "p", "r")


def test_errors_carry_their_facts() -> None:
    facts: dict[str, Any] = RunNotFound("p", "x", near=["y"]).to_dict()
    assert facts["code"] == "run-not-found"
    assert facts["facts"] == {"project": "p", "run": "x", "near": ["y"]}
