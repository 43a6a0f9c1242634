"""Values that a request reads: the newest row of a lookup, the tiles of a window, by key, as of a watermark.

A store holds *spaces* (one a project). A space holds values under keys, and one *state*: a few bytes that say what the
values are as of. Every adapter keeps these promises, and `headrace.testing.online.OnlineStoreSuite` checks them:

* an update is all or nothing: a read gives the values and the state of before it or of after it, never of both, also
  when the writer is killed in the middle, and is durable once it returned (Redis: as durable as its server is told);
* of two writers of one space one waits or is refused with `OnlineBusy`; neither can mix its values with the other's,
  and one that says which state it works from is refused with `OnlineMoved` when there is another by then;
* a read asks for all its keys at once, in one transaction or one round trip;
* one instance may serve many threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

MOST_KEY_BYTES: Final = 256
"""The longest key. A reader of rows makes shorter ones: see `headrace.features.online`."""

ANY: Final = object()
"""Whatever state there is."""
Item = tuple[bytes, bytes | None]
"""A key and its value; None removes it."""


class Read(NamedTuple):
    """What one read gives."""

    state: bytes | None
    """What the last update set; None before the first."""
    values: list[bytes | None]
    """A value for each key asked for, in order; None where there is none."""


class OnlineStore(Protocol):
    """A place for values that are read by key, many at once, within microseconds."""

    waits: bool
    """Whether a read may wait for another machine: who must not wait reads on another thread."""

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        """The state and the values of `keys`, of one and the same update."""
        ...

    def update(self, space: str, items: Iterable[Item], state: bytes, *, expected: object = ANY) -> int:
        """Write values and the state, all or nothing; keys that are not among the items keep their values.

        Parameters
        ----------
        items
            Of a key that comes twice, the later value stays.
        state
            What the space is as of from then on.
        expected
            The state that the items were made from, None for none: looked at once no other writer can come between,
            and before the first item is made.

        Returns
        -------
        How many items were written.

        Raises
        ------
        OnlineMoved : the state is no longer the expected one.
        OnlineBusy : another writer is at work on the space.
        StoreFull, StoreUnavailable
        """
        ...

    def purge(self, space: str, prefix: bytes) -> int:
        """Remove the keys that begin with a prefix, which nobody reads or writes any more; not all at once.

        Returns
        -------
        How many keys were removed.
        """
        ...

    def size(self, space: str) -> int:
        """How many keys have a value; may take a while."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the instance is of no use afterwards."""
        ...


def checked_key(key: bytes) -> bytes:
    """The key, if every adapter can hold it.

    Raises
    ------
    ValueError : it is empty or too long, which is a mistake of the caller.
    """
    if not 0 < len(key) <= MOST_KEY_BYTES:
        raise ValueError(f"a key has 1 to {MOST_KEY_BYTES} bytes, found {len(key)}")
    return key
