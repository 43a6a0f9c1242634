"""Scoring by the file: rows stream through the columns form by the batch and give the row form's numbers to the bit."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.data.align import align_request
from headrace.data.sources.csv_records import HeaderError, header_of
from headrace.data.text import first_lines
from headrace.definition.model import Source
from headrace.features.columns import FeatureColumns
from headrace.features.encoder import encode_columns
from headrace.features.encodings.numbers import as_float
from headrace.features.model import Program, WindowStep
from headrace.features.windows import counts_in
from headrace.language.parse import references
from headrace.language.types import Type
from headrace.scoring.errors import (
    FileColumnMissing,
    FileColumnUnknown,
    OutputFailed,
    OutputIsInput,
    OutputUnknown,
    RowsUnreadable,
)

if TYPE_CHECKING:
    import polars as pl

    from headrace.features.online import OnlineHistory
    from headrace.scoring.scorer import Scorer

BATCH_ROWS: Final = 1 << 17
"""Rows held at a time. Features of a batch are computed together, so a larger one costs memory and saves little."""

ANSWERS: Final = frozenset(
    ("probability", "decision", "review", "value", "low", "high", "set", "reasons", "model", "version")
)
"""Columns of the output that a column of the key is not called."""

LEAST_FREE_BYTES: Final = 1 << 20
"""With less, a file that could not be written had no room."""


@dataclass(frozen=True)
class Contract:
    """What turns raw rows into request columns: the source of the predicted rows and the types it was frozen with."""

    source: Source
    types: Mapping[str, Type]
    """As read, after `rename`."""


class Scored(NamedTuple):
    """What was done with a file."""

    rows: int
    starved: int
    """Rows asked so long after the history's end that no window can hold an event: their answers rest on less than
    training had."""
    history_ends_us: int | None
    """The newest instant at which a value of a window became known; None without windows."""


def predict_file(
    scorer: Scorer,
    contract: Contract,
    tables: Mapping[str, pl.LazyFrame],
    path: Path,
    out: Path,
    *,
    online: OnlineHistory | None = None,
    reasons: int = 0,
    ignore_unknown: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Scored:
    """Score every row of a file, in order.

    Parameters
    ----------
    tables
        The accepted tables that lookups and windows read.
    online
        Where they are read instead, when given; a row before its watermark is an error then.
    path
        CSV, Parquet or NDJSON, by its ending (also .gz and .zst for text), of raw rows as the source has them: renamed,
        cast and derived by the source's contract. Request columns that are there already are taken as they are.
    out
        Parquet, CSV or NDJSON, by its ending; whole or absent.
    reasons
        How many reasons each row carries at most.
    ignore_unknown
        Pass over columns that the contract does not know, instead of refusing them.
    progress
        Told how many rows are done.
    """
    write = _writer(out)
    if out.exists() and path.exists() and out.samefile(path):
        raise OutputIsInput(out)
    features = _features(scorer.program, tables, online)
    rows = _scan(path, contract.source)
    _check_columns(scorer.program, contract, rows, path, ignore_unknown=ignore_unknown)
    statics = {name: tables[name] for name in contract.source.needs}
    request = {field.name: field.type for field in scorer.program.request}
    wanted = tuple(dict.fromkeys([*scorer.program.key, *request]))
    sent = set(rows.collect_schema().names())
    types = {**contract.types, **{name: kind for name, kind in request.items() if name in sent}}
    ends_us, reach_us = history_end(scorer.program, tables)
    if online is not None:
        ends_us = online.watermark_us
    done = starved = 0

    def scored() -> Iterator[pl.DataFrame]:
        nonlocal done, starved
        for batch in _batches(rows, path):
            lazy = align_request(batch.lazy(), contract.source, types, statics, wanted, first_row=done + 1)
            aligned = lazy.collect()
            yield score_rows(scorer, features, aligned, reasons=reasons)
            starved += _starved(aligned, scorer.program.time, ends_us, reach_us)
            done += batch.height
            progress(done)

    part = out.with_name(f".{out.name}.part")
    try:
        write(scored(), part)
        part.replace(out)
    except OSError as error:
        raise OutputFailed(out, _why(error, out)) from error
    finally:
        part.unlink(missing_ok=True)
    return Scored(done, starved, ends_us)


def request_rows(
    program: Program, contract: Contract, tables: Mapping[str, pl.LazyFrame], path: Path, *, most: int
) -> pl.DataFrame:
    """The request's columns of the first rows of a file, as `predict_file` would score them; at most `most`.

    Raises
    ------
    RowsUnreadable, FileColumnMissing, FileColumnUnknown
    """
    rows = _scan(path, contract.source)
    _check_columns(program, contract, rows, path, ignore_unknown=True)
    statics = {name: tables[name] for name in contract.source.needs}
    request = {field.name: field.type for field in program.request}
    sent = set(rows.collect_schema().names())
    types = {**contract.types, **{name: kind for name, kind in request.items() if name in sent}}
    batch = next(_batches(rows.head(most), path))
    return align_request(batch.lazy(), contract.source, types, statics, tuple(request)).collect()


def _features(program: Program, tables: Mapping[str, pl.LazyFrame], online: OnlineHistory | None) -> FeatureColumns:
    if online is None:
        return FeatureColumns.of(program, tables)
    from headrace.features.online_columns import online_indexes

    return FeatureColumns(program, online_indexes(program, online))


def history_end(program: Program, tables: Mapping[str, pl.LazyFrame]) -> tuple[int | None, int]:
    """The newest known instant that a window can hold, and the width of the widest window, in microseconds.

    What decays is never empty, so it is left out.
    """
    import polars as pl

    windows = [step for step in program.steps if isinstance(step, WindowStep) and step.over]
    newest = [
        pl.max_horizontal(pl.col(column).dt.offset_by(f"{delay}us") for column, delay in step.known_after).max()
        for step in windows
    ]
    ends = [
        tables[step.source].filter(*counts_in(step)).select(at.to_physical()).collect().item()
        for step, at in zip(windows, newest, strict=True)
    ]
    reach = max((width for step in windows for _, width, _ in step.over), default=0)
    return max((end for end in ends if end is not None), default=None), reach


def _starved(rows: pl.DataFrame, time: str | None, ends_us: int | None, reach_us: int) -> int:
    if time is None or ends_us is None:
        return 0
    return int((rows[time].to_physical() > ends_us + reach_us).sum())


def score_rows(scorer: Scorer, features: FeatureColumns, rows: pl.DataFrame, *, reasons: int = 0) -> pl.DataFrame:
    """Answers for aligned rows, in order: the key, then what `headrace.scoring.model.Prediction` holds.

    A column of the key that is called as an answer is comes as `key_NAME`."""
    import polars as pl

    inputs = features.add(rows)
    X = encode_columns(scorer.encoder, inputs)
    own = [as_float(inputs[name]).fill_null(float("nan")).to_numpy() for name in scorer.decider.columns]
    scores = scorer.score_matrix(X)
    decision = scorer.decider.decision
    columns: list[pl.Series] = [rows[name].alias(alias) for name, alias in _key_names(scorer)]
    if decision.task == "regression":
        columns.append(pl.Series("value", scores))
        if scorer.decider.uncertainty.intervals_known:
            low, high = scorer.decider.uncertainty.intervals(scores)
            columns += [pl.Series("low", low), pl.Series("high", high)]
    elif decision.task == "binary":
        columns.append(pl.Series("probability", scores))
        columns.append(pl.Series("decision", scorer.decisions(scores, own) or [None] * len(X), dtype=pl.Boolean))
    else:
        columns += [pl.Series(f"probability_{name}", scores[:, code]) for code, name in enumerate(decision.classes)]
        columns.append(pl.Series("decision", scorer.decisions(scores, own), dtype=pl.String))
    if decision.reject is not None:
        columns.append(pl.Series("review", scorer.reviews(scores, own), dtype=pl.Boolean))
    if scorer.decider.uncertainty.sets_known:
        columns.append(_sets(scorer, scores))
    if reasons:
        columns.append(_reasons(scorer, X, own, reasons))
    frame = pl.DataFrame(columns)
    return frame.with_columns(
        pl.lit(scorer.model).alias("model"), pl.lit(scorer.version, dtype=pl.Int64).alias("version")
    )


def _key_names(scorer: Scorer) -> list[tuple[str, str]]:
    """The columns of the key, and what they are called beside the answers; whichever of these a version gives."""
    key = scorer.program.key
    taken = {*ANSWERS, *(f"probability_{name}" for name in scorer.decider.decision.classes)}
    names = []
    for name in key:
        alias = name
        while alias in taken or (alias != name and alias in key):
            alias = f"key_{alias}"
        names.append((name, alias))
    return names


def _sets(scorer: Scorer, scores: NDArray[np.float64]) -> pl.Series:
    """The classes that each answer may be, as a list; sets that come often are made once."""
    import polars as pl

    within = scorer.decider.uncertainty.members(scores)
    names = scorer.decider.decision.classes or ("false", "true")
    seen: dict[bytes, list[str]] = {}
    rows = []
    for row in within:
        key = row.tobytes()
        if key not in seen:
            seen[key] = [name for name, inside in zip(names, row, strict=True) if inside]
        rows.append(seen[key])
    return pl.Series("set", rows, dtype=pl.List(pl.String))


def _reasons(scorer: Scorer, X: NDArray[np.float32], amounts: Sequence[NDArray[np.float64]], most: int) -> pl.Series:
    """For each row the features that moved its answer most, as a list of (feature, effect)."""
    import polars as pl

    names = [column.name for column in scorer.encoder.columns]
    effects = scorer.effects(X, amounts)
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :most]
    kept = [
        [{"feature": names[place], "effect": float(row[place])} for place in places if row[place] != 0.0]
        for row, places in zip(effects, order, strict=True)
    ]
    kind = pl.List(pl.Struct({"feature": pl.String, "effect": pl.Float64}))
    return pl.Series("reasons", kept, dtype=kind)


def _scan(path: Path, source: Source) -> pl.LazyFrame:
    """The rows as they are: text of a CSV is cast by the contract, never guessed."""
    import polars as pl

    if not path.is_file():
        raise RowsUnreadable(path, "there is no such file", "give the path of a CSV, Parquet or NDJSON file")
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    try:
        if name.endswith(".parquet"):
            rows = pl.scan_parquet(path, glob=False)
        elif name.endswith((".ndjson", ".jsonl")):
            rows = pl.scan_ndjson(path, infer_schema_length=None)
        elif name.endswith((".csv", ".tsv")):
            rows = _scan_text(path, source.separator, usual="\t" if name.endswith(".tsv") else ",")
        else:
            raise RowsUnreadable(path, "its ending says no format", "name it .csv, .tsv, .parquet, .ndjson or .jsonl")
        rows.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error
    return rows


def _scan_text(path: Path, separator: str | None, *, usual: str) -> pl.LazyFrame:
    """A CSV under the names that a source reads there, parted as the source is, or as usual where that parts nothing of
    the line of names."""
    import polars as pl

    names, lines = _header(path, separator or usual)
    if len(names) == 1 and separator is not None:
        separator = None
        names, lines = _header(path, usual)
    for name in names:
        if names.count(name) > 1:
            raise RowsUnreadable(path, f"two of its columns are called {name!r}", "give each a name of its own")
    return pl.scan_csv(
        path,
        has_header=False,
        skip_lines=lines,
        schema=dict.fromkeys(names, pl.String()),
        separator=separator or usual,
        glob=False,
        raise_if_empty=False,
    )


def _header(path: Path, separator: str) -> tuple[tuple[str, ...], int]:
    """The names, and the lines that they take."""
    try:
        found = header_of(first_lines(path), separator.encode())
    except (HeaderError, EOFError) as error:
        raise _unreadable(path, error) from error
    if found is None:
        raise RowsUnreadable(path, "it has no line of names", "write the names of the columns into its first line")
    return found


def _batches(rows: pl.LazyFrame, path: Path) -> Iterator[pl.DataFrame]:
    """The rows, so many at a time; one empty batch when there are none, so that the output has its columns."""
    import polars as pl

    some = False
    try:
        for batch in rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            some = True
            yield batch
        if not some:
            yield rows.collect_schema().to_frame()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> RowsUnreadable:
    return RowsUnreadable(path, str(error).splitlines()[0], "check that the file is whole and of that format")


def _check_columns(
    program: Program, contract: Contract, rows: pl.LazyFrame, path: Path, *, ignore_unknown: bool
) -> None:
    """Refuse a file that lacks a request column or a part of the key, or has a column that nothing knows."""
    names = rows.collect_schema().names()
    renamed = dict(contract.source.rename)
    have = {renamed.get(name, name) for name in names}
    joined = {f"{join.name}_{column}" for join in contract.source.joins for column in join.take}
    derived = dict(contract.source.derive)
    available = have | joined
    for name, text in contract.source.derive:
        if references(text) <= available:
            available.add(name)
    for name in dict.fromkeys([*(field.name for field in program.request), *program.key]):
        if name not in available:
            needs = sorted(references(derived[name]) - joined) if name in derived else []
            raise FileColumnMissing(path, name, needs=needs)
    known = {
        *contract.types,
        *derived,
        *joined,
        *(field.name for field in (*program.request, *program.raw)),
        *program.key,
    }
    unknown = sorted(have - known)
    if unknown and not ignore_unknown:
        near = difflib.get_close_matches(unknown[0], sorted(known), n=1)
        raise FileColumnUnknown(path, unknown[0], near=near[0] if near else None)


def _writer(out: Path) -> Callable[[Iterator[pl.DataFrame], Path], None]:
    """How to write a file of that ending, a batch at a time."""
    if out.suffix == ".parquet":
        return _write_parquet
    if out.suffix == ".csv":
        return _write_csv
    if out.suffix in (".ndjson", ".jsonl"):
        return _write_ndjson
    raise OutputUnknown(out)


def _write_parquet(batches: Iterator[pl.DataFrame], path: Path) -> None:
    """One row group a batch, streamed: a source of known schema into Polars' own sink."""
    import polars as pl
    from polars.io.plugins import register_io_source

    first = next(batches)
    failed: list[Exception] = []

    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        assert (with_columns, predicate, n_rows) == (None, None, None), (
            f"a sink reads all ({batch_size} rows at a time)"
        )
        yield first
        try:
            yield from batches
        except Exception as error:
            failed.append(error)
            raise

    try:
        register_io_source(read, schema=first.schema).sink_parquet(path, compression="zstd", maintain_order=True)
    except Exception as error:
        if failed:  # Polars raises another one in its place
            raise failed[0] from None
        if isinstance(error, pl.exceptions.PolarsError):  # of the sink: it has no number, only its text
            raise OSError(str(error).splitlines()[0]) from error
        raise


def _write_csv(batches: Iterator[pl.DataFrame], path: Path) -> None:
    with path.open("wb") as out:
        for number, batch in enumerate(batches):
            flat = batch.with_columns(_as_text(batch, name) for name in ("set", "reasons") if name in batch.columns)
            flat.write_csv(out, include_header=number == 0, datetime_format="%Y-%m-%dT%H:%M:%S%.fZ")


def _write_ndjson(batches: Iterator[pl.DataFrame], path: Path) -> None:
    with path.open("wb") as out:
        for batch in batches:
            batch.write_ndjson(out)


def _as_text(batch: pl.DataFrame, name: str) -> pl.Series:
    """Lists as JSON text: a CSV has none."""
    import polars as pl

    return pl.Series(name, [msgspec.json.encode(row).decode() for row in batch[name].to_list()])


def _why(error: OSError, out: Path) -> str:
    """The reason in words: a writer that was cut off in the middle speaks of its format, not of the disk."""
    reason = error.strerror or str(error)
    if error.errno is None and shutil.disk_usage(out.parent).free < LEAST_FREE_BYTES:
        return f"No space left on device ({reason})"
    return reason
