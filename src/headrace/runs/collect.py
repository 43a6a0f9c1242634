"""The garbage collector: what no kept run and no version needs goes, so that the disk stays bounded.

What is alive: the outcomes that stages of kept runs refer to, with their objects, and the files of registered versions.
Rows go first, in one transaction, then the objects that no row of the catalog names any more: a collector killed
between the two leaves orphans, which the next one finds, and never a row whose object is gone. Young objects stay,
because a run stores its objects before it names them.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from headrace.runs.errors import RunInProgress
from headrace.runs.place import decode_owner, hold, is_gone
from headrace.stores.catalog import Catalog, Reader, Value, Where, Writer
from headrace.stores.objects import ObjectStore

DAY_US = 24 * 3600 * 1_000_000

_BY_CONTENT = re.compile(r"[a-z][a-z0-9_-]*/[0-9a-f]{64}(?:[./].+)?")
"""Keys that runs and the registry make. Other keys (tables that grow) are not the collector's."""


class Collected(NamedTuple):
    """What was deleted."""

    objects: int
    bytes: int
    outcomes: int = 0
    parts: int = 0


def collect_garbage(
    catalog: Catalog,
    objects: ObjectStore,
    project: str,
    *,
    now_us: int,
    grace_us: int = DAY_US,
    workdir: Path | None = None,
) -> Collected:
    """Delete what nothing needs.

    Parameters
    ----------
    project
        Whose outcomes and parts are looked through. Objects that another project of the same catalog names are kept; an
        object store shared by several catalogs must not be collected.
    grace_us
        Objects written less than this before `now_us` stay.
    workdir
        The working folder of the project's runs: held meanwhile, so that none begins here, and emptied.

    Raises
    ------
    RunInProgress : a run of the project is at work, here or elsewhere.
    """
    here = nullcontext("") if workdir is None else hold(workdir, project, f"collector-{now_us}")
    with here as place:
        with catalog.write() as writer:
            _refuse_while_running(writer, project, place)
            outcomes, parts = _drop_rows(writer, project)
        with catalog.read() as reader:
            needed = _needed(reader)
        orphans = [
            entry
            for entry in objects.list()
            if entry.modified_us <= now_us - grace_us and entry.key not in needed and _BY_CONTENT.fullmatch(entry.key)
        ]
        for entry in orphans:
            objects.delete(entry.key)
    return Collected(len(orphans), sum(entry.size for entry in orphans), outcomes, parts)


def _refuse_while_running(reader: Reader, project: str, place: str) -> None:
    for row in reader.select("runs", {"project": project, "state": "running"}):
        owner = decode_owner(row["result"])
        if owner is not None and owner.place != place and not is_gone(owner):
            raise RunInProgress(project, run=str(row["id"]), pid=owner.pid)


def _drop_rows(writer: Writer, project: str) -> tuple[int, int]:
    """Drop outcomes that no kept run's stage has, and parts that nothing goes on from; how many of each."""
    everything: Where = {"project": project}
    wanted = {row["fingerprint"] for row in writer.select("stages", everything)}
    made = {row["fingerprint"] for row in writer.select("outcomes", everything)}
    begun = {row["fingerprint"] for row in writer.select("parts", everything)}
    outcomes = parts = 0
    for fingerprint in made - wanted:
        writer.delete("outcome_objects", {"project": project, "fingerprint": fingerprint})
        outcomes += writer.delete("outcomes", {"project": project, "fingerprint": fingerprint})
    for fingerprint in begun - (wanted - made):
        parts += writer.delete("parts", {"project": project, "fingerprint": fingerprint})
    return outcomes, parts


def _needed(reader: Reader) -> set[Value]:
    """Keys that any project of this catalog names."""
    return {row["key"] for table in ("outcome_objects", "version_files", "corrections") for row in reader.select(table)}
