"""The columns forms of the functions of regular expressions: Rust's engine, but our own search for long texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from headrace.language import row_patterns
from headrace.language.column_batches import physical
from headrace.language.regex import compile_pattern
from headrace.language.row_patterns import LONG, like_pattern, read_replacement
from headrace.language.types import Type
from headrace.language.values import dtype


def like(a: pl.Expr, pattern: str) -> pl.Expr:
    return a.str.contains(compile_pattern(like_pattern(pattern)).rust)


def extract(a: pl.Expr, pattern: str, group: int) -> pl.Expr:
    rust = compile_pattern(pattern).rust
    return _by_length(lambda x: x.str.extract(rust, group), row_patterns.extract_in(pattern, group), Type.STRING, a)


def count(a: pl.Expr, pattern: str) -> pl.Expr:
    rust = compile_pattern(pattern).rust
    return _by_length(
        lambda x: x.str.count_matches(rust).cast(pl.Int64), row_patterns.count_in(pattern), Type.INTEGER, a
    )


def replace(a: pl.Expr, pattern: str, replacement: str) -> pl.Expr:
    rust, pieces = compile_pattern(pattern).rust, read_replacement(replacement)
    value = "".join(piece.replace("$", "$$") if isinstance(piece, str) else f"${{{piece}}}" for piece in pieces)
    return _by_length(
        lambda x: x.str.replace_all(rust, value), row_patterns.replace_in(pattern, replacement), Type.STRING, a
    )


def _by_length(
    fast: Callable[[pl.Expr], pl.Expr], slow: Callable[[str], Any], result: Type, column: pl.Expr
) -> pl.Expr:
    text = pl.col("text")

    def over(series: pl.Series) -> pl.Series:
        long = (series.str.len_bytes() > LONG).fill_null(value=False)
        if not long.any():
            return series.to_frame("text").select(fast(text)).to_series()
        found = series.to_frame("text").select(fast(pl.when(~long).then(text))).to_series()
        rows = long.arg_true()
        made = pl.Series([slow(value) for value in series.gather(rows)], dtype=physical(result))
        return found.scatter(rows, made)

    return column.map_batches(over, return_dtype=dtype(result), is_elementwise=True)
