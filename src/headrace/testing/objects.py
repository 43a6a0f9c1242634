"""The promises of an `ObjectStore` as tests: subclass and give the fixtures.

`ObjectStoreSuite` is for every adapter. `SharedObjectStoreSuite` adds what holds between processes: races of fifty, and
writers that are killed. An adapter is opened anew in each process by calling the picklable `opener`.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import pytest

from headrace.stores.errors import InvalidKey, ObjectCorrupted, ObjectNotFound
from headrace.stores.objects import ObjectStore
from headrace.testing.damage import MUTATIONS, Mutation
from headrace.testing.processes import race, said, working

Opener: TypeAlias = Callable[[], ObjectStore]
Damage: TypeAlias = Callable[[str, Mutation], None]

N_PROCESSES = 50
BAD_KEYS = (
    *("../out", "a/../../out", "", "/", "/etc/passwd", "a//b", "a/", ".", "a/.", "..", "a/..", "a\\..\\b", "a\0b"),
    *("a b", "a\n", "ä", "a%2e%2e", "#partial/x", "C:x", "a" * 201, "/".join("a" * 500)),
)


class ObjectStoreSuite:
    """What every `ObjectStore` promises."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        """A picklable function that opens one and the same store, empty at the beginning of the test."""
        raise NotImplementedError

    @pytest.fixture
    def damage(self, opener: Opener) -> Damage:
        """A function that changes the stored bytes of a key behind the store's back."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> ObjectStore:
        return opener()

    def test_what_was_put_is_got(self, store: ObjectStore) -> None:
        store.put("a/b/c.bin", b"one")
        assert store.get("a/b/c.bin") == b"one"
        store.put("a/b/c.bin", b"two")
        assert store.get("a/b/c.bin") == b"two"

    @pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) - 1, (8 << 20) + 1])
    def test_blobs_of_every_size_come_back_whole(self, store: ObjectStore, size: int, tmp_path: Path) -> None:
        data = bytes(itertools.islice(itertools.cycle(range(251)), size))
        digest = hashlib.sha256(data).hexdigest()
        file = tmp_path / "file"
        file.write_bytes(data)
        store.put("put", data)
        assert store.put_if_absent("absent", data)
        assert store.put_file_if_absent("file", file)
        for key in ("put", "absent", "file"):
            assert store.get_verified(key, digest) == data
            store.verify(key, digest)
        assert {info.key: info.size for info in store.list()} == {"absent": size, "file": size, "put": size}

    def test_another_instance_sees_what_was_put(self, store: ObjectStore, opener: Opener) -> None:
        store.put("a", b"1")
        assert opener().get("a") == b"1"

    def test_an_absent_key_is_named_in_the_error(self, store: ObjectStore) -> None:
        store.put("models/one/two", b"")
        for key in ("models/none", "models/one", "models", "models/one/two/three"):
            for read in (store.get, store.get_tagged):
                with pytest.raises(ObjectNotFound, match=key):
                    read(key)
            for check in (store.get_verified, store.verify):
                with pytest.raises(ObjectNotFound, match=key):
                    check(key, "0" * 64)
            assert not store.exists(key)
        assert store.exists("models/one/two")

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_keys_cannot_leave_the_store(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"x")
        calls: list[Callable[[], object]] = [
            lambda: store.put(key, b"x"),
            lambda: store.put_if_absent(key, b"x"),
            lambda: store.put_file_if_absent(key, file),
            lambda: store.replace(key, b"x", expected="?"),
            lambda: store.get(key),
            lambda: store.get_tagged(key),
            lambda: store.get_verified(key, "0" * 64),
            lambda: store.verify(key, "0" * 64),
            lambda: store.exists(key),
            lambda: store.delete(key),
            lambda: store.scan_target(key),
        ]
        for call in calls:
            with pytest.raises(InvalidKey):
                call()
        assert list(store.list()) == []

    def test_the_first_to_put_if_absent_wins(self, store: ObjectStore, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"third")
        assert store.put_if_absent("k", b"first")
        assert not store.put_if_absent("k", b"second")
        assert not store.put_file_if_absent("k", file)
        assert store.get("k") == b"first"
        store.delete("k")
        assert store.put_file_if_absent("k", file)
        assert store.get("k") == b"third"

    def test_replace_wants_the_tag_of_what_is_there(self, store: ObjectStore) -> None:
        store.put("k", b"one")
        data, tag = store.get_tagged("k")
        assert data == b"one"
        assert store.replace("k", b"two", expected=tag)
        assert not store.replace("k", b"three", expected=tag)
        assert store.get("k") == b"two"
        store.delete("k")
        assert not store.replace("k", b"four", expected=tag)
        assert not store.exists("k")

    def test_listing_goes_by_prefix_in_key_order(self, store: ObjectStore) -> None:
        keys = ["a", "b-a", "b.a/c", "b/a", "b/a-b", "b/b/c", "b0", "bb/c"]
        for number, key in enumerate(reversed(keys)):
            store.put(key, b"x" * number)
        assert [info.key for info in store.list()] == keys
        assert [info.size for info in store.list()] == list(reversed(range(len(keys))))
        assert [info.key for info in store.list("b/")] == ["b/a", "b/a-b", "b/b/c"]
        assert [info.key for info in store.list("b/a")] == ["b/a", "b/a-b"]
        assert [info.key for info in store.list("b")] == keys[1:]
        assert list(store.list("c")) == []
        assert list(store.list("b/a/none")) == []

    @pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../", "a b", "./"])
    def test_no_prefix_leads_out_of_the_store(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(InvalidKey):
            list(store.list(prefix))

    def test_a_listing_says_when_a_blob_was_written(self, store: ObjectStore) -> None:
        before = time.time() - 2  # some servers keep whole seconds
        store.put("k", b"")
        (info,) = store.list()
        assert before * 1e6 <= info.modified_us <= (time.time() + 1) * 1e6

    def test_a_deleted_blob_is_gone_and_deleting_again_is_no_error(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/was")
        assert not store.exists("a/b")
        assert list(store.list()) == []
        store.put("a/b", b"y")
        assert store.get("a/b") == b"y"

    def test_polars_scans_a_blob_where_the_store_says(self, store: ObjectStore) -> None:
        import polars as pl

        store.put("t/x.csv", b"a\n1\n2\n")
        url, options = store.scan_target("t/x.csv")
        assert pl.scan_csv(url, storage_options=options or None).collect()["a"].to_list() == [1, 2]

    @pytest.mark.parametrize("mutation", MUTATIONS)
    def test_damaged_bytes_are_found_and_the_key_is_named(
        self, store: ObjectStore, damage: Damage, mutation: Mutation
    ) -> None:
        data = bytes(range(256)) * 300
        digest = hashlib.sha256(data).hexdigest()
        store.put("packages/model.onnx", data)
        damage("packages/model.onnx", mutation)
        for check in (store.get_verified, store.verify):
            with pytest.raises(ObjectCorrupted, match=r"packages/model\.onnx") as caught:
                check("packages/model.onnx", digest)
            assert caught.value.facts["expected"] == digest
            assert caught.value.facts["found"] == hashlib.sha256(mutation(data)).hexdigest()

    def test_threads_may_share_one_instance(self, store: ObjectStore) -> None:
        store.put("counter", b"0")
        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(lambda number: store.put_if_absent("won", b"%d" % number), range(8)))
            list(threads.map(lambda _: _count_up(store, 3), range(8)))
        assert won.count(True) == 1
        assert store.get("won") == b"%d" % won.index(True)
        assert store.get("counter") == b"24"


class SharedObjectStoreSuite(ObjectStoreSuite):
    """What every `ObjectStore` promises that several processes open."""

    def test_of_fifty_processes_one_puts_if_absent(self, store: ObjectStore, opener: Opener) -> None:
        won = race(N_PROCESSES, _put_if_absent, opener)
        assert won.count(True) == 1
        assert store.get("winner") == b"%d" % won.index(True) * 1000
        assert [info.key for info in store.list()] == ["winner"]

    def test_fifty_processes_count_without_losing_one(self, store: ObjectStore, opener: Opener) -> None:
        store.put("counter", b"0")
        race(N_PROCESSES, _count, opener, 4)
        assert store.get("counter") == b"%d" % (N_PROCESSES * 4)

    @pytest.mark.parametrize("after_s", [0.0, 0.005, 0.03, 0.1, 0.2])
    def test_a_killed_writer_leaves_whole_blobs_and_all_that_it_was_told(
        self, store: ObjectStore, opener: Opener, after_s: float
    ) -> None:
        with working(_write_for_ever, opener) as heard:
            heard.poll(30)
            time.sleep(after_s)
        told = max(said(heard), default=-1)
        digest, _, rest = store.get("replaced").partition(b":")
        assert hashlib.sha256(rest).hexdigest().encode() == digest
        assert int(rest.partition(b" ")[0]) >= told
        for info in store.list("new/"):
            assert store.get(info.key) == _blob(int(info.key.removeprefix("new/")))
        assert {f"new/{number}" for number in range(told + 1)} <= {info.key for info in store.list("new/")}


def _put_if_absent(number: int, opener: Opener) -> bool:
    return opener().put_if_absent("winner", b"%d" % number * 1000)


def _count(_number: int, opener: Opener, times: int) -> None:
    _count_up(opener(), times)


def _count_up(store: ObjectStore, times: int) -> None:
    for _ in range(times):
        while True:
            data, tag = store.get_tagged("counter")
            if store.replace("counter", b"%d" % (int(data) + 1), expected=tag):
                break


def _write_for_ever(say: Connection, opener: Opener) -> None:
    store = opener()
    for number in itertools.count():
        body = b"%d " % number * 30_000
        store.put("replaced", hashlib.sha256(body).hexdigest().encode() + b":" + body)
        assert store.put_if_absent(f"new/{number}", _blob(number))
        say.send(number)


def _blob(number: int) -> bytes:
    return b"%d," % number * 20_000
