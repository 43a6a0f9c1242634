"""The garbage collector deletes what nothing needs, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.data.correction_log import note, withdraw
from headrace.runs.collect import DAY_US, Collected, collect_garbage
from headrace.runs.errors import RunInProgress
from headrace.runs.history import remove_run
from headrace.runs.model import ObjectRef, StageContext
from headrace.runs.place import Owner, encode_owner
from headrace.runs.runner import Runner
from headrace.stores.catalog import Catalog, Row
from headrace.stores.objects import ObjectStore

MakeRunner = Callable[..., Runner]


class Table(msgspec.Struct, frozen=True):
    refs: tuple[ObjectRef, ...]


def now_us() -> int:
    return time.time_ns() // 1000


def run(runner: Runner, *stages: Sequence[bytes]) -> str:
    """A run whose stages each store some blobs; the same blobs make the same stage."""

    def store(blobs: Sequence[bytes]) -> Callable[[StageContext], Table]:
        return lambda context: Table(tuple(context.keep_bytes(blob, "tables", ".bin") for blob in blobs))

    with runner.run("sha") as started:
        for blobs in stages:
            started.stage("s", depends={"blobs": list(blobs)}, rooms=[], compute=store(blobs), kind=Table)
    return started.id


def contents(objects: ObjectStore) -> set[bytes]:
    return {objects.get(entry.key) for entry in objects.list()}


@pytest.fixture
def collect(catalog: Catalog, objects: ObjectStore) -> Callable[..., Collected]:
    def act(**other: Any) -> Collected:
        settings: dict[str, Any] = {"now_us": now_us(), "grace_us": 0} | other
        return collect_garbage(catalog, objects, "p", **settings)

    return act


def test_what_kept_runs_refer_to_stays(
    make_runner: MakeRunner, objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    run(make_runner(), [b"a", b"b"], [b"c"])
    assert collect() == Collected(0, 0, 0, 0)
    assert contents(objects) == {b"a", b"b", b"c"}


def test_what_only_a_removed_run_needed_goes(
    make_runner: MakeRunner, catalog: Catalog, objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    first = run(make_runner(), [b"shared"], [b"first", b"both"])
    run(make_runner(), [b"shared"], [b"second", b"both"])
    remove_run(catalog, "p", first)
    assert collect() == Collected(1, 5, 1, 0)
    assert contents(objects) == {b"shared", b"second", b"both"}
    with catalog.read() as reader:
        assert len(reader.select("outcomes")) == 2
        assert len(reader.select("outcome_objects")) == 3


def test_an_outcome_that_a_later_run_took_from_the_catalog_stays(
    make_runner: MakeRunner, catalog: Catalog, objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    first = run(make_runner(), [b"a"])
    run(make_runner(), [b"a"])
    remove_run(catalog, "p", first)
    assert collect() == Collected(0, 0, 0, 0)
    assert contents(objects) == {b"a"}


def test_files_of_versions_stay_when_their_run_goes(
    make_runner: MakeRunner, catalog: Catalog, objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    first = run(make_runner(), [b"model", b"frame"])
    with catalog.write() as writer:
        key = next(entry.key for entry in objects.list() if objects.get(entry.key) == b"model")
        row: Row = {"project": "p", "package": "x", "name": "model.onnx", "key": key, "sha256": "", "size": 5}
        writer.insert("version_files", row)
    remove_run(catalog, "p", first)
    assert collect().objects == 1
    assert contents(objects) == {b"model"}


@pytest.mark.parametrize("is_withdrawn", [False, True])
def test_files_of_corrections_stay_whatever_run_goes(
    make_runner: MakeRunner,
    catalog: Catalog,
    objects: ObjectStore,
    collect: Callable[..., Collected],
    is_withdrawn: bool,
) -> None:
    """Handed back by a person, they can be made by no run; withdrawn ones are still listed and fetched."""
    with make_runner().run("sha") as started:
        kept: list[ObjectRef] = []

        def hand_back(context: StageContext) -> Table:
            kept.append(context.keep_bytes(b"rows", "corrections", ".parquet"))
            return Table(())

        started.stage("s", depends={}, rooms=[], compute=hand_back, kind=Table)
    note(catalog, "p", "flights", kept[0], rows=1, snapshot="", made_us=1, reason="typing error")
    if is_withdrawn:
        withdraw(catalog, "p", "flights", 1, clock=lambda: 2)
    remove_run(catalog, "p", started.id)
    assert collect().objects == 0
    assert contents(objects) == {b"rows"}


def test_what_another_project_of_the_catalog_needs_stays(
    make_runner: MakeRunner, catalog: Catalog, objects: ObjectStore, collect: Callable[..., Collected], tmp_path: Path
) -> None:
    other = make_runner(workdir=tmp_path / "other")
    other.project = "q"
    run(other, [b"same"], [b"theirs"])
    first = run(make_runner(), [b"same"], [b"ours"])
    remove_run(catalog, "p", first)
    assert collect() == Collected(1, 4, 2, 0)
    assert contents(objects) == {b"same", b"theirs"}


def test_orphans_of_a_killed_run_go_when_they_are_old_enough(
    objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    objects.put(f"frames/{'0' * 64}.parquet", b"orphan")
    assert collect(grace_us=DAY_US).objects == 0
    assert collect(grace_us=DAY_US, now_us=now_us() + DAY_US).objects == 1


@pytest.mark.parametrize(
    "key",
    [
        "usage/_delta_log/00000000000000000000.json",
        f"usage/part-{'0' * 64}.parquet",
        f"{'0' * 64}.parquet",
        f"frames/{'0' * 63}.parquet",
        "packages/latest",
    ],
)
def test_keys_that_are_not_named_by_content_are_left_alone(
    key: str, objects: ObjectStore, collect: Callable[..., Collected]
) -> None:
    objects.put(key, b"not ours")
    assert collect() == Collected(0, 0, 0, 0)
    assert objects.exists(key)


def test_parts_stay_while_a_kept_run_may_go_on_from_them(
    make_runner: MakeRunner, catalog: Catalog, collect: Callable[..., Collected]
) -> None:
    def fail(context: StageContext) -> Table:
        context.record("trial 0", b"0")
        context.record("trial 1", b"1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), make_runner().run("sha") as stopped:
        stopped.stage("s", depends={}, rooms=[], compute=fail, kind=Table)
    assert collect() == Collected(0, 0, 0, 0)
    remove_run(catalog, "p", stopped.id)
    assert collect() == Collected(0, 0, 0, 2)


def test_nothing_is_collected_while_a_run_is_at_work(
    make_runner: MakeRunner, catalog: Catalog, collect: Callable[..., Collected], tmp_path: Path
) -> None:
    with make_runner().run("sha"):
        for how in ({}, {"workdir": tmp_path / "work"}):
            with pytest.raises(RunInProgress):
                collect(**how)
    elsewhere = Owner(place="x", boot="another", pid_namespace="", pid=1, started=1)
    with catalog.write() as writer:
        row: Row = {"project": "p", "id": "far", "state": "running", "started_us": 1, "definition_sha256": "sha"}
        writer.insert("runs", {**row, "result": encode_owner(elsewhere)})
    with pytest.raises(RunInProgress, match="run far"):
        collect()
    remove_run(catalog, "p", "far", force=True)
    collect(workdir=tmp_path / "work")
