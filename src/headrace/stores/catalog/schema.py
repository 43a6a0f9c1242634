"""The catalog's tables as this release knows them. A change here needs a migration too; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Byte order on every server: PostgreSQL would otherwise sort by the database's language, SQLite by bytes.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, autoincrement=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _part_of(parent: str, columns: dict[str, str]) -> ForeignKeyConstraint:
    """Deferred, so that rows of one transaction may be written in any order; the parts go with the whole."""
    return ForeignKeyConstraint(
        list(columns),
        [f"{parent}.{column}" for column in columns.values()],
        ondelete="CASCADE",
        deferrable=True,
        initially="DEFERRED",
    )


# The revision of the schema, in the form that Alembic reads and writes.
revision = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

Table(
    "runs",
    metadata,
    _text("project"),
    _text("id"),
    _text("state"),
    _integer("started_us"),
    _integer("ended_us", nullable=True),
    _text("definition_sha256"),
    _text("result", nullable=True),
    _text("error", nullable=True),
    PrimaryKeyConstraint("project", "id"),
)
Table(
    "stages",
    metadata,
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
    PrimaryKeyConstraint("project", "run_id", "position"),
    _part_of("runs", {"project": "project", "run_id": "id"}),
)
Table(
    "outcomes",
    metadata,
    _text("project"),
    _text("fingerprint"),
    _text("name"),
    _text("outcome"),
    _text("usage"),
    _integer("made_us"),
    PrimaryKeyConstraint("project", "fingerprint"),
)
Table(
    "outcome_objects",
    metadata,
    _text("project"),
    _text("fingerprint"),
    _text("key"),
    PrimaryKeyConstraint("project", "fingerprint", "key"),
    _part_of("outcomes", {"project": "project", "fingerprint": "fingerprint"}),
)
Table(
    "parts",
    metadata,
    _text("project"),
    _text("fingerprint"),
    _text("part"),
    _integer("seq"),
    _bytes("data"),
    _integer("made_us"),
    PrimaryKeyConstraint("project", "fingerprint", "part"),
)
Table(
    "versions",
    metadata,
    _text("project"),
    _text("model"),
    _integer("number"),
    _text("package"),
    _text("signer"),
    _text("run", nullable=True),
    _integer("created_us"),
    _text("summary"),
    PrimaryKeyConstraint("project", "model", "number"),
    UniqueConstraint("project", "model", "package"),
)
Table(
    "version_files",
    metadata,
    _text("project"),
    _text("package"),
    _text("name"),
    _text("key"),
    _text("sha256"),
    _integer("size"),
    PrimaryKeyConstraint("project", "package", "name"),
)
Table(
    "corrections",
    metadata,
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
    PrimaryKeyConstraint("project", "source", "seq"),
)
Table(
    "aliases",
    metadata,
    _text("project"),
    _text("model"),
    _text("alias"),
    _integer("number"),
    _integer("changed_us"),
    PrimaryKeyConstraint("project", "model", "alias"),
    _part_of("versions", {"project": "project", "model": "model", "number": "number"}),
)
Table(
    "alias_changes",
    metadata,
    _text("project"),
    _text("model"),
    _text("alias"),
    _integer("seq"),
    _integer("number", nullable=True),
    _integer("at_us"),
    _text("by"),
    _text("reason"),
    PrimaryKeyConstraint("project", "model", "alias", "seq"),
)
Table(
    "source_states",
    metadata,
    _text("project"),
    _text("source"),
    _text("state"),
    _text("snapshot_fingerprint", nullable=True),
    _integer("seen_us"),
    PrimaryKeyConstraint("project", "source"),
)
Table(
    "leases",
    metadata,
    _text("project"),
    _integer("token"),
    _integer("beat"),
    _text("holder", nullable=True),
    _integer("since_us"),
    PrimaryKeyConstraint("project"),
)
Table(
    "schedules",
    metadata,
    _text("project"),
    _text("spec"),
    _integer("decided_us"),
    _text("files", nullable=True),
    PrimaryKeyConstraint("project"),
)
Table(
    "schedule_times",
    metadata,
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
    PrimaryKeyConstraint("project", "cause", "due_us"),
)
