"""A look at what matching found: clusters with their rows, pairs with their evidence, and answers of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headrace.data.matching.answers import Answer, add_answer, digests
from headrace.data.matching.model import MatchedSource
from headrace.data.model import CheckedSource
from headrace.definition.model import Source
from headrace.errors import WrongUse
from headrace.runs.model import ObjectRef

Scan = Callable[[ObjectRef], pl.LazyFrame]


class NoMatching(WrongUse):
    """A source whose definition does not say what to compare."""

    code = "no-matching"

    def __init__(self, source: str) -> None:
        super().__init__(
            f"source {source!r} has no [sources.{source}.match]",
            fix=f'write [sources.{source}.match] with compare = {{ COLUMN = "name" }} and run headrace check',
            source=source,
        )


class RowNotMatched(WrongUse):
    """A row number that is no row which was matched."""

    code = "row-not-matched"

    def __init__(self, source: str, row: int) -> None:
        super().__init__(
            f"row {row} of source {source!r} was not matched: it is not there, or its contract sets it aside",
            fix=f"take row numbers from headrace data matches {source}",
            source=source,
            row=row,
        )


def compared_rows(source: Source, before: CheckedSource, scan: Scan) -> pl.DataFrame:
    """`row` (number in the source) and the compared columns of every row that was matched."""
    assert source.match is not None, "the caller has seen to it"
    is_kept = np.ones(before.report.read, np.bool_)
    if before.quarantine is not None:
        is_kept[scan(before.quarantine).select("_row").collect()["_row"].to_numpy() - 1] = False
    names = [name for name, _ in source.match.compare]
    cells = scan(before.table.ref).select(pl.col(name).alias(f"cell:{name}") for name in names).collect()
    return cells.insert_column(0, pl.Series("row", np.flatnonzero(is_kept) + 1, dtype=pl.Int64))


def clusters(
    source: Source, matched: MatchedSource, before: CheckedSource, scan: Scan, limit: int | None
) -> list[dict[str, Any]]:
    """The first clusters: their rows with the compared cells, and the pairs between them with their evidence."""
    held = scan(matched.clusters)
    if limit is not None:
        held = held.filter(pl.col("cluster") <= limit)
    members = held.collect().with_row_index("order")
    cells = compared_rows(source, before, scan).join(members, on="row").sort("order")
    pairs = scan(matched.pairs).collect()
    of = members.select("row", "cluster")
    inner = pairs.join(of.rename({"row": "left"}), on="left").join(of.rename({"row": "right"}), on="right", suffix="_r")
    inner = inner.filter(pl.col("cluster") == pl.col("cluster_r")).sort("cluster", "left", "right")
    by_cluster: dict[int, list[dict[str, Any]]] = {}
    for row in inner.iter_rows(named=True):
        by_cluster.setdefault(row["cluster"], []).append(_pair(source, row))
    found: dict[int, dict[str, Any]] = {}
    for row in cells.iter_rows(named=True):
        one = found.setdefault(
            row["cluster"],
            {"cluster": row["cluster"], "rows": [], "pairs": by_cluster.get(row["cluster"], [])},
        )
        one["rows"].append({"row": row["row"], "stays": row["stays"], "cells": _cells(row)})
    return list(found.values())


def pairs_to_review(
    source: Source, matched: MatchedSource, before: CheckedSource, scan: Scan, limit: int | None
) -> list[dict[str, Any]]:
    """The pairs that nobody has answered for, nearest to the threshold first, with the compared cells of both rows."""
    distance = (pl.col("probability") - matched.told.threshold).abs()
    open_ = scan(matched.pairs).filter(pl.col("answer").is_null()).collect().sort(distance, "left", "right")
    rows = compared_rows(source, before, scan)
    shown = open_ if limit is None else open_.head(limit)
    wanted = pl.concat([shown["left"], shown["right"]]).unique().implode()
    cells = {row["row"]: _cells(row) for row in rows.filter(pl.col("row").is_in(wanted)).iter_rows(named=True)}
    return [
        {**_pair(source, row), "cells": {"left": cells[row["left"]], "right": cells[row["right"]]}}
        for row in shown.iter_rows(named=True)
    ]


def answer(source: Source, before: CheckedSource, scan: Scan, path: Path, rows: tuple[int, int], *, same: bool) -> None:
    """Keep what somebody says of two rows, for the next check."""
    compared = compared_rows(source, before, scan)
    wanted = compared.filter(pl.col("row").is_in(list(rows))).drop("row")
    for row in rows:
        if row not in compared["row"]:
            raise RowNotMatched(source.name, row)
    names = sorted(digests(wanted))
    add_answer(path, Answer(source.name, names[0], names[-1], same))


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("cell:"): value for name, value in row.items() if name.startswith("cell:")}


def _pair(source: Source, row: Mapping[str, Any]) -> dict[str, Any]:
    assert source.match is not None, "the caller has seen to it"
    evidence = [
        {"column": name, "level": row[f"level:{name}"], "bits": row[f"bits:{name}"]} for name, _ in source.match.compare
    ]
    names = ("left", "right", "probability", "bits", "related", "answer")
    return {**{name: row[name] for name in names}, "evidence": evidence}
