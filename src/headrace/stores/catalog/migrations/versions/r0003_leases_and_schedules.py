"""Leases, one a project, and what a schedule has decided about its times."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "leases",
        _text("project"),
        _integer("token"),
        _integer("beat"),
        _text("holder", nullable=True),
        _integer("since_us"),
        sa.PrimaryKeyConstraint("project"),
    )
    op.create_table(
        "schedules",
        _text("project"),
        _text("spec"),
        _integer("decided_us"),
        _text("files", nullable=True),
        sa.PrimaryKeyConstraint("project"),
    )
    op.create_table(
        "schedule_times",
        _text("project"),
        _text("cause"),
        _integer("due_us"),
        _integer("until_us"),
        _integer("times"),
        _text("state"),
        _integer("tries"),
        _text("run", nullable=True),
        _text("error", nullable=True),
        _integer("changed_us"),
        sa.PrimaryKeyConstraint("project", "cause", "due_us"),
    )
