"""Rows that people have corrected: the objects that hold them, and whether they still apply."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "corrections",
        _text("project"),
        _text("source"),
        _integer("seq"),
        _text("key"),
        _text("sha256"),
        _integer("size"),
        _integer("rows"),
        _text("snapshot"),
        _integer("made_us"),
        _text("reason"),
        _integer("withdrawn_us", nullable=True),
        sa.PrimaryKeyConstraint("project", "source", "seq"),
    )
