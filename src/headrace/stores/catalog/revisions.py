"""The schema's revisions, oldest first: what a stored revision is compared with before anything heavy is imported."""

from __future__ import annotations

from headrace.stores.errors import SchemaTooNew

REVISIONS = ("0001", "0002", "0003")
NEWEST = REVISIONS[-1]


def is_current(found: str | None) -> bool:
    """Whether a catalog with this revision (None: empty) can be used as it is; a newer one is refused."""
    if found is not None and found not in REVISIONS:
        raise SchemaTooNew(found, NEWEST)
    return found == NEWEST
