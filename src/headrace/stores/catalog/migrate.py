"""Bringing an older catalog to this release's schema, step by step, by the Alembic scripts in `migrations/versions`.

Everything happens in the caller's transaction: SQLite and PostgreSQL both roll table definitions back, so a migration
that is killed leaves the old schema.
"""

from __future__ import annotations

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from headrace.stores.catalog.revisions import NEWEST

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, *, to: str = NEWEST) -> None:
    """Run every migration between the stored revision (none: the beginning) and `to`."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
    found = context.get_current_revision() or "base"
    steps = [step for step in scripts.walk_revisions(found, to) if step.revision != found]
    with Operations.context(context):
        for step in reversed(steps):
            step.module.upgrade()
            context.stamp(scripts, step.revision)
