"""The headrace that runs, as a wheel: what is packed needs no index that has it, and is the very same code.

Files are taken from where they are imported from, so that an editable installation gives what its tree holds now. Those
of an ordinary installation must be what was installed: each is held against RECORD.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, NamedTuple

import msgspec

from headrace.packaging.errors import InstallationChanged, InstallationUnknown

NAME: Final = "headrace"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest instant that a ZIP file can say: equal files give equal wheels."""
_LEFT_OUT: Final = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})


class Wheel(NamedTuple):
    """A wheel in memory."""

    name: str
    version: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def pack_wheel() -> Wheel:
    """The installed headrace as a wheel, the same bytes for the same files.

    Raises
    ------
    InstallationUnknown : it is imported from somewhere, but not installed.
    InstallationChanged : a file of it was changed since.
    """
    try:
        installed = distribution(NAME)
    except PackageNotFoundError as error:
        raise InstallationUnknown("it is not installed") from error
    metadata = installed.read_text("METADATA")
    if metadata is None:
        raise InstallationUnknown("its METADATA is not there")
    files = _package_files(installed)
    about = f"{NAME}-{installed.version.replace('-', '_')}.dist-info"
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    for path in installed.files or ():
        inside = path.parts[path.parts.index("licenses") :] if "licenses" in path.parts else ()
        if inside and path.parts[0].endswith(".dist-info"):
            files["/".join([about, *inside])] = Path(str(path.locate())).read_bytes()
    files[f"{about}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: headrace {installed.version}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ).encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(files.items())]
    files[f"{about}/RECORD"] = "".join(f"{line}\n" for line in [*record, f"{about}/RECORD,,"]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return Wheel(f"{NAME}-{installed.version.replace('-', '_')}-py3-none-any.whl", installed.version, made.getvalue())


def _package_files(installed: Distribution) -> dict[str, bytes]:
    root = Path(__file__).parents[1]
    recorded = {} if _is_editable(installed) else {str(path): path.hash for path in installed.files or ()}
    if not recorded and not _is_editable(installed):
        raise InstallationUnknown("its RECORD is not there")
    files: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        below = path.relative_to(root)
        if not path.is_file() or not _is_packed(below):
            continue
        name = f"{NAME}/{below.as_posix()}"
        data = path.read_bytes()
        hashed = recorded.get(name)
        if recorded and (hashed is None or hashed.mode != "sha256" or hashed.value != _digest(data)):
            raise InstallationChanged(name)
        files[name] = data
    for name in recorded:
        if name.startswith(f"{NAME}/") and name not in files and _is_packed(PurePosixPath(name)):
            raise InstallationChanged(name)
    return files


def _is_packed(path: PurePath) -> bool:
    return not _LEFT_OUT & set(path.parts) and path.suffix != ".pyc"


def _is_editable(installed: Distribution) -> bool:
    said = installed.read_text("direct_url.json")
    if said is None:
        return False
    where = msgspec.json.decode(said, type=_DirectUrl)
    return where.dir_info.editable


class _DirInfo(msgspec.Struct, frozen=True):
    editable: bool = False


class _DirectUrl(msgspec.Struct, frozen=True):
    """What an installer notes of a package that comes from a folder (PEP 610)."""

    dir_info: _DirInfo = _DirInfo()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
