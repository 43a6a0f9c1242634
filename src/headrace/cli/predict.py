"""`headrace predict`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import instant, print_json, print_line, seconds, things


def predict(
    reference: str,
    rows: Path,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    reasons: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    features: Literal["history", "online"] = "history",
    ignore_unknown: Flag = False,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Score a file of rows with a registered version.

    Rows are raw, as the source has them: renamed, cast and derived by its contract. Lookups and windows are computed
    from the project's history as of the last run or check, or read from the online store.

    Parameters
    ----------
    reference
        MODEL@ALIAS, MODEL@NUMBER, or MODEL for its champion.
    rows
        CSV, Parquet or NDJSON (text also as .gz or .zst).
    out
        Where the answers go: .parquet, .csv or .ndjson.
    reasons
        How many reasons each answer carries.
    features
        Where lookups and windows come from: history, or the online values that headrace materialize has written.
    ignore_unknown
        Pass over columns that the contract does not know.
    """
    from headrace.app import Project

    started = time.perf_counter()
    show = sys.stderr.isatty() and not as_json

    def say(done: int) -> None:
        if show:
            sys.stderr.write(f"\r{things(done, 'row')}")

    done = Project.open(project).predict(
        reference, rows, out, reasons=reasons, features=features, ignore_unknown=ignore_unknown, progress=say
    )
    took = time.perf_counter() - started
    if show:
        sys.stderr.write("\r")
    if as_json:
        facts = {"rows": done.rows, "rows_beyond_history": done.starved, "history_ends_us": done.history_ends_us}
        print_json({"reference": reference, "out": str(out), "seconds": round(took, 3), **facts})
        return 0
    print_line(f"{things(done.rows, 'row')} scored in {seconds(took)}: {out}")
    if done.starved:
        print_line(
            f"note: the history of events ends {instant(done.history_ends_us)}; {things(done.starved, 'row is')} asked"
            " so much later that windows are empty. Add newer rows to the sources and type headrace check."
        )
    return 0
