"""Copies of packages in a server's folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from tests.scoring.made import KEY, id_of, package_files, signed

from headrace.errors import HeadraceError
from headrace.scoring.errors import PackageUnreadable
from headrace.scoring.package import content_id
from headrace.serving.deployments import Deployments
from headrace.serving.http.worker import read_local
from headrace.serving.model import Served
from headrace.serving.pulling import Known, Puller, ServerState, servers
from headrace.serving.revisions import Change, begin
from headrace.stores.errors import ObjectCorrupted, ObjectNotFound
from headrace.testing.memory_objects import MemoryObjectStore

STORED = signed(package_files(), task="binary")
PACKAGE = id_of(STORED)
CHANGE = Change(at_us=1, by="ann", salt="salt")


@pytest.fixture
def objects() -> MemoryObjectStore:
    made = MemoryObjectStore()
    for name, data in STORED.items():
        made.put(f"packages/{PACKAGE}/{name}", data)
    return made


@pytest.fixture
def puller(objects: MemoryObjectStore, tmp_path: Path) -> Puller:
    return Puller(objects, "p", tmp_path, clock=lambda: 0)


def is_whole(folder: Path) -> bool:
    return dict(read_local(folder, PACKAGE, (KEY.public,)).files) == {
        name: data for name, data in STORED.items() if not name.startswith("manifest")
    }


@pytest.mark.parametrize("name", sorted(STORED))
@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "empty"])
def test_a_copy_that_is_not_whole_is_copied_again(puller: Puller, name: str, damage: str) -> None:
    folder = puller.fetch(PACKAGE)
    assert is_whole(folder)
    path, data = folder / name, STORED[name]
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(data[:-1])
        case "changed":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        case _:
            path.write_bytes(b"")
    # of the signature alone only a worker can tell, which knows whose it has to be
    assert is_whole(puller.fetch(PACKAGE, anew=name == "manifest.sig"))


def test_a_copy_that_is_whole_needs_no_store(puller: Puller, objects: MemoryObjectStore) -> None:
    puller.fetch(PACKAGE)
    for info in list(objects.list()):
        objects.delete(info.key)
    assert is_whole(puller.fetch(PACKAGE))


def test_what_was_being_written_when_a_server_was_killed_is_no_part_of_a_package(puller: Puller) -> None:
    folder = puller.fetch(PACKAGE)
    for name in (".put-x", "#12-ab"):
        (folder / name).write_bytes(b"half")
    assert is_whole(puller.fetch(PACKAGE))
    (folder / "other.bin").write_bytes(b"")
    with pytest.raises(HeadraceError, match=r"other\.bin"):
        is_whole(folder)


def test_what_the_store_does_not_have_as_it_was_is_not_copied(
    puller: Puller, objects: MemoryObjectStore, tmp_path: Path
) -> None:
    objects.put(f"packages/{PACKAGE}/encoder.json", b"{}")
    with pytest.raises(ObjectCorrupted, match=r"encoder\.json"):
        puller.fetch(PACKAGE)
    objects.delete(f"packages/{PACKAGE}/encoder.json")
    with pytest.raises(ObjectNotFound, match=r"encoder\.json"):
        puller.fetch(PACKAGE)
    objects.put(f"packages/{PACKAGE}/manifest.json", b"{}")
    (tmp_path / "packages" / PACKAGE / "manifest.json").unlink()
    with pytest.raises(HeadraceError) as refused:
        puller.fetch(PACKAGE)
    assert refused.value.code == "package-mismatch"


def test_a_manifest_that_is_no_text_is_refused_as_what_it_is(puller: Puller, objects: MemoryObjectStore) -> None:
    data = b'{"model": "\xff"}'
    package = content_id(data)
    objects.put(f"packages/{package}/manifest.json", data)
    with pytest.raises(PackageUnreadable, match="manifest"):
        puller.fetch(package)


@pytest.mark.parametrize("data", [b"{", b'{"id": "\xff"}', b"0", b"", b"\xff"])
def test_damage_to_one_object_is_that_object_s_alone(puller: Puller, objects: MemoryObjectStore, data: bytes) -> None:
    made = begin(Served(model="m", version=1, package=PACKAGE), CHANGE, project="p", name="good", sticky=())
    Deployments(objects, "p").write(made)
    objects.put("serving/p/deployments/bad/newest", data)
    objects.put("serving/p/servers/bad.json", data)
    state = ServerState(id="good", at_us=7, address="h:1", workers=1, revisions={}, keys=0, failed={})
    puller.tell(state)
    pulled = puller.pull()
    assert pulled.deployments == (made,)
    assert list(pulled.unreadable) == ["bad"]
    assert servers(objects, "p", 7) == [state]


def test_a_server_of_a_later_release_is_no_less_there(objects: MemoryObjectStore) -> None:
    state = ServerState(id="new", at_us=7, host="h", address="h:1", workers=1, revisions={}, keys=0, failed={})
    later = msgspec.json.encode({**msgspec.to_builtins(state), "mood": "good"})
    objects.put("serving/p/servers/new.json", later)
    assert servers(objects, "p", 7) == [state]


def test_what_killed_servers_left_is_taken_away_after_a_month(puller: Puller, objects: MemoryObjectStore) -> None:
    now, day = 100 * 86_400_000_000, 86_400_000_000
    for name, at_us in (("old", now - 31 * day), ("younger", now - 29 * day), ("ahead", now + day)):
        state = ServerState(id=name, at_us=at_us, address="h:1", workers=1, revisions={}, keys=0, failed={})
        objects.put(f"serving/p/servers/{name}.json", msgspec.json.encode(state))
    puller.tell(ServerState(id="new", at_us=now, address="h:1", workers=1, revisions={}, keys=0, failed={}))
    left = [info.key.rpartition("/")[2] for info in objects.list("serving/p/servers/")]
    assert sorted(left) == ["ahead.json", "new.json", "younger.json"]


def test_copies_that_nobody_serves_any_more_are_taken_away_after_a_day(puller: Puller, tmp_path: Path) -> None:
    folder = puller.fetch(PACKAGE)
    for name in ("old", "kept", "young"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "model.onnx").write_bytes(b"x")
    for path in (folder, folder.parent / "old", folder.parent / "kept"):
        os.utime(path, (1.0, 1.0))
    assert puller.prune({"kept", PACKAGE}) == ["old"]
    assert {path.name for path in folder.parent.iterdir()} == {PACKAGE, "kept", "young"}
    assert is_whole(puller.fetch(PACKAGE))
    assert puller.prune({"kept"}) == [PACKAGE]
    assert is_whole(puller.fetch(PACKAGE))  # from the store


def test_every_file_that_is_kept_is_made_durable_before_its_name(
    puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def noted(*args: object, _real: object = real, _name: str = name, **more: object) -> object:
            calls.append(_name)
            assert callable(_real)
            return _real(*args, **more)

        monkeypatch.setattr(os, name, noted)
    puller.fetch(PACKAGE)
    assert calls.count("replace") == len(STORED)
    for at in [n for n, call in enumerate(calls) if call == "replace"]:
        assert (calls[at - 1], calls[at + 1]) == ("fsync", "fsync")
    calls.clear()
    puller.remember(Known(pulled_us=1, deployments=(), keys=()))
    assert calls[-3:] == ["fsync", "replace", "fsync"]
