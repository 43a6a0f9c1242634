"""Online values in LMDB: its own promises beside the suite's."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from headrace.stores.errors import OnlineCorrupted, StoreFull, StoreUnavailable, UnknownStore
from headrace.stores.online import local
from headrace.stores.online.local import LocalOnlineStore
from headrace.stores.online.open import open_online
from headrace.testing.faults import small_disk
from headrace.testing.online import Opener, SharedOnlineStoreSuite


class TestLocalOnlineStore(SharedOnlineStoreSuite):
    @pytest.fixture
    def opener(self, quick_path: Path) -> Opener:
        return partial(LocalOnlineStore, quick_path / "online")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not LMDB at all" * 1000)
    with pytest.raises(OnlineCorrupted, match="headrace materialize") as caught:
        LocalOnlineStore(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="file"):
        LocalOnlineStore(tmp_path / "file" / "online")


def test_a_full_map_says_so_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAP_BYTES", (1 << 20,))
    store = LocalOnlineStore(tmp_path)
    store.update("s", [(b"a", b"1")], b"first")
    with pytest.raises(StoreFull, match=str(tmp_path)):
        store.update("s", [(b"%d" % n, bytes(10_000)) for n in range(1000)], b"second")
    assert store.read("s", [b"a", b"0"]) == (b"first", [b"1", None])
    store.close()


def test_a_full_disk_says_so_and_keeps_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=4 << 20) as folder:
        store = LocalOnlineStore(folder / "online")
        store.update("s", [(b"a", b"1")], b"first")
        with pytest.raises(StoreFull, match="online"):
            store.update("s", [(b"%d" % n, bytes(10_000)) for n in range(1000)], b"second")
        assert store.read("s", [b"a", b"0"]) == (b"first", [b"1", None])
        store.close()


FORKS = """
import os, sys
from pathlib import Path
from headrace.stores.online.local import LocalOnlineStore
store = LocalOnlineStore(Path(sys.argv[1]))
store.update("s", [(b"a", b"1")], b"first")
child = os.fork()
store.update("s", [(b"child" if child == 0 else b"parent", b"2")], b"second")
assert store.read("s", [b"a"]).values == [b"1"]
if child == 0:
    store.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert store.read("s", [b"a", b"child", b"parent"]) == (b"second", [b"1", b"2", b"2"])
store.close()
"""


def test_a_child_of_a_fork_opens_the_file_anew(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKS, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownStore, match="redis"):
        open_online("memcached://host", tmp_path)
    with pytest.raises(UnknownStore, match="absolute"):
        open_online("file://relative", tmp_path)
