"""The log of corrections: which files of corrected rows were handed back, and which of them are in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from headrace.data.errors import CorrectionUnknown
from headrace.runs.model import ObjectRef
from headrace.stores.catalog import Catalog, Reader, Row, Writer


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """One file of corrected rows that was handed back."""

    number: int
    """Of the source's corrections, from 1."""
    ref: ObjectRef
    rows: int
    snapshot: str
    """Digest of the snapshot whose rows were corrected."""
    made_us: int
    reason: str
    withdrawn_us: int | None = None


def corrections(reader: Reader, project: str, source: str) -> list[Correction]:
    """The source's corrections, the oldest first, withdrawn ones too."""
    rows = reader.select("corrections", {"project": project, "source": source}, order_by=["seq"])
    return [_correction(row) for row in rows]


def _correction(row: Mapping[str, object]) -> Correction:
    ref = ObjectRef(str(row["key"]), str(row["sha256"]), int(str(row["size"])))
    withdrawn = row["withdrawn_us"]
    return Correction(
        number=int(str(row["seq"])),
        ref=ref,
        rows=int(str(row["rows"])),
        snapshot=str(row["snapshot"]),
        made_us=int(str(row["made_us"])),
        reason=str(row["reason"]),
        withdrawn_us=None if withdrawn is None else int(str(withdrawn)),
    )


def active(reader: Reader, project: str, source: str) -> tuple[ObjectRef, ...]:
    """What the next check of the source applies, the oldest first."""
    return tuple(one.ref for one in corrections(reader, project, source) if one.withdrawn_us is None)


def note(
    catalog: Catalog, project: str, source: str, ref: ObjectRef, *, rows: int, snapshot: str, made_us: int, reason: str
) -> Correction:
    """Enter a file of corrected rows, in force from now on."""
    with catalog.write() as writer:
        number = _next_number(writer, project, source)
        row: Row = {"project": project, "source": source, "seq": number, "rows": rows, "made_us": made_us}
        row |= {"key": ref.key, "sha256": ref.sha256, "size": ref.size, "snapshot": snapshot}
        row |= {"reason": reason, "withdrawn_us": None}
        writer.insert("corrections", row)
    return _correction(row)


def withdraw(catalog: Catalog, project: str, source: str, number: int, *, clock: Callable[[], int]) -> Correction:
    """Take a correction back: the next check of the source does without it.

    Raises
    ------
    CorrectionUnknown : the source has no correction of this number, or it is withdrawn.
    """
    where: Row = {"project": project, "source": source, "seq": number}
    with catalog.write() as writer:
        if not writer.update("corrections", {**where, "withdrawn_us": None}, {"withdrawn_us": clock()}):
            known = [one.number for one in corrections(writer, project, source) if one.withdrawn_us is None]
            raise CorrectionUnknown(source, number, known)
        row = writer.get("corrections", where)
    assert row is not None  # it has just been changed
    return _correction(row)


def _next_number(writer: Writer, project: str, source: str) -> int:
    newest = writer.select("corrections", {"project": project, "source": source}, order_by=["-seq"], limit=1)
    return int(str(newest[0]["seq"])) + 1 if newest else 1
