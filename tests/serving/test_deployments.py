"""Deployments in the store: revisions one after the other, and one winner of two."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from headrace.serving.deployments import Deployments
from headrace.serving.errors import DeploymentMoved, DeploymentUnknown, DeploymentUnreadable, NameInvalid
from headrace.serving.model import Deployment, Served
from headrace.serving.revisions import Change, begin, deploy_whole
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.local import LocalObjectStore
from headrace.testing.memory_objects import MemoryObjectStore


@pytest.fixture(params=["memory", "local"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryObjectStore() if request.param == "memory" else LocalObjectStore(tmp_path / "objects")


def served(number: int) -> Served:
    return Served(model="m", version=number, package=f"{number:064x}")


def change(at_us: int, by: str = "ann") -> Change:
    return Change(at_us=at_us, by=by, salt="s")


def first(name: str = "d", at_us: int = 10) -> Deployment:
    return begin(served(1), change(at_us), project="p", name=name)


def test_every_revision_is_kept_and_the_newest_answers(objects: ObjectStore) -> None:
    stored = Deployments(objects, "p")
    one = first()
    two = deploy_whole(one, served(2), change(20))
    stored.write(one)
    stored.write(two)
    assert stored.get("d") == two
    assert stored.history("d") == [one, two]
    assert stored.names() == ["d"]
    assert [stored.at("d", t) for t in (9, 10, 19, 20, 99)] == [None, one, one, two, two]


def test_of_two_who_change_it_one_is_told(objects: ObjectStore) -> None:
    stored = Deployments(objects, "p")
    one = first()
    stored.write(one)
    stored.write(deploy_whole(one, served(2), change(20)))
    with pytest.raises(DeploymentMoved, match="revision 2"):
        stored.write(deploy_whole(one, served(3), change(21, by="bob")))
    assert stored.get("d").arms[0].serves == served(2)


def test_of_many_at_once_one_wins(objects: ObjectStore) -> None:
    stored, one = Deployments(objects, "p"), first()
    stored.write(one)
    won: list[int] = []

    def write(number: int) -> None:
        try:
            stored.write(deploy_whole(one, served(number), change(20 + number)))
            won.append(number)
        except DeploymentMoved:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert stored.get("d").arms[0].serves.version == won[0]


def test_a_writer_that_died_half_way_is_helped_on(objects: ObjectStore) -> None:
    stored, one = Deployments(objects, "p"), first()
    stored.write(one)
    two = deploy_whole(one, served(2), change(20))
    objects.put(f"serving/p/deployments/d/{2:09d}.json", msgspec.json.encode(two, order="deterministic"))
    assert stored.get("d") == one  # nobody was told that it is there
    with pytest.raises(DeploymentMoved):
        stored.write(deploy_whole(one, served(3), change(21)))
    assert stored.get("d") == two
    stored.write(two)  # who died types it again: it is what stands there
    assert stored.get("d") == two


def test_the_same_revision_written_again_is_no_move(objects: ObjectStore) -> None:
    stored, one = Deployments(objects, "p"), first()
    stored.write(one)
    stored.write(one)
    assert stored.history("d") == [one]


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a" * 65, "a b", "ä"])
def test_names_are_plain(objects: ObjectStore, name: str) -> None:
    stored = Deployments(objects, "p")
    with pytest.raises(NameInvalid):
        stored.newest(name)
    with pytest.raises(NameInvalid):
        stored.write(first(name))


def test_what_is_not_there_is_named_with_what_is(objects: ObjectStore) -> None:
    stored = Deployments(objects, "p")
    with pytest.raises(DeploymentUnknown, match="none yet"):
        stored.get("d")
    stored.write(first("other"))
    with pytest.raises(DeploymentUnknown, match="there are: other"):
        stored.history("d")


def test_what_another_release_wrote_is_refused(objects: ObjectStore) -> None:
    stored = Deployments(objects, "p")
    stored.write(first())
    key = f"serving/p/deployments/d/{1:09d}.json"
    for data in (b"{}", b"\xff", msgspec.json.encode(msgspec.structs.replace(first(), format=2))):
        objects.put(key, data)
        with pytest.raises(DeploymentUnreadable):
            stored.get("d")
