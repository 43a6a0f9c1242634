"""What can go wrong in a store."""

from __future__ import annotations

from headrace.errors import TroubleOutside, WrongUse


class ObjectNotFound(TroubleOutside):
    """No blob under that key."""

    code = "object-not-found"

    def __init__(self, key: str) -> None:
        super().__init__(f"the object store has no object {key!r}", key=key)


class InvalidKey(WrongUse):
    """A key that is not segments of letters, digits and `._-=` joined by `/`, or that the store cannot hold."""

    code = "invalid-key"

    def __init__(
        self, key: str, reason: str = "a key is segments of A-Z a-z 0-9 . _ - = joined by /, none of them . or .."
    ) -> None:
        super().__init__(f"{key!r} is not a key of this store: {reason}", key=key, reason=reason)


class UnknownStore(WrongUse):
    """A URL in `[stores]` that names no adapter, or not a place."""

    code = "unknown-store"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"{url!r} is not a store's URL: {reason}",
            fix="correct the URL in [stores] of headrace.toml",
            url=url,
            reason=reason,
        )


class ObjectCorrupted(TroubleOutside):
    """The stored bytes are not the bytes that were put."""

    code = "object-corrupted"

    def __init__(self, key: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"object {key!r} is damaged: SHA-256 {expected} was stored, {found} was read",
            fix="restore the object from a backup, or delete it and run again: headrace makes it anew from its inputs",
            key=key,
            expected=expected,
            found=found,
        )


class StoreFull(TroubleOutside):
    """The disk, or the quota, is full."""

    code = "store-full"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"no space is left for {where}",
            fix="free some space (headrace runs gc deletes what no kept run needs), run again: finished work is kept",
            where=where,
        )


class StoreUnavailable(TroubleOutside):
    """A store does not answer, or refuses us."""

    code = "store-unavailable"

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(
            f"the store {store} does not answer: {reason}",
            fix="check that the server runs and that the URL and credentials in [stores] are right, then run again",
            store=store,
            reason=reason,
        )


class AlreadyExists(WrongUse):
    """A unique row is there already."""

    code = "already-exists"

    def __init__(self, table: str) -> None:
        super().__init__(f"a row with this key is already in the catalog's table {table!r}", table=table)


class SchemaTooNew(WrongUse):
    """The catalog was written by a newer release."""

    code = "schema-too-new"

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the catalog has schema {found}, this release knows up to {known}",
            fix="use the newer headrace, or restore the backup that was taken before the upgrade",
            found=found,
            known=known,
        )


class CatalogCorrupted(TroubleOutside):
    """The catalog's file is damaged."""

    code = "catalog-corrupted"

    def __init__(self, catalog: str, reason: str) -> None:
        super().__init__(
            f"the catalog {catalog} is damaged: {reason}",
            fix="restore the catalog from a backup",
            catalog=catalog,
            reason=reason,
        )


class TableCorrupted(TroubleOutside):
    """A table's log or file is damaged where it cannot be repaired."""

    code = "table-corrupted"

    def __init__(self, table: str, entry: str) -> None:
        super().__init__(
            f"table {table!r} is damaged at {entry}",
            fix="restore the table from a backup; only a torn last entry can be repaired in place",
            table=table,
            entry=entry,
        )


class TableMoved(TroubleOutside):
    """Another process has written to the table meanwhile."""

    code = "table-moved"

    def __init__(self, table: str, after: int | None) -> None:
        since = "meanwhile" if after is None else f"since version {after}"
        super().__init__(
            f"somebody else wrote to table {table!r} {since}; nothing of ours is in it",
            fix="look at what was written and try again",
            table=table,
            after=after,
        )


class TableSchemaMismatch(WrongUse):
    """Rows that do not have the table's columns."""

    code = "table-schema-mismatch"

    def __init__(self, table: str, column: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"column {column!r} of table {table!r}: expected {expected}, found {found}",
            fix="give the rows the table's columns and types, or append to another table",
            table=table,
            column=column,
            expected=expected,
            found=found,
        )


class TableTooNew(WrongUse):
    """Another program has made of a table what this release does not understand."""

    code = "table-too-new"

    def __init__(self, table: str, needs: str) -> None:
        super().__init__(
            f"table {table!r} needs {needs}, which this release does not know",
            fix="write to it with headrace only, or copy its rows to another table",
            table=table,
            needs=needs,
        )


class OnlineBusy(TroubleOutside):
    """Another writer is at work."""

    code = "online-busy"

    def __init__(self, store: str, space: str) -> None:
        super().__init__(
            f"the online values of {space!r} in {store} are being written by another process",
            fix="wait until it is done, or, if it was killed, half a minute; then run again",
            store=store,
            space=space,
        )


class OnlineMoved(OnlineBusy):
    """Another writer was done in the meantime."""

    code = "online-moved"


class OnlineCorrupted(TroubleOutside):
    """The file of online values is damaged."""

    code = "online-corrupted"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the online values in {where} are damaged: {reason}",
            fix="delete that folder and type headrace materialize: online values are made anew from history",
            where=where,
            reason=reason,
        )
