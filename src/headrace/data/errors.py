"""What can be wrong with a source, as opposed to with single rows (those are quarantined, never raised)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headrace.errors import CheckFailed, TroubleOutside, WrongUse


class SourceUnknown(WrongUse):
    """A source that the definition does not have."""

    code = "source-unknown"

    def __init__(self, source: str, known: Sequence[str]) -> None:
        super().__init__(
            f"there is no source {source!r}; there are {', '.join(known)}",
            fix=f"name one of them, or write a section [sources.{source}] in headrace.toml",
            source=source,
            known=list(known),
        )


class SourceMissing(TroubleOutside):
    """No file or object is where the definition says."""

    code = "source-missing"

    def __init__(self, source: str, pattern: str, *, where: str, fix: str | None = None) -> None:
        super().__init__(
            f"source {source!r}: nothing matches {pattern!r} in {where}",
            fix=fix
            or f"correct read in [sources.{source}] of headrace.toml (paths are relative to that file), or "
            "put the data there",
            source=source,
            pattern=pattern,
        )


class SourceEmpty(CheckFailed):
    """A source without a single row."""

    code = "source-empty"

    def __init__(self, source: str, place: str, *, found: str = "no rows") -> None:
        super().__init__(
            f"source {source!r} is empty: {place} holds {found}",
            fix="check the export that writes it; Headrace needs at least one row (and a header, in CSV)",
            source=source,
            place=place,
        )


class SourceUnreadable(TroubleOutside):
    """A file that is damaged or may not be read."""

    code = "source-unreadable"

    def __init__(self, source: str, place: str, reason: str, *, fix: str | None = None) -> None:
        super().__init__(
            f"source {source!r}: {place} cannot be read: {reason}",
            fix=fix or "fetch or write the file again, check that it may be read, and run again",
            source=source,
            place=place,
            reason=reason,
        )


class SourceChanged(TroubleOutside):
    """A source that is not what it was when reading it began."""

    code = "source-changed"

    def __init__(self, source: str, parts: Sequence[str]) -> None:
        super().__init__(
            f"source {source!r} changed while it was read: {_some(parts)}",
            fix="run again when nothing writes to it any more; to be safe, write each file under another name and "
            "rename it when it is whole",
            source=source,
            parts=list(parts),
        )


class FilesRewritten(CheckFailed):
    """All files must be read again, and some that were read are gone: their rows would be lost."""

    code = "files-rewritten"

    def __init__(self, source: str, changed: Sequence[str], gone: Sequence[str]) -> None:
        why = f"{_some(changed)} changed after it was read" if changed else "how it is read has changed"
        super().__init__(
            f"source {source!r} must be read from the start, as {why}, but what was read before is gone: {_some(gone)}",
            fix="put the files back as they were, or start anew from those that are there: headrace check --refresh",
            source=source,
            changed=list(changed),
            gone=list(gone),
        )


class NoMark(WrongUse):
    """A column from whose greatest value on a query cannot be read."""

    code = "no-mark"

    def __init__(self, source: str, column: str, *, found: str) -> None:
        super().__init__(
            f"source {source!r} cannot be read from the greatest {column!r} on: expected a column of numbers, dates or "
            f"timestamps, found {found}",
            fix=f"name such a column in incremental of [sources.{source}], or take `incremental` out",
            source=source,
            column=column,
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class SourceUnavailable(TroubleOutside):
    """A server that does not answer, or refuses us."""

    code = "source-unavailable"

    def __init__(self, source: str, place: str, reason: str) -> None:
        super().__init__(
            f"source {source!r}: {place} is not available: {reason}",
            fix="check that the server runs and that the address and credentials are right, then run again: "
            "finished work is kept",
            source=source,
            place=place,
            reason=reason,
        )


class TableUnsupported(WrongUse):
    """A table in a form that is not read here, as reading it halfway would give wrong rows."""

    code = "table-unsupported"

    def __init__(self, source: str, place: str, reason: str) -> None:
        super().__init__(
            f"source {source!r}: {place} cannot be read: {reason}",
            fix="rewrite the table without that feature, or export it to Parquet and read that",
            source=source,
            place=place,
            reason=reason,
        )


class VersionMissing(TroubleOutside):
    """A version of a table that is not there, or not any more."""

    code = "table-version-missing"

    def __init__(self, source: str, place: str, version: int) -> None:
        super().__init__(
            f"source {source!r}: {place} has no version {version}, or not any more",
            fix=f"correct version in [sources.{source}] of headrace.toml, or leave it out to read the newest",
            source=source,
            place=place,
            version=version,
        )


class AddressRefused(WrongUse):
    """An address that cannot be, or is not safe."""

    code = "address-refused"

    def __init__(self, source: str, place: str, reason: str, *, fix: str) -> None:
        super().__init__(
            f"source {source!r}: {place} is refused: {reason}", fix=fix, source=source, place=place, reason=reason
        )


class DiskFull(TroubleOutside):
    """No space for the work in hand."""

    code = "disk-full"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"no space is left on the disk for {where}",
            fix="free some space and run again: finished work is kept",
            where=where,
        )


class QueryRefused(WrongUse):
    """A query that the database does not take."""

    code = "query-refused"

    def __init__(self, source: str, place: str, reason: str) -> None:
        super().__init__(
            f"source {source!r}: {place} refuses the query: {reason}",
            fix=f"correct query in [sources.{source}] of headrace.toml",
            source=source,
            place=place,
            reason=reason,
        )


class DuplicateColumn(CheckFailed):
    """Two columns of one name."""

    code = "duplicate-column"

    def __init__(self, source: str, place: str, columns: Sequence[str]) -> None:
        names = ", ".join(repr(column) for column in columns)
        super().__init__(
            f"source {source!r}: {place} has more than one column named {names}",
            fix="give each column a name of its own, in the file's header, the query or rename",
            source=source,
            place=place,
            columns=list(columns),
        )


class ReservedColumn(CheckFailed):
    """A column with a name that the quarantine uses."""

    code = "reserved-column"

    def __init__(self, source: str, columns: Sequence[str]) -> None:
        names = ", ".join(repr(column) for column in columns)
        super().__init__(
            f"source {source!r} has columns that Headrace names itself: {names} (it keeps _row, _reasons, _file, "
            "_line, _text and all that begin with _hr_)",
            fix="give the column another name where the data is written, or in the query",
            source=source,
            columns=list(columns),
        )


class ColumnsDiffer(CheckFailed):
    """Files of one source that do not have the same columns."""

    code = "columns-differ"

    def __init__(
        self, source: str, place: str, *, missing: Sequence[str], extra: Sequence[str], reference: str
    ) -> None:
        parts = [
            f"{word} {', '.join(repr(name) for name in names)}"
            for word, names in (("lacks", missing), ("also has", extra))
            if names
        ]
        super().__init__(
            f"source {source!r}: {place} {' and '.join(parts)}; the columns of {reference} are expected",
            fix="write the file again with the same columns (their order may differ), or read it as another source",
            source=source,
            place=place,
            missing=list(missing),
            extra=list(extra),
        )


class ColumnMissing(CheckFailed):
    """A column that headrace.lock or the contract knows is not there."""

    code = "source-column-missing"

    def __init__(
        self, source: str, columns: Sequence[str], *, found: Sequence[str], rename: str = "", why: Sequence[str] = ()
    ) -> None:
        names = ", ".join(repr(column) for column in columns)
        guess = f"write {rename} in [sources.{source}] ({'; '.join(why)}), or " if rename else ""
        super().__init__(
            f"source {source!r} has no column {names}; it has {', '.join(found)}",
            fix=f"{guess}restore the column, or take it out of headrace.toml and delete its entry in headrace.lock",
            source=source,
            columns=list(columns),
            rename=rename,
        )


class ContractError(WrongUse):
    """A contract that cannot be checked against these columns."""

    code = "contract"


class ContractUnreadable(WrongUse):
    """A document that is no data contract that can be read."""

    code = "contract-unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the data contract cannot be read: {reason}",
            fix="give a document of the Open Data Contract Standard, version 3.0 to 3.2",
            reason=reason,
        )


class JoinNotUnique(CheckFailed):
    """A static table with several rows for one key."""

    code = "join-not-unique"

    def __init__(self, source: str, join: str, table: str, key: Sequence[str], rows: int) -> None:
        names = ", ".join(repr(column) for column in key)
        super().__init__(
            f"source {source!r}: join {join!r} would multiply rows: in {table!r} {rows} keys ({names}) occur more than "
            "once",
            fix=f"add unique = [{', '.join(f'{chr(34)}{column}{chr(34)}' for column in key)}] to [sources.{table}], "
            "or join on a key that is unique",
            source=source,
            join=join,
            table=table,
        )


class EntityRepeated(CheckFailed):
    """A source that is to have one row an entity, and has several."""

    code = "entity-repeated"

    def __init__(self, source: str, member: str, key: Sequence[str], repeated: int) -> None:
        names = ", ".join(repr(column) for column in key)
        super().__init__(
            f'source {source!r} combines by "join": source {member!r} has several rows for {repeated:,} keys ({names})',
            fix=f'add unique to [sources.{member}], or write combine = "union" in [sources.{source}]',
            source=source,
            member=member,
            repeated=repeated,
        )


class BesideMissing(WrongUse):
    """Rows of a request with a column, and without the one that says in which unit or zone its values are."""

    code = "beside-missing"

    def __init__(self, column: str, needed: str) -> None:
        super().__init__(
            f"the rows have column {column!r} and lack {needed!r}, by which it is read",
            fix=f"add column {needed!r} to the rows",
            column=column,
            needed=needed,
        )


class UnitRefused(WrongUse):
    """An amount of a request in a unit that is not known, or of a day without a rate.

    Made by `at`; the constructor takes the whole text alone, as that of `CastRefused`."""

    code = "unit-refused"

    def __init__(self, text: str, **parts: Any) -> None:
        message, _, fix = text.partition(_POLARS_ADDS)[0].partition("\nfix: ")
        super().__init__(message, **({"fix": fix} if fix else {}), **parts)

    @classmethod
    def at(cls, *, column: str, row: int) -> UnitRefused:
        """The error for one cell; `row` counts from 1."""
        return cls(
            f"row {row}: no unit or rate is known for the value of column '{column}'\n"
            "fix: correct its unit, or leave the value empty if it is unknown; the rates are those of [currencies]"
        )


class CorrectionUnreadable(WrongUse):
    """A file of corrected rows that cannot be used."""

    code = "correction-unreadable"

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(
            f"the corrections in {file} cannot be used: {reason}",
            fix="headrace data quarantine SOURCE -o rows.csv writes a file to correct; keep its first columns",
            file=file,
            reason=reason,
        )


class CorrectionStale(CheckFailed):
    """Corrected rows that are not those set aside now."""

    code = "correction-stale"

    def __init__(self, source: str, file: str, reason: str, rows: Sequence[int] = ()) -> None:
        shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
        super().__init__(
            f"source {source!r}: the rows of {file} are not replayed: {reason}"
            + (f" (row {shown} of the file)" if rows else ""),
            fix=f"headrace check, then headrace data quarantine {source} -o rows.csv, and correct those rows",
            source=source,
            file=file,
            rows=list(rows),
        )


class NothingCorrected(WrongUse):
    """A file whose rows read as they were set aside."""

    code = "nothing-corrected"

    def __init__(self, source: str, file: str) -> None:
        super().__init__(
            f"source {source!r}: every row of {file} reads as it was set aside",
            fix="correct the cells that the reasons name, save the file and replay it",
            source=source,
            file=file,
        )


class CorrectionUnknown(WrongUse):
    """A correction that is not there."""

    code = "correction-unknown"

    def __init__(self, source: str, number: int, known: Sequence[int]) -> None:
        said = ", ".join(map(str, known)) if known else "none"
        super().__init__(
            f"source {source!r} has no correction {number} in force; in force: {said}",
            fix=f"headrace data replay {source} lists them",
            source=source,
            number=number,
            known=list(known),
        )


class CastRefused(WrongUse):
    """A cell of a request that is not of its column's type.

    Made by `at`. Polars raises an error from inside a query again as `type(error)(str(error))`, so the constructor
    takes the whole text alone, and finds fix and facts in it."""

    code = "cast-refused"

    def __init__(self, text: str, **parts: Any) -> None:
        text = text.partition(_POLARS_ADDS)[0]
        said = _CAST_REFUSED.fullmatch(text)
        if said is not None:
            parts = {"column": said["column"], "expected": said["expected"], "row": int(said["row"]), **parts}
            text, parts["fix"] = said["message"], said["fix"]
        super().__init__(text, **parts)

    @classmethod
    def at(cls, *, column: str, expected: str, row: int) -> CastRefused:
        """The error for one cell; `row` counts from 1."""
        exact = "; a decimal has at most 12 digits before the point and 6 after it, and more than 15 only as text"
        return cls(
            f"row {row}: the value of column '{column}' is no {expected}\n"
            f"fix: correct the value, or leave it empty if it is unknown; column '{column}' was {expected} in training"
            + (exact if expected == "decimal" else "")
        )


_POLARS_ADDS = "\n\nThis error occurred"
"""Where Polars begins to tell in which of its expressions an error was raised."""
_CAST_REFUSED = re.compile(
    r"(?P<message>row (?P<row>\d+): the value of column '(?P<column>.*)' is no (?P<expected>\w+))\nfix: (?P<fix>.*)",
    re.DOTALL,
)
