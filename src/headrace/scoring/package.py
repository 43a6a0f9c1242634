"""The package: a signed set of data files, read from bytes and refused on any difference.

The manifest lists every file with its SHA-256; the SHA-256 of the manifest's own bytes is the package's content id; the
signature is over the manifest. docs/reference/package.md describes each file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

import msgspec

from headrace.definition.model import Task
from headrace.governance.errors import PublicKeyInvalid, SignatureRefused
from headrace.scoring.errors import (
    PackageDamaged,
    PackageFileMissing,
    PackageFileUnknown,
    PackageMismatch,
    PackageTooLarge,
    PackageUnreadable,
    SignatureWrong,
    SignerNotTrusted,
)
from headrace.scoring.model import FileEntry, Manifest, ManifestSignature
from headrace.stores.errors import ObjectNotFound

_MIB: Final = 1024 * 1024
FILES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "README.md": _MIB,
        "certificate.json": _MIB,
        "contract.json": 4 * _MIB,
        "decision.json": _MIB,
        "encoder.json": 64 * _MIB,
        "golden.json": 64 * _MIB,
        "lineage.json": _MIB,
        "model.onnx": 256 * _MIB,
        "profile.json": 64 * _MIB,
        "program.json": 8 * _MIB,
    }
)
"""Every file that the manifest may list, by name, and the most bytes that it may have."""
OPTIONAL: Final = frozenset({"certificate.json", "golden.json"})
"""Files that packages of earlier releases do not have."""
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
_ENVELOPE: Final[Mapping[str, int]] = MappingProxyType({MANIFEST: 64 * 1024, SIGNATURE: 4096})
_DOMAIN: Final = b"headrace package v1\n"
"""Signed before the manifest, so that a signature made for anything else never counts for a package."""

T = TypeVar("T")


class Signs(Protocol):
    """What signs: `headrace.governance.signing.SigningKey`."""

    @property
    def public(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose every byte agrees with what was signed."""

    files: Mapping[str, bytes]
    """The files that the manifest lists."""
    manifest: Manifest
    id: str
    """SHA-256 of the manifest's bytes."""
    signer: str | None
    """The public key that signed it; None for a draft."""


def build_manifest(model: str, task: Task, files: Mapping[str, bytes]) -> bytes:
    """The manifest of these files: canonical JSON, so that equal files give equal bytes.

    Raises `PackageFileMissing` or `PackageFileUnknown` unless the files are those of `FILES`, and `PackageTooLarge`.
    """
    _check_names(files, "files to pack")
    for name, data in files.items():
        if len(data) > FILES[name]:
            raise PackageTooLarge(name, size=len(data), limit=FILES[name])
    entries = tuple(FileEntry(name=name, sha256=_sha256(files[name]), size=len(files[name])) for name in sorted(files))
    return _canonical(Manifest(model=model, task=task, files=entries))


def content_id(manifest: bytes) -> str:
    """The package's content id: 64 hexadecimal digits."""
    return _sha256(manifest)


def sign_manifest(manifest: bytes, key: Signs) -> bytes:
    """The bytes of `manifest.sig`."""
    signature = base64.b64encode(key.sign(_DOMAIN + manifest)).decode("ascii")
    return _canonical(ManifestSignature(signer=key.public, signature=signature))


def draft_package(model: str, task: Task, files: Mapping[str, bytes]) -> Package:
    """An unsigned package of files that never left this process: what training measures before it registers."""
    manifest = build_manifest(model, task, files)
    return Package(
        MappingProxyType(dict(files)), msgspec.json.decode(manifest, type=Manifest), content_id(manifest), None
    )


def read_package(
    read: Callable[[str], bytes],
    *,
    package: str,
    signers: Sequence[str],
    listing: Mapping[str, int] | None = None,
) -> Package:
    """Read and check a package; nothing of it is used before everything has been checked.

    Parameters
    ----------
    read
        The bytes of a file by its name; raises KeyError, FileNotFoundError or ObjectNotFound when there is none.
    package
        The content id that is wanted.
    signers
        Public keys that are trusted, `ed25519:BASE64`.
    listing
        Name → size of everything that lies where the package is read from, if the place can tell: what is no part of
        a package is refused, and so is a file of another size, before it is read.

    Raises
    ------
    PackageRefused : one of its kinds; `facts["file"]` names the file.
    """
    if listing is not None:
        _check_listing(listing)
    manifest_bytes = _read(read, MANIFEST)
    if content_id(manifest_bytes) != package:
        raise PackageMismatch(what="package", expected=package, found=content_id(manifest_bytes))
    signer = check_signature(_read(read, SIGNATURE), manifest_bytes, signers)
    manifest = _decode(MANIFEST, manifest_bytes, Manifest)
    if manifest.format != 1:
        raise PackageUnreadable(MANIFEST, f"it has format {manifest.format}, this release reads format 1")
    if _canonical(manifest) != manifest_bytes or [e.name for e in manifest.files] != sorted(
        e.name for e in manifest.files
    ):
        raise PackageUnreadable(MANIFEST, "it is not in canonical form")
    _check_names({entry.name: b"" for entry in manifest.files}, "manifest")
    if listing is not None:
        _check_optional(listing, {entry.name for entry in manifest.files})
    files: dict[str, bytes] = {}
    for entry in manifest.files:
        if listing is not None and listing[entry.name] != entry.size:
            raise PackageDamaged(entry.name, what="size", expected=entry.size, found=listing[entry.name])
        files[entry.name] = _read_entry(read, entry)
    return Package(MappingProxyType(files), manifest, package, signer)


def check_signature(signature: bytes, manifest: bytes, signers: Sequence[str]) -> str:
    """The signer of the manifest, by the bytes of `manifest.sig`, if it is one of the trusted ones.

    Raises `SignerNotTrusted`, `SignatureWrong` or `PackageUnreadable`.
    """
    from headrace.governance.signing import verify  # loads the cryptography library: only where something is checked

    signed = _decode(SIGNATURE, signature, ManifestSignature)
    if signed.format != 1:
        raise PackageUnreadable(SIGNATURE, f"it has format {signed.format}, this release reads format 1")
    if signed.signer not in signers:
        raise SignerNotTrusted(signed.signer, tuple(signers))
    try:
        raw = base64.b64decode(signed.signature, validate=True)
        verify(signed.signer, _DOMAIN + manifest, raw)
    except (binascii.Error, ValueError, SignatureRefused, PublicKeyInvalid) as error:
        raise SignatureWrong(signed.signer) from error
    if _canonical(signed) != signature:
        raise PackageUnreadable(SIGNATURE, "it is not in canonical form")
    return signed.signer


def decode_json(package: Package, name: str, kind: type[T]) -> T:
    """One JSON file of a package as a closed type; raises `PackageUnreadable`."""
    return _decode(name, package.files[name], kind)


def _read_entry(read: Callable[[str], bytes], entry: FileEntry) -> bytes:
    if entry.size > FILES[entry.name]:
        raise PackageTooLarge(entry.name, size=entry.size, limit=FILES[entry.name])
    data = _read(read, entry.name)
    if len(data) != entry.size:
        raise PackageDamaged(entry.name, what="size", expected=entry.size, found=len(data))
    if (found := _sha256(data)) != entry.sha256:
        raise PackageDamaged(entry.name, what="SHA-256", expected=entry.sha256, found=found)
    return data


def _read(read: Callable[[str], bytes], name: str) -> bytes:
    try:
        data = read(name)
    except (KeyError, FileNotFoundError, ObjectNotFound) as error:
        raise PackageFileMissing(name, "store") from error
    if len(data) > (limit := _ENVELOPE.get(name) or FILES[name]):
        raise PackageTooLarge(name, size=len(data), limit=limit)
    return data


def _check_listing(listing: Mapping[str, int]) -> None:
    known = {**FILES, **_ENVELOPE}
    for name in sorted(listing):
        if name not in known:
            raise PackageFileUnknown(name, "store")
        if listing[name] > known[name]:
            raise PackageTooLarge(name, size=listing[name], limit=known[name])
    for name in sorted(known.keys() - OPTIONAL):
        if name not in listing:
            raise PackageFileMissing(name, "store")


def _check_optional(listing: Mapping[str, int], listed: Set[str]) -> None:
    """A file that a package may have or not is there if the manifest lists it, and only then."""
    for name in sorted(OPTIONAL):
        if name in listed and name not in listing:
            raise PackageFileMissing(name, "store")
        if name in listing and name not in listed:
            raise PackageFileUnknown(name, "store")


def _check_names(files: Mapping[str, bytes], where: str) -> None:
    for name in sorted(files):
        if name not in FILES:
            raise PackageFileUnknown(name, where)
    for name in FILES:
        if name not in files and name not in OPTIONAL:
            raise PackageFileMissing(name, where)


def _decode(name: str, data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageUnreadable(name, f"it is not of its form: {error}") from error


def _canonical(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
