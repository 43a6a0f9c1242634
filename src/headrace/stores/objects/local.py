"""Objects in a local folder: a file a blob, readable by the owner alone.

Every path is walked folder by folder without following symbolic links, so a key cannot leave the store even when
somebody plants a link in it. `put_if_absent` is a hard link (one winner, decided by the kernel); `replace` compares
and renames under a lock that `put` and `delete` take too. Temporary files and locks live in folders whose names are
not keys.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from headrace.stores import durable
from headrace.stores.errors import InvalidKey, ObjectCorrupted, ObjectNotFound, StoreUnavailable
from headrace.stores.objects import ObjectInfo, ScanTarget
from headrace.stores.objects.keys import safe_key, safe_prefix

LEFTOVER_AGE_S = 24 * 3600.0
"""A temporary file not written to for this long belonged to a writer that was killed."""

_PARTIAL = "#partial"
_LOCKS = "#locks"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalObjectStore:
    """The `ObjectStore` in one folder of a local disk.

    Parameters
    ----------
    root
        Made with mode 0700 if it is not there. One that may only be read, as in an image, serves readers.
    """

    def __init__(self, root: Path) -> None:
        durable.make_folder(root)
        self._root = root.resolve()
        self._synced: set[str] = set()
        self._guard = Lock()
        try:
            for name in (_PARTIAL, _LOCKS):
                durable.make_folder(self._root / name)
            self.remove_leftovers(older_than_s=LEFTOVER_AGE_S)
        except StoreUnavailable:
            if os.access(self._root, os.W_OK):
                raise

    def put(self, key: str, data: bytes) -> None:
        with self._writing(key) as folder, self._locked(key):
            self._overwrite(folder, key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._writing(key) as folder, durable.open_folder(self._root / _PARTIAL) as partial:
            temporary = durable.write_temporary(partial, [data])
            try:
                return durable.link_temporary(partial, temporary, folder, _name(key))
            finally:
                os.unlink(temporary, dir_fd=partial)

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        with self._writing(key) as folder, durable.open_folder(self._root / _PARTIAL) as partial:
            temporary = self._adopt(partial, path)
            try:
                return durable.link_temporary(partial, temporary, folder, _name(key))
            finally:
                os.unlink(temporary, dir_fd=partial)

    def replace(self, key: str, data: bytes, *, expected: str) -> bool:
        with self._writing(key) as folder, self._locked(key):
            try:
                _, found = self.get_tagged(key)
            except ObjectNotFound:
                return False
            if found != expected:
                return False
            self._overwrite(folder, key, data)
            return True

    def get(self, key: str) -> bytes:
        with self._reading(key) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as blob:
            return blob.read()

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        data = self.get(key)
        return data, hashlib.sha256(data).hexdigest()

    def get_verified(self, key: str, sha256: str) -> bytes:
        data, found = self.get_tagged(key)
        if found != sha256:
            raise ObjectCorrupted(key, expected=sha256, found=found)
        return data

    def verify(self, key: str, sha256: str) -> None:
        with self._reading(key) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as blob:
            found = hashlib.file_digest(blob, "sha256").hexdigest()
        if found != sha256:
            raise ObjectCorrupted(key, expected=sha256, found=found)

    def exists(self, key: str) -> bool:
        try:
            with self._reading(key):
                return True
        except ObjectNotFound:
            return False

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._walk(self._root, "", safe_prefix(prefix))

    def delete(self, key: str) -> None:
        with (
            durable.translated(self._where(key)),
            suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
            self._folder_of(key, make=False) as folder,
            self._locked(key),
        ):
            os.unlink(_name(key), dir_fd=folder)
            os.fsync(folder)

    def scan_target(self, key: str) -> ScanTarget:
        with suppress(ObjectNotFound), self._reading(key):
            pass  # for the check that no link leads elsewhere; what does not exist yet is the reader's affair
        return ScanTarget(str(self._root / key), {})

    def remove_leftovers(self, *, older_than_s: float) -> int:
        """Delete the temporary files of writers that were killed; how many there were."""
        removed = 0
        oldest = time.time() - older_than_s
        with durable.translated(str(self._root / _PARTIAL)), os.scandir(self._root / _PARTIAL) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process cleans up as well
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)  # noqa: PTH108  by name, for the fault tests
                        removed += 1
        return removed

    def _overwrite(self, folder: int, key: str, data: bytes) -> None:
        with durable.open_folder(self._root / _PARTIAL) as partial:
            temporary = durable.write_temporary(partial, [data])
            try:
                os.replace(temporary, _name(key), src_dir_fd=partial, dst_dir_fd=folder)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=partial)
                raise
        os.fsync(folder)

    def _adopt(self, partial: int, path: Path) -> str:
        """A synced file of the store's own, in the folder for temporary files, with the content of `path`."""
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return durable.write_temporary(partial, _chunks(source))
        finally:
            os.close(source)

    @contextmanager
    def _writing(self, key: str) -> Iterator[int]:
        """The open folder that the key's file belongs in, made if need be; errors of the block are ours."""
        where = self._where(key)
        with durable.translated(where):
            try:
                with self._folder_of(key, make=True) as folder:
                    yield folder
            except IsADirectoryError:
                raise InvalidKey(key, "there are keys below it") from None

    @contextmanager
    def _reading(self, key: str) -> Iterator[int]:
        with durable.translated(self._where(key)):
            try:
                with self._folder_of(key, make=False) as folder:
                    descriptor = os.open(_name(key), _READ, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                raise ObjectNotFound(key) from None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise InvalidKey(key, "a symbolic link stands in its way") from None
                raise
            try:
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise ObjectNotFound(key)
                yield descriptor
            finally:
                os.close(descriptor)

    @contextmanager
    def _folder_of(self, key: str, *, make: bool) -> Iterator[int]:
        """The open folder of a key's file, reached without following a link."""
        segments = safe_key(key).split("/")[:-1]
        descriptor = os.open(self._root, _FOLDER)
        try:
            for depth, segment in enumerate(segments, start=1):
                below = self._enter(key, descriptor, segment, "/".join(segments[:depth]), make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, key: str, folder: int, segment: str, path: str, *, make: bool) -> int:
        if make and path not in self._synced:  # once for each folder: it may be new, or a racing process's
            durable.make_subfolder(folder, segment)
            with self._guard:
                self._synced.add(path)
        try:
            return os.open(segment, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
            with self._guard:  # somebody deleted the folder since
                self._synced.discard(path)
            durable.make_subfolder(folder, segment)
            return os.open(segment, _FOLDER, dir_fd=folder)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(segment, dir_fd=folder, follow_symlinks=False).st_mode):
                raise InvalidKey(key, "a symbolic link stands in its way") from None
            if make:
                raise InvalidKey(key, f"{path!r} is a key itself") from None
            raise

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the key's lock, shared with a few other keys, against threads and processes; a killed one frees it."""
        shard = hashlib.blake2b(key.encode(), digest_size=1).hexdigest()
        descriptor = os.open(self._root / _LOCKS / shard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _walk(self, folder: Path, path: str, prefix: str) -> Iterator[ObjectInfo]:
        with durable.translated(str(folder)):
            try:
                with os.scandir(folder) as entries:
                    found = sorted((_in_key_order(entry), entry) for entry in entries)
            except FileNotFoundError:
                return  # deleted while we walked
        for _, entry in found:
            key = path + entry.name
            try:
                safe_key(key)
            except InvalidKey:
                continue  # our own temporary files and locks, or somebody's foreign file
            if entry.is_dir(follow_symlinks=False):
                if (key + "/").startswith(prefix) or prefix.startswith(key + "/"):
                    yield from self._walk(Path(entry.path), key + "/", prefix)
            elif entry.is_file(follow_symlinks=False) and key.startswith(prefix):
                with suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    yield ObjectInfo(key, info.st_size, info.st_mtime_ns // 1000)

    def _where(self, key: str) -> str:
        return f"object {key!r} in {self._root}"


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _in_key_order(entry: os.DirEntry[str]) -> tuple[str, bool]:
    """A folder sorts as its keys do: `a-b` before `a/b` before `a0`."""
    is_folder = entry.is_dir(follow_symlinks=False)
    return (entry.name + "/" if is_folder else entry.name, is_folder)


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, durable.CHUNK_BYTES):
        yield chunk
