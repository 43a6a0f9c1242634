"""The registry: versions, numbered without gaps, their packages in the object store, and aliases that point at them.

A package's files lie under `packages/CONTENT-ID/NAME` before the one transaction that makes a version of them, so that
a killed registration leaves either a version or nothing but files that the garbage collector removes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.governance.errors import SigningKeyMissing
from headrace.registry import aliases as alias_rows
from headrace.registry.aliases import require_version, whole
from headrace.registry.compare import compare_versions
from headrace.registry.errors import AliasUnknown, ModelUnknown, RecordMismatch
from headrace.registry.export import write_folder
from headrace.registry.model import AliasChange, Comparison, Verified, Version
from headrace.registry.reference import CHAMPION, check_alias, parse_ref
from headrace.scoring.errors import PackageMismatch, PackageRefused
from headrace.scoring.model import Decision, Lineage
from headrace.scoring.package import (
    MANIFEST,
    SIGNATURE,
    Package,
    Signs,
    build_manifest,
    check_signature,
    content_id,
    decode_json,
    read_package,
    sign_manifest,
)
from headrace.stores.catalog import Catalog, Reader, Row, Writer
from headrace.stores.errors import ObjectCorrupted
from headrace.stores.objects import ObjectStore


class Registry:
    """The versions of one project."""

    def __init__(
        self,
        catalog: Catalog,
        objects: ObjectStore,
        project: str,
        *,
        clock: Callable[[], int],
        signers: Sequence[str],
        key: Signs | None,
    ) -> None:
        """
        Parameters
        ----------
        clock
            Microseconds since 1970 UTC.
        signers
            The public keys whose packages are read.
        key
            The user's own, which signs; None where nothing is registered.
        """
        self._catalog = catalog
        self._objects = objects
        self._project = project
        self._clock = clock
        self._signers = tuple(signers)
        self._key = key

    def register(self, model: str, files: Mapping[str, bytes], run: str, summary: Mapping[str, Any]) -> Version:
        """Sign these files and make the model's next version of them.

        The same files again give the version that was made of them, so that a run that is killed and goes on registers
        once. Numbers have no gaps, however many register at a time.

        Parameters
        ----------
        files
            Those of `headrace.scoring.package.FILES`.
        run
            The run that made them.
        summary
            What lists and comparisons show; see `headrace.registry.summary`.
        """
        if self._key is None:
            raise SigningKeyMissing("the user's configuration folder")
        decision = msgspec.json.decode(files["decision.json"], type=Decision)
        manifest = build_manifest(model, decision.task, files)
        package = content_id(manifest)
        signer = self._store(package, files, manifest)
        row: Row = {
            **self._of(model),
            "package": package,
            "signer": signer,
            "run": run,
            "created_us": self._clock(),
            "summary": msgspec.json.encode(dict(summary), order="sorted").decode(),
        }
        listed = {**files, MANIFEST: manifest, SIGNATURE: self._objects.get(_key(package, SIGNATURE))}
        with self._catalog.write() as writer:
            return self._insert(writer, row, listed)

    def models(self) -> tuple[str, ...]:
        """Names of the models that have a version, sorted."""
        with self._catalog.read() as reader:
            return tuple(alias_rows.models(reader, self._project))

    def list(self, model: str | None = None) -> tuple[Version, ...]:
        """The versions of a model, or of every model: by model, the newest first. Raises `ModelUnknown`."""
        where: Row = {"project": self._project} if model is None else self._of(model)
        with self._catalog.read() as reader:
            rows = reader.select("versions", where, order_by=["model", "-number"])
            if model is not None and not rows:
                raise ModelUnknown(model, alias_rows.models(reader, self._project))
            pointing = reader.select("aliases", where, order_by=["alias"])
        return tuple(_version(row, pointing) for row in rows)

    def get(self, reference: str, *, model: str | None = None) -> Version:
        """The version that `MODEL`, `MODEL@ALIAS` or `MODEL@NUMBER` names; a model alone means its champion.

        Raises `ReferenceInvalid`, `ModelUnknown`, `AliasUnknown` or `VersionUnknown`, with a near miss if there is one.
        """
        wanted = parse_ref(reference, model=model)
        with self._catalog.read() as reader:
            number = wanted.number
            if number is None:
                number = self._aliased(reader, wanted.model, wanted.alias or CHAMPION)
            return self._get(reader, wanted.model, number)

    def champion(self, model: str) -> Version | None:
        """The version that the alias `champion` points at; None while the model has no champion, or no version."""
        with self._catalog.read() as reader:
            row = reader.get("aliases", {**self._of(model), "alias": CHAMPION})
            return None if row is None else self._get(reader, model, whole(row["number"]))

    def read(self, version: Version) -> Package:
        """The version's package, every byte checked; raises `PackageRefused` or `RecordMismatch`."""
        package = self.package(version.package)
        if package.manifest.model != version.model:
            raise PackageMismatch(what="model", expected=version.model, found=package.manifest.model)
        if package.signer != version.signer:
            raise RecordMismatch(
                version.model, version.number, what="the signer", expected=version.signer, found=str(package.signer)
            )
        return package

    def package(self, package: str) -> Package:
        """A package by its content id, every byte checked, whether or not a version has it; raises `PackageRefused`."""
        prefix = _key(package, "")
        return read_package(
            lambda name: self._objects.get(_key(package, name)),
            package=package,
            signers=self._signers,
            listing={info.key.removeprefix(prefix): info.size for info in self._objects.list(prefix)},
        )

    def promote(
        self,
        model: str,
        number: int,
        alias: str = CHAMPION,
        *,
        by: str,
        reason: str = "",
        expected: int | None = None,
    ) -> AliasChange:
        """Point an alias at a version.

        `expected` makes it a compare-and-set: where the alias should point now, else `AliasMoved`. A version that is
        not there raises `VersionUnknown`; one that the alias points at already records nothing.
        """
        check_alias(alias)
        self.read(self.get(f"{model}@{number}"))  # what nobody could load must never become champion
        change = AliasChange(model=model, alias=alias, number=number, at_us=self._clock(), by=by, reason=reason)
        with self._catalog.write() as writer:
            return alias_rows.move(writer, self._project, change, expected=expected)

    def rollback(self, model: str, alias: str = CHAMPION, *, by: str, reason: str = "") -> AliasChange:
        """Point an alias where it pointed before; raises `AliasUnknown` or `NothingToRollBack`.

        Rolling back twice goes back two versions: it never returns to the one that was just left.
        """
        with self._catalog.write() as writer:
            current = self._aliased(writer, model, alias)
            past = alias_rows.history(writer, self._project, model, alias)
            number = alias_rows.previous(past, model, alias)
            change = AliasChange(model=model, alias=alias, number=number, at_us=self._clock(), by=by, reason=reason)
            return alias_rows.move(writer, self._project, change, expected=current)

    def history(self, model: str, alias: str = CHAMPION) -> tuple[AliasChange, ...]:
        """Every movement of an alias, oldest first."""
        with self._catalog.read() as reader:
            return tuple(alias_rows.history(reader, self._project, model, alias))

    def at(self, model: str, alias: str, t_us: int) -> Version | None:
        """What the alias pointed at at an instant; None before it was made."""
        with self._catalog.read() as reader:
            number = alias_rows.number_at(alias_rows.history(reader, self._project, model, alias), t_us)
            return None if number is None else self._get(reader, model, number)

    def verify(self, version: Version) -> Verified:
        """Read everything of a version and compare it with what was signed and with what the catalog says.

        Raises `PackageRefused` or `RecordMismatch` at the first difference.
        """
        package = self.read(version)
        lineage = decode_json(package, "lineage.json", Lineage)
        with self._catalog.read() as reader:
            rows = reader.select("version_files", {"project": self._project, "package": version.package})
        recorded = {str(row["name"]): str(row["sha256"]) for row in rows}
        found = {entry.name: entry.sha256 for entry in package.manifest.files}
        found |= {MANIFEST: package.id, SIGNATURE: _sha256(self._objects.get(_key(package.id, SIGNATURE)))}
        for name in sorted(recorded.keys() | found.keys()):
            expected, is_now = recorded.get(name, "absent"), found.get(name, "absent")
            if expected != is_now:
                raise RecordMismatch(version.model, version.number, what=name, expected=expected, found=is_now)
        kept = {source: any(self._objects.list(f"snapshots/{sha}")) for source, sha in lineage.snapshots.items()}
        return Verified(
            version=version,
            files=len(found),
            size=sum(entry.size for entry in package.manifest.files),
            signer=version.signer,
            lineage=lineage,
            snapshots_kept=kept,
        )

    def export(self, version: Version, folder: Path) -> Path:
        """Write the package's files, and nothing else, into a new or empty folder; it is verified first."""
        return write_folder(folder, self.files(version))

    def files(self, version: Version) -> dict[str, bytes]:
        """Every file of a version's package by its name, manifest and signature among them; it is verified first."""
        self.verify(version)
        names = sorted([*self.read(version).files, MANIFEST, SIGNATURE])
        return {name: self._objects.get(_key(version.package, name)) for name in names}

    def compare(self, a: Version, b: Version) -> Comparison:
        """Two versions side by side: their metrics and costs, and which files differ."""
        return compare_versions(a, b, self.read(a).manifest, self.read(b).manifest)

    def _store(self, package: str, files: Mapping[str, bytes], manifest: bytes) -> str:
        """Put every file where it belongs; whole ones that are there already stay. Returns the signer."""
        assert self._key is not None
        for name, data in {**files, MANIFEST: manifest}.items():
            key = _key(package, name)
            if not self._objects.put_if_absent(key, data) and not self._is_whole(key, _sha256(data)):
                self._objects.put(key, data)  # damaged since, and here are the right bytes
        key = _key(package, SIGNATURE)
        if not self._objects.put_if_absent(key, sign_manifest(manifest, self._key)):
            try:
                return check_signature(self._objects.get(key), manifest, self._signers)
            except PackageRefused:
                self._objects.put(key, sign_manifest(manifest, self._key))
        return self._key.public

    def _is_whole(self, key: str, sha256: str) -> bool:
        try:
            self._objects.verify(key, sha256)
        except ObjectCorrupted:
            return False
        return True

    def _insert(self, writer: Writer, row: Row, files: Mapping[str, bytes]) -> Version:
        model = str(row["model"])
        same = writer.get("versions", {**self._of(model), "package": row["package"]})
        if same is None:
            newest = writer.select("versions", self._of(model), order_by=["-number"], limit=1)
            row = {**row, "number": whole(newest[0]["number"]) + 1 if newest else 1}
            writer.insert("versions", row)
            same = row
        for name, data in sorted(files.items()):
            key: Row = {"project": self._project, "package": row["package"], "name": name}
            facts: Row = {"key": _key(str(row["package"]), name), "sha256": _sha256(data), "size": len(data)}
            if not writer.insert_if_absent("version_files", {**key, **facts}):
                writer.update("version_files", key, facts)
        return _version(same, writer.select("aliases", self._of(model), order_by=["alias"]))

    def _get(self, reader: Reader, model: str, number: int) -> Version:
        row = require_version(reader, self._project, model, number)
        return _version(row, reader.select("aliases", {**self._of(model), "number": number}, order_by=["alias"]))

    def _aliased(self, reader: Reader, model: str, alias: str) -> int:
        rows = reader.select("aliases", self._of(model))
        for row in rows:
            if row["alias"] == alias:
                return whole(row["number"])
        if not reader.select("versions", self._of(model), limit=1):
            raise ModelUnknown(model, alias_rows.models(reader, self._project))
        raise AliasUnknown(model, alias, [str(row["alias"]) for row in rows])

    def _of(self, model: str) -> Row:
        return {"project": self._project, "model": model}


def _key(package: str, name: str) -> str:
    return f"packages/{package}/{name}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version(row: Row, pointing: Sequence[Row]) -> Version:
    return Version(
        model=str(row["model"]),
        number=whole(row["number"]),
        package=str(row["package"]),
        signer=str(row["signer"]),
        run="" if row["run"] is None else str(row["run"]),
        created_us=whole(row["created_us"]),
        summary=msgspec.json.decode(str(row["summary"])),
        aliases=tuple(str(a["alias"]) for a in pointing if (a["model"], a["number"]) == (row["model"], row["number"])),
    )
