"""Online values in memory: for tests, and as the plain path that the conformance suite is true of by inspection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock

from headrace.stores.errors import OnlineMoved
from headrace.stores.online import ANY, Item, Read, checked_key


class MemoryOnlineStore:
    """The `OnlineStore` as dictionaries."""

    waits = False

    def __init__(self) -> None:
        self._spaces: dict[str, tuple[bytes, dict[bytes, bytes]]] = {}
        self._writing = Lock()

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        state, values = self._spaces.get(space, (None, {}))
        return Read(state, [values.get(key) for key in keys])

    def update(self, space: str, items: Iterable[Item], state: bytes, *, expected: object = ANY) -> int:
        with self._writing:
            if expected is not ANY and self._spaces.get(space, (None, {}))[0] != expected:
                raise OnlineMoved("memory", space)
            values = dict(self._spaces.get(space, (b"", {}))[1])
            count = 0
            for key, value in items:
                count += 1
                if value is None:
                    values.pop(checked_key(key), None)
                else:
                    values[checked_key(key)] = bytes(value)
            self._spaces[space] = (bytes(state), values)
        return count

    def purge(self, space: str, prefix: bytes) -> int:
        with self._writing:
            state, values = self._spaces.get(space, (b"", {}))
            kept = {key: value for key, value in values.items() if not key.startswith(prefix)}
            if space in self._spaces:
                self._spaces[space] = (state, kept)
            return len(values) - len(kept)

    def size(self, space: str) -> int:
        return len(self._spaces.get(space, (b"", {}))[1])

    def close(self) -> None:
        pass
