"""What a server knows of the object store: deployments, keys, packages; and what it tells there of itself.

`changes` is rewritten after every change, so that a pull that finds nothing new is one small read. Packages are copied
to a folder, and so is the last that was known: a server that starts while the store is away serves that.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from headrace.scoring.errors import PackageFileUnknown, PackageMismatch, PackageUnreadable
from headrace.scoring.model import FileEntry, Manifest
from headrace.scoring.package import FILES, MANIFEST, SIGNATURE, content_id
from headrace.serving.deployments import Deployments
from headrace.serving.errors import (
    DeploymentUnknown,
    DeploymentUnreadable,
    KeyListUnreadable,
    LastKnownUnreadable,
    NameInvalid,
)
from headrace.serving.keys import ApiKey, KeyList, Keys
from headrace.serving.model import Deployment, Struct
from headrace.serving.tallies import Tallies
from headrace.stores import durable
from headrace.stores.errors import ObjectNotFound
from headrace.stores.objects import ObjectStore

ANEW_S: Final = 30.0
"""After so long everything is read whether `changes` says so or not."""
KEYS_WAIT_S = 5.0
"""The longest that whoever changes a key waits for the servers."""
_POLL_S: Final = 0.05
FRESH_US: Final = 15_000_000
"""A server that told of itself within this time lives."""
UNUSED_S: Final = 86_400.0
"""A copy that is younger stays whether it is served or not: another server of the folder may just be taking it up."""
FORGOTTEN_US: Final = 30 * 86_400_000_000
"""What a server left behind that was killed is taken away after so long."""


class Pulled(Struct, frozen=True, kw_only=True):
    """What is to be served, as far as it can be read."""

    deployments: tuple[Deployment, ...]
    keys: KeyList | None
    """None: it cannot be read."""
    unreadable: dict[str, str]
    """Name of a deployment, or `keys` → why it cannot be."""


class Known(Struct, frozen=True, kw_only=True):
    """What is served, as it is kept for a start without the store."""

    pulled_us: int
    """When the store was last read, by the system's clock."""
    deployments: tuple[Deployment, ...]
    keys: tuple[ApiKey, ...]
    keys_left: int = 0
    """As `KeyList.left`."""

    @property
    def listed(self) -> KeyList:
        """The list of keys."""
        return KeyList(keys=self.keys, left=self.keys_left)


class ServerState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a server tells of itself. One of a later release may tell more: it is no less there for that."""

    id: str
    """Of this life of it."""
    at_us: int
    host: str = ""
    """What its machine, container or pod is called."""
    address: str
    """Where it listens: in containers the same for all of them."""
    workers: int
    revisions: dict[str, int]
    """By deployment: what it answers by."""
    keys: int
    """How many changes of keys it has taken up: made and revoked, ever."""
    failed: dict[str, str]
    """`NAME REVISION` of what it was told to serve and cannot, with the reason."""


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
        self.tallies: Final = Tallies(objects, project)
        self._changes: bytes | None = None
        self._pulled: Pulled | None = None
        self._read = -ANEW_S
        self._has_swept = False

    def pull(self) -> Pulled:
        """What is to be served now; raises what the store raises."""
        now = time.monotonic()
        try:
            changes = self._objects.get(changes_key(self._project))
        except ObjectNotFound:
            changes = b""
        if self._pulled is None or changes != self._changes or now - self._read > ANEW_S:
            self._pulled = self._pull()
            self._changes, self._read = changes, now
        return self._pulled

    def _pull(self) -> Pulled:
        found: list[Deployment] = []
        keys: KeyList | None = None
        unreadable: dict[str, str] = {}
        for name in self._deployments.names():
            try:
                found.append(self._deployments.get(name))
            except (DeploymentUnknown, DeploymentUnreadable, NameInvalid, ObjectNotFound) as error:  # of this one alone
                unreadable[name] = error.message
        try:
            keys = self._keys.listed()
        except KeyListUnreadable as error:
            unreadable["keys"] = error.message
        return Pulled(deployments=tuple(found), keys=keys, unreadable=unreadable)

    def fetch(self, package: str, *, anew: bool = False) -> Path:
        """The folder of a package, in which every file is as its manifest says; what is not is copied from the store.

        Parameters
        ----------
        anew : its signature too, which nothing but the signer's key can tell to be right

        Raises
        ------
        PackageMismatch, PackageUnreadable, PackageFileUnknown : the store's own manifest is none.
        ObjectNotFound, ObjectCorrupted : the store does not have what the manifest lists.
        StoreFull, StoreUnavailable : the folder cannot be written, or the store not be read.
        """
        folder = self._folder / "packages" / package
        durable.make_folder(folder)
        prefix = f"packages/{package}/"
        manifest = self._manifest(folder / MANIFEST, package)
        for entry in manifest.files:
            if entry.name not in FILES:  # and no other name of a file
                raise PackageFileUnknown(entry.name, "manifest")
            if not _is_whole(folder / entry.name, entry):
                durable.write_file(folder / entry.name, self._objects.get_verified(prefix + entry.name, entry.sha256))
        if anew or not (folder / SIGNATURE).is_file():
            durable.write_file(folder / SIGNATURE, self._objects.get(prefix + SIGNATURE))
        return folder

    def _manifest(self, path: Path, package: str) -> Manifest:
        data = _content(path)
        if data is None or content_id(data) != package:
            data = self._objects.get(f"packages/{package}/{MANIFEST}")
            if content_id(data) != package:
                raise PackageMismatch(what="package", expected=package, found=content_id(data))
            durable.write_file(path, data)
        try:
            return msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PackageUnreadable(MANIFEST, f"it is not of its form: {error}") from error

    def prune(self, keep: Collection[str]) -> list[str]:
        """Take away copies of packages that are none of these and were made long ago; which they were.

        Raises
        ------
        StoreUnavailable : one cannot be taken away.
        """
        folder, now = self._folder / "packages", time.time()
        with durable.translated(str(folder)):
            old = [
                each
                for each in folder.iterdir()
                if each.name not in keep and each.is_dir() and abs(now - each.stat().st_mtime) > UNUSED_S
            ]
            for each in old:
                shutil.rmtree(each)  # one that is half there is none: every file is checked before it is used
        return sorted(each.name for each in old)

    def remember(self, known: Known) -> None:
        """Keep it for a start without the store; raises `StoreFull` or `StoreUnavailable`."""
        durable.make_folder(self._folder)
        durable.write_file(self._folder / "known.json", msgspec.json.encode(known))

    def remembered(self) -> Known | None:
        """What was kept; None: nothing. Raises `LastKnownUnreadable`."""
        path = self._folder / "known.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Known)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LastKnownUnreadable(str(path), type(error).__name__) from error

    def write(self, made: Deployment) -> None:
        """Make a revision the newest; raises `DeploymentMoved`."""
        self._deployments.write(made)
        tell_changes(self._objects, self._project)

    def tell(self, state: ServerState) -> None:
        """This server lives."""
        self._objects.put(_server_key(self._project, state.id), msgspec.json.encode(state))
        if not self._has_swept:
            self._has_swept = True
            for each in _states(self._objects, self._project):
                if abs(state.at_us - each.at_us) > FORGOTTEN_US:
                    self.leave(each.id)

    def leave(self, server: str) -> None:
        """It no longer does."""
        self._objects.delete(_server_key(self._project, server))


def tell_changes(objects: ObjectStore, project: str) -> None:
    """After a change: let every server read anew."""
    objects.put(changes_key(project), secrets.token_bytes(16))


def changes_key(project: str) -> str:
    """Of the object that is rewritten after every change."""
    return f"serving/{project}/changes"


def servers(objects: ObjectStore, project: str, now_us: int) -> list[ServerState]:
    """The servers that live."""
    return [state for state in _states(objects, project) if abs(now_us - state.at_us) < FRESH_US]


def names_of(states: Sequence[ServerState]) -> dict[str, str]:
    """What each server is called, by its id: `HOST:PORT`, and the start of its id where others are called the same, as
    hosts of two networks may be, or one that was killed and the one that took its place."""
    called = {
        each.id: f"{each.host}:{each.address.rpartition(':')[2]}" if each.host else each.address for each in states
    }
    times = Counter(called.values())
    return {server: name if times[name] == 1 else f"{name} ({server[:6]})" for server, name in called.items()}


class Spread(NamedTuple):
    """How far a list of keys has come."""

    servers: int
    """That live."""
    behind: list[str]
    """Names of those among them that do not go by it after so long."""
    silent: list[str]
    """Names of those that did not go by it when they were last heard of, and may live: whoever is killed, cut off
    from the store or has another clock looks alike."""


def wait_for_keys(
    objects: ObjectStore,
    project: str,
    keys: KeyList,
    *,
    max_stale_us: int,
    clock: Callable[[], int],
) -> Spread:
    """Until every server that lives goes by this list of keys.

    Parameters
    ----------
    max_stale_us : how long a server goes on that cannot read the store
    """
    wanted, until = keys.changes, time.monotonic() + KEYS_WAIT_S
    while True:
        now, states = clock(), _states(objects, project)
        ages = [(abs(now - each.at_us), each) for each in states]
        names = names_of([each for age, each in ages if age < FRESH_US + max_stale_us])
        behind = [names[each.id] for age, each in ages if age < FRESH_US and each.keys < wanted]
        if not behind or time.monotonic() > until:
            living = sum(age < FRESH_US for age, _ in ages)
            may_live = FRESH_US + max_stale_us
            silent = [names[each.id] for age, each in ages if FRESH_US <= age < may_live and each.keys < wanted]
            return Spread(living, behind, silent)
        time.sleep(_POLL_S)


def _states(objects: ObjectStore, project: str) -> list[ServerState]:
    """What every server told last that has not left."""
    found = []
    for info in objects.list(f"serving/{project}/servers/"):
        with suppress(ObjectNotFound, msgspec.DecodeError, UnicodeDecodeError):
            found.append(msgspec.json.decode(objects.get(info.key), type=ServerState))
    return found


def _server_key(project: str, server: str) -> str:
    return f"serving/{project}/servers/{server}.json"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise durable.from_os_error(error, str(path)) from error


def _is_whole(path: Path, entry: FileEntry) -> bool:
    data = _content(path)
    return data is not None and len(data) == entry.size and hashlib.sha256(data).hexdigest() == entry.sha256
