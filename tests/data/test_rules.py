"""Every rule and repair on real rows, and any contract on any rows against a judge that looks at one row at a time."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.stage import Bench, source_of

from headrace.data.errors import ContractError
from headrace.data.model import CheckedSource, QualityReport
from headrace.data.table_rules import decimal_sum, float_sum, fresh_result
from headrace.definition.model import (
    Check,
    ColumnRule,
    EqualSum,
    ForeignKey,
    Fresh,
    OnFail,
    Repair,
    RowCount,
)
from headrace.language.types import Type

KX = {"k": Type.INTEGER, "x": Type.FLOAT}
KT = {"k": Type.INTEGER, "t": Type.STRING}
CLIP, STRIP, LOWER, UPPER, TRUNCATE = (Repair(how=h) for h in ("clip", "strip", "lower", "upper", "truncate"))


def mending(*repairs: Repair, **rule: Any) -> ColumnRule:
    return ColumnRule(repair=repairs, on_fail="repair", **rule)


def found(report: QualityReport, name: str) -> tuple[int, bool]:
    result = next(rule for rule in report.rules if rule.rule == name)
    return result.failed, result.passed


@pytest.mark.parametrize(
    ("rule", "name", "refused"),
    [
        (ColumnRule(min_length=2), "min_length:t", [1]),
        (ColumnRule(max_length=2), "max_length:t", [3, 5]),
        (ColumnRule(not_null=True), "not_null:t", [4]),
    ],
)
def test_lengths_are_counted_in_characters_and_null_breaks_not_null_alone(
    bench: Bench, rule: ColumnRule, name: str, refused: list[int]
) -> None:
    bench.write("a.csv", "k,t\n1,a\n2,éü\n3,abc\n4,\n5,Ω☃é\n")
    checked = bench.check(source_of("a.csv", columns={"t": rule}), KT)
    assert bench.reasons(checked) == {row: [name] for row in refused}


@pytest.mark.parametrize(
    ("type_", "low", "high", "zone", "refused"),
    [
        (Type.DATE, "2026-01-02", "2026-01-03", None, [1, 4]),
        (Type.TIMESTAMP, "2026-01-02", None, None, [1]),
        (Type.TIMESTAMP, "2026-01-02T00:00:00Z", "2026-01-03T00:00:00+01:00", None, [1, 3, 4]),
        (Type.TIMESTAMP, "2026-01-02T00:00", None, "Pacific/Auckland", [1]),
    ],
)
def test_bounds_of_dates_and_times_are_texts(
    bench: Bench, type_: Type, low: str, high: str | None, zone: str | None, refused: list[int]
) -> None:
    bench.write("a.csv", "k,d\n1,2026-01-01\n2,2026-01-02\n3,2026-01-03\n4,2026-01-04\n")
    rule = ColumnRule(min=low, max=high, zone=zone)
    checked = bench.check(source_of("a.csv", columns={"d": rule}), {"k": Type.INTEGER, "d": type_})
    assert sorted(bench.reasons(checked)) == refused


@pytest.mark.parametrize(
    ("order", "refused"),
    [
        ("increasing", [3, 7]),
        ("strictly_increasing", [3, 5, 7]),
        ("decreasing", [2, 4, 5, 8]),
        ("strictly_decreasing", [2, 3, 4, 5, 7, 8]),
    ],
)
def test_monotone_is_against_the_furthest_value_before_and_nulls_are_left_out(
    bench: Bench, order: Any, refused: list[int]
) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,2\n3,1\n4,3\n5,3\n6,\n7,1\n8,4\n")
    checked = bench.check(source_of("a.csv", columns={"x": ColumnRule(monotone=order)}), KX)
    assert bench.reasons(checked) == {row: ["monotone:x"] for row in refused}


def test_a_cell_that_breaks_another_rule_does_not_set_the_mark(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,9999\n3,\n4,2\n5,zz\n6,3\n")
    rule = ColumnRule(monotone="increasing", max=100)
    checked = bench.check(source_of("a.csv", columns={"x": rule}), KX)
    assert bench.reasons(checked) == {2: ["max:x"], 5: ["type:x"]}


class TestRepairs:
    """Only what breaks a rule is mended; what cannot be is set aside."""

    def run(self, bench: Bench, rule: ColumnRule, cells: str, type_: Type) -> tuple[list[Any], CheckedSource]:
        bench.write("a.csv", "k,v\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells.split("|"), 1)))
        checked = bench.check(source_of("a.csv", columns={"v": rule}), {"k": Type.INTEGER, "v": type_})
        report = checked.report
        assert report.read == report.accepted + report.repaired + report.quarantined
        return bench.accepted(checked)["v"], checked

    def test_clip_goes_to_the_nearest_bound(self, bench: Bench) -> None:
        kept, checked = self.run(bench, mending(CLIP, min=0, max=120), "-3|40|300||x", Type.FLOAT)
        assert kept == [0.0, 40.0, 120.0, None]
        assert bench.reasons(checked) == {5: ["type:v"]}
        assert checked.report.repairs == (("clip:v", 2),)
        assert (checked.report.accepted, checked.report.repaired, checked.report.quarantined) == (2, 2, 1)
        assert found(checked.report, "clip:v") == (2, False)
        assert found(checked.report, "min:v") == (0, True)
        assert checked.report.passed

    def test_clip_of_integers_stays_within_bounds_with_fractions(self, bench: Bench) -> None:
        kept, _ = self.run(bench, mending(CLIP, min=0.5, max=2.5), "0|1|9", Type.INTEGER)
        assert kept == [1, 1, 2]

    def test_clip_of_dates(self, bench: Bench) -> None:
        kept, _ = self.run(bench, mending(CLIP, min="2026-01-02"), "2026-01-01|2026-01-05", Type.DATE)
        assert kept == [dt.date(2026, 1, 2), dt.date(2026, 1, 5)]

    def test_default_takes_the_place_of_any_wrong_cell_and_of_null_when_null_is_wrong(self, bench: Bench) -> None:
        default = Repair(how="default", default=7.0)
        kept, _ = self.run(bench, mending(default, max=10), "x||3|11", Type.INTEGER)
        assert kept == [7, None, 3, 7]
        kept, checked = self.run(bench, mending(default, max=10, not_null=True), "x||3|11", Type.INTEGER)
        assert kept == [7, 7, 3, 7]
        assert checked.report.repairs == (("default:v", 3),)

    def test_strip_and_case_mend_what_is_not_allowed_and_leave_what_is(self, bench: Bench) -> None:
        rule = mending(STRIP, UPPER, allowed=("DE", " fr "))
        kept, checked = self.run(bench, rule, " de |DE| fr |xx", Type.CATEGORY)
        assert kept == ["DE", "DE", " fr "]
        assert bench.reasons(checked) == {4: ["allowed:v"]}
        assert checked.report.repairs == (("strip:v", 1), ("upper:v", 1))

    def test_recode_then_the_rules_judge_the_new_text(self, bench: Bench) -> None:
        recode = Repair(how="recode", recode=(("M", "male"), ("F", "girl")))
        kept, checked = self.run(bench, mending(recode, allowed=("male", "female")), "M|F|female", Type.CATEGORY)
        assert kept == ["male", "female"]
        assert bench.reasons(checked) == {2: ["allowed:v"]}
        assert bench.read(checked.quarantine)["v"].to_list() == ["F"]

    def test_truncate(self, bench: Bench) -> None:
        kept, _ = self.run(bench, mending(TRUNCATE, max_length=2), "a|éüö|abcd", Type.STRING)
        assert kept == ["a", "éü", "ab"]

    def test_lower(self, bench: Bench) -> None:
        assert self.run(bench, mending(LOWER, pattern="[a-z]+"), "ab|AB", Type.STRING)[0] == ["ab", "ab"]

    def test_derived_columns_and_checks_see_the_mended_cell(self, bench: Bench) -> None:
        bench.write("a.csv", "k,x\n1,-5\n2,3\n")
        source = source_of(
            "a.csv",
            columns={"x": mending(CLIP, min=0)},
            derive=(("y", "x * 2"),),
            checks={"right": ("y >= 0", "fail")},
        )
        checked = bench.check(source, KX)
        assert bench.accepted(checked)["y"] == [0.0, 6.0]
        assert checked.report.passed

    def test_a_row_rule_mends_by_expressions_and_what_is_derived_follows(self, bench: Bench) -> None:
        bench.write("a.csv", "k,x\n1,-5\n2,3\n3,-100\n")
        check = Check(name="sign", where="y >= 0 OR x IS NULL", repair=(("x", "CASE WHEN x > -50 THEN -x END"),),
                      on_fail="repair")  # fmt: skip
        source = source_of("a.csv", derive=(("y", "x * 2"),))
        from msgspec import structs

        checked = bench.check(structs.replace(source, checks=(check,)), KX)
        assert bench.accepted(checked) == {"k": [1, 2, 3], "x": [5.0, 3.0, None], "y": [10.0, 6.0, None]}
        assert checked.report.repairs == (("repair:sign", 2),)

    def test_a_row_rule_that_its_repair_does_not_satisfy_sets_the_row_aside(self, bench: Bench) -> None:
        bench.write("a.csv", "k,x\n1,-5\n")
        from msgspec import structs

        check = Check(name="sign", where="x > 0", repair=(("x", "x + 1"),), on_fail="repair")
        checked = bench.check(structs.replace(source_of("a.csv"), checks=(check,)), KX)
        assert bench.reasons(checked) == {1: ["check:sign"]}
        assert checked.report.repairs == ()

    @pytest.mark.parametrize(
        ("rule", "type_", "words"),
        [
            (mending(STRIP), Type.FLOAT, "the repair 'strip' is for texts, the column is float"),
            (mending(Repair(how="default", default="x")), Type.FLOAT, "the default is no float"),
            (mending(Repair(how="default", default=1.5)), Type.INTEGER, "the default is no integer"),
            (ColumnRule(min="2026-01-01"), Type.FLOAT, "min is no float"),
            (ColumnRule(max=3), Type.DATE, "max is no date"),
            (ColumnRule(min_length=3), Type.INTEGER, "are for texts, the column is integer"),
            (ColumnRule(monotone="increasing"), Type.STRING, "monotone is for numbers and times"),
        ],
    )
    def test_a_rule_that_does_not_go_with_the_type_is_refused(
        self, bench: Bench, rule: ColumnRule, type_: Type, words: str
    ) -> None:
        bench.write("a.csv", "k,v\n1,1\n")
        with pytest.raises(ContractError, match=re.escape(words)):
            bench.check(source_of("a.csv", columns={"v": rule}), {"k": Type.INTEGER, "v": type_})


class TestForeignKey:
    """Rows without a partner in the other source."""

    def run(self, bench: Bench, on_fail: OnFail, key: tuple[tuple[str, str], ...]) -> CheckedSource:
        bench.write("c.csv", "id,land\n1,DE\n2,FR\n2,FR\nx,PL\n,PL\n")
        customers = bench.check(source_of("c.csv"), {"id": Type.INTEGER, "land": Type.STRING}).table
        bench.write("o.csv", "customer,where\n1,DE\n3,DE\n2,DE\n,DE\n9,PL\n")
        rule = ForeignKey(name="known", source="customers", key=key, on_fail=on_fail)
        types = {"customer": Type.INTEGER, "where": Type.CATEGORY}
        return bench.check(source_of("o.csv", foreign_keys=(rule,)), types, {"customers": customers})

    def test_orphans_are_set_aside_and_null_passes(self, bench: Bench) -> None:
        checked = self.run(bench, "quarantine", (("customer", "id"),))
        assert bench.reasons(checked) == {2: ["check:known"], 5: ["check:known"]}
        assert found(checked.report, "check:known") == (2, False)
        assert bench.accepted(checked)["customer"] == [1, 2, None]
        assert checked.report.passed

    def test_a_key_of_two_columns_is_one_key(self, bench: Bench) -> None:
        checked = self.run(bench, "quarantine", (("customer", "id"), ("where", "land")))
        assert sorted(bench.reasons(checked)) == [2, 3, 5]

    def test_it_may_fail_or_warn(self, bench: Bench) -> None:
        assert not self.run(bench, "fail", (("customer", "id"),)).report.passed
        checked = self.run(bench, "warn", (("customer", "id"),))
        assert checked.report.passed
        assert checked.table.rows == 5

    def test_within_one_source_any_row_is_a_partner(self, bench: Bench) -> None:
        bench.write("a.csv", "k,x\n1,\n2,1\n3,9\n")
        rule = ForeignKey(name="boss", source="s", key=(("x", "k"),), on_fail="quarantine")
        checked = bench.check(source_of("a.csv", foreign_keys=(rule,)), {"k": Type.INTEGER, "x": Type.INTEGER})
        assert bench.reasons(checked) == {3: ["check:boss"]}

    def test_columns_that_cannot_be_compared_are_refused(self, bench: Bench) -> None:
        with pytest.raises(ContractError, match="'where' is category, 'id' is integer"):
            self.run(bench, "fail", (("where", "id"),))
        with pytest.raises(ContractError, match="source 'customers' has no column 'nix'"):
            self.run(bench, "fail", (("customer", "nix"),))


@pytest.mark.parametrize(("low", "high", "has_passed"), [(3, 3, True), (4, None, False), (None, 2, False)])
def test_row_counts_are_of_the_accepted_table(
    bench: Bench, low: int | None, high: int | None, has_passed: bool
) -> None:
    bench.write("a.csv", "k,x\n1,1\n2,2\nz,3\n4,4\n")
    checked = bench.check(source_of("a.csv", row_counts=(RowCount(name="n", min=low, max=high),)), KX)
    assert checked.report.passed is has_passed
    assert checked.table.rows == 3


class TestEqualSum:
    """The sum of a column is another source's."""

    def run(self, bench: Bench, ours: str, theirs: str, type_: Type, tolerance: float | None) -> QualityReport:
        bench.write("b.csv", "x\n" + theirs.replace("|", "\n") + "\n")
        billing = bench.check(source_of("b.csv"), {"x": type_}).table
        bench.write("a.csv", "x\n" + ours.replace("|", "\n") + "\n")
        rule = EqualSum(name="total", column="x", source="b", equals="x", tolerance=tolerance)
        return bench.check(source_of("a.csv", equal_sums=(rule,)), {"x": type_}, {"b": billing}).report

    @pytest.mark.parametrize(
        ("ours", "theirs", "type_", "tolerance", "has_passed"),
        [
            ("0.1|0.2", "0.3", Type.FLOAT, None, True),
            ("0.1|0.2", "0.30000001", Type.FLOAT, None, False),
            ("1|2", "3", Type.INTEGER, None, True),
            ("1|2", "4", Type.INTEGER, 1.0, True),
            ("1|2", "4.1", Type.FLOAT, 1.0, False),
            ("0.3333333333333333", "0.3333333333333333", Type.FLOAT, None, False),
            ("0.3333333333333333", "0.3333333333333333", Type.FLOAT, 0.0, True),
            ("inf", "inf", Type.FLOAT, 1.0, False),
            ("9223372036854775807|9223372036854775807", "9223372036854775807", Type.INTEGER, None, False),
        ],
    )
    def test_to_the_last_digit_or_within_a_tolerance(
        self, bench: Bench, ours: str, theirs: str, type_: Type, tolerance: float | None, has_passed: bool
    ) -> None:
        assert self.run(bench, ours, theirs, type_, tolerance).passed is has_passed

    @given(cents=st.lists(st.integers(-(10**9), 10**9), max_size=40), places=st.integers(0, 9))
    def test_sums_of_decimals_are_exact(self, cents: list[int], places: int) -> None:
        import polars as pl

        values = [c / 10**places for c in cents]
        frame = pl.LazyFrame({"x": values}, schema={"x": pl.Float64})
        total = decimal_sum(frame)
        assert total is not None
        assert total * 10**places == sum(cents)
        assert float_sum(frame) == pytest.approx(sum(cents) / 10**places, abs=1e-3)


HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("newest", "now", "has_passed", "warns", "detail"),
    [
        (10 * HOUR, 12 * HOUR, True, False, "at most 2 h old"),
        (10 * HOUR, 12 * HOUR + 60_000_000, False, False, "is 2 h 1 min old, at most 2 h is allowed"),
        (10 * HOUR, 9 * HOUR, True, True, "at most 2 h old"),
        (None, 9 * HOUR, False, False, "no row has an event_time"),
        (10 * HOUR, -(2**62), True, True, "at most 2 h old"),
    ],
)
def test_freshness_is_the_age_of_the_newest_row_and_a_wrong_clock_is_told(
    newest: int | None, now: int, has_passed: bool, warns: bool, detail: str
) -> None:
    result, warning = fresh_result(Fresh(within_us=2 * HOUR), newest, now)
    assert (result.passed, warning is not None) == (has_passed, warns)
    assert detail in result.detail


def test_the_newest_event_time_is_kept_for_sources_that_promise_to_be_fresh(bench: Bench) -> None:
    bench.write("a.csv", "t,x\n1970-01-01T00:00:07Z,1\n1970-01-02,z\n,3\n")
    types = {"t": Type.TIMESTAMP, "x": Type.FLOAT}
    source = source_of("a.csv", event_time="t", fresh=Fresh(within_us=1))
    assert bench.check(source, types).newest_us == 7_000_000
    assert bench.check(source_of("a.csv", event_time="t"), types).newest_us is None


# Any contract on any rows, judged one row at a time in plain Python.


@dataclass
class Judged:
    """What a plain judge makes of rows."""

    accepted: list[tuple[int | None, str | None]] = field(default_factory=list)
    reasons: dict[int, list[str]] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    repaired: int = 0


def judge(rows: list[tuple[str, str]], number: ColumnRule, text: ColumnRule) -> Judged:
    """Rows of (integer n, text t) as the two rules say, by the definition of each word."""
    found, most = Judged(), None
    for at, (cell, word) in enumerate(rows, 1):
        n, is_misfit = _integer(cell)
        t = None if word in ("", "NA") else word
        steps: list[str] = []
        n, is_misfit = _mended_number(n, is_misfit, number, steps)
        t = _mended_text(t, text, steps)
        reasons = ["type:n"] * (is_misfit and number.on_fail != "warn")
        steps += ["type:n"] * (is_misfit and number.on_fail == "warn")
        wrong = _number_reasons(n, number)
        reasons += wrong if number.on_fail != "warn" else []
        if number.monotone and n is not None and not wrong:
            if most is not None and n < most and number.on_fail != "warn":
                reasons.append("monotone:n")
            most = n if most is None else max(most, n)
        reasons += _text_reasons(t, text) if text.on_fail != "warn" else []
        if reasons:
            found.reasons[at] = reasons
            continue
        found.accepted.append((n, t))
        found.repaired += bool(steps)
        for step in steps:
            found.repairs[step] = found.repairs.get(step, 0) + 1
    return found


def _integer(cell: str) -> tuple[int | None, bool]:
    if cell.strip() in ("", "NA"):
        return None, False
    try:
        return int(cell), False
    except ValueError:
        return None, True


def _number_reasons(n: int | None, rule: ColumnRule) -> list[str]:
    wrong = ["not_null:n"] * (rule.not_null and n is None)
    wrong += ["min:n"] * (n is not None and isinstance(rule.min, float) and n < rule.min)
    return wrong + ["max:n"] * (n is not None and isinstance(rule.max, float) and n > rule.max)


def _text_reasons(t: str | None, rule: ColumnRule) -> list[str]:
    if t is None:
        return ["not_null:t"] * rule.not_null
    wrong = ["min_length:t"] * (rule.min_length is not None and len(t) < rule.min_length)
    wrong += ["max_length:t"] * (rule.max_length is not None and len(t) > rule.max_length)
    wrong += ["allowed:t"] * (rule.allowed is not None and t not in rule.allowed)
    return wrong + ["pattern:t"] * (rule.pattern is not None and re.fullmatch(rule.pattern, t) is None)


def _mended_number(n: int | None, is_misfit: bool, rule: ColumnRule, steps: list[str]) -> tuple[int | None, bool]:
    for repair in rule.repair:
        if not is_misfit and not _number_reasons(n, rule):
            break
        before = n
        if repair.how == "clip" and n is not None:
            n = max(n, int(rule.min)) if isinstance(rule.min, float) else n
            n = min(n, int(rule.max)) if isinstance(rule.max, float) else n
        elif repair.how == "default":
            n = int(repair.default) if isinstance(repair.default, float) else n
        is_misfit = is_misfit and n is None
        steps += [f"{repair.how}:n"] * (n != before)
    return n, is_misfit


def _mended_text(t: str | None, rule: ColumnRule, steps: list[str]) -> str | None:
    for repair in rule.repair:
        if not _text_reasons(t, rule):
            break
        before = t
        if repair.how == "default":
            t = str(repair.default)
        elif t is not None:
            made = {
                "strip": t.strip(),
                "upper": t.upper(),
                "recode": dict(repair.recode).get(t, t),
                "truncate": t[: rule.max_length],
            }
            t = made[repair.how]
        steps += [f"{repair.how}:t"] * (t != before)
    return t


maybe = st.none() | st.integers(-3, 5).map(float)
numbers = st.builds(
    lambda low, high, null, rising, repairs, on_fail: ColumnRule(
        min=low, max=high, not_null=null, monotone="increasing" if rising else None, repair=tuple(repairs),
        on_fail="repair" if repairs else on_fail,
    ),
    maybe, maybe, st.booleans(), st.booleans(),
    st.lists(st.sampled_from([CLIP, Repair(how="default", default=2.0)]), max_size=2, unique_by=lambda r: r.how),
    st.sampled_from(["fail", "quarantine", "warn"]),
)  # fmt: skip
RECODE = Repair(how="recode", recode=(("x", "b"), ("AB", "")))
texts = st.builds(
    lambda low, high, allowed, pattern, null, repairs, on_fail: ColumnRule(
        min_length=low, max_length=high, allowed=allowed, pattern=pattern, not_null=null, repair=tuple(repairs),
        on_fail="repair" if repairs else on_fail,
    ),
    st.none() | st.integers(0, 2), st.integers(1, 3), st.none() | st.just(("A", "b", "AB")),
    st.none() | st.just("[A-Z]+"), st.booleans(),
    st.lists(
        st.sampled_from([STRIP, UPPER, TRUNCATE, RECODE, Repair(how="default", default="AB")]),
        max_size=3, unique_by=lambda r: r.how,
    ),
    st.sampled_from(["fail", "quarantine", "warn"]),
)  # fmt: skip


@settings(max_examples=150)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["-9", "0", "1", "2", "3", "9", "z", "", "1.5"]),
            st.sampled_from(["a", "A", " b", "AB", "abc", "x", "", "toolong", "é", "NA"]),
        ),
        min_size=1,
        max_size=25,
    ),
    number=numbers,
    text=texts,
)
def test_any_contract_judges_rows_as_one_row_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], number: ColumnRule, text: ColumnRule
) -> None:
    if isinstance(number.min, float) and isinstance(number.max, float) and number.min > number.max:
        number = ColumnRule(repair=number.repair, not_null=number.not_null, on_fail=number.on_fail)
    bench = Bench(tmp_path_factory.mktemp("judge"))
    bench.write("a.csv", "n,t\n" + "".join(f"{n},{t}\n" for n, t in rows))
    checked = bench.check(source_of("a.csv", columns={"n": number, "t": text}), {"n": Type.INTEGER, "t": Type.STRING})
    expected, report = judge(rows, number, text), checked.report
    accepted = bench.accepted(checked)
    assert list(zip(accepted["n"], accepted["t"], strict=True)) == expected.accepted
    assert bench.reasons(checked) == expected.reasons
    assert dict(report.repairs) == expected.repairs
    assert report.repaired == expected.repaired
    assert report.quarantined == len(expected.reasons)
    assert report.read == len(rows) == report.accepted + report.repaired + report.quarantined
