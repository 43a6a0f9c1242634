"""What runs there were: read for lists and for `show`, and removed.

Reading works with any `Reader`, also the light one on the standard library's sqlite3, and imports no database library.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from headrace.runs.errors import RunInProgress, RunInUse, RunNotFound
from headrace.runs.model import RunRecord, StageRecord, Usage
from headrace.runs.place import decode_owner, is_gone
from headrace.stores.catalog import Catalog, Reader, Row, Value

LAST = "last"
"""Names the newest run."""

_NEAR = 3
_AT_ONCE = 500  # ids in one question: databases bound the number of its parameters


def list_runs(reader: Reader, project: str, limit: int | None = 20) -> list[RunRecord]:
    """The project's newest runs, newest first. A run whose process has died is shown as interrupted."""
    rows = reader.select("runs", {"project": project}, order_by=("-started_us", "-id"), limit=limit)
    return _records(reader, project, rows)


def get_run(reader: Reader, project: str, run_id: str) -> RunRecord:
    """One run by its id, by the beginning of it where no other run's begins so, or the newest by `last`.

    Raises
    ------
    RunNotFound : names what is near.
    """
    return _records(reader, project, [_find(reader, project, run_id)])[0]


def remove_run(catalog: Catalog, project: str, run_id: str, *, force: bool = False) -> str:
    """Forget a run; the garbage collector then drops what only it needed. Gives the full id.

    Parameters
    ----------
    force
        Also a run that registered a version, which stays but can no longer be traced to its data, and one that seems to
        be running.

    Raises
    ------
    RunInUse : an alias points to a version that the run registered, or a version needs it and `force` is not given.
    RunInProgress : it is running.
    RunNotFound
    """
    with catalog.write() as writer:
        row = _find(writer, project, run_id)
        found = str(row["id"])
        if not force and _state(row) == "running":
            raise RunInProgress(project, run=found)
        _refuse_needed(writer, project, found, force=force)
        writer.delete("stages", {"project": project, "run_id": found})
        writer.delete("runs", {"project": project, "id": found})
    return found


def _refuse_needed(reader: Reader, project: str, run_id: str, *, force: bool) -> None:
    """Raise when a version that this run registered still needs it."""
    versions = reader.select("versions", {"project": project, "run": run_id}, order_by=("model", "number"))
    for version in versions:
        name = f"{version['model']!s}@{version['number']!s}"
        held = {"project": project, "model": version["model"], "number": version["number"]}
        aliases = [str(alias["alias"]) for alias in reader.select("aliases", held, order_by=("alias",))]
        if aliases:
            raise RunInUse(
                run_id,
                f"it registered {name}, which is {', '.join(aliases)}",
                fix=f"headrace models promote another version to {aliases[0]} first",
            )
        if not force:
            raise RunInUse(
                run_id,
                f"it registered {name}, whose lineage leads to its data",
                fix="remove it with --force: the version stays, but its data and reports go with the next collection",
            )


def _find(reader: Reader, project: str, run_id: str) -> Row:
    row = reader.get("runs", {"project": project, "id": run_id})
    if row is not None:
        return row
    rows = reader.select("runs", {"project": project}, order_by=("-started_us", "-id"))
    if rows and run_id == LAST:
        return rows[0]
    begun = [row for row in rows if run_id and str(row["id"]).startswith(run_id)]
    if len(begun) == 1:
        return begun[0]
    ids = [str(row["id"]) for row in rows]
    near = [str(row["id"]) for row in begun[:_NEAR]] or get_close_matches(run_id, ids, n=_NEAR)
    raise RunNotFound(project, run_id, near=near)


def _records(reader: Reader, project: str, rows: Sequence[Row]) -> list[RunRecord]:
    stages: dict[Value, list[StageRecord]] = defaultdict(list)
    for first in range(0, len(rows), _AT_ONCE):
        ids = [row["id"] for row in rows[first : first + _AT_ONCE]]
        for row in reader.select("stages", {"project": project, "run_id": ids}, order_by=("run_id", "position")):
            stages[row["run_id"]].append(_stage(row))
    return [_run(row, stages[row["id"]]) for row in rows]


def _run(row: Row, stages: Sequence[StageRecord]) -> RunRecord:
    values: dict[str, Any] = {key: row[key] for key in ("id", "started_us", "ended_us", "definition_sha256", "error")}
    state = _state(row)
    result = msgspec.json.decode(str(row["result"])) if row["result"] and row["state"] == "done" else {}
    return msgspec.convert({**values, "state": state, "stages": tuple(stages), "result": result}, RunRecord)


def _state(row: Row) -> Value:
    """The recorded state; a run whose process has certainly ended is interrupted also before the next run says so."""
    owner = decode_owner(row["result"]) if row["state"] == "running" else None
    return "interrupted" if owner is not None and is_gone(owner) else row["state"]


def _stage(row: Row) -> StageRecord:
    usage = msgspec.json.decode(str(row["usage"]), type=Usage) if row["usage"] else None
    keys = ("name", "state", "fingerprint", "started_us", "ended_us", "error")
    return msgspec.convert({**{key: row[key] for key in keys}, "usage": usage}, StageRecord)
