"""CSV in the wild: what is no row is named, what misfits is quarantined, and the fast path equals the plain one."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.data.stage import Bench, packed, source_of

from headrace.data import check as check_module
from headrace.data.align import column_casts
from headrace.data.errors import (
    ColumnMissing,
    ColumnsDiffer,
    DuplicateColumn,
    ReservedColumn,
    SourceEmpty,
    SourceMissing,
    SourceUnreadable,
)
from headrace.data.files import find
from headrace.data.sources import Copied, Place
from headrace.data.sources import csv as csv_source
from headrace.definition.model import ColumnRule
from headrace.language.types import Type

NUMBERS = {"a": Type.INTEGER, "b": Type.FLOAT, "c": Type.STRING}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.csv", b"a,b,c\n1,1.5,x\n2,NA,\n"),
        ("crlf.csv", b"a,b,c\r\n1,1.5,x\r\n2,NA,\r\n"),
        ("no_last_newline.csv", b"a,b,c\n1,1.5,x\n2,NA,"),
        ("bom.csv", b"\xef\xbb\xbfa,b,c\n1,1.5,x\n2,NA,\n"),
        ("blank_lines.csv", b"\n\na,b,c\n1,1.5,x\n\n2,NA,\n\n\n"),
        ("quoted.csv", b'"a","b","c"\n"1","1.5","x"\n"2","NA",""\n'),
        ("spaced_header.csv", b" a, b ,c\n1,1.5,x\n2,NA,\n"),
        ("space_before_numbers.csv", b"a,b,c\n 1, 1.5,x\n2,NA,\n"),
        ("space_after_numbers.csv", b"a,b,c\n1 ,1.5 ,x\n2,NA,\n"),
        ("packed.csv.gz", gzip.compress(b"a,b,c\n1,1.5,x\n2,NA,\n")),
        ("packed_bom.csv.gz", gzip.compress(b"\xef\xbb\xbfa,b,c\r\n1,1.5,x\r\n2,NA,\r\n")),
        ("packed.csv.zst", packed(b"a,b,c\n1,1.5,x\n2,NA,\n", ".zst")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # packed bytes hold the time at which they were packed
)
def test_forms_of_one_table_read_the_same(bench: Bench, name: str, data: bytes) -> None:
    bench.write(name, data)
    checked = bench.check(source_of(name), NUMBERS)
    assert bench.accepted(checked) == {"a": [1, 2], "b": [1.5, None], "c": ["x", None]}
    assert checked.report.read == checked.report.accepted == 2


def test_a_separator_of_ones_own(bench: Bench) -> None:
    bench.write("s.csv", "a;b;c\n1;1.5;x,y\n")
    checked = bench.check(source_of("s.csv", separator=";"), NUMBERS)
    assert bench.accepted(checked) == {"a": [1], "b": [1.5], "c": ["x,y"]}


def test_the_200001st_row_has_too_many_fields(bench: Bench) -> None:
    rows = [f"{n},{n}.5,x\n" for n in range(1, 300_001)]
    rows[200_000] = "200001,1.5,x,extra\n"
    bench.write("long.csv", "a,b,c\n" + "".join(rows))
    checked = bench.check(source_of("long.csv"), NUMBERS)
    assert checked.report.read == 300_000
    assert checked.report.accepted == 299_999
    assert checked.report.reasons == (("shape:too_many_fields", 1),)
    aside = bench.read(checked.quarantine).row(0, named=True)
    assert (aside["_row"], aside["_file"], aside["_line"]) == (200_001, "long.csv", 200_002)
    assert aside["_text"] == "200001,1.5,x,extra"
    table = bench.read(checked.table.ref)
    assert table["a"].to_list() == [n for n in range(1, 300_001) if n != 200_001]
    assert checked.report.rules[0].detail == "first: line 200002 of long.csv, too_many_fields"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_every_kind_of_malformed_row_is_kept_with_its_place(bench: Bench, suffix: str) -> None:
    data = b'a,b,c\n1,1.5,x\n2,2.5\n3,3.5,\xff\xfe\n4,4.5,"y\nz"\n5,5.5,z,z\n6,6.5,"open\n7,7.5,w\n'
    bench.write(f"m.csv{suffix}", packed(data, suffix))
    checked = bench.check(source_of(f"m.csv{suffix}"), NUMBERS)
    assert bench.accepted(checked)["a"] == [1, 4, 7]
    assert bench.accepted(checked)["c"] == ["x", "y\nz", "w"]
    rows = bench.read(checked.quarantine)
    assert rows["_row"].to_list() == [2, 3, 5, 6]
    assert rows["_line"].to_list() == [3, 4, 7, 8]
    assert [r[0] for r in rows["_reasons"].to_list()] == [
        "shape:too_few_fields",
        "shape:not_utf8",
        "shape:too_many_fields",
        "shape:quotes",
    ]
    if suffix != ".zst":
        assert rows["_text"].to_list() == ["2,2.5", "3,3.5,\\xff\\xfe", "5,5.5,z,z", '6,6.5,"open']
    assert checked.report.read == 7 == checked.report.accepted + checked.report.quarantined


def test_a_short_row_whose_last_column_would_be_null_is_found(bench: Bench) -> None:
    bench.write("short.csv", 'a,b,c\n1,1.5,\n2,2.5\n3,3.5,"x, y"\n')
    checked = bench.check(source_of("short.csv"), NUMBERS)
    assert bench.reasons(checked) == {2: ["shape:too_few_fields"]}


def test_rows_after_malformed_ones_keep_their_numbers(bench: Bench) -> None:
    bench.write("a.csv", "a,b,c\n1,1,x\n2\n3,3,x\nx,4,x\n")
    bench.write("b.csv", "c,b,a\nx,5\nx,6,y\nx,7,7\n")
    checked = bench.check(source_of("a.csv", "b.csv"), NUMBERS)
    assert bench.accepted(checked)["a"] == [1, 3, 7]
    rows = bench.read(checked.quarantine)
    assert rows["_row"].to_list() == [2, 4, 5, 6]
    assert rows["_file"].to_list() == ["a.csv", "a.csv", "b.csv", "b.csv"]
    assert rows["a"].to_list() == [None, "x", None, "y"]
    (rule,) = (r for r in checked.report.rules if r.rule == "type:a")
    assert (rule.failed, rule.first_row, rule.detail) == (2, 4, "first: row 4 of a.csv")


def test_a_column_that_changes_type_in_the_second_file(bench: Bench) -> None:
    bench.write("p/1.csv", "a,b,c\n1,1,x\n2,2,x\n")
    bench.write("p/2.csv", "a,b,c\n3,many,x\n4,4,x\n")
    checked = bench.check(source_of("p/*.csv"), NUMBERS)
    assert bench.accepted(checked)["a"] == [1, 2, 4]
    assert bench.accepted(checked)["b"] == [1.0, 2.0, 4.0]
    assert bench.reasons(checked) == {3: ["type:b"]}
    assert bench.read(checked.quarantine)["b"].to_list() == ["many"]


def test_a_column_that_the_second_file_lacks(bench: Bench) -> None:
    bench.write("p/1.csv", "a,b,c\n1,1,x\n")
    bench.write("p/2.csv", "a,c\n1,x\n")
    with pytest.raises(ColumnsDiffer, match=r"p/2.csv lacks 'b'; the columns of p/1.csv are expected"):
        bench.check(source_of("p/*.csv"), NUMBERS)


def test_a_locked_column_that_is_gone(bench: Bench) -> None:
    bench.write("a.csv", "a,c\n1,x\n")
    with pytest.raises(ColumnMissing, match="has no column 'b'; it has a, c"):
        bench.check(source_of("a.csv"), NUMBERS)


def test_a_column_that_is_not_locked_is_kept_in_the_snapshot(bench: Bench) -> None:
    bench.write("a.csv", "a,b,c,new\n1,1,x,7\n")
    checked = bench.check(source_of("a.csv"), NUMBERS)
    assert list(bench.accepted(checked)) == ["a", "b", "c"]
    assert "new" in bench.snapshot(source_of("a.csv"), NUMBERS).columns


def test_columns_in_another_order_in_the_second_file(bench: Bench) -> None:
    bench.write("p/1.csv", "a,b,c\n1,1,x\n")
    bench.write("p/2.csv", "c,a,b\ny,2,2\n")
    assert bench.accepted(bench.check(source_of("p/*.csv"), NUMBERS)) == {"a": [1, 2], "b": [1.0, 2.0], "c": ["x", "y"]}


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ("", SourceEmpty, "no header line"),
        ("\n\n", SourceEmpty, "no header line"),
        ("a,b,c\n", SourceEmpty, "no rows"),
        ("a,b,c", SourceEmpty, "no rows"),
        ("a,b,c\n\n\n", SourceEmpty, "no rows"),
        ("a,b,a\n1,2,3\n", DuplicateColumn, "more than one column named 'a'"),
        ("a,b,_row\n1,2,3\n", ReservedColumn, "'_row'"),
        ('a,"b"x,c\n1,2,3\n', SourceUnreadable, "quotes of its header"),
    ],
)
def test_files_that_are_no_table(bench: Bench, data: str, error: type[Exception], words: str) -> None:
    bench.write("e.csv", data)
    with pytest.raises(error, match=words) as caught:
        bench.check(source_of("e.csv"), NUMBERS)
    assert "e.csv" in str(caught.value) or error is ReservedColumn
    assert "fix:" in str(caught.value)


def test_one_empty_part_among_others_is_no_error(bench: Bench) -> None:
    bench.write("p/1.csv", "a,b,c\n")
    bench.write("p/2.csv", "a,b,c\n1,1,x\n")
    assert bench.check(source_of("p/*.csv"), NUMBERS).report.read == 1


def test_missing_files_name_the_pattern(bench: Bench) -> None:
    bench.write("a.csv", "a,b,c\n1,1,x\n")
    for pattern in ("none.csv", "none/*.csv"):
        with pytest.raises(SourceMissing, match=r"nothing matches 'none") as caught:
            bench.check(source_of("a.csv", pattern), NUMBERS)
        assert caught.value.exit_code == 3


def test_a_name_with_glob_characters_is_a_name_first(bench: Bench) -> None:
    bench.write("a[1].csv", "a,b,c\n1,1,x\n")
    bench.write("a1.csv", "a,b,c\n2,2,x\n")
    assert bench.accepted(bench.check(source_of("a[1].csv"), NUMBERS))["a"] == [1]


@pytest.mark.parametrize("cut", [8, 40])
def test_a_truncated_gzip_names_its_file(bench: Bench, cut: int) -> None:
    rows = b"".join(b"%d,%d,x\n" % (n, n) for n in range(1000))
    bench.write("p/1.csv", b"a,b,c\n1,1,x\n")
    bench.write("p/2.csv.gz", gzip.compress(b"a,b,c\n" + rows)[:-cut])
    with pytest.raises(SourceUnreadable, match=r"p/2.csv.gz cannot be read: it ends too early"):
        bench.check(source_of("p/*", format="csv"), NUMBERS)


def test_a_truncated_zstd_names_its_file(bench: Bench) -> None:
    rows = b"".join(b"%d,%d,x\n" % (n, n) for n in range(1000))
    bench.write("p/1.csv", b"a,b,c\n1,1,x\n")
    bench.write("p/2.csv.zst", packed(b"a,b,c\n" + rows, ".zst")[:-40])
    with pytest.raises(SourceUnreadable, match=r"p/2.csv.zst"):
        bench.check(source_of("p/*", format="csv"), NUMBERS)


def test_missing_tokens_of_the_source_and_of_one_column(bench: Bench) -> None:
    bench.write("m.csv", "a,b,c\n-,-,-\n9999,9999,9999\nNA,,NA\n")
    source = source_of("m.csv", missing=("", "NA", "-"), columns={"a": ColumnRule(missing=("9999",))})
    checked = bench.check(source, NUMBERS)
    assert bench.accepted(checked) == {"a": [None] * 3, "b": [None, 9999.0, None], "c": [None, "9999", None]}
    assert checked.report.accepted == 3


def test_memory_is_not_taken_for_a_quote_that_never_closes(bench: Bench) -> None:
    bench.write("q.csv", 'a,b,c\n1,1,"' + "".join(f"{n},{n},x\n" for n in range(2, 200_000)))
    checked = bench.check(source_of("q.csv"), NUMBERS)
    assert bench.reasons(checked) == {1: ["shape:quotes"]}
    assert checked.report.accepted == 199_997


cells = st.text(st.sampled_from('ab1.," \n\r-eN"'), max_size=4)
well_formed = st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6)


def fast_and_plain(folder: Path, data: bytes) -> tuple[tuple[Copied, Path], tuple[Copied, Path]]:
    """The same file read as `copy` reads it, and by the plain path alone."""
    (folder / "x.csv").write_bytes(data)
    source = source_of("x.csv")
    layouts = csv_source._layouts(source, find(source, Place(folder, {})))
    physical = {name: csv_source._physical(NUMBERS[name]) for name in layouts[0].header}
    fast, plain = folder / "fast.parquet", folder / "plain.parquet"
    return (
        (csv_source.copy(source, Place(folder, {}), NUMBERS, fast, folder), fast),
        (csv_source.copy_plainly(source, layouts, physical, plain, folder), plain),
    )


def same(folder: Path, data: bytes) -> None:
    (fast, fast_path), (plain, plain_path) = fast_and_plain(folder, data)
    assert fast.rows == plain.rows
    assert fast.malformed_rows == plain.malformed_rows
    assert fast.files == plain.files
    left, right = pl.scan_parquet(fast_path), pl.scan_parquet(plain_path)
    assert aligned(left).equals(aligned(right))


def aligned(rows: pl.LazyFrame) -> pl.DataFrame:
    """The cells in their types, and whether each misfits."""
    casts = column_casts(source_of("x.csv"), rows.collect_schema(), NUMBERS, missing=())
    values = [one.value.alias(name) for name, one in casts.items()]
    misfits = [
        (one.present.is_not_null() & one.value.is_null()).alias(f"misfit {name}")
        if one.present is not None
        else pl.lit(value=False).alias(f"misfit {name}")
        for name, one in casts.items()
    ]
    return rows.select(*values, *misfits).collect()


@settings(max_examples=300)
@given(text=st.text(st.sampled_from('a1,,",\n\r. '), max_size=30))
@example('1,5" pipe,x\n')
@example('1,1,a "b,c" d\n')
@example('1,1,x"y\n2,2,z"w\n')
@example("1,1,\n2,2\n")
@example(',,"1')
@example(',,"""')
@example(',,1"\r')
@example('1,x"\r,y')
@example('1,1,x\n2,2,"y')
@example('1,1,""\n\n')
def test_the_fast_path_reads_what_the_plain_path_reads_of_any_text(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    same(tmp_path_factory.mktemp("csv"), b"a,b,c\n" + text.encode())


@settings(max_examples=200)
@given(rows=well_formed, quoting=st.sampled_from(["minimal", "all"]))
def test_the_fast_path_reads_what_the_plain_path_reads_of_written_tables(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], quoting: str
) -> None:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL if quoting == "all" else csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerows(rows)
    same(tmp_path_factory.mktemp("csv"), b"a,b,c\n" + out.getvalue().encode())


@pytest.mark.parametrize(
    "cell", ["1", " 1", "1 ", "+1", "-0", "007", "1.0", "1e3", "inf", "-inf", "nan", "1e400", "x", "9" * 19]
)
def test_a_number_means_the_same_beside_a_misfit_as_without(bench: Bench, cell: str) -> None:
    bench.write("alone.csv", f"a,b,c\n{cell},{cell},x\n0,0,x\n")
    bench.write("beside.csv", f"a,b,c\n{cell},{cell},x\n0,0,x\nmisfit,misfit,x\n")
    alone = bench.check(source_of("alone.csv"), NUMBERS)
    beside = bench.check(source_of("beside.csv"), NUMBERS)
    assert bench.accepted(alone) == bench.accepted(beside)
    assert alone.report.repairs == beside.report.repairs


def test_the_same_input_gives_the_same_bytes(bench: Bench) -> None:
    rows = "".join(f"{n},{n / 7},{'xyz'[n % 3] * (n % 11)}\n" for n in range(150_000))
    bench.write("same.csv", "a,b,c\n" + rows + "bad,1,x\n")
    source = source_of("same.csv", unique=("a",), columns={"b": ColumnRule(max=50_000)})
    found = [bench.check(source, NUMBERS) for _ in range(3)]
    assert len({one.table.ref.sha256 for one in found}) == 1
    assert len({one.quarantine.sha256 for one in found if one.quarantine}) == 1
    assert found[0].report == found[1].report == found[2].report
    assert check_module.scan(found[0].table.ref, bench.stage).collect().height == found[0].table.rows


def test_a_last_record_cut_inside_quotes_is_no_row(bench: Bench) -> None:
    for name, header in (("one.csv", "c"), ("three.csv", "a,b,c")):
        bench.write(name, f"{header}\n" + header.replace("c", "x") + "\n" + header.replace("c", '"1'))
        checked = bench.check(source_of(name), {"c": Type.STRING})
        assert bench.accepted(checked)["c"] == ["x"]
        assert checked.report.reasons == (("shape:quotes", 1),)
