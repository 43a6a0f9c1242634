"""One run of a project at a time, on every machine that shares the catalog: a lease, and a fence for who lost it.

No wall clock is asked. The holder adds to the lease's beat every few seconds; who wants the lease watches the beat by
its own monotonic clock, and takes over when it has stood still for the whole term. So a wrong clock, on any machine,
can neither free a lease nor keep one. Each holder has a token greater than all before it, and every write transaction
of a run checks it: a holder that was stopped past the term, and goes on, is refused before it changes anything.

The idea of watching another's counter is that of Lamport's leases without synchronised clocks, and of DynamoDB's lock
client; fencing tokens are described by Kleppmann, "How to do distributed locking", 2016.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec

from headrace.errors import HeadraceError
from headrace.governance.users import user_name
from headrace.runs.errors import LeaseLost, RunInProgress
from headrace.runs.place import Owner, is_gone
from headrace.stores.catalog import Catalog, Row, Writer


class Term(NamedTuple):
    """How long a lease lives without a sign of life, and how often its holder gives one."""

    term_s: float = 30.0
    beat_s: float = 5.0


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lease, as others are told."""

    owner: Owner
    host: str
    user: str


class Waiting(NamedTuple):
    """How to wait for another holder's beat; tests bring a clock of their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


TERM = Term()
WAITING = Waiting()


class FencedCatalog:
    """A catalog whose write transactions are refused once the lease that they rely on has been lost.

    Without a lease it is the catalog that it wraps.
    """

    def __init__(self, inner: Catalog) -> None:
        self._inner = inner
        self.held: tuple[str, int] | None = None
        """Project and token of the lease held now."""
        self.read = inner.read
        self.migrate = inner.migrate
        self.close = inner.close

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """A write transaction of the lease's holder.

        Raises
        ------
        LeaseLost : another process has taken the lease over; nothing is written.
        """
        with self._inner.write() as writer:
            if self.held is not None:  # writers exclude each other, so the answer holds to the commit
                project, token = self.held
                row = writer.get("leases", {"project": project})
                if row is None or row["token"] != token:
                    raise LeaseLost(project, token, by=_named(row))
            yield writer


@contextmanager
def leased(
    catalog: FencedCatalog,
    project: str,
    owner: Owner,
    *,
    clock: Callable[[], int],
    term: Term = TERM,
    waiting: Waiting = WAITING,
) -> Iterator[int]:
    """Hold the project's lease, renewed by a thread, and fence `catalog` with it; gives the token.

    A lease whose holder has certainly ended is taken over at once. Of any other holder one beat is awaited: it shows
    that the holder lives.

    Raises
    ------
    RunInProgress : the holder lives.
    """
    token = _acquire(catalog, project, owner, clock=clock, term=term, waiting=waiting)
    catalog.held = (project, token)
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(catalog, project, token, term, stop), name="lease", daemon=True)
    beats.start()
    try:
        yield token
    finally:
        stop.set()
        beats.join()
        # lost, or the catalog is gone: the next one waits for the term
        with suppress(HeadraceError), catalog.write() as writer:
            writer.update("leases", {"project": project, "token": token}, {"holder": None})
        catalog.held = None


def holder_of(row: Row | None) -> Holder | None:
    """Who a lease's row says holds it; None when it is free."""
    if row is None or row["holder"] is None:
        return None
    try:
        return msgspec.json.decode(str(row["holder"]), type=Holder)
    except msgspec.DecodeError:
        return None


def _acquire(
    catalog: FencedCatalog, project: str, owner: Owner, *, clock: Callable[[], int], term: Term, waiting: Waiting
) -> int:
    mine = Holder(owner=owner, host=platform.node(), user=user_name())
    row = _look(catalog, project)
    since = waiting.monotonic()
    while True:
        token = _take(catalog, project, row, mine, clock()) if _is_free(row, owner) else None
        if token is None and row is not None and waiting.monotonic() - since >= term.term_s:
            token = _take(catalog, project, row, mine, clock())
        if token is not None:
            return token
        waiting.sleep(min(term.beat_s / 4, 0.25))
        found = _look(catalog, project)
        if row is not None and found is not None and found["token"] == row["token"] and found["beat"] == row["beat"]:
            if found["holder"] == row["holder"]:
                continue
        elif found is not None and found["holder"] is not None:  # it beats, or another was faster
            raise RunInProgress(
                project,
                pid=holder.owner.pid if (holder := holder_of(found)) else None,
                who=_named(found),
                since_us=int(found["since_us"] or 0),
                term_s=term.term_s,
            )
        row, since = found, waiting.monotonic()


def _is_free(row: Row | None, owner: Owner) -> bool:
    """Nobody holds it, or who did has certainly ended: whoever holds the working folder is its only process."""
    holder = holder_of(row)
    return holder is None or holder.owner.place == owner.place or is_gone(holder.owner)


def _take(catalog: FencedCatalog, project: str, row: Row | None, holder: Holder, now_us: int) -> int | None:
    """Compare and set: the new token, or None when the lease is not any more as `row` says."""
    token = 1 if row is None else int(row["token"] or 0) + 1
    values: Row = {"token": token, "beat": 0, "since_us": now_us}
    values["holder"] = msgspec.json.encode(holder, order="sorted").decode()
    with catalog.write() as writer:
        if row is None:
            return token if writer.insert_if_absent("leases", {"project": project, **values}) else None
        as_seen = {"project": project, "token": row["token"], "beat": row["beat"], "holder": row["holder"]}
        return token if writer.update("leases", as_seen, values) else None


def _look(catalog: FencedCatalog, project: str) -> Row | None:
    with catalog.read() as reader:
        return reader.get("leases", {"project": project})


def _beat(catalog: FencedCatalog, project: str, token: int, term: Term, stop: threading.Event) -> None:
    """Give a sign of life until told to stop, or until the lease is another's."""
    beat = 0
    while not stop.wait(term.beat_s):
        try:
            with catalog.write() as writer:
                writer.update("leases", {"project": project, "token": token}, {"beat": beat + 1})
            beat += 1
        except LeaseLost:
            return
        except HeadraceError:  # the catalog does not answer: what matters is refused by the fence, if it must be
            continue


def _named(row: Row | None) -> str | None:
    holder = holder_of(row)
    return None if holder is None else f"{holder.user} on {holder.host}"
