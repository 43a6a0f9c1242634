"""Twelve checks on 3.4 million flights, ours beside Polars by hand and three validators; and twenty rules on a million.

The twelve: five columns without nulls, four ranges, a set, a pattern, and a key of five columns that is unique. Every
contender reads one Parquet file and counts the rows that break each check; ours also keeps which rows they are, with
their reasons and the ledger. The peers run in environments of their own, made from `benchmarks/peers/*.txt`.

usage: python -m benchmarks.checks
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import polars as pl

from benchmarks.harness import FLIGHTS, ROOT, Measured, in_turn, python, record, table

COPIES = 10
TIMES = 3
PEERS = ("pandera", "pointblank", "great_expectations")
NOT_NULL = ("origin", "dest", "carrier", "flight", "time_hour")
RANGES = {"month": (1, 12), "hour": (0, 23), "distance": (1, 6000), "dep_delay": (-120, 1200)}
ORIGINS = ("EWR", "JFK", "LGA")
CARRIER = "[A-Z0-9]{2}"
KEY = ("time_hour", "carrier", "flight", "origin", "dest")


def write_flights(path: Path) -> int:
    """The flights ten times over, a year apart: their key stays unique."""
    files = sorted((FLIGHTS / "data" / "flights").glob("*.csv*"))
    one = pl.concat([pl.read_csv(file, null_values=["", "NA"], infer_schema_length=None) for file in files])
    one = one.with_columns(pl.col("time_hour").cast(pl.String).str.to_datetime(time_zone="UTC", time_unit="us"))
    parts = [
        one.with_columns(pl.col("time_hour") + pl.duration(days=366 * copy), pl.col("dep_delay").cast(pl.Float64))
        for copy in range(COPIES)
    ]
    whole = pl.concat(parts)
    whole.write_parquet(path, row_group_size=131_072)
    return whole.height


def by_hand(path: Path) -> dict[str, int]:
    """The limit: what a Polars user writes, the key by its hash."""
    rows = pl.scan_parquet(path)
    found = rows.select(
        *(pl.col(name).is_null().sum().alias(f"null {name}") for name in NOT_NULL),
        *((~pl.col(name).is_between(*bounds)).sum().alias(f"range {name}") for name, bounds in RANGES.items()),
        (~pl.col("origin").is_in(ORIGINS)).sum().alias("set"),
        (~pl.col("carrier").str.contains(rf"^{CARRIER}$")).sum().alias("pattern"),
        pl.struct(KEY).hash().n_unique().alias("keys"),
        pl.len().alias("rows"),
    )
    counts = found.collect().row(0, named=True)
    counts["unique"] = counts.pop("rows") - counts.pop("keys")
    return {name: int(count) for name, count in counts.items()}


def ours(path: Path) -> dict[str, int]:
    """The contract's verdict on the same file: flags, reasons, duplicates and a ledger that adds up."""
    from headrace.data.align import table_types
    from headrace.data.check import judge
    from headrace.data.corrections import rows_of
    from headrace.data.model import Snapshot, SourceState
    from headrace.definition.model import ColumnRule, Source
    from headrace.language.values import type_of_dtype
    from headrace.runs.model import ObjectRef

    raw = pl.scan_parquet(path)
    schema = raw.collect_schema()
    types = {name: type_ for name, dtype in schema.items() if (type_ := type_of_dtype(dtype)) is not None}
    columns = {name: ColumnRule(not_null=True) for name in NOT_NULL}
    columns |= {name: ColumnRule(min=low, max=high) for name, (low, high) in RANGES.items()}
    columns["origin"] = ColumnRule(not_null=True, allowed=ORIGINS)
    columns["carrier"] = ColumnRule(not_null=True, pattern=CARRIER)
    source = Source(name="flights", read=(str(path),), format="parquet", columns=tuple(columns.items()), unique=KEY)
    rows = raw.select(pl.len()).collect().item()
    snapshot = Snapshot(
        source="flights", ref=ObjectRef("snapshots/x", "x", 0), rows=rows, columns=tuple(types),
        state=SourceState(source="flights", parts=()),
    )  # fmt: skip
    _, ledger = judge(rows_of(raw, None, ()), source, types, table_types(source, types, {}), {}, snapshot)
    refused = ledger.quarantined().height
    report = ledger.report(source, snapshot, (), accepted=rows - refused)
    return {rule.rule: rule.failed for rule in report.rules}


def run(contender: str, path: Path) -> None:
    """One contender in a process of its own: prints the seconds from file to counts, and the counts."""
    if contender == "ours":
        import_module("headrace.data.check")  # no contender's imports are in its time
    started = time.perf_counter()
    counts = by_hand(path) if contender == "by_hand" else ours(path)
    print(json.dumps({"check_s": time.perf_counter() - started, "failed": sum(counts.values())}))


def peer(name: str, folder: Path, script: str = "checks") -> list[str]:
    """The command of a peer in an environment of its own, which is made when it is not there."""
    home = folder / name
    interpreter = home / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
    wanted = str(ROOT / "benchmarks" / "peers" / f"{name}.txt")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(interpreter), "-r", wanted], check=True)
    return [str(interpreter), str(ROOT / "benchmarks" / "peers" / f"{name}_{script}.py")]


def million(folder: Path) -> list[str]:
    """A project with a million rows and twenty rules; the command that checks it anew."""
    project = folder / "million"
    project.mkdir()
    n = 1_000_000
    names = [f"x{k}" for k in range(10)]
    frame = pl.select(
        pl.int_range(n).alias("id"), *(((pl.int_range(n) * (k + 3)) % 1009).alias(f"x{k}") for k in range(10))
    )
    frame.with_columns(pl.format("C{}", pl.col("x0") % 7).alias("code")).write_parquet(project / "rows.parquet")
    rules = [f"{name} = {{ min = 0, max = 1000 }}" for name in names[:7]]
    rules += [
        "x7 = { not_null = true }",
        'code = { pattern = "C[0-9]", allowed = ["C0", "C1", "C2", "C3", "C4", "C5"] }',
    ]
    checks = [("sum", "x0 + x1 < 2000"), ("same", "x2 <> x3 OR x2 < 500")]
    lines = ["format = 1", "[project]", 'name = "million"', 'label = "x9 > 500"', 'request = ["x1"]', "[sources.rows]"]
    lines += ['read = "rows.parquet"', 'unique = "id"', "[sources.rows.columns]", *rules]
    for name, where in checks:
        lines += ["[[sources.rows.checks]]", f'name = "{name}"', f'where = "{where}"', 'on_fail = "quarantine"']
    (project / "headrace.toml").write_text("\n".join(lines) + "\n")
    code = (
        "import shutil; shutil.rmtree('.headrace', ignore_errors=True); from headrace.cli import main; main(['check'])"
    )
    return python("-c", f"import os; os.chdir({str(project)!r}); {code}")


def report(measured: Mapping[str, Measured], rows: int, whole: Measured) -> str:
    """The tables."""
    said = {name: json.loads(one.output.splitlines()[-1]) for name, one in measured.items()}
    limit, limit_s = measured["by_hand"], said["by_hand"]["check_s"]
    lines = [
        (name, said[name]["check_s"], said[name]["check_s"] / limit_s, one.wall_s, one.cpu_s, one.cpu_s / limit.cpu_s,
         f"{one.peak_mb:.0f}")
        for name, one in measured.items()
    ]  # fmt: skip
    headings = ["contender", "check s", "× by hand", "process s", "CPU s", "CPU × by hand", "peak MB"]
    return (
        f"{rows:,} rows of flights in one Parquet file; `by_hand` is the limit, Polars as its user would write it. "
        "`check s` is from the file (Great Expectations: from a pandas frame in memory) to the counts, without "
        "imports.\n\n"
        + table(headings, lines)
        + "\n\nA million rows and twenty rules, `headrace check` from nothing to the page, with the accepted table, "
        f"the quarantine and the profile: {whole.wall_s:.2f} s, {whole.cpu_s:.2f} s of CPU, {whole.peak_mb:.0f} MB."
    )


def main(arguments: list[str]) -> None:
    """Measure and record."""
    if len(arguments) == 2:
        run(arguments[0], Path(arguments[1]))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        flights = folder / "flights.parquet"
        rows = write_flights(flights)
        commands = {name: python("-m", "benchmarks.checks", name, str(flights)) for name in ("by_hand", "ours")}
        commands |= {name: [*peer(name, folder), str(flights)] for name in PEERS}
        measured = in_turn(commands, times=TIMES)
        whole = in_turn({"million": million(folder)}, times=3)["million"]
    body = report(measured, rows, whole)
    record("Checks", "python -m benchmarks.checks", body, libraries=["polars"])


if __name__ == "__main__":
    main(sys.argv[1:])
