"""Delta tables on local folders and on S3."""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import deltalake
import polars as pl
import pytest
from structlog.testing import capture_logs
from tests.conftest import S3Place

from headrace.stores.errors import StoreFull, TableCorrupted, TableTooNew
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.objects.open import open_objects
from headrace.stores.tables import TableStore
from headrace.stores.tables.delta import DeltaTableStore
from headrace.stores.tables.log import entry_key
from headrace.testing.damage import Mutation
from headrace.testing.faults import FlakyObjectStore, fail_at, kill_at, small_disk, system_calls
from headrace.testing.processes import run_killed
from headrace.testing.tables import TABLE, Damage, Opener, TableStoreSuite


def _open(url: str, env: dict[str, str]) -> tuple[TableStore, ObjectStore]:
    objects = open_objects(url, Path("/"), env)
    return DeltaTableStore(objects), objects


class TestDeltaOnALocalFolder(TableStoreSuite):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(_open, str(tmp_path / "objects"), {})

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Damage:
        def change(key: str, mutation: Mutation) -> None:
            path = tmp_path / "objects" / key
            path.write_bytes(mutation(path.read_bytes()))

        return change


class TestDeltaOnS3(TableStoreSuite):
    @pytest.fixture
    def opener(self, s3_server: S3Place) -> Opener:
        return partial(_open, s3_server.url, s3_server.env)

    @pytest.fixture
    def damage(self, objects: ObjectStore) -> Damage:
        def change(key: str, mutation: Mutation) -> None:
            objects.put(key, mutation(objects.get(key)))

        return change


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def _tables(root: Path) -> DeltaTableStore:
    return DeltaTableStore(LocalObjectStore(root))


def _append(root: Path, *numbers: int) -> int:
    return _tables(root).append(TABLE, pl.DataFrame({"n": numbers}, schema={"n": pl.Int64}))


def _numbers(root: Path) -> list[int]:
    return _tables(root).scan(TABLE).collect()["n"].sort().to_list()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("more", "needs"),
    [({"partition_by": "n"}, "partitions"), ({"configuration": {"delta.enableDeletionVectors": "true"}}, "reader 3")],
)
def test_what_another_writer_made_and_we_do_not_understand_is_left_alone(
    root: Path, more: dict[str, Any], needs: str
) -> None:
    (root / TABLE).mkdir(parents=True)
    deltalake.write_deltalake(str(root / TABLE), pl.DataFrame({"n": [1, 2], "m": [1, 2]}), **more)
    for use in (lambda: _tables(root).compact(TABLE), lambda: _tables(root).scan(TABLE)):
        with pytest.raises(TableTooNew, match=needs):
            use()


class _Interrupted(FlakyObjectStore):
    """Lets something happen just before a log entry is written for the first time."""

    def __init__(self, inner: ObjectStore, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self._meanwhile: Callable[[], object] | None = meanwhile

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if "_delta_log" in key and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().put_if_absent(key, data)


def test_a_rewrite_that_was_overtaken_is_done_anew(root: Path) -> None:
    rewrites: list[Callable[[TableStore], object]] = [
        lambda tables: tables.compact(TABLE),
        lambda tables: tables.delete_where(TABLE, "n = 2"),
    ]
    for number, (overtaken, faster) in enumerate(itertools.product(rewrites, rewrites)):
        place = root / str(number)
        for value in (1, 2, 3):
            _append(place, value)
        objects = LocalObjectStore(place)
        overtaken(DeltaTableStore(_Interrupted(objects, lambda: faster(DeltaTableStore(objects)))))  # noqa: B023
        deletes = rewrites[1] in (overtaken, faster)
        assert _numbers(place) == ([1, 3] if deletes else [1, 2, 3])


def test_an_append_that_was_overtaken_keeps_its_place_in_the_queue(root: Path) -> None:
    _append(root, 1)
    objects = LocalObjectStore(root)
    tables = DeltaTableStore(_Interrupted(objects, lambda: _append(root, 2)))
    assert tables.append(TABLE, pl.DataFrame({"n": [3]})) == 2
    assert _numbers(root) == [1, 2, 3]


def test_two_who_make_the_table_at_once_both_append(root: Path) -> None:
    objects = LocalObjectStore(root)
    tables = DeltaTableStore(_Interrupted(objects, lambda: _append(root, 1)))
    assert tables.append(TABLE, pl.DataFrame({"n": [2]})) == 1
    assert _numbers(root) == [1, 2]


@pytest.mark.parametrize("torn", [lambda _: b"", lambda data: bytes(len(data)), _half, lambda _: b"{\n"])
def test_a_torn_last_entry_is_dropped_and_the_log_says_so(root: Path, torn: Callable[[bytes], bytes]) -> None:
    _append(root, 1)
    _append(root, 2)
    entry = root / entry_key(TABLE, 1)
    entry.write_bytes(torn(entry.read_bytes()))
    with capture_logs() as logs:
        assert _numbers(root) == [1]
    assert [(log["event"], log["entry"]) for log in logs] == [("table_tail_repaired", entry_key(TABLE, 1))]
    assert _append(root, 3) == 1
    assert _numbers(root) == [1, 3]


def test_only_one_entry_can_be_torn(root: Path) -> None:
    for number in range(3):
        _append(root, number)
    for version in (1, 2):
        (root / entry_key(TABLE, version)).write_bytes(b"")
    with pytest.raises(TableCorrupted, match=re.escape(entry_key(TABLE, 1))):
        _tables(root).version(TABLE)


def test_a_last_entry_whose_digest_differs_is_damage_not_a_torn_tail(root: Path) -> None:
    _append(root, 1)
    _append(root, 2)
    entry = root / entry_key(TABLE, 1)
    entry.write_bytes(entry.read_bytes().replace(b'"size":', b'"size":1'))
    with pytest.raises(TableCorrupted, match="digest"):
        _tables(root).version(TABLE)
    assert entry.exists()


def _append_killed_at(k: int, root: Path) -> None:
    with system_calls(kill_at(k)):
        _append(root, 2)


def test_an_append_killed_between_any_two_steps_is_whole_or_absent(quick_path: Path) -> None:
    seen = set()
    for k in itertools.count():
        root = quick_path / str(k)
        _append(root, 1)
        was_killed = run_killed(_append_killed_at, k, root)
        found = _numbers(root)
        seen.add(tuple(found))
        assert _append(root, 3) == len(found)
        assert _numbers(root) == [*found, 3]
        if not was_killed:
            break
    assert seen == {(1,), (1, 2)}


def test_an_append_that_fails_at_any_call_says_so_and_the_next_one_lands(quick_path: Path) -> None:
    for k in itertools.count():
        root = quick_path / str(k)
        _append(root, 1)
        told = None
        with system_calls(fail_at(k, errno.ENOSPC)) as called, suppress(StoreFull):
            told = _append(root, 2)
        assert _numbers(root) in ([1], [1, 2])
        if told is not None:
            assert _numbers(root) == [1, 2]
        _append(root, 3)
        if len(called) <= k:
            break
        assert told is None, f"call {k}, {called[k]}, failed and nobody was told"


def test_every_file_of_an_append_is_synced_before_it_returns(root: Path) -> None:
    tables = _tables(root)
    tables.append(TABLE, pl.DataFrame({"n": [1]}))
    with system_calls(lambda _number, _name: None) as called:
        tables.append(TABLE, pl.DataFrame({"n": [2]}))
    named = [number for number, name in enumerate(called) if name in ("link", "replace")]
    assert len(named) == 2  # the data, then the log entry
    for number in named:
        assert "fsync" in called[:number]
        assert "fsync" in called[number:]
    assert called[named[0]] == "replace"
    assert "fsync" in called[named[0] : named[1]]


def test_a_full_disk_is_told_apart_and_the_table_goes_on_when_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        written = 0
        tables = _tables(disk / "objects")
        rows = pl.DataFrame({"n": pl.Series(range(200_000)).shuffle(seed=0)})
        with pytest.raises(StoreFull):
            while True:
                tables.append(TABLE, rows)
                written += 1
        ballast.unlink()
        assert tables.version(TABLE) == written - 1
        assert tables.append(TABLE, rows) == written
        assert tables.scan(TABLE).select(pl.len()).collect().item() == (written + 1) * rows.height
