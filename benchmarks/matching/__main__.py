"""Fuzzy duplicates: precision, recall and speed beside Splink, on planted duplicates and on the FEBRL data sets.

The planted tables are made with other seeds than those that the defaults were chosen with, though these were run too
while the code changed; one rule (two columns seldom equal) came from looking at FEBRL 2 (Christen, 2005), so that its
figures are no independent test. Splink, and the packages whose name lists and data are used, live in an environment of
their own:

    uv venv PEERS && uv pip install --python PEERS/bin/python splink recordlinkage names nicknames pandas

usage: python -m benchmarks.matching PEERS [ROWS …]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from benchmarks.harness import ROOT, Measured, measure, python, record, table
from benchmarks.matching.data import planted

SEED = 20_261
SPLINK_ROWS = 200_000
"""Splink is measured up to so many rows."""
CONTENDERS = str(ROOT / "benchmarks" / "matching" / "contenders.py")


def pairwise(entity: pl.Series, cluster: pl.Series) -> tuple[float, float]:
    """Precision and recall over pairs of rows."""
    frame = pl.DataFrame({"entity": entity, "cluster": cluster})

    def pairs(*columns: str) -> int:
        sizes = frame.group_by(columns).len().select(n=pl.col("len").cast(pl.Int64))
        return int(sizes.select((pl.col("n") * (pl.col("n") - 1) // 2).sum()).item())

    right = pairs("entity", "cluster")
    return right / max(pairs("cluster"), 1), right / max(pairs("entity"), 1)


def febrl(number: str, packages: Path) -> pl.DataFrame:
    """One of the data sets; 4 is the two files one below the other."""
    folder = packages / "recordlinkage" / "datasets" / "febrl"
    files = ["dataset4a.csv", "dataset4b.csv"] if number == "4" else [f"dataset{number}.csv"]
    frame = pl.concat(pl.read_csv(folder / name, infer_schema_length=0) for name in files)
    frame = frame.rename({name: name.strip() for name in frame.columns}).with_columns(pl.all().str.strip_chars())
    frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return frame.select(
        entity=pl.col("rec_id").str.extract(r"rec-(\d+)-").cast(pl.Int64),
        unique_id=pl.int_range(pl.len()),
        given_name="given_name",
        surname="surname",
        date_of_birth="date_of_birth",
        street=pl.concat_str("street_number", "address_1", separator=" ", ignore_nulls=True),
        suburb="suburb",
        postcode="postcode",
        soc_sec_id="soc_sec_id",
    )


def row(name: str, frame: pl.DataFrame, measured: Measured) -> list[object]:
    """One line of the table."""
    found = json.loads(measured.output.splitlines()[-1])
    precision, recall = pairwise(frame["entity"], pl.Series(found["clusters"]))
    harmonic = 2 * precision * recall / max(precision + recall, 1e-9)
    speed = frame.height / found["seconds"]
    figures = f"{precision:.4f}", f"{recall:.4f}", f"{harmonic:.4f}"
    return [name, f"{frame.height:,}", *figures, found["seconds"], f"{speed:,.0f}", measured.peak_mb]


def main(arguments: Sequence[str]) -> None:
    """Measure and record."""
    peers = Path(arguments[0]).resolve()
    if not peers.exists():
        sys.exit(f"{peers} is not there; make it as `python -m pydoc benchmarks.matching.__main__` says")
    sizes = [int(float(size)) for size in arguments[1:]] or [10_000, 100_000, 1_000_000]
    packages = next((peers / "lib").glob("python*/site-packages"))
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        tables = [(f"planted, {size:,}", planted(size, SEED + n, packages)) for n, size in enumerate(sizes)]
        tables += [(f"FEBRL {number}", febrl(number, packages)) for number in "1234"]
        for name, frame in tables:
            frame.write_parquet(path)
            ours = measure(python(CONTENDERS, "ours", str(path)))
            lines.append(row(f"{name}: ours", frame, ours))
            print(lines[-1], file=sys.stderr, flush=True)
            if frame.height <= SPLINK_ROWS + 10:
                splink = measure([str(peers / "bin" / "python"), CONTENDERS, "splink", str(path)])
                lines.append(row(f"{name}: Splink", frame, splink))
                print(lines[-1], file=sys.stderr, flush=True)
    headings = ["table", "rows", "precision", "recall", "F1", "s", "rows/s", "peak MB"]
    body = "Pairs of rows; defaults of both, Splink's threshold 0.95.\n\n" + table(headings, lines)
    record("Fuzzy duplicates", "python -m benchmarks.matching PEERS", body, libraries=("polars", "rapidfuzz"))


if __name__ == "__main__":
    main(sys.argv[1:])
