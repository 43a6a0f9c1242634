"""A package is read only if every byte is what was signed, by somebody trusted, and nothing else lies with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.made import KEY, OTHER_KEY, id_of, package_files, signed

from headrace.scoring.errors import (
    PackageDamaged,
    PackageFileMissing,
    PackageFileUnknown,
    PackageMismatch,
    PackageRefused,
    PackageTooLarge,
    PackageUnreadable,
    SignatureWrong,
    SignerNotTrusted,
)
from headrace.scoring.model import Manifest
from headrace.scoring.package import (
    FILES,
    MANIFEST,
    OPTIONAL,
    SIGNATURE,
    Package,
    build_manifest,
    content_id,
    draft_package,
    read_package,
    sign_manifest,
)

STORED = signed(package_files())
ID = id_of(STORED)


def read(stored: Mapping[str, bytes], *, package: str = ID, signers: tuple[str, ...] = (KEY.public,)) -> Package:
    sizes = {name: len(data) for name, data in stored.items()}
    return read_package(stored.__getitem__, package=package, signers=signers, listing=sizes)


def test_what_was_signed_is_read() -> None:
    package = read(STORED)
    assert package.files == package_files()
    assert (package.id, package.signer, package.manifest.model) == (ID, KEY.public, "delays")


def test_equal_files_give_equal_bytes_in_whatever_order() -> None:
    files = package_files()
    backwards = dict(sorted(files.items(), reverse=True))
    assert build_manifest("delays", "binary", files) == build_manifest("delays", "binary", backwards)
    assert sign_manifest(STORED[MANIFEST], KEY) == STORED[SIGNATURE]


def test_the_manifest_holds_no_instant_and_no_path() -> None:
    manifest = json.loads(STORED[MANIFEST])
    assert sorted(manifest) == ["files", "format", "model", "task"]
    assert all(sorted(entry) == ["name", "sha256", "size"] for entry in manifest["files"])


def changes_of(data: bytes) -> list[tuple[str, bytes]]:
    """One flipped bit at the start, in the middle and at the end, a cut tail, zeros, nothing, one more byte."""

    def flip(place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]

    zeros = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    changes = [("first bit", flip(0)), ("middle bit", flip(len(data) // 2)), ("last bit", flip(len(data) - 1))]
    return [*changes, ("truncated", data[:-1]), ("zeros", zeros), ("empty", b""), ("longer", data + b"\n")]


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("name", sorted(STORED))
def test_any_changed_file_is_refused_by_name(name: str, listed: bool) -> None:
    for what, data in changes_of(STORED[name]):
        stored = {**STORED, name: data}
        sizes = {each: len(content) for each, content in stored.items()} if listed else None
        with pytest.raises(PackageRefused) as refusal:
            read_package(stored.__getitem__, package=ID, signers=[KEY.public], listing=sizes)
        assert refusal.value.facts["file"] == name, what
        assert refusal.value.fix


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_a_package_without_a_later_file_is_one_of_an_earlier_release(name: str) -> None:
    files = {each: data for each, data in package_files().items() if each != name}
    stored = signed(files)
    listing = {name: len(data) for name, data in stored.items()}
    for told in (None, listing):
        package = read_package(stored.__getitem__, package=id_of(stored), signers=[KEY.public], listing=told)
        assert set(package.files) == set(files)
    with pytest.raises(PackageRefused):  # what is not listed is no part of it
        read_package(stored.__getitem__, package=id_of(stored), signers=[KEY.public], listing={**listing, name: 2})


@given(st.sampled_from(sorted(STORED)), st.data())
def test_any_flipped_bit_anywhere_is_refused_by_name(name: str, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(STORED[name]) - 1))
    flipped = bytearray(STORED[name])
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PackageRefused) as refusal:
        read({**STORED, name: bytes(flipped)})
    assert refusal.value.facts["file"] == name


@pytest.mark.parametrize("first", sorted(FILES))
def test_two_valid_files_swapped_are_refused(first: str) -> None:
    second = "README.md" if first != "README.md" else "model.onnx"
    swapped = {**STORED, first: STORED[second], second: STORED[first]}
    with pytest.raises(PackageDamaged):
        read(swapped)
    with pytest.raises(PackageDamaged):
        read_package(swapped.__getitem__, package=ID, signers=[KEY.public])


@pytest.mark.parametrize("name", sorted(STORED))
def test_a_missing_file_is_named(name: str) -> None:
    stored = {key: data for key, data in STORED.items() if key != name}
    for listing in (None, {key: len(data) for key, data in stored.items()}):
        with pytest.raises(PackageFileMissing, match=name):
            read_package(stored.__getitem__, package=ID, signers=[KEY.public], listing=listing)


@pytest.mark.parametrize("name", ["model.pkl", "MODEL.ONNX", "sub/model.onnx", "manifest.json.bak", ".hidden", "../x"])
def test_a_file_that_no_package_has_is_refused(name: str) -> None:
    with pytest.raises(PackageFileUnknown) as refusal:
        read({**STORED, name: b"x"})
    assert refusal.value.facts["file"] == name


def test_an_older_signed_package_under_a_new_id_is_refused() -> None:
    older = signed(package_files(seed=1))
    with pytest.raises(PackageMismatch, match=ID):
        read(older)


def test_an_older_manifest_and_signature_over_new_files_are_refused() -> None:
    older = signed(package_files(seed=1))
    with pytest.raises(PackageMismatch):
        read({**STORED, MANIFEST: older[MANIFEST], SIGNATURE: older[SIGNATURE]})
    with pytest.raises(PackageDamaged, match=r"golden\.json"):
        read({**STORED, MANIFEST: older[MANIFEST], SIGNATURE: older[SIGNATURE]}, package=id_of(older))


def test_a_signer_that_is_not_listed_is_refused_with_the_line_to_add() -> None:
    stored = signed(package_files(), key=OTHER_KEY)
    with pytest.raises(SignerNotTrusted, match=r"\[trust\]") as refusal:
        read(stored)
    assert OTHER_KEY.public in str(refusal.value)
    with pytest.raises(SignerNotTrusted, match="trusts nobody"):
        read(STORED, signers=())
    assert read(stored, signers=(KEY.public, OTHER_KEY.public)).signer == OTHER_KEY.public


def test_a_signature_that_claims_a_trusted_signer_is_refused() -> None:
    theirs = msgspec.json.decode(sign_manifest(STORED[MANIFEST], OTHER_KEY))
    forged = msgspec.json.encode({**theirs, "signer": KEY.public}, order="sorted")
    with pytest.raises(SignatureWrong):
        read({**STORED, SIGNATURE: forged})


def test_a_signature_over_the_bare_manifest_does_not_count() -> None:
    class Naive:
        public = KEY.public

        def sign(self, message: bytes) -> bytes:
            return KEY.sign(message.removeprefix(b"headrace package v1\n"))

    with pytest.raises(SignatureWrong):
        read({**STORED, SIGNATURE: sign_manifest(STORED[MANIFEST], Naive())})


def resigned(change: Callable[[dict[str, object]], None]) -> dict[str, bytes]:
    """A manifest that was changed and signed by the trusted key itself: only its form can be wrong."""
    manifest = json.loads(STORED[MANIFEST])
    change(manifest)
    data = msgspec.json.encode(manifest, order="sorted")
    return {**STORED, MANIFEST: data, SIGNATURE: sign_manifest(data, KEY)}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format=2),
        lambda m: m.update(comment="hello"),
        lambda m: m.pop("task"),
        lambda m: m["files"].reverse(),
        lambda m: m["files"].append(m["files"][0]),
        lambda m: m["files"][0].update(size="7"),
        lambda m: m["files"].pop(),
        lambda m: m["files"].append({"name": "zzz", "sha256": "0" * 64, "size": 1}),
        lambda m: m["files"][0].update(name="../README.md"),
    ],
)
def test_a_signed_manifest_of_another_form_is_refused(change: Callable[[dict[str, object]], None]) -> None:
    stored = resigned(change)
    with pytest.raises((PackageUnreadable, PackageFileUnknown, PackageFileMissing)):
        read(stored, package=id_of(stored))


def test_a_manifest_that_is_not_canonical_is_refused() -> None:
    spaced = json.dumps(json.loads(STORED[MANIFEST]), sort_keys=True).encode()
    stored = {**STORED, MANIFEST: spaced, SIGNATURE: sign_manifest(spaced, KEY)}
    with pytest.raises(PackageUnreadable, match="canonical"):
        read(stored, package=content_id(spaced))


def test_a_file_beyond_the_cap_is_refused_before_it_is_read() -> None:
    limit = FILES["README.md"]

    def never(name: str) -> bytes:
        assert name != "README.md"
        return STORED[name]

    sizes = {name: len(data) for name, data in STORED.items()} | {"README.md": limit + 1}
    with pytest.raises(PackageTooLarge, match=r"README\.md"):
        read_package(never, package=ID, signers=[KEY.public], listing=sizes)
    stored = resigned(lambda m: m["files"][0].update(size=limit + 1))  # type: ignore[index]
    with pytest.raises(PackageTooLarge, match=r"README\.md"):
        read_package(
            lambda name: never(name) if name == "README.md" else stored[name],
            package=id_of(stored),
            signers=[KEY.public],
        )
    with pytest.raises(PackageTooLarge):
        build_manifest("delays", "binary", package_files(replaced={"README.md": bytes(limit + 1)}))


def test_a_deeply_nested_manifest_is_refused() -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    with pytest.raises(PackageUnreadable):
        read({**STORED, MANIFEST: deep, SIGNATURE: sign_manifest(deep, KEY)}, package=content_id(deep))


def test_files_are_packed_only_as_a_whole() -> None:
    with pytest.raises(PackageFileMissing, match=r"README\.md"):
        build_manifest("delays", "binary", {k: v for k, v in package_files().items() if k != "README.md"})
    with pytest.raises(PackageFileUnknown, match=r"model\.pkl"):
        build_manifest("delays", "binary", {**package_files(), "model.pkl": b""})


def test_a_draft_has_the_id_that_it_will_be_signed_under() -> None:
    draft = draft_package("delays", "binary", package_files())
    assert (draft.id, draft.signer) == (ID, None)
    assert isinstance(draft.manifest, Manifest)
