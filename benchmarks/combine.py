"""Two systems' customers made one: 1 M + 1 M rows, half of the keys in both, five columns, each by another rule.

Beside the same by hand in Polars, which makes the table alone: it keeps nothing of what lost and of where it came from.

`python -m benchmarks.combine [ROWS]`
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.harness import in_turn, python, record, table

if TYPE_CHECKING:
    from headrace.runs.model import ObjectRef

TIMES: Final = 3
SOURCES: Final = ("crm", "billing")
COLUMNS: Final = ("key", "name", "city", "points", "plan", "changed")


def make(folder: Path, rows: int) -> None:
    """Rows in no order; a tenth of each column is null."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(0)
    for n, source in enumerate(SOURCES):
        keys = draw.permutation(rows) + n * rows // 2
        columns = {
            "name": [f"customer {n % 9973}" for n in draw.integers(0, rows, rows).tolist()],
            "city": [f"city {n}" for n in draw.integers(0, 500, rows).tolist()],
            "points": draw.integers(0, 1000, rows),
            "plan": [f"plan {n}" for n in draw.integers(0, 5, rows).tolist()],
        }
        frame = pl.DataFrame({"key": [f"C{key:09d}" for key in keys.tolist()], **columns}).with_columns(
            changed=pl.Series(draw.integers(0, 365 * 86_400, rows) * 1_000_000).cast(pl.Datetime("us", "UTC"))
        )
        holes = [pl.when(pl.Series(draw.random(rows) < 0.9)).then(pl.col(name)).alias(name) for name in columns]
        frame.with_columns(holes).write_parquet(folder / f"{source}.parquet", compression="zstd")


class _Folder:
    """A stage's context over one folder: what the runner would give, without its catalog."""

    def __init__(self, root: Path) -> None:
        self.workdir = root / "work"
        self.workdir.mkdir()
        self._root = root

    def keep(self, path: Path, kind: str, suffix: str) -> ObjectRef:
        from headrace.runs.model import ObjectRef

        target = self._root / f"{kind}-{path.stem}{suffix}"
        path.replace(target)
        return ObjectRef(str(target), "", target.stat().st_size)

    def scan(self, ref: ObjectRef) -> tuple[str, dict[str, str]]:
        return ref.key, {}

    def progress(self, *_: object, **__: object) -> None: ...

    def count(self, **_: int) -> None: ...


def ours(folder: str) -> None:
    """The stage: entities, lineage, what lost."""
    import polars as pl

    from headrace.data.combine.stage import combine_members
    from headrace.data.model import CheckedSource, Field, QualityReport, Snapshot, SourceState, Table
    from headrace.definition.model import Combine, Source, Survive
    from headrace.language.types import Type
    from headrace.runs.model import ObjectRef

    types = (Type.STRING, Type.STRING, Type.STRING, Type.INTEGER, Type.STRING, Type.TIMESTAMP)
    fields = tuple(Field(name=name, type=type_) for name, type_ in zip(COLUMNS, types, strict=True))
    checked, snapshots = {}, {}
    for name in SOURCES:
        path = Path(folder) / f"{name}.parquet"
        rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        ref = ObjectRef(str(path), "", path.stat().st_size)
        report = QualityReport(source=name, read=rows, accepted=rows, repaired=0, quarantined=0, reasons=())
        checked[name] = CheckedSource(table=Table(source=name, ref=ref, rows=rows, fields=fields), report=report)
        state = SourceState(source=name, parts=())
        snapshots[name] = Snapshot(source=name, ref=ref, rows=rows, columns=COLUMNS, state=state)
    rules = {"name": "longest", "city": "most_recent", "points": "max", "plan": "rank", "changed": "max"}
    combine = Combine(
        members=SOURCES,
        key=("key",),
        survive=tuple((name, Survive(rule=rule)) for name, rule in rules.items()),  # type: ignore[arg-type]
    )
    members = [Source(name=name, format="parquet", event_time="changed") for name in SOURCES]
    source = Source(name="customers", format="combined", combine=combine)
    with tempfile.TemporaryDirectory() as root:
        made = combine_members(source, members, checked, snapshots, _Folder(Path(root)))  # type: ignore[arg-type]
        print(made.snapshot.rows, sum(conflict.values for conflict in made.conflicts))


def by_hand(folder: str) -> None:
    """One group-by in Polars, its own engine's choice of plan, sorted by key as ours is."""
    import polars as pl

    rows = pl.concat(
        pl.scan_parquet(Path(folder) / f"{name}.parquet").with_columns(source=pl.lit(n, pl.UInt8))
        for n, name in enumerate(SOURCES)
    )
    name, city, plan = (pl.col(column) for column in ("name", "city", "plan"))
    entities = rows.group_by("key").agg(
        name.sort_by(name.str.len_chars(), pl.col("source"), descending=[True, False], nulls_last=True).first(),
        city.filter(city.is_not_null()).sort_by(pl.col("changed").filter(city.is_not_null()), descending=True).first(),
        pl.col("points").max(),
        plan.filter(plan.is_not_null()).sort_by(pl.col("source").filter(plan.is_not_null())).first(),
        pl.col("changed").max(),
    )
    with tempfile.TemporaryDirectory() as root:
        target = Path(root) / "entities.parquet"
        entities.sort("key").sink_parquet(target, compression="zstd", compression_level=1)
        print(pl.scan_parquet(target).select(pl.len()).collect().item())


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    rows = int(float(next(iter(arguments), "1e6")))
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), rows)
        found = in_turn(
            {
                "ours, with lineage and what lost": python("-m", "benchmarks.combine", "--as=ours", folder),
                "Polars by hand, the table alone": python("-m", "benchmarks.combine", "--as=by_hand", folder),
            },
            times=TIMES,
        )
    base = found["Polars by hand, the table alone"]
    body = table(
        ["contender", "wall s", "CPU s", "peak MB", "wall × Polars", "CPU × Polars", "MB × Polars"],
        [
            (name, m.wall_s, m.cpu_s, m.peak_mb, m.wall_s / base.wall_s, m.cpu_s / base.cpu_s, m.peak_mb / base.peak_mb)
            for name, m in found.items()
        ],
    )
    entities, lost = next(iter(found.values())).output.split()
    body += f"\n\n{int(entities):,} entities, {int(lost):,} values that lost kept with their provenance."
    command = " ".join(["python -m benchmarks.combine", *arguments])
    record(f"One entity of two sources, {rows:,} + {rows:,} rows", command, body, libraries=["polars", "numpy"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--as=ours", folder]:
            ours(folder)
        case ["--as=by_hand", folder]:
            by_hand(folder)
        case arguments:
            main(arguments)
