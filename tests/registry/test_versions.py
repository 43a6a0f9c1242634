"""The registry on real stores: versions without gaps, aliases with history, packages refused on any difference."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.made import KEY, OTHER_KEY, lineage, package_files, signed

from headrace.governance.errors import SigningKeyMissing
from headrace.registry.aliases import number_at, previous
from headrace.registry.errors import (
    AliasInvalid,
    AliasMoved,
    AliasUnknown,
    ExportTargetTaken,
    ModelUnknown,
    NothingToRollBack,
    RecordMismatch,
    ReferenceInvalid,
    VersionUnknown,
)
from headrace.registry.model import AliasChange, Version
from headrace.registry.reference import parse_ref
from headrace.registry.versions import Registry
from headrace.scoring.errors import PackageFileUnknown, PackageMismatch, PackageRefused, SignerNotTrusted
from headrace.scoring.package import MANIFEST, SIGNATURE, content_id
from headrace.stores.catalog import Catalog
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects import ObjectStore
from headrace.stores.objects.local import LocalObjectStore

SUMMARY: dict[str, Any] = {
    "task": "binary",
    "family": "lightgbm",
    "trial": 3,
    "metrics": [{"name": "log_loss", "value": 0.4, "low": 0.39, "high": 0.41, "higher_is_better": False}],
    "currency": "USD",
    "cost_per_million": 906.0,
    "costs": {"errors": 900.0, "serving": 5.0, "training": 1.0},
}


class Clock:
    """Microseconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog("catalog.db", tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return LocalObjectStore(tmp_path / "objects")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(catalog: Catalog, objects: ObjectStore, clock: Clock) -> Registry:
    return Registry(catalog, objects, "flights", clock=clock, signers=[KEY.public], key=KEY)


def register(registry: Registry, seed: int, *, model: str = "delays") -> Version:
    return registry.register(model, package_files(seed=seed), "run-1", SUMMARY)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_versions_are_numbered_from_one(registry: Registry) -> None:
    versions = [register(registry, seed) for seed in range(3)]
    assert [version.number for version in versions] == [1, 2, 3]
    assert [version.number for version in registry.list("delays")] == [3, 2, 1]
    assert registry.models() == ("delays",)
    assert versions[0].package == content_id(signed(package_files(seed=0))[MANIFEST])


def test_the_same_files_again_are_the_same_version(registry: Registry, clock: Clock) -> None:
    first = register(registry, 0)
    register(registry, 1)
    clock.now += 5
    assert register(registry, 0) == first
    assert len(registry.list("delays")) == 2


def test_models_of_a_project_are_numbered_apart_and_projects_do_not_meet(
    registry: Registry, catalog: Catalog, objects: ObjectStore, clock: Clock
) -> None:
    other = Registry(catalog, objects, "elsewhere", clock=clock, signers=[KEY.public], key=KEY)
    assert [register(registry, 0).number, register(registry, 0, model="churn").number] == [1, 1]
    assert other.models() == ()
    assert register(other, 1).number == 1
    assert registry.models() == ("churn", "delays")
    assert [v.model for v in registry.list()] == ["churn", "delays"]


def test_without_a_key_nothing_is_registered(catalog: Catalog, objects: ObjectStore, clock: Clock) -> None:
    with pytest.raises(SigningKeyMissing):
        register(Registry(catalog, objects, "flights", clock=clock, signers=[KEY.public], key=None), 0)


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
def test_fifty_that_register_at_a_time_leave_no_gap(
    server: str, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest
) -> None:
    url = "catalog.db" if server == "sqlite" else request.getfixturevalue("postgres_url")
    catalog = open_catalog(url, tmp_path)
    registry = Registry(
        catalog, LocalObjectStore(tmp_path / "objects"), "p", clock=clock, signers=[KEY.public], key=KEY
    )
    numbers: list[int] = []
    errors: list[BaseException] = []
    start = threading.Barrier(50)

    def work(seed: int) -> None:
        try:
            files = {**package_files(), "profile.json": str(seed).encode()}
            start.wait()
            numbers.append(registry.register("delays", files, "run", SUMMARY).number)
        except BaseException as error:  # a thread's error must reach the test
            errors.append(error)

    # 45 different packages; five of them are registered by two at a time
    threads = [threading.Thread(target=work, args=(n % 45,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(set(numbers)) == list(range(1, 46))
    for version in registry.list("delays"):
        registry.verify(version)
    catalog.close()


def test_a_registration_killed_before_its_transaction_and_run_again_makes_one_version(
    registry: Registry, objects: ObjectStore, tmp_path: Path
) -> None:
    stored = signed(package_files(seed=0))
    package = content_id(stored[MANIFEST])
    for kept in range(len(stored) + 1):
        for name, data in list(stored.items())[:kept]:
            objects.put(f"packages/{package}/{name}", data)
    assert register(registry, 0).number == 1
    registry.verify(registry.get("delays@1"))


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from headrace.registry.versions import Registry
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects.local import LocalObjectStore
from tests.scoring.made import KEY, package_files
left = int(sys.argv[3])
class Mortal(LocalObjectStore):
    def put_if_absent(self, key, data):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return super().put_if_absent(key, data)
root = Path(sys.argv[2])
registry = Registry(open_catalog("catalog.db", root), Mortal(root / "objects"), "flights",
                    clock=lambda: 1, signers=[KEY.public], key=KEY)
registry.register("delays", package_files(seed=0), "run", {})
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("puts", [0, 5, 11, 12])
def test_kill_9_during_a_registration_leaves_all_or_nothing(registry: Registry, tmp_path: Path, puts: int) -> None:
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", KILLED, str(root), str(tmp_path), str(puts)], check=False)
    assert child.returncode == -9
    done = registry.models() == ("delays",)
    assert done is (puts == 12)
    assert register(registry, 0).number == 1
    assert len(registry.list("delays")) == 1
    registry.verify(registry.get("delays@1"))


def test_a_damaged_file_is_mended_by_registering_the_same_files_again(registry: Registry, objects: ObjectStore) -> None:
    version = register(registry, 0)
    for name in ("model.onnx", MANIFEST, SIGNATURE):
        objects.put(f"packages/{version.package}/{name}", b"damaged")
    with pytest.raises(PackageRefused):
        registry.read(version)
    assert register(registry, 0) == version
    registry.verify(version)


def test_a_package_signed_by_a_colleague_keeps_its_signature(
    registry: Registry, catalog: Catalog, objects: ObjectStore, clock: Clock
) -> None:
    both = [KEY.public, OTHER_KEY.public]
    first = register(registry, 0)
    colleague = Registry(catalog, objects, "flights", clock=clock, signers=both, key=OTHER_KEY)
    assert register(colleague, 0) == first
    assert registry.verify(first).signer == KEY.public


def test_a_version_is_named_by_number_or_alias(registry: Registry) -> None:
    assert registry.champion("delays") is None
    register(registry, 0)
    register(registry, 1)
    assert registry.champion("delays") is None
    registry.promote("delays", 2, by="ada")
    registry.promote("delays", 1, "challenger", by="ada")
    champion = registry.champion("delays")
    assert champion is not None
    assert champion == registry.get("delays")
    assert champion.number == 2
    assert registry.get("delays@champion").aliases == ("champion",)
    assert registry.get("delays@challenger").number == 1
    assert registry.get("delays@1").aliases == ("challenger",)
    assert registry.get("@2", model="delays").number == 2
    assert [v.aliases for v in registry.list("delays")] == [("champion",), ("challenger",)]


def test_a_name_that_is_not_there_is_answered_with_the_nearest(registry: Registry) -> None:
    register(registry, 0)
    register(registry, 1)
    registry.promote("delays", 1, by="ada")
    with pytest.raises(ModelUnknown, match="did you mean 'delays'"):
        registry.get("delay@1")
    with pytest.raises(AliasUnknown, match="did you mean 'champion'"):
        registry.get("delays@champoin")
    with pytest.raises(VersionUnknown, match="did you mean 2"):
        registry.promote("delays", 3, by="ada")
    with pytest.raises(ModelUnknown):
        registry.list("nothing")


@pytest.mark.parametrize("text", ["", "@", "delays@", "delays@0", "delays@-1", "delays@1.5", "delays@Champion", "a@b@c",
                                  "../x", "a/b", "delays@" + "9" * 30, "-x", "delays @1", "delays@1\n"])  # fmt: skip
def test_a_text_that_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        parse_ref(text)


@pytest.mark.parametrize("alias", ["", "3", "Champion", "a b", "x" * 65, "../x"])
def test_an_alias_is_never_a_number_or_a_path(registry: Registry, alias: str) -> None:
    register(registry, 0)
    with pytest.raises(AliasInvalid):
        registry.promote("delays", 1, alias, by="ada")


def test_an_alias_has_a_history(registry: Registry, clock: Clock) -> None:
    for seed in range(3):
        register(registry, seed)
    for number, now in ((1, 10), (2, 20), (3, 30)):
        clock.now = now
        registry.promote("delays", number, by="ada", reason=f"r{number}")
    assert registry.at("delays", "champion", 9) is None
    held = [registry.at("delays", "champion", t) for t in (10, 19, 20, 29, 30, 99)]
    assert [version.number for version in held if version] == [1, 1, 2, 2, 3, 3]
    assert [(c.number, c.at_us, c.by, c.reason) for c in registry.history("delays")] == [
        (1, 10, "ada", "r1"),
        (2, 20, "ada", "r2"),
        (3, 30, "ada", "r3"),
    ]


def test_a_clock_that_jumps_back_changes_neither_order_nor_answers(registry: Registry, clock: Clock) -> None:
    for seed in range(4):
        register(registry, seed)
    for number, now in ((1, 100), (2, 50), (3, 120), (4, 110)):
        clock.now = now
        registry.promote("delays", number, by="ada")
    history = registry.history("delays")
    assert [change.number for change in history] == [1, 2, 3, 4]
    assert [change.at_us for change in history] == [100, 100, 120, 120]
    at = {t: registry.at("delays", "champion", t) for t in (60, 100, 115, 120)}
    assert {t: version and version.number for t, version in at.items()} == {60: None, 100: 2, 115: 2, 120: 4}
    clock.now = 0
    assert registry.rollback("delays", by="ada").number == 3


def test_promoting_what_is_promoted_records_nothing(registry: Registry, clock: Clock) -> None:
    register(registry, 0)
    first = registry.promote("delays", 1, by="ada")
    clock.now += 1
    assert registry.promote("delays", 1, by="bob") == first
    assert len(registry.history("delays")) == 1


def test_rolling_back_goes_back_and_never_forward(registry: Registry) -> None:
    for seed in range(3):
        register(registry, seed)
        registry.promote("delays", seed + 1, by="ada")
    assert registry.rollback("delays", by="ada", reason="bad").number == 2
    assert registry.rollback("delays", by="ada").number == 1
    with pytest.raises(NothingToRollBack):
        registry.rollback("delays", by="ada")
    assert registry.get("delays").number == 1
    registry.promote("delays", 3, by="ada")
    assert registry.rollback("delays", by="ada").number == 1


def test_rolling_back_what_is_not_there_is_an_error(registry: Registry) -> None:
    with pytest.raises(ModelUnknown):
        registry.rollback("delays", by="ada")
    register(registry, 0)
    with pytest.raises(AliasUnknown):
        registry.rollback("delays", by="ada")


numbers = st.lists(st.integers(1, 4), min_size=1, max_size=20)


@given(numbers)
def test_any_rollbacks_walk_back_through_what_was_promoted_and_end(promoted: list[int]) -> None:
    past = [
        AliasChange(model="m", alias="a", number=number, at_us=seq, by="b", reason="")
        for seq, number in enumerate(number for i, number in enumerate(promoted) if i == 0 or promoted[i - 1] != number)
    ]
    for _ in range(len(past)):
        before = past[-1].number
        try:
            number = previous(past, "m", "a")
        except NothingToRollBack:
            break
        assert number != before
        past.append(AliasChange(model="m", alias="a", number=number, at_us=len(past), by="b", reason=""))
        assert number_at(past, len(past)) == number
    else:
        pytest.fail("rolling back never ended")


def test_promotion_can_be_a_compare_and_set(registry: Registry) -> None:
    for seed in range(3):
        register(registry, seed)
    registry.promote("delays", 1, by="ada")
    registry.promote("delays", 2, by="bob", expected=1)
    with pytest.raises(AliasMoved, match="version 1 and is at version 2"):
        registry.promote("delays", 3, by="eve", expected=1)
    assert registry.get("delays").number == 2


def test_of_many_that_promote_from_the_same_version_one_wins(registry: Registry) -> None:
    for seed in range(9):
        register(registry, seed)
    registry.promote("delays", 9, by="ada")
    outcomes: list[int | None] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        try:
            outcomes.append(registry.promote("delays", number, by=str(number), expected=9).number)
        except AliasMoved:
            outcomes.append(None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for number in outcomes if number is not None]
    assert len(outcomes) == 8
    assert winners == [registry.get("delays").number]
    assert [change.number for change in registry.history("delays")] == [9, *winners]


def test_what_nobody_could_load_is_not_promoted(registry: Registry, objects: ObjectStore) -> None:
    version = register(registry, 0)
    objects.put(f"packages/{version.package}/model.onnx", b"damaged")
    with pytest.raises(PackageRefused):
        registry.promote("delays", 1, by="ada")
    assert registry.history("delays") == ()


def test_verify_reads_everything(registry: Registry, objects: ObjectStore) -> None:
    version = register(registry, 0)
    found = registry.verify(version)
    assert (found.files, found.signer, found.lineage) == (12, KEY.public, lineage())
    assert found.snapshots_kept == {"flights": False}
    objects.put(f"snapshots/{'a' * 64}.parquet", b"x")
    assert registry.verify(version).snapshots_kept == {"flights": True}


@pytest.mark.parametrize("name", sorted(signed(package_files())))
def test_a_flipped_byte_in_any_file_is_found(registry: Registry, objects: ObjectStore, name: str) -> None:
    version = register(registry, 0)
    key = f"packages/{version.package}/{name}"
    whole = objects.get(key)
    for place in {0, len(whole) // 2, len(whole) - 1}:
        objects.put(key, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        for read in (registry.read, registry.verify):
            with pytest.raises(PackageRefused) as refusal:
                read(version)
            assert refusal.value.facts["file"] == name
    objects.delete(key)
    with pytest.raises(PackageRefused, match=name.replace(".", r"\.")):
        registry.read(version)


def test_an_extra_file_beside_the_package_is_refused(registry: Registry, objects: ObjectStore) -> None:
    version = register(registry, 0)
    objects.put(f"packages/{version.package}/loader.py", b"import os")
    with pytest.raises(PackageFileUnknown, match=r"loader\.py"):
        registry.read(version)


def test_an_older_signed_package_in_the_place_of_a_newer_one_is_refused(
    registry: Registry, objects: ObjectStore
) -> None:
    older, newer = register(registry, 0), register(registry, 1)
    for name in signed(package_files()):
        objects.put(f"packages/{newer.package}/{name}", objects.get(f"packages/{older.package}/{name}"))
    with pytest.raises(PackageMismatch):
        registry.read(newer)


def test_a_signer_that_the_project_does_not_list_is_refused(
    catalog: Catalog, objects: ObjectStore, clock: Clock
) -> None:
    theirs = Registry(catalog, objects, "flights", clock=clock, signers=[OTHER_KEY.public], key=OTHER_KEY)
    version = register(theirs, 0)
    ours = Registry(catalog, objects, "flights", clock=clock, signers=[KEY.public], key=KEY)
    with pytest.raises(SignerNotTrusted):
        ours.read(version)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"signer": OTHER_KEY.public}, RecordMismatch), ({"model": "churn"}, PackageMismatch)],
)
def test_a_catalog_that_says_something_else_is_refused(
    registry: Registry, change: dict[str, Any], error: type[Exception]
) -> None:
    version = register(registry, 0)
    with pytest.raises(error):
        registry.read(msgspec.structs.replace(version, **change))


def test_verify_compares_the_catalogs_list_of_files(registry: Registry, catalog: Catalog) -> None:
    version = register(registry, 0)
    with catalog.write() as writer:
        writer.update("version_files", {"package": version.package, "name": "README.md"}, {"sha256": "0" * 64})
    with pytest.raises(RecordMismatch, match=r"README\.md"):
        registry.verify(version)


def test_an_export_holds_the_packages_files_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    version = register(registry, 0)
    folder = registry.export(version, tmp_path / "deep" / "out")
    assert files_in(folder) == signed(package_files(seed=0))
    assert os.listdir(folder.parent) == ["out"]  # noqa: PTH208 - hidden names too
    empty = tmp_path / "empty"
    empty.mkdir()
    registry.export(version, empty)
    assert files_in(empty) == files_in(folder)


def occupied(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").write_text("precious")


@pytest.mark.parametrize("occupy", [occupied, lambda f: f.write_text("precious"), lambda f: f.symlink_to("/tmp")])
def test_an_export_never_touches_what_is_there(
    registry: Registry, tmp_path: Path, occupy: Callable[[Path], object]
) -> None:
    version = register(registry, 0)
    occupy(tmp_path / "out")
    with pytest.raises(ExportTargetTaken):
        registry.export(version, tmp_path / "out")


def test_a_damaged_package_is_not_exported(registry: Registry, objects: ObjectStore, tmp_path: Path) -> None:
    version = register(registry, 0)
    objects.put(f"packages/{version.package}/README.md", b"damaged")
    with pytest.raises(PackageRefused):
        registry.export(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_versions_are_compared(registry: Registry) -> None:
    a = register(registry, 0)
    worse = {"name": "log_loss", "value": 0.5, "low": 0.4, "high": 0.6, "higher_is_better": False}
    only = {"name": "roc_auc", "value": 0.7, "low": 0.6, "high": 0.8, "higher_is_better": True}
    summary = {**SUMMARY, "metrics": [worse, only], "costs": {**SUMMARY["costs"], "serving": 2.0}}
    b = registry.register("delays", package_files(seed=1), "run-2", summary)
    found = registry.compare(a, b)
    assert [(m.name, m.a, m.b, m.better) for m in found.metrics] == [
        ("log_loss", 0.4, 0.5, "a"),
        ("roc_auc", None, 0.7, None),
    ]
    assert {c.name.split(" ")[0]: c.better for c in found.costs} == {
        "errors": None,
        "serving": "b",
        "training": None,
        "total": None,
    }
    assert [file.name for file in found.files if not file.same] == ["golden.json", "model.onnx"]


@settings(max_examples=5)
@given(st.text(max_size=30))
def test_a_reference_never_leaves_its_alphabet(text: str) -> None:
    try:
        found = parse_ref(text)
    except ReferenceInvalid:
        return
    assert "/" not in found.model
    assert not found.model.startswith(".")
