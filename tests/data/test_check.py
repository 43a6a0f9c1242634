"""The contract, held against rows: every rule, every way to fail, and a ledger that adds up to the row."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.stage import Bench, source_of

from headrace.data.errors import ContractError, JoinNotUnique
from headrace.data.model import QualityReport, RuleResult
from headrace.definition.model import ColumnRule, Join, OnFail
from headrace.language.types import Type
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import Memory

KX = {"k": Type.INTEGER, "x": Type.FLOAT}


def rule(report: QualityReport, name: str) -> RuleResult:
    return next(one for one in report.rules if one.rule == name)


def adds_up(report: QualityReport) -> bool:
    return (
        report.read == report.accepted + report.repaired + report.quarantined
        and sum(count for _, count in report.reasons) == report.quarantined
    )


@pytest.mark.parametrize(
    ("column_rule", "name", "refused"),
    [
        (ColumnRule(min=2), "min:x", [1]),
        (ColumnRule(max=2), "max:x", [3, 5]),
        (ColumnRule(allowed=("1.0", "2.0")), "allowed:x", [3, 5]),
        (ColumnRule(pattern=r"[0-9]\.0"), "pattern:x", [5]),
        (ColumnRule(min=-math.inf, max=1e9), "max:x", [5]),
    ],
)
def test_a_cell_that_breaks_its_columns_rule_quarantines_its_row(
    bench: Bench, column_rule: ColumnRule, name: str, refused: list[int]
) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,2\n3,3\n4,\n5,inf\n")
    checked = bench.check(source_of("a.csv", columns={"x": column_rule}), KX)
    assert bench.reasons(checked) == {row: [name] for row in refused}
    assert bench.accepted(checked)["k"] == [k for k in range(1, 6) if k not in refused]
    found = rule(checked.report, name)
    assert (found.failed, found.first_row, found.passed) == (len(refused), refused[0], False)
    assert checked.report.passed
    assert adds_up(checked.report)


@pytest.mark.parametrize(
    ("on_fail", "n_accepted", "has_passed"), [("fail", 2, False), ("quarantine", 2, True), ("warn", 3, True)]
)
def test_on_fail_says_what_becomes_of_a_row_and_of_the_report(
    bench: Bench, on_fail: OnFail, n_accepted: int, has_passed: bool
) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,-2\n3,3\n")
    for source in (
        source_of("a.csv", columns={"x": ColumnRule(min=0, on_fail=on_fail)}),
        source_of("a.csv", checks={"positive": ("x > 0", on_fail)}),
    ):
        checked = bench.check(source, KX)
        assert checked.table.rows == n_accepted
        assert checked.report.passed is has_passed
        assert [r.failed for r in checked.report.rules if r.on_fail == on_fail and r.failed] == [1]
        assert (checked.quarantine is None) == (on_fail == "warn")
        assert adds_up(checked.report)


def test_a_check_that_is_null_is_not_true(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,\n3,-1\n")
    checked = bench.check(source_of("a.csv", checks={"positive": ("x > 0", "quarantine")}), KX)
    assert bench.reasons(checked) == {2: ["check:positive"], 3: ["check:positive"]}


def test_a_row_is_counted_under_its_first_reason_and_keeps_them_all(bench: Bench) -> None:
    bench.write("a.csv", "k,x\nz,-1\n2,-2\n3,3\n")
    source = source_of("a.csv", columns={"x": ColumnRule(min=0)}, checks={"positive": ("x > 0", "quarantine")})
    checked = bench.check(source, KX)
    assert bench.reasons(checked) == {1: ["type:k", "min:x", "check:positive"], 2: ["min:x", "check:positive"]}
    assert checked.report.reasons == (("type:k", 1), ("min:x", 1))
    assert rule(checked.report, "min:x").failed == 2


def test_a_nan_becomes_null_and_is_counted_infinities_stay(bench: Bench) -> None:
    pl.DataFrame({"k": [1, 2, 3, 4], "x": [1.0, math.nan, math.inf, -math.inf]}).write_parquet(bench.root / "a.parquet")
    checked = bench.check(source_of("a.parquet"), KX)
    assert bench.accepted(checked)["x"] == [1.0, None, math.inf, -math.inf]
    assert (checked.report.accepted, checked.report.repaired) == (3, 1)
    assert checked.report.repairs == (("nan:x", 1),)
    assert adds_up(checked.report)


def test_a_misfit_that_only_warns_becomes_null_and_is_a_repair(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,one\n2,2\n")
    checked = bench.check(source_of("a.csv", columns={"x": ColumnRule(on_fail="warn")}), KX)
    assert bench.accepted(checked)["x"] == [None, 2.0]
    assert (checked.report.accepted, checked.report.repaired, checked.report.quarantined) == (1, 1, 0)
    assert checked.report.repairs == (("type:x", 1),)


@pytest.mark.parametrize(("limit", "has_passed"), [(0.5, True), (0.49, False)])
def test_max_null_is_of_the_accepted_table_and_fails_it(bench: Bench, limit: float, has_passed: bool) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,\nz,\n")
    checked = bench.check(source_of("a.csv", columns={"x": ColumnRule(max_null=limit)}), KX)
    assert checked.report.passed is has_passed
    assert checked.table.rows == 2
    assert rule(checked.report, "max_null:x").on_fail == "fail"


class TestUnique:
    """One row a key: repeats go, the newest content stays."""

    def run(
        self, bench: Bench, data: str, **more: Any
    ) -> tuple[dict[str, list[Any]], dict[int, list[str]], QualityReport]:
        bench.write("a.csv", "k,x\n" + data)
        checked = bench.check(source_of("a.csv", unique=("k",), **more), KX)
        assert adds_up(checked.report)
        return bench.accepted(checked), bench.reasons(checked), checked.report

    def test_of_equal_rows_the_first_stays(self, bench: Bench) -> None:
        accepted, reasons, _ = self.run(bench, "1,1\n2,2\n1,1\n1,1\n")
        assert accepted == {"k": [1, 2], "x": [1.0, 2.0]}
        assert reasons == {3: ["duplicate"], 4: ["duplicate"]}

    def test_of_rows_that_differ_the_last_stays(self, bench: Bench) -> None:
        accepted, reasons, report = self.run(bench, "1,1\n2,2\n1,3\n")
        assert accepted == {"k": [2, 1], "x": [2.0, 3.0]}
        assert reasons == {1: ["duplicate-key"]}
        assert report.reasons == (("duplicate-key", 1),)
        assert rule(report, "unique").failed == 1

    def test_content_that_comes_back_is_the_newest(self, bench: Bench) -> None:
        accepted, reasons, _ = self.run(bench, "1,1\n1,2\n1,1\n")
        assert accepted == {"k": [1], "x": [1.0]}
        assert reasons == {2: ["duplicate-key"], 3: ["duplicate"]}

    def test_a_wrong_row_never_displaces_a_right_one(self, bench: Bench) -> None:
        accepted, reasons, _ = self.run(bench, "1,1\n1,-5\n1,zz\n2,2\n", columns={"x": ColumnRule(min=0)})
        assert accepted == {"k": [1, 2], "x": [1.0, 2.0]}
        assert reasons == {2: ["min:x"], 3: ["type:x"]}

    def test_a_null_key_is_quarantined(self, bench: Bench) -> None:
        accepted, reasons, _ = self.run(bench, "1,1\n,2\n,2\n")
        assert accepted["k"] == [1]
        assert reasons == {2: ["null-key:k"], 3: ["null-key:k"]}

    def test_it_may_fail_the_source(self, bench: Bench) -> None:
        _, _, report = self.run(bench, "1,1\n1,2\n", on_duplicate="fail")
        assert not report.passed
        _, _, report = self.run(bench, "1,1\n2,2\n", on_duplicate="fail")
        assert report.passed

    def test_numbers_count_malformed_and_refused_rows(self, bench: Bench) -> None:
        accepted, reasons, _ = self.run(bench, "1,1\n9\n2,z\n1,5\n3,3\n1,6\n")
        assert accepted == {"k": [3, 1], "x": [3.0, 6.0]}
        assert reasons == {
            1: ["duplicate-key"],
            2: ["shape:too_few_fields"],
            3: ["type:x"],
            4: ["duplicate-key"],
        }

    @settings(max_examples=60)
    @given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30))
    def test_any_rows_leave_what_a_dictionary_leaves(
        self, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]
    ) -> None:
        bench = Bench(tmp_path_factory.mktemp("unique"))
        accepted, reasons, _ = self.run(bench, "".join(f"{k},{x}\n" for k, x in rows))
        newest = {k: float(x) for k, x in rows}
        assert dict(zip(accepted["k"], accepted["x"], strict=True)) == newest
        assert len(accepted["k"]) == len(newest)
        seen: set[tuple[int, int]] = set()
        for number, row in enumerate(rows, start=1):
            expected = ["duplicate"] if row in seen else [] if newest[row[0]] == row[1] else ["duplicate-key"]
            assert reasons.get(number, []) == expected
            seen.add(row)


def test_order_is_rename_types_join_derive_then_rules(bench: Bench) -> None:
    bench.write("ports.csv", "code,zone\nA,America/New_York\nB,Asia/Tokyo\n")
    ports = bench.check(source_of("ports.csv", unique=("code",)), {"code": Type.CATEGORY, "zone": Type.STRING})
    bench.write("a.csv", "from,miles\nB,10\nA,20\n,30\nC,40\n")
    source = source_of(
        "a.csv",
        rename=(("from", "origin"), ("miles", "mile")),
        joins=(Join(name="port", source="ports", key=(("origin", "code"),), take=("zone",)),),
        derive=(("km", "mile * 1.6"), ("place", "coalesce(port_zone, 'nowhere')")),
        columns={"km": ColumnRule(max=60)},
    )
    types = {"origin": Type.CATEGORY, "mile": Type.INTEGER}
    checked = bench.check(source, types, {"ports": ports.table})
    assert bench.accepted(checked) == {
        "origin": ["B", "A", None],
        "mile": [10, 20, 30],
        "port_zone": ["Asia/Tokyo", "America/New_York", None],
        "km": [16.0, 32.0, 48.0],
        "place": ["Asia/Tokyo", "America/New_York", "nowhere"],
    }
    assert bench.reasons(checked) == {4: ["max:km"]}
    assert [field.type for field in checked.table.fields] == ["category", "integer", "string", "float", "string"]
    assert bench.read(checked.quarantine)["from"].to_list() == ["C"]


def test_a_join_that_would_multiply_rows_is_refused(bench: Bench) -> None:
    bench.write("ports.csv", "code,zone\nA,x\nA,y\n")
    ports = bench.check(source_of("ports.csv"), {"code": Type.STRING, "zone": Type.STRING})
    bench.write("a.csv", "k,x\n1,1\n")
    source = source_of("a.csv", joins=(Join(name="p", source="ports", key=(("k", "code"),), take=("zone",)),))
    with pytest.raises(JoinNotUnique, match=r"in 'ports' 1 keys \('code'\) occur more than once"):
        bench.check(source, {"k": Type.CATEGORY, "x": Type.FLOAT}, {"ports": ports.table})


def test_a_contract_that_the_columns_cannot_have_is_refused_with_every_reason(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,1\n")
    source = source_of(
        "a.csv",
        unique=("q",),
        columns={"z": ColumnRule(min=1), "k": ColumnRule(type=Type.STRING, max=3)},
        derive=(("y", "x + nothing"),),
        checks={"c": ("x + 1", "fail")},
    )
    with pytest.raises(ContractError) as caught:
        bench.check(source, KX)
    text = str(caught.value)
    for words in ("'q'", "'z'", "min and max are for numbers", "'nothing'", "where is float"):
        assert words in text


def test_an_all_null_column_is_accepted_as_its_type(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,\n2,NA\n")
    checked = bench.check(source_of("a.csv"), {"k": Type.INTEGER, "x": Type.STRING})
    assert bench.accepted(checked)["x"] == [None, None]
    assert next(c for c in checked.report.columns if c.name == "x").nulls == 2


def test_every_row_refused_leaves_an_empty_table_and_a_whole_quarantine(bench: Bench) -> None:
    bench.write("a.csv", "k,x\na,1\nb,2\n")
    checked = bench.check(source_of("a.csv", unique=("k",)), KX)
    assert checked.table.rows == 0
    assert bench.read(checked.quarantine).height == 2
    assert adds_up(checked.report)


def test_times_with_mixed_offsets_and_zones(bench: Bench) -> None:
    bench.write(
        "a.csv",
        "t\n2013-01-01T05:00:00Z\n2013-01-01 05:00:00+02:00\n2013-07-01 08:00:00\n2013-01-01\n"
        "2013-03-10T02:30:00\n2013-11-03T01:30:00\nnoon\n2013-02-30\n",
    )
    checked = bench.check(source_of("a.csv", columns={"t": ColumnRule(zone="America/New_York")}), {"t": Type.TIMESTAMP})
    utc = dt.UTC
    assert bench.accepted(checked)["t"] == [
        dt.datetime(2013, 1, 1, 5, tzinfo=utc),
        dt.datetime(2013, 1, 1, 3, tzinfo=utc),
        dt.datetime(2013, 7, 1, 12, tzinfo=utc),
        dt.datetime(2013, 1, 1, 5, tzinfo=utc),
        dt.datetime(2013, 11, 3, 5, 30, tzinfo=utc),  # shown twice: the earlier
    ]
    assert bench.reasons(checked) == {5: ["type:t"], 7: ["type:t"], 8: ["type:t"]}  # 5: leapt over


def test_no_cell_value_is_in_a_rules_words(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,hunter2\n2,2,hunter2\n3,\n")
    source = source_of("a.csv", checks={"c": ("x = 5", "warn")}, columns={"x": ColumnRule(max_null=0.0)})
    report = bench.check(source, {"k": Type.INTEGER, "x": Type.FLOAT}).report
    assert "hunter2" not in repr(report.rules) + repr(report.reasons) + repr(report.warnings)


cell = st.sampled_from(["1", "2", "-1", "x", "", "nan", "inf", " 7", "1e3", "9999"])


@settings(max_examples=120)
@given(
    lines=st.lists(st.lists(cell, min_size=1, max_size=4), min_size=1, max_size=25),
    on_fail=st.sampled_from(["fail", "quarantine", "warn"]),
    unique=st.booleans(),
)
def test_the_ledger_adds_up_for_any_rows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], on_fail: OnFail, unique: bool
) -> None:
    lines = [line for line in lines if line != [""]] or [["1"]]
    bench = Bench(tmp_path_factory.mktemp("ledger"))
    bench.write("a.csv", "k,x\n" + "".join(",".join(line) + "\n" for line in lines))
    source = source_of(
        "a.csv",
        unique=("k",) if unique else (),
        columns={"x": ColumnRule(min=0, max=100, on_fail=on_fail), "k": ColumnRule(missing=("9999",))},
        checks={"c": ("x < 5", on_fail)},
    )
    checked = bench.check(source, KX)
    report = checked.report
    assert adds_up(report)
    assert report.read == len(lines)
    assert checked.table.rows == report.accepted + report.repaired == bench.read(checked.table.ref).height
    aside = bench.reasons(checked)
    assert len(aside) == report.quarantined
    assert all(aside.values())
    kept = [n for n in range(1, len(lines) + 1) if n not in aside]
    expected = [None if (c := lines[n - 1][0]).strip() in ("", "9999") else int(c) for n in kept]
    assert bench.accepted(checked)["k"] == expected


@pytest.mark.parametrize("unique", [(), ("k",)])
def test_a_limit_that_does_not_suffice_is_told_before_it_begins(bench: Bench, unique: tuple[str, ...]) -> None:
    bench.write("a.csv", "k,x\n" + "".join(f"{n},text\n" for n in range(2_000)))
    source, types = source_of("a.csv", unique=unique), {"k": Type.INTEGER, "x": Type.STRING}
    needed = 350_000_000 + int(0.4 * 2_000) * (8 + 40) + (16 * 2_000 if unique else 0)
    bench.stage.memory = Memory(needed, is_given=True)
    assert bench.check(source, types).report.accepted == 2_000
    bench.stage.memory = Memory(needed - 1, is_given=True)
    with pytest.raises(
        NotEnoughMemory, match=r"checking source 's' needs about 0\.35 GB.*: 2,000 rows of 2 columns"
    ) as told:
        bench.check(source, types)
    assert told.value.exit_code == 2
    bench.stage.memory = Memory(needed - 1, is_given=False)  # a guess of what is free refuses nothing
    assert bench.check(source, types).report.accepted == 2_000
