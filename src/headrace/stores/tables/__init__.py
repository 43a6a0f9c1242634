"""Tables that grow: Delta Lake on the object store, for what is appended for ever (usage, later predictions).

Every adapter keeps these promises, and `headrace.testing.tables.TableStoreSuite` checks them: an append is whole or
absent and durable once it returns; concurrent appends all land, versions have no gap; an old version stays readable
until `vacuum`; a torn tail left by a power cut is repaired on open, and a damaged middle is named, never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl


class TableStore(Protocol):
    """Named Delta tables."""

    def append(
        self,
        table: str,
        rows: pl.DataFrame,
        *,
        partition: str | None = None,
        marks: Mapping[str, int] | None = None,
        after: int | None = None,
    ) -> int:
        """Create the table with the rows' schema or append to it; the new version.

        Parameters
        ----------
        partition
            A column of text or dates without nulls: each value's rows lie in files of their own. Of a new table; one
            that is there keeps what it has.
        marks
            Set together with the rows, all or nothing: per name how far its writer has come (`marks`).
        after
            The version that the rows were made for, -1 for a table that is not there: nothing is appended to another.

        Raises
        ------
        TableSchemaMismatch
            The rows do not have the table's columns, or a column has a type that Delta does not know.
        TableMoved
            The table has another version than `after`, or somebody else set one of the marks meanwhile.
        """
        ...

    def marks(self, table: str) -> Mapping[str, int]:
        """What appends have set; empty when the table does not exist."""
        ...

    def scan(self, table: str, *, version: int | None = None) -> pl.LazyFrame:
        """The rows at a version (None: the newest), in no particular order; files that are damaged are refused."""
        ...

    def version(self, table: str) -> int | None:
        """The newest version; None when the table does not exist."""
        ...

    def delete_where(self, table: str, predicate: str) -> int:
        """Delete the rows for which the SQL predicate is true; the number of rows deleted."""
        ...

    def compact(self, table: str) -> None:
        """Join small files; readers notice nothing."""
        ...

    def vacuum(self, table: str, *, keep_hours: float) -> int:
        """Delete files that no version younger than `keep_hours` needs; the number of files deleted.

        An append takes its file's age into account: `keep_hours` longer than the longest append is safe beside writers.
        """
        ...
