"""Objects in a local folder: its own promises beside the suite's."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from headrace.stores.errors import InvalidKey, ObjectNotFound, StoreFull, StoreUnavailable
from headrace.stores.objects.local import LEFTOVER_AGE_S, LocalObjectStore
from headrace.testing.damage import Mutation
from headrace.testing.faults import fail_at, kill_at, small_disk, system_calls
from headrace.testing.objects import Damage, Opener, SharedObjectStoreSuite
from headrace.testing.processes import run_killed

OLD, NEW = b"old " * 40_000, b"new " * 50_000


class TestLocalObjectStore(SharedObjectStoreSuite):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(LocalObjectStore, tmp_path / "store")

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Damage:
        def change(key: str, mutation: Mutation) -> None:
            path = tmp_path / "store" / key
            path.write_bytes(mutation(path.read_bytes()))

        return change


def _put(root: Path) -> None:
    LocalObjectStore(root).put("a/b/k", NEW)


def _put_if_absent(root: Path) -> None:
    LocalObjectStore(root).put_if_absent("a/b/k", NEW)


def _put_file_if_absent(root: Path) -> None:
    LocalObjectStore(root).put_file_if_absent("a/b/k", root.with_name("source"))


def _replace(root: Path) -> None:
    LocalObjectStore(root).replace("a/b/k", NEW, expected=hashlib.sha256(OLD).hexdigest())


def _delete(root: Path) -> None:
    LocalObjectStore(root).delete("a/b/k")


# what is written, and what a reader may see after it was killed or failed at any step
VERBS: list[tuple[Callable[[Path], None], bytes | None, set[bytes | None]]] = [
    (_put, None, {None, NEW}),
    (_put, OLD, {OLD, NEW}),
    (_put_if_absent, None, {None, NEW}),
    (_put_file_if_absent, None, {None, NEW}),
    (_replace, OLD, {OLD, NEW}),
    (_delete, OLD, {OLD, None}),
]


def _killed_at(k: int, verb: Callable[[Path], None], root: Path) -> None:
    with system_calls(kill_at(k)):
        verb(root)


def _fresh(root: Path, before: bytes | None) -> None:
    root.with_name("source").write_bytes(NEW)
    if before is not None:
        LocalObjectStore(root).put("a/b/k", before)


def _seen(root: Path) -> bytes | None:
    store = LocalObjectStore(root)
    assert [info.key for info in store.list()] in ([], ["a/b/k"])
    try:
        return store.get("a/b/k")
    except ObjectNotFound:
        return None


@pytest.mark.parametrize(("verb", "before", "allowed"), VERBS)
def test_a_writer_killed_between_any_two_steps_leaves_the_old_or_the_new(
    verb: Callable[[Path], None], before: bytes | None, allowed: set[bytes | None], quick_path: Path
) -> None:
    seen = []
    for k in itertools.count():
        root = quick_path / str(k) / "store"
        root.parent.mkdir()
        _fresh(root, before)
        was_killed = run_killed(_killed_at, k, verb, root)
        seen.append(_seen(root))
        assert seen[-1] in allowed
        LocalObjectStore(root).put("a/b/k", b"again")  # nothing stays locked, nothing is in the way
        assert _seen(root) == b"again"
        if not was_killed:
            break
    assert set(seen) == allowed  # the sweep did reach both sides of the step that counts


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
@pytest.mark.parametrize(("verb", "before", "allowed"), VERBS)
@pytest.mark.parametrize("for_good", [False, True])
def test_a_call_that_fails_is_a_named_error_and_damages_nothing(
    verb: Callable[[Path], None],
    before: bytes | None,
    allowed: set[bytes | None],
    error: int,
    quick_path: Path,
    for_good: bool,
) -> None:
    expected = StoreFull if error in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable
    for k in itertools.count():
        root = quick_path / str(k) / "store"
        root.parent.mkdir()
        _fresh(root, before)
        failed = False
        with system_calls(fail_at(k, error, for_good=for_good)) as called:
            try:
                verb(root)
            except expected:
                failed = True
        assert _seen(root) in allowed
        if len(called) <= k:
            assert not failed
            break
        assert failed, f"call {k}, {called[k]}, failed and nobody was told"
        verb(root)  # once the trouble is over, the same store goes on


def test_a_failed_fsync_is_not_tried_again(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    store.put("k", OLD)

    def fail_first_fsync(_number: int, name: str) -> None:
        if name == "fsync" and called.count("fsync") == 1:
            raise OSError(errno.EIO, "injected")

    with system_calls(fail_first_fsync) as called, pytest.raises(StoreUnavailable):
        store.put("k", NEW)
    assert called.count("fsync") == 1
    assert store.get("k") == OLD


def test_a_put_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    for verb, naming in ((store.put, "replace"), (store.put_if_absent, "link")):
        verb("k0", b"")
        with system_calls(lambda _number, _name: None) as called:
            verb(f"k-{naming}", b"data")
        named = called.index(naming)
        assert "fsync" in called[called.index("write") : named]
        assert "fsync" in called[named:]


def test_a_loser_has_the_winners_name_synced(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    store.put_if_absent("k", b"winner")
    with system_calls(lambda _number, _name: None) as called:
        assert not store.put_if_absent("k", b"loser")
    assert "fsync" in called[called.index("link") :]


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide_umask")
def test_only_the_owner_may_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    source.chmod(0o666)
    store = LocalObjectStore(tmp_path / "new" / "store")
    store.put("a/put", b"x")
    store.put_if_absent("a/absent", b"x")
    store.put_file_if_absent("b/file", source)
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_narrow_umask_does_not_lock_the_owner_out(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        store = LocalObjectStore(tmp_path / "store")
        store.put("a/k", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store" / "a" / "k").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store" / "a").stat().st_mode) == 0o700


def test_a_planted_link_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root = tmp_path / "store"
    store = LocalObjectStore(root)
    (root / "folder").symlink_to(outside)
    (root / "blob").symlink_to(outside / "secret")
    for key in ("folder/secret", "blob"):
        for call in (store.get, store.exists, store.scan_target, lambda k: store.verify(k, "0" * 64)):
            with pytest.raises(InvalidKey, match="link"):
                call(key)
    for write in (store.put, store.put_if_absent):
        with pytest.raises(InvalidKey, match="link"):
            write("folder/new", b"x")
    with pytest.raises(InvalidKey, match="link"):
        store.delete("folder/secret")
    store.put("blob", b"replaces the link, not what it points to")
    assert list(outside.iterdir()) == [outside / "secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert [info.key for info in store.list()] == ["blob"]


def test_a_key_cannot_lie_below_another(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    store.put("a", b"x")
    with pytest.raises(InvalidKey, match="is a key itself"):
        store.put("a/b", b"x")
    store.put("c/d", b"x")
    with pytest.raises(InvalidKey, match="keys below it"):
        store.put("c", b"x")
    assert store.get("a") == b"x"


def test_leftovers_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    root = tmp_path / "store"
    source = tmp_path / "source"
    source.write_bytes(NEW)
    LocalObjectStore(root)
    for k in range(4, 12):
        run_killed(_killed_at, k, _put_if_absent, root)
    partial_files = list((root / "#partial").iterdir())
    assert partial_files
    LocalObjectStore(root)
    assert list((root / "#partial").iterdir()) == partial_files  # a slow writer may still be at work
    old = time.time() - LEFTOVER_AGE_S - 1
    os.utime(partial_files[0], (old, old))
    LocalObjectStore(root)
    assert list((root / "#partial").iterdir()) == partial_files[1:]


def test_a_full_disk_is_told_apart_and_the_store_goes_on_when_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = LocalObjectStore(disk / "store")
        store.put("kept", b"k" * (1 << 20))
        source = tmp_path / "source"
        source.write_bytes(bytes(9 << 20))
        for verb in (
            lambda: store.put("kept", bytes(9 << 20)),
            lambda: store.put_if_absent("big", bytes(9 << 20)),
            lambda: store.put_file_if_absent("big", source),
        ):
            with pytest.raises(StoreFull) as caught:
                verb()
            assert caught.value.code == "store-full"
        assert list((disk / "store" / "#partial").iterdir()) == []  # the space is given back
        assert [(info.key, info.size) for info in store.list()] == [("kept", 1 << 20)]
        store.put("more", b"m" * (1 << 20))
        assert store.get("more") == b"m" * (1 << 20)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="file"):
        LocalObjectStore(tmp_path / "file" / "store")
