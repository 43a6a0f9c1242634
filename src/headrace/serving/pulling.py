"""What a server knows of the object store: deployments, keys, packages; and what it tells there of itself.

`changes` is rewritten after every change, so that a pull that finds nothing new is one small read. Packages are kept in
a folder, and so is the last that was known: a server that starts while the store is away serves that.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from headrace.serving.deployments import Deployments
from headrace.serving.keys import ApiKey, Keys
from headrace.serving.model import Deployment, Struct
from headrace.stores.errors import ObjectNotFound
from headrace.stores.objects import ObjectStore

ANEW_S: Final = 30.0
"""After so long everything is read whether `changes` says so or not."""
FRESH_US: Final = 15_000_000
"""A server that told of itself within this time lives."""


class Known(Struct, frozen=True, kw_only=True):
    """What is to be served."""

    deployments: tuple[Deployment, ...]
    keys: tuple[ApiKey, ...]
    keys_seen: int = 0
    """How many changes of keys there were: made and revoked."""


class ServerState(Struct, frozen=True, kw_only=True):
    """What a server tells of itself."""

    id: str
    at_us: int
    address: str
    workers: int
    revisions: dict[str, int]
    """By deployment: what it answers by."""
    keys: int
    failed: dict[str, str]
    """Versions that it was told to serve and cannot, with the reason."""


class Puller:
    """Of one server.

    Parameters
    ----------
    folder : its own, on a disk of its own
    """

    def __init__(self, objects: ObjectStore, project: str, folder: Path, *, clock: Callable[[], int]) -> None:
        self._objects, self._project, self._folder = objects, project, folder
        self._deployments = Deployments(objects, project)
        self._keys = Keys(objects, project, clock=clock)
        self._changes: bytes | None = None
        self._known: Known | None = None
        self._read = -ANEW_S

    def pull(self) -> Known:
        """What is to be served now; raises what the store raises."""
        now = time.monotonic()
        try:
            changes = self._objects.get(changes_key(self._project))
        except ObjectNotFound:
            changes = b""
        if self._known is None or changes != self._changes or now - self._read > ANEW_S:
            keys = self._keys.list()
            self._known = Known(
                deployments=tuple(self._deployments.get(name) for name in self._deployments.names()),
                keys=keys,
                keys_seen=count_changes(keys),
            )
            self._changes, self._read = changes, now
        return self._known

    def fetch(self, package: str) -> Path:
        """The folder of a package, which is copied from the store when it is not there."""
        folder = self._folder / "packages" / package
        if (folder / "manifest.sig").exists():
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f"packages/{package}/"
        names = [info.key.removeprefix(prefix) for info in self._objects.list(prefix)]
        for name in sorted(names, key=lambda each: each == "manifest.sig"):  # which says that all others are there
            _write(folder / name, self._objects.get(prefix + name))
        return folder

    def remember(self, known: Known) -> None:
        """Keep it for a start without the store."""
        _write(self._folder / "known.json", msgspec.json.encode(known))

    def remembered(self) -> Known | None:
        """What was kept; None: nothing that can be read."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode((self._folder / "known.json").read_bytes(), type=Known)
        return None

    def write(self, made: Deployment) -> None:
        """Make a revision the newest; raises `DeploymentMoved`."""
        self._deployments.write(made)
        tell_changes(self._objects, self._project)

    def tell(self, state: ServerState) -> None:
        """This server lives."""
        self._objects.put(_server_key(self._project, state.id), msgspec.json.encode(state))

    def leave(self, server: str) -> None:
        """It no longer does."""
        self._objects.delete(_server_key(self._project, server))


def count_changes(keys: tuple[ApiKey, ...]) -> int:
    """Of the list of keys: it only ever grows."""
    return len(keys) + sum(key.revoked_us is not None for key in keys)


def tell_changes(objects: ObjectStore, project: str) -> None:
    """After a change: let every server read anew."""
    objects.put(changes_key(project), secrets.token_bytes(16))


def changes_key(project: str) -> str:
    """Of the object that is rewritten after every change."""
    return f"serving/{project}/changes"


def servers(objects: ObjectStore, project: str, now_us: int) -> list[ServerState]:
    """The servers that live."""
    found = []
    for info in objects.list(f"serving/{project}/servers/"):
        with suppress(ObjectNotFound, msgspec.DecodeError):
            state = msgspec.json.decode(objects.get(info.key), type=ServerState)
            if abs(now_us - state.at_us) < FRESH_US:
                found.append(state)
    return found


def _server_key(project: str, server: str) -> str:
    return f"serving/{project}/servers/{server}.json"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".put-", delete=False) as part:
        part.write(data)
    Path(part.name).replace(path)
