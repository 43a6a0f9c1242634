"""The catalog: small rows in transactions. SQLite by default, PostgreSQL in production, one schema.

Every adapter keeps these promises, and `headrace.testing.catalog.CatalogSuite` checks them: a transaction is all or
nothing and durable once it has committed; writers never lose each other's updates; a writer waits for another, it
does not fail; a lost server raises `StoreUnavailable`; a catalog written by a newer release is refused. Values are
`int`, `float`, `str`, `bytes`, `bool` and None; instants are integers, microseconds since 1970 UTC; structured values
are JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

Value: TypeAlias = int | float | str | bytes | bool | None
Row: TypeAlias = dict[str, Value]
Where: TypeAlias = Mapping[str, Value | tuple[str, Value] | Sequence[Value]]
"""Column → value (equal), list of values (any of), or pair (operator, value) with operator one of `< <= > >= !=`."""


class Reader(Protocol):
    """Reading inside one transaction: everything is seen as of one instant."""

    def select(
        self, table: str, where: Where | None = None, *, order_by: Sequence[str] = (), limit: int | None = None
    ) -> list[Row]:
        """Rows as dictionaries; `order_by` takes column names, with a leading `-` for descending."""
        ...

    def get(self, table: str, where: Where) -> Row | None:
        """The one row that matches, or None; more than one is a programming error."""
        ...


class Writer(Reader, Protocol):
    """Reading and writing inside one transaction: committed by the end of the `with` block, undone by an exception."""

    def insert(self, table: str, row: Mapping[str, Value]) -> None:
        """Raises `AlreadyExists` when a unique constraint refuses the row."""
        ...

    def insert_if_absent(self, table: str, row: Mapping[str, Value]) -> bool:
        """False when a row with the same unique key is already there."""
        ...

    def update(self, table: str, where: Where, values: Mapping[str, Value]) -> int:
        """The number of rows changed: 0 tells a compare-and-set that it lost."""
        ...

    def delete(self, table: str, where: Where) -> int: ...


class Catalog(Protocol):
    """A catalog that has been opened; one instance may serve many threads."""

    def read(self) -> AbstractContextManager[Reader]: ...

    def write(self) -> AbstractContextManager[Writer]:
        """A write transaction, taken at once (SQLite: BEGIN IMMEDIATE), so that it never fails half-way on a lock."""
        ...

    def migrate(self) -> None:
        """Bring the schema to this release's, all or nothing; refuses a schema that is newer."""
        ...

    def close(self) -> None: ...
