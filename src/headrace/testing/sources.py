"""The suite that every source of files passes: what is written comes back, in order, and what cannot be read is named.

Subclass it beside the tests of a format, with `write`, `ending` and what the source needs to be told:

    class TestTsv(FileSourceSuite):
        ending = ".tsv"

        def write(self, path, rows):
            rows.write_csv(path, separator="\\t")
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from headrace.data.align import column_casts
from headrace.data.cast import plain
from headrace.data.errors import ColumnsDiffer, DuplicateColumn, SourceEmpty, SourceMissing, SourceUnreadable
from headrace.data.sources import Copied, Place, adapter
from headrace.definition.locations import format_of
from headrace.definition.model import ALL_TEXT, Source
from headrace.language.types import Type

TYPES: Mapping[str, Type] = {
    "id": Type.INTEGER,
    "amount": Type.FLOAT,
    "name": Type.STRING,
    "day": Type.DATE,
    "at": Type.TIMESTAMP,
}
ROWS = pl.DataFrame(
    {
        "id": [3, 1, None, 2**53 - 1],
        "amount": [1.5, None, -0.25, 1e12],
        "name": ["Zoë", "日本", None, "two words"],
        "day": [dt.date(2024, 2, 29), None, dt.date(1999, 12, 31), dt.date(2000, 1, 1)],
        "at": ["2024-02-29T12:30:15", "1999-12-31T23:59:59", None, None],
    },
    schema={"id": pl.Int64, "amount": pl.Float64, "name": pl.String, "day": pl.Date, "at": pl.String},
).with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us"))
"""What the suite writes; nulls in every column, and no row without any value."""


class FileSourceSuite:
    """Promises of an adapter of `headrace.data.sources` whose source is files."""

    ending: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    """Further fields of the `Source`."""
    knows_columns: ClassVar[bool] = True
    """Whether the columns of a file are told by the file alone; else a file without one has nulls there."""
    sees_damage: ClassVar[bool] = True
    """Whether a file that is cut in its middle cannot be read at all; else it ends early, or its last row is none."""

    def write(self, path: Path, rows: pl.DataFrame) -> None:
        """Write the rows to a file, as the format's users do."""
        raise NotImplementedError

    def source(self, *read: str) -> Source:
        """The source of these files."""
        format_ = self.options.get("format") or format_of(f"a{self.ending}")
        return Source(name="s", read=read, **{**self.options, "format": format_})

    def copy(self, folder: Path, *read: str, types: Mapping[str, Type] = TYPES) -> tuple[Copied, pl.DataFrame]:
        """What `copy` says, and the rows in their types; a cell that does not fit is null."""
        source, work = self.source(*read), folder / ".work"
        work.mkdir(exist_ok=True)
        target = work / "rows.parquet"
        copied = adapter(source.format).copy(source, Place(folder, {}), types, target, work)
        held = pl.scan_parquet(target)
        schema = {name: one for name, type_ in held.collect_schema().items() if (one := plain(type_)) is not None}
        missing = () if source.format in ALL_TEXT else source.missing
        casts = column_casts(source, schema, types, missing=missing)
        return copied, held.select(cast.value.alias(name) for name, cast in casts.items()).collect()

    def expected(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as they come back: in the station's types."""
        return rows.with_columns(pl.col("at").dt.replace_time_zone("UTC"))

    def test_what_is_written_comes_back_in_order(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"a{self.ending}", ROWS)
        copied, rows = self.copy(tmp_path, f"a{self.ending}")
        assert rows.select(ROWS.columns).equals(self.expected(ROWS))
        assert (copied.rows, copied.malformed_rows, copied.files) == (4, 0, ((f"a{self.ending}", 4),))
        assert sorted(copied.columns) == sorted(ROWS.columns)

    def test_the_first_rows_tell_the_same_columns(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"a{self.ending}", ROWS)
        source = self.source(f"a{self.ending}")
        (sample,) = adapter(source.format).sample(source, Place(tmp_path, {}), 2, tmp_path)
        assert sample.frame.height == 2
        assert sorted(sample.frame.columns) == sorted(ROWS.columns)

    def test_the_same_files_are_the_same_bytes(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"a{self.ending}", ROWS)
        written = []
        for _ in range(2):
            self.copy(tmp_path, f"a{self.ending}")
            written.append((tmp_path / ".work" / "rows.parquet").read_bytes())
        assert written[0] == written[1]

    def test_files_are_read_by_name_whatever_the_order_of_their_columns(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"part-2{self.ending}", self.reordered(ROWS))
        self.write(tmp_path / f"part-1{self.ending}", ROWS.head(2))
        copied, rows = self.copy(tmp_path, f"part-*{self.ending}")
        assert rows.select(ROWS.columns).equals(self.expected(pl.concat([ROWS.head(2), ROWS])))
        assert copied.files == ((f"part-1{self.ending}", 2), (f"part-2{self.ending}", 4))

    def reordered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their columns the other way round, where a file may have them so."""
        return rows.select(reversed(rows.columns))

    def test_a_column_of_another_type_in_the_second_file_loses_nothing(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"part-1{self.ending}", ROWS)
        self.write(tmp_path / f"part-2{self.ending}", ROWS.with_columns(pl.lit("word").alias("id")))
        _, rows = self.copy(tmp_path, f"part-*{self.ending}", types={**TYPES, "id": Type.STRING})
        assert rows["id"].to_list() == ["3", "1", None, str(2**53 - 1), "word", "word", "word", "word"]

    def test_a_file_without_a_column_is_named(self, tmp_path: Path) -> None:
        self.write(tmp_path / f"part-1{self.ending}", ROWS)
        self.write(tmp_path / f"part-2{self.ending}", ROWS.drop("day"))
        if self.knows_columns:
            with pytest.raises(ColumnsDiffer, match=r"part-2.* lacks 'day'"):
                self.copy(tmp_path, f"part-*{self.ending}")
        else:
            assert self.copy(tmp_path, f"part-*{self.ending}")[1]["day"].null_count() == 1 + 4

    def test_no_file_and_a_file_without_rows_are_told_apart(self, tmp_path: Path) -> None:
        with pytest.raises(SourceMissing, match="nothing matches"):
            self.copy(tmp_path, f"a{self.ending}")
        self.write(tmp_path / f"a{self.ending}", ROWS.clear())
        with suppress(SourceEmpty):  # a file without a header has nothing at all then
            assert self.copy(tmp_path, f"a{self.ending}")[0].rows == 0

    def test_a_file_that_is_cut_is_seen(self, tmp_path: Path) -> None:
        path = tmp_path / f"a{self.ending}"
        self.write(path, pl.concat([ROWS] * 2_000))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if self.sees_damage:
            with pytest.raises(SourceUnreadable, match=rf"a\{self.ending}"):
                self.copy(tmp_path, f"a{self.ending}")
        else:
            copied, _ = self.copy(tmp_path, f"a{self.ending}")
            assert 0 < copied.rows + copied.malformed_rows < 8_000

    def test_bytes_that_are_something_else_are_refused_or_set_aside(self, tmp_path: Path) -> None:
        path = tmp_path / f"a{self.ending}"
        path.write_bytes(bytes(range(256)) * 64)
        try:
            copied, rows = self.copy(tmp_path, f"a{self.ending}")
        except (SourceUnreadable, SourceEmpty, ColumnsDiffer, DuplicateColumn):
            return
        assert copied.malformed_rows or all(rows.to_series(n).null_count() == rows.height for n in range(rows.width))

    def test_the_state_tells_a_change(self, tmp_path: Path) -> None:
        path = tmp_path / f"a{self.ending}"
        source = self.source(f"a{self.ending}")
        state = adapter(source.format).state
        self.write(path, ROWS)
        before = state(source, Place(tmp_path, {}))
        assert state(source, Place(tmp_path, {})) == before
        self.write(path, pl.concat([ROWS, ROWS]))
        assert state(source, Place(tmp_path, {})) != before
