"""What a column looks like, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from headrace.data import profile as profile_module
from headrace.data.model import ColumnProfile
from headrace.data.profile import profile
from headrace.language.types import Type


def profiled(folder: Path, type_: Type, values: pl.Series) -> ColumnProfile:
    pl.DataFrame({"c": values}).write_parquet(folder / "t.parquet")
    (found,) = profile(folder / "t.parquet", {"c": type_})
    return found


def test_numbers(tmp_path: Path) -> None:
    found = profiled(tmp_path, Type.FLOAT, pl.Series([4.0, 1.0, None, 2.0, 3.0, 5.0]))
    assert (found.nulls, found.distinct, found.minimum, found.maximum, found.mean) == (1, 5, "1.0", "5.0", 3.0)
    assert found.quantiles == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_instants_dates_and_durations_are_texts_of_their_own(tmp_path: Path) -> None:
    day = pl.Series([0, 31], dtype=pl.Int32).cast(pl.Date)
    assert profiled(tmp_path, Type.DATE, day).maximum == "1970-02-01"
    instant = pl.Series([0, 1_000_000], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    assert profiled(tmp_path, Type.TIMESTAMP, instant).maximum == "1970-01-01T00:00:01Z"
    span = profiled(tmp_path, Type.DURATION, pl.Series([1_000_000, 3_000_000], dtype=pl.Duration("us")))
    assert (span.minimum, span.mean, span.quantiles[-1]) == ("1.0", 2.0, 3.0)


def test_levels_are_counted_and_ranked(tmp_path: Path) -> None:
    found = profiled(tmp_path, Type.CATEGORY, pl.Series(["b", "a", "c", "a", None, "b"]))
    assert found.distinct == 3
    assert found.top == (("a", 2), ("b", 2), ("c", 1))
    assert profiled(tmp_path, Type.BOOLEAN, pl.Series([True, True, False])).top == (("true", 2), ("false", 1))


def test_a_column_without_a_value(tmp_path: Path) -> None:
    for type_, dtype in (
        (Type.FLOAT, pl.Float64),
        (Type.STRING, pl.String),
        (Type.TIMESTAMP, pl.Datetime("us", "UTC")),
    ):
        found = profiled(tmp_path, type_, pl.Series([None, None], dtype=dtype))
        assert (found.nulls, found.minimum, found.mean, found.quantiles, found.top) == (2, None, None, (), ())


def test_no_rows_at_all(tmp_path: Path) -> None:
    found = profiled(tmp_path, Type.INTEGER, pl.Series([], dtype=pl.Int64))
    assert (found.nulls, found.minimum, found.quantiles) == (0, None, ())


def test_above_the_limit_frequent_levels_are_still_counted_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "SAMPLE_ROWS", 5_000)
    monkeypatch.setattr(profile_module, "_FRACTION_SIZE", 4_000)
    values = [f"level {n}" for n in range(30_000)] + ["often"] * 9_000 + ["seldom"] * 3_000
    frame = pl.Series(values).shuffle(seed=3)
    found = profiled(tmp_path, Type.STRING, frame)
    assert found.top[:2] == (("often", 9_000), ("seldom", 3_000))
    assert found.distinct is not None
    assert found.distinct_error is not None
    assert abs(found.distinct / 30_002 - 1) < 2 * found.distinct_error < 0.1


@pytest.mark.parametrize("levels", [20_000, 60_000, 200_000])
def test_the_error_stated_of_an_estimate_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    """In 95 of 100 columns: here in all but one of twelve, of numbers in a row, in steps, and as text."""
    monkeypatch.setattr(profile_module, "_FRACTION_SIZE", 2_000)
    numbers = {f"{step}": pl.int_range(levels, eager=True) * step + 3 for step in (1, 7, 1000, 65536, 10**9, 3)}
    frame = pl.DataFrame({**numbers, **{f"t{name}": column.cast(pl.String) for name, column in numbers.items()}})
    frame.write_parquet(tmp_path / "t.parquet")
    types = {name: Type.STRING if name[0] == "t" else Type.INTEGER for name in frame.columns}
    off = []
    for one in profile(tmp_path / "t.parquet", types):
        assert one.distinct is not None
        assert one.distinct_error is not None
        off.append(abs(one.distinct / levels - 1) > one.distinct_error)
    assert sum(off) <= 1


def test_few_levels_are_counted_exactly_in_any_number_of_rows(tmp_path: Path) -> None:
    found = profiled(tmp_path, Type.INTEGER, pl.Series(range(9_000)).sample(200_000, with_replacement=True, seed=1))
    assert (found.distinct, found.distinct_error) == (9_000, None)


def test_bars_hold_every_sampled_value(tmp_path: Path) -> None:
    for type_, values in (
        (Type.FLOAT, pl.Series([0.0, 0.5, 1.0, 1e9])),
        (Type.FLOAT, pl.Series([float("inf"), 1.0])),
        (Type.FLOAT, pl.Series([5e-324, -1.7e308, 1.7e308])),
        (Type.INTEGER, pl.Series([-(2**63), 2**63 - 1])),
        (Type.INTEGER, pl.Series([7] * 5)),
        (Type.STRING, pl.Series(["a", "bb", ""])),
        (Type.DATE, pl.Series([-700_000, 0, 2_000_000], dtype=pl.Int32).cast(pl.Date)),
        (Type.TIMESTAMP, pl.Series([0, 3_600_000_000, 9_000_000_000]).cast(pl.Datetime("us", "UTC"))),
        (Type.DURATION, pl.Series([0, 10_000_000]).cast(pl.Duration("us"))),
    ):
        bars = profiled(tmp_path, type_, values).histogram
        finite = values.filter(values.is_finite()) if type_ is Type.FLOAT else values
        if bars is None:
            assert values[1] == -1.7e308  # a reach that no number can hold
            continue
        assert sum(bars.counts) + bars.below + bars.above == len(finite)
        assert len(bars.edges) == len(bars.counts) + 1 <= 60
        assert list(bars.edges) == sorted(bars.edges)


def test_whole_numbers_get_bars_of_equal_width(tmp_path: Path) -> None:
    bars = profiled(tmp_path, Type.INTEGER, pl.Series([*range(100)])).histogram
    assert bars is not None
    assert set(bars.counts[:-1]) == {5}


def test_values_that_seem_personal_are_not_in_the_profile(tmp_path: Path) -> None:
    found = profiled(tmp_path, Type.STRING, pl.Series([f"p{n}@example.org" for n in range(40)] * 3))
    assert found.personal[0].kind == "email"
    assert (found.top, found.minimum, found.maximum) == ((), None, None)
    assert found.distinct == 40


def test_the_same_table_gives_the_same_profile(tmp_path: Path) -> None:
    values = pl.Series(range(150_000)).shuffle(seed=1).cast(pl.String)
    assert profiled(tmp_path, Type.STRING, values) == profiled(tmp_path, Type.STRING, values)


_PEAK = """
import resource, sys
from pathlib import Path
import polars as pl
from headrace.data.profile import profile
from headrace.language.types import Type
path = Path(sys.argv[1])
pl.LazyFrame({"n": pl.int_range(int(sys.argv[2]), eager=True)}).select(
    c=pl.format("a level of some length {}", pl.col("n"))
).sink_parquet(path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(found,) = profile(path, {"c": Type.CATEGORY})
print(found.distinct, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_million_levels_take_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "t.parquet"), "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    distinct, megabytes = map(int, done.stdout.split())
    assert abs(distinct - 1_000_000) < 20_000
    assert megabytes < 150  # the levels themselves, in a hash table, took 250
