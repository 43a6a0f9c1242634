"""The first tables: runs, stages and their outcomes, versions and aliases, states of sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, autoincrement=False)


def _part_of(columns: list[str], parent: list[str]) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(columns, parent, ondelete="CASCADE", deferrable=True, initially="DEFERRED")


def upgrade() -> None:
    """Make the tables."""
    _make_runs()
    _make_outcomes()
    _make_registry()
    op.create_table(
        "source_states",
        _text("project"),
        _text("source"),
        _text("state"),
        _text("snapshot_fingerprint", nullable=True),
        _integer("seen_us"),
        sa.PrimaryKeyConstraint("project", "source"),
    )


def _make_runs() -> None:
    op.create_table(
        "runs",
        _text("project"),
        _text("id"),
        _text("state"),
        _integer("started_us"),
        _integer("ended_us", nullable=True),
        _text("definition_sha256"),
        _text("result", nullable=True),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("project", "id"),
    )
    op.create_table(
        "stages",
        _text("project"),
        _text("run_id"),
        _integer("position"),
        _text("name"),
        _text("state"),
        _text("fingerprint"),
        _integer("started_us"),
        _integer("ended_us", nullable=True),
        _text("usage", nullable=True),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("project", "run_id", "position"),
        _part_of(["project", "run_id"], ["runs.project", "runs.id"]),
    )


def _make_outcomes() -> None:
    op.create_table(
        "outcomes",
        _text("project"),
        _text("fingerprint"),
        _text("name"),
        _text("outcome"),
        _text("usage"),
        _integer("made_us"),
        sa.PrimaryKeyConstraint("project", "fingerprint"),
    )
    op.create_table(
        "outcome_objects",
        _text("project"),
        _text("fingerprint"),
        _text("key"),
        sa.PrimaryKeyConstraint("project", "fingerprint", "key"),
        _part_of(["project", "fingerprint"], ["outcomes.project", "outcomes.fingerprint"]),
    )
    op.create_table(
        "parts",
        _text("project"),
        _text("fingerprint"),
        _text("part"),
        _integer("seq"),
        sa.Column("data", sa.LargeBinary, nullable=False),
        _integer("made_us"),
        sa.PrimaryKeyConstraint("project", "fingerprint", "part"),
    )


def _make_registry() -> None:
    op.create_table(
        "versions",
        _text("project"),
        _text("model"),
        _integer("number"),
        _text("package"),
        _text("signer"),
        _text("run", nullable=True),
        _integer("created_us"),
        _text("summary"),
        sa.PrimaryKeyConstraint("project", "model", "number"),
        sa.UniqueConstraint("project", "model", "package"),
    )
    op.create_table(
        "version_files",
        _text("project"),
        _text("package"),
        _text("name"),
        _text("key"),
        _text("sha256"),
        _integer("size"),
        sa.PrimaryKeyConstraint("project", "package", "name"),
    )
    op.create_table(
        "aliases",
        _text("project"),
        _text("model"),
        _text("alias"),
        _integer("number"),
        _integer("changed_us"),
        sa.PrimaryKeyConstraint("project", "model", "alias"),
        _part_of(["project", "model", "number"], ["versions.project", "versions.model", "versions.number"]),
    )
    op.create_table(
        "alias_changes",
        _text("project"),
        _text("model"),
        _text("alias"),
        _integer("seq"),
        _integer("number", nullable=True),
        _integer("at_us"),
        _text("by"),
        _text("reason"),
        sa.PrimaryKeyConstraint("project", "model", "alias", "seq"),
    )
