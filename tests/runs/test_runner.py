"""What a run writes, what it takes from the catalog, and how it ends."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.errors import CheckFailed
from headrace.runs.errors import NotCanonical, RunInProgress
from headrace.runs.history import get_run, list_runs
from headrace.runs.model import ObjectRef, RunRecord, StageContext
from headrace.runs.progress import SilentProgress
from headrace.runs.runner import Runner
from headrace.stores.catalog import Catalog
from headrace.stores.errors import ObjectCorrupted, StoreFull
from headrace.stores.objects import ObjectStore

MakeRunner = Callable[..., Runner]


class Table(msgspec.Struct, frozen=True):
    ref: ObjectRef
    rows: int = 1
    notes: Mapping[str, Any] = {}


class OtherTable(msgspec.Struct, frozen=True):
    ref: ObjectRef
    rows: str


class Said(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def stage_started(self, name: str) -> None:
        self.texts.append(f"{name} started")

    def stage_ended(self, name: str, state: str, usage: object) -> None:
        self.texts.append(f"{name} {state}")

    def say(self, text: str) -> None:
        self.texts.append(text)


def stored(data: bytes = b"abc", **other: Any) -> Callable[[StageContext], Table]:
    """The work of a stage that stores some bytes."""

    def compute(context: StageContext) -> Table:
        path = context.workdir / "part"
        path.write_bytes(data)
        return Table(context.keep(path, "tables", ".bin"), **other)

    return compute


def refuse(context: StageContext) -> Table:
    raise AssertionError("this stage was done")


def run_once(
    runner: Runner, compute: Callable[[StageContext], Table], depends: Mapping[str, Any] | None = None
) -> tuple[Table, str]:
    with runner.run("sha") as run:
        table = run.stage("one", depends=depends or {"a": 1}, rooms=["language"], compute=compute, kind=Table)
        run.finish({"rows": table.rows})
    return table, run.id


def record(catalog: Catalog, run_id: str) -> RunRecord:
    with catalog.read() as reader:
        return get_run(reader, "p", run_id)


def test_a_finished_stage_is_not_computed_again(make_runner: MakeRunner, catalog: Catalog) -> None:
    first, first_id = run_once(make_runner(), stored())
    said = Said()
    second, second_id = run_once(make_runner(progress=said), refuse)
    assert first == second
    assert said.texts == ["one cached"]
    made, again = record(catalog, first_id).stages[0], record(catalog, second_id).stages[0]
    assert (made.state, again.state) == ("done", "cached")
    assert made.usage == again.usage
    assert made.fingerprint == again.fingerprint


def test_what_a_stage_depends_on_decides(make_runner: MakeRunner) -> None:
    run_once(make_runner(), stored(), {"a": 1})
    with pytest.raises(AssertionError):
        run_once(make_runner(), refuse, {"a": 2})


def test_projects_do_not_share_outcomes(make_runner: MakeRunner, tmp_path: Path) -> None:
    run_once(make_runner(), stored())
    other = make_runner(workdir=tmp_path / "other")
    other.project = "q"
    with pytest.raises(AssertionError):
        run_once(other, refuse)


def test_an_outcome_comes_back_as_it_was_stored_whether_computed_or_not(make_runner: MakeRunner) -> None:
    notes = {"tuple": (1, 2), "z": 0.1, "a": None}
    computed, _ = run_once(make_runner(), stored(notes=notes))
    again, _ = run_once(make_runner(), refuse)
    assert computed.notes == again.notes == {"tuple": [1, 2], "z": 0.1, "a": None}
    assert list(again.notes) == list(notes)


def test_an_outcome_whose_object_is_gone_is_computed_again_and_said_so(
    make_runner: MakeRunner, objects: ObjectStore
) -> None:
    first, _ = run_once(make_runner(), stored())
    objects.delete(first.ref.key)
    said = Said()
    second, _ = run_once(make_runner(progress=said), stored())
    assert second == first
    assert objects.exists(first.ref.key)
    assert said.texts[0].startswith("one is computed again: object tables/")
    assert run_once(make_runner(), refuse)[0] == first


def test_an_outcome_of_another_form_is_computed_again(make_runner: MakeRunner) -> None:
    first, _ = run_once(make_runner(), stored())
    said = Said()
    with make_runner(progress=said).run("sha") as run:
        other = run.stage(
            "one",
            depends={"a": 1},
            rooms=["language"],
            compute=lambda context: OtherTable(first.ref, "text"),
            kind=OtherTable,
        )
    assert other.rows == "text"
    assert said.texts[0] == "one is computed again: its recorded outcome is of another form"


def test_an_outcome_keeps_objects_of_earlier_stages_alive(make_runner: MakeRunner, catalog: Catalog) -> None:
    first, _ = run_once(make_runner(), stored())
    run_once(make_runner(), lambda context: Table(first.ref, notes={"deep": [{"ref": 1}]}), {"a": 2})
    with catalog.read() as reader:
        assert [row["key"] for row in reader.select("outcome_objects")] == [first.ref.key] * 2


def test_an_outcome_committed_meanwhile_is_taken(make_runner: MakeRunner, catalog: Catalog) -> None:
    run_once(make_runner(), stored(b"first", notes={"a": 1}))
    with catalog.write() as writer:
        outcomes, kept = writer.select("outcomes"), writer.select("outcome_objects")
        writer.delete("outcomes", {"project": "p"})

    def overtaken(context: StageContext) -> Table:
        with catalog.write() as writer:
            for table, rows in (("outcomes", outcomes), ("outcome_objects", kept)):
                for row in rows:
                    writer.insert(table, row)
        return stored(b"second", notes={"a": 2})(context)

    table, run_id = run_once(make_runner(), overtaken)
    assert table.notes == {"a": 1}
    assert run_once(make_runner(), refuse)[0] == table
    assert record(catalog, run_id).stages[0].state == "done"
    with catalog.read() as reader:
        assert [row["key"] for row in reader.select("outcome_objects")] == [table.ref.key]


def test_a_damaged_object_is_written_again_when_its_stage_makes_it_again(
    make_runner: MakeRunner, objects: ObjectStore
) -> None:
    first, _ = run_once(make_runner(), stored())
    for keep in (stored(), lambda context: Table(context.keep_bytes(b"abc", "tables", ".bin"))):
        objects.put(first.ref.key, b"abX")
        run_once(make_runner(), keep, {"a": os.urandom(4).hex()})
        objects.verify(first.ref.key, first.ref.sha256)


def test_damaged_input_is_found_and_named(make_runner: MakeRunner, objects: ObjectStore) -> None:
    first, _ = run_once(make_runner(), stored())
    objects.put(first.ref.key, b"abX")

    def scan(context: StageContext) -> Table:
        context.scan(first.ref)
        return first

    def fetch(context: StageContext) -> Table:
        context.fetch(first.ref)
        return first

    for compute in (scan, fetch):
        with pytest.raises(ObjectCorrupted, match=first.ref.key):
            run_once(make_runner(), compute, {"a": 3})


def test_a_scanned_object_is_verified_once_a_run(
    make_runner: MakeRunner, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = run_once(make_runner(), stored(b"x" * 1000))

    def scan(context: StageContext) -> Table:
        context.scan(first.ref)
        url, options = context.scan(first.ref)
        assert Path(url).read_bytes() == b"x" * 1000
        assert options == {}
        return first

    verified: list[str] = []
    real = objects.verify

    def verify(key: str, sha256: str) -> None:
        verified.append(key)
        real(key, sha256)

    monkeypatch.setattr(objects, "verify", verify)
    with make_runner().run("sha") as run:
        for name in ("a", "b"):
            run.stage(name, depends={}, rooms=[], compute=scan, kind=Table)
    assert verified == [first.ref.key]


def test_usage_is_metered_and_priced(make_runner: MakeRunner, catalog: Catalog) -> None:
    first, _ = run_once(make_runner(), stored(b"x" * 1000))

    def work(context: StageContext) -> Table:
        context.scan(first.ref)
        context.fetch(first.ref)
        context.count(rows_in=7, rows_out=3, bytes_in=10)
        held = bytearray(os.urandom(1 << 20) * 40)  # 40 MB that are really there
        burn = subprocess.run([sys.executable, "-c", "sum(i * i for i in range(1_000_000))"], check=True)
        assert burn.returncode == 0
        context.keep_bytes(bytes(held[:500]), "tables", ".bin")
        return first

    _, run_id = run_once(make_runner(), work, {"a": 2})
    usage = record(catalog, run_id).stages[0].usage
    assert usage is not None
    assert (usage.rows_in, usage.rows_out) == (7, 3)
    assert (usage.bytes_in, usage.bytes_out) == (2010, 500)
    assert usage.wall_s > 0
    assert usage.cpu_s > 0.02  # the child's share
    assert usage.peak_memory_bytes > 40_000_000
    gigabyte_s = usage.peak_memory_bytes / 1e9 * usage.wall_s
    assert usage.cost_usd == pytest.approx((usage.cpu_s * 0.04 + gigabyte_s * 0.005) / 3600)
    assert usage.price_id == "example-compute-core@2026-01-01+example-compute-memory@2026-01-01"


def test_recorded_parts_come_back_in_order_after_a_failure(make_runner: MakeRunner, catalog: Catalog) -> None:
    names = [f"trial {n}" for n in (10, 9, 2, 1)]

    def fail(context: StageContext) -> Table:
        for name in names:
            context.record(name, name.encode())
        raise CheckFailed("no")

    with pytest.raises(CheckFailed):
        run_once(make_runner(), fail)

    def go_on(context: StageContext) -> Table:
        assert list(context.recorded().items()) == [(name, name.encode()) for name in names]
        return stored()(context)

    run_once(make_runner(), go_on)
    with catalog.read() as reader:
        assert reader.select("parts") == []


def test_the_result_is_kept(make_runner: MakeRunner, catalog: Catalog) -> None:
    _, run_id = run_once(make_runner(), stored(rows=5))
    found = record(catalog, run_id)
    assert (found.state, found.result, found.error) == ("done", {"rows": 5}, None)
    assert found.ended_us is not None
    assert found.ended_us > found.started_us


def test_a_run_without_a_result_is_done(make_runner: MakeRunner, catalog: Catalog) -> None:
    with make_runner().run("sha") as run:
        pass
    assert record(catalog, run.id).state == "done"
    assert record(catalog, run.id).definition_sha256 == "sha"


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (CheckFailed("3 rows are bad", fix="mend them"), "failed", "check-failed: 3 rows are bad"),
        (ZeroDivisionError("secret cell"), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (SystemExit(3), "interrupted", "interrupted"),
    ],
    ids=["ours", "foreign", "ctrl-c", "exit"],
)
def test_how_a_run_ends_is_recorded_and_the_error_goes_on(
    make_runner: MakeRunner, catalog: Catalog, tmp_path: Path, error: BaseException, state: str, text: str
) -> None:
    def fail(context: StageContext) -> Table:
        (context.workdir / "left").write_text("behind")
        raise error

    said = Said()
    with pytest.raises(type(error)):
        run_once(make_runner(progress=said), fail)
    assert said.texts == ["one started", "one failed"]
    with catalog.read() as reader:
        (found,) = list_runs(reader, "p")
    assert (found.state, found.error) == (state, text)
    assert [(stage.state, stage.error) for stage in found.stages] == [("failed", text)]
    assert "secret" not in str(found)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["lock"]
    assert run_once(make_runner(), stored())[0].rows == 1


def test_an_error_after_the_finish_leaves_the_run_done(make_runner: MakeRunner, catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), make_runner().run("sha") as run:
        run.finish({"model": "m"})
        raise ZeroDivisionError
    assert record(catalog, run.id).state == "done"


def test_a_number_that_json_cannot_say_fails_the_stage(make_runner: MakeRunner, catalog: Catalog) -> None:
    with pytest.raises(NotCanonical, match=r"outcome of stage 'one'.*notes\.x"):
        run_once(make_runner(), stored(notes={"x": float("nan")}))
    with catalog.read() as reader:
        assert reader.select("outcomes") == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("No space left on device (os error 28)"),
        RuntimeError("parquet: underlying IO error: No space left on device (os error 28)"),
    ],
    ids=["python", "rust-os", "rust"],
)
def test_a_full_disk_is_named_however_a_library_says_it(make_runner: MakeRunner, error: Exception) -> None:
    def fail(context: StageContext) -> Table:
        raise error

    with pytest.raises(StoreFull, match="run again: finished work is kept"):
        run_once(make_runner(), fail)


def test_a_full_disk_fails_the_run_and_keeps_finished_stages(make_runner: MakeRunner, catalog: Catalog) -> None:
    big = bytes(3 << 20)

    def two_stages(first: Callable[[StageContext], Table], second: Callable[[StageContext], Table]) -> None:
        with make_runner().run("sha") as run:
            run.stage("one", depends={}, rooms=[], compute=first, kind=Table)
            run.stage("two", depends={}, rooms=[], compute=second, kind=Table)

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for second in (stored(big), lambda context: Table(context.keep_bytes(big, "tables", ".bin"))):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # no file can grow beyond it
        try:
            with pytest.raises(StoreFull):
                two_stages(stored(), second)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with catalog.read() as reader:
        runs = list_runs(reader, "p")
    assert [run.state for run in runs] == ["failed", "failed"]
    assert str(runs[0].error).startswith("store-full: ")
    assert [[stage.state for stage in run.stages] for run in runs] == [["cached", "failed"], ["done", "failed"]]
    two_stages(refuse, stored(big))


def test_a_second_run_at_once_is_refused_with_the_process_to_look_for(make_runner: MakeRunner) -> None:
    with make_runner().run("sha"), pytest.raises(RunInProgress, match=f"process {os.getpid()}") as caught:
        run_once(make_runner(), stored())
    assert caught.value.exit_code == 2
    run_once(make_runner(), stored())


def test_a_working_folder_that_cannot_be_made_is_trouble_outside(make_runner: MakeRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="does not answer") as caught:
        run_once(make_runner(workdir=tmp_path / "file" / "work"), stored())
    assert getattr(caught.value, "exit_code", None) == 3


@pytest.mark.parametrize(
    ("kind", "suffix"), [("a/b", ".x"), ("", ".x"), ("Tables", ".x"), ("tables", "/x"), ("tables", "x")]
)
def test_kept_objects_have_plain_names(make_runner: MakeRunner, kind: str, suffix: str) -> None:
    with pytest.raises(ValueError, match="do not make a key"):
        run_once(make_runner(), lambda context: Table(context.keep_bytes(b"", kind, suffix)))
