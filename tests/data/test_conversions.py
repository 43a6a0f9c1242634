"""Values as they are written and the units they are in: the same in history and in requests, and misfits are told."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.stage import Bench, source_of

from headrace.data.align import align_request
from headrace.data.check import scan
from headrace.data.errors import BesideMissing, ContractError, UnitRefused
from headrace.data.model import CheckedSource, Table
from headrace.definition.model import ColumnRule, Rates
from headrace.definition.units import conversion, names_of, near_unit, units
from headrace.language.types import Type

FLOAT = ColumnRule(type=Type.FLOAT)


def column(bench: Bench, texts: list[str], rule: ColumnRule, type_: Type) -> tuple[list[Any], dict[int, list[str]]]:
    """The accepted values of a column of a CSV file, and what was set aside."""
    bench.write("a.csv", "k;x\n" + "".join(f"{n};{text}\n" for n, text in enumerate(texts)))
    source = source_of("a.csv", columns={"x": rule}, separator=";")
    checked = bench.check(source, {"k": Type.INTEGER, "x": type_})
    return bench.accepted(checked)["x"], bench.reasons(checked)


@pytest.mark.parametrize(
    ("decimal", "thousands", "texts", "values", "refused"),
    [
        (",", None, ["1,5", "-0,25", " 2 ", ",5", "1e3", ""], [1.5, -0.25, 2.0, 0.5, 1000.0, None], []),
        (",", None, ["1.5", "1,2,3", "x"], [], [1, 2, 3]),
        (",", ".", ["1.234,5", "1234,5", "12.345.678", "1,5"], [1234.5, 1234.5, 12345678.0, 1.5], []),
        (",", ".", ["1.5", "12.34,5", "1.2345", ".123"], [], [1, 2, 3, 4]),
        (".", ",", ["1,234.5", "0.5", "1,23"], [1234.5, 0.5], [3]),
        (".", "'", ["1'234.50"], [1234.5], []),
        (",", " ", ["1 234,5", "1\u00a0234,5", "1\u202f234", "1  234"], [1234.5, 1234.5, 1234.0], [4]),
    ],
)
def test_numbers_are_read_as_they_are_written_and_in_no_other_way(
    bench: Bench, decimal: str, thousands: str | None, texts: list[str], values: list[float], refused: list[int]
) -> None:
    rule = ColumnRule(type=Type.FLOAT, decimal=decimal, thousands=thousands)
    found, reasons = column(bench, texts, rule, Type.FLOAT)
    assert found == values
    assert reasons == {row: ["type:x"] for row in refused}


def test_a_written_whole_number_has_no_fraction(bench: Bench) -> None:
    rule = ColumnRule(type=Type.INTEGER, decimal=",", thousands=".")
    assert column(bench, ["1.000", "2", "3,5"], rule, Type.INTEGER) == ([1000, 2], {3: ["type:x"]})


@pytest.mark.parametrize(
    ("rule", "texts", "values", "refused"),
    [
        (
            ColumnRule(places=2),
            ["1234567890123456.78", " 2 ", "-0.05", ".5", "1.500"],
            [123456789012345678, 200, -5, 50, 150],
            [],
        ),
        (ColumnRule(places=2), ["0.005", "1e3", "x", "92233720368547758.08"], [], [1, 2, 3, 4]),
        (ColumnRule(places=2, decimal=",", thousands="."), ["1.234,5", "12,34"], [123450, 1234], []),
        (ColumnRule(places=0), ["7", "7.0"], [7, 7], []),
    ],
)
def test_amounts_are_counted_exactly_in_their_last_place(
    bench: Bench, rule: ColumnRule, texts: list[str], values: list[int], refused: list[int]
) -> None:
    found, reasons = column(bench, texts, msgspec.structs.replace(rule, type=Type.INTEGER), Type.INTEGER)
    assert found == values
    assert reasons == {row: ["type:x"] for row in refused}


def test_amounts_that_are_numbers_already_are_counted_too(bench: Bench) -> None:
    amounts = pl.Series([Decimal("1234567890123456.78"), None, Decimal("0.10")], dtype=pl.Decimal(38, 2))
    frame = pl.DataFrame({"d": amounts, "f": [0.1, 12.34, 1.005], "i": [7, -7, 2**62]})
    frame.write_parquet(bench.root / "a.parquet")
    rule = ColumnRule(type=Type.INTEGER, places=2)
    source = source_of("a.parquet", format="parquet", columns=dict.fromkeys("dfi", rule))
    checked = bench.check(source, dict.fromkeys("dfi", Type.INTEGER))
    assert bench.accepted(checked) == {"d": [123456789012345678, None], "f": [10, 1234], "i": [700, -700]}
    assert bench.reasons(checked) == {3: ["type:f", "type:i"]}


@given(number=st.floats(allow_nan=False, allow_infinity=False), thousands=st.sampled_from([None, ".", " ", "'"]))
def test_a_number_written_with_a_comma_comes_back_to_the_bit(number: float, thousands: str | None) -> None:
    whole, _, fraction = repr(number).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if thousands is not None and digits.isdigit():
        digits = f"{int(digits):,}".replace(",", thousands)
    text = f"{sign}{digits}" + (f",{fraction}" if fraction else "")
    source = source_of("a.csv", columns={"x": ColumnRule(type=Type.FLOAT, decimal=",", thousands=thousands)})
    found = align_request(pl.LazyFrame({"x": [text]}), source, {"x": Type.FLOAT}, {}, ["x"]).collect()
    assert found["x"].to_list() == [number]


@pytest.mark.parametrize(
    ("format_", "type_", "texts", "values", "refused"),
    [
        (
            "%d.%m.%Y",
            Type.DATE,
            ["31.01.2013", "1.2.2013", "31.02.2013", "01.02.13", "2013-01-31", ""],
            [dt.date(2013, 1, 31), dt.date(2013, 2, 1), None],
            [3, 4, 5],
        ),
        ("%d.%m.%y", Type.DATE, ["31.01.13", "31.01.2013"], [dt.date(2013, 1, 31)], [2]),
        (
            "%m/%d/%Y %I:%M %p",
            Type.TIMESTAMP,
            ["07/04/2013 02:03 PM", "13/04/2013 02:03 PM"],
            [dt.datetime(2013, 7, 4, 12, 3, tzinfo=dt.UTC)],
            [2],
        ),
        (
            "%d.%m.%Y %H:%M %z",
            Type.TIMESTAMP,
            ["04.07.2013 02:03 +0500"],
            [dt.datetime(2013, 7, 3, 21, 3, tzinfo=dt.UTC)],
            [],
        ),
    ],
)
def test_dates_follow_the_format(
    bench: Bench, format_: str, type_: Type, texts: list[str], values: list[object], refused: list[int]
) -> None:
    rule = ColumnRule(type=type_, format=format_, zone="Europe/Paris" if "%p" in format_ else None)
    found, reasons = column(bench, texts, rule, type_)
    assert found == values
    assert reasons == {row: ["type:x"] for row in refused}


def test_codes_become_one_list_and_an_unknown_one_is_told(bench: Bench) -> None:
    codes = (("M", "male"), ("1", "male"), ("F", "female"), ("2", "female"))
    rule = ColumnRule(type=Type.CATEGORY, codes=codes, missing=("?",))
    found, reasons = column(bench, ["M", "2", "?", "", "X", "1"], rule, Type.CATEGORY)
    assert found == ["male", "female", None, None, "male"]
    assert reasons == {5: ["code:x"]}
    lenient = ColumnRule(type=Type.CATEGORY, codes=codes, on_fail="warn")
    assert column(bench, ["M", "X"], lenient, Type.CATEGORY) == (["male", None], {})


def test_numbers_are_codes_too(bench: Bench) -> None:
    pl.DataFrame({"x": [1.0, 2.0, None, 3.0]}).write_parquet(bench.root / "a.parquet")
    rule = ColumnRule(type=Type.CATEGORY, codes=(("1", "male"), ("2", "female")))
    checked = bench.check(source_of("a.parquet", columns={"x": rule}), {"x": Type.CATEGORY})
    assert bench.accepted(checked)["x"] == ["male", "female", None]
    assert bench.reasons(checked) == {4: ["code:x"]}


def test_each_row_may_have_a_zone_of_its_own(bench: Bench) -> None:
    bench.write(
        "a.csv",
        "at,tz\n2013-07-01 08:00,Europe/Paris\n2013-07-01 08:00,Asia/Tokyo\n2013-07-01 08:00,Nowhere\n"
        "2013-07-01 08:00,\n,Europe/Paris\n",
    )
    source = source_of("a.csv", columns={"at": ColumnRule(type=Type.TIMESTAMP, zone_column="tz")})
    checked = bench.check(source, {"at": Type.TIMESTAMP, "tz": Type.STRING})
    instants = [dt.datetime(2013, 7, 1, 6, tzinfo=dt.UTC), dt.datetime(2013, 6, 30, 23, tzinfo=dt.UTC), None]
    assert bench.accepted(checked)["at"] == instants
    assert bench.reasons(checked) == {3: ["type:at"], 4: ["type:at"]}


class TestUnits:
    """Lengths, masses and their like, by exact factors."""

    @pytest.mark.parametrize(
        ("value", "unit", "to", "expected"),
        [
            (1, "mile", "km", 1.609344),
            (5, "nautical_mile", "km", 9.26),
            (12, "inch", "foot", 1.0),
            (90, "minute", "hour", 1.5),
            (212, "fahrenheit", "celsius", 100.0),
            (-40, "celsius", "fahrenheit", -40.0),
            (0, "kelvin", "celsius", -273.15),
            (1, "us_gallon", "litre", 3.785411784),
            (1, "acre", "m2", 4046.8564224),
            (100, "km/h", "mph", 62.13711922373339),
            (1, "kWh", "MJ", 3.6),
            (1, "GiB", "MB", 1073.741824),
            (12.5, "percent", "share", 0.125),
            (180, "degree", "radian", math.pi),
            (1, "lb", "oz", 16.0),
            (1, "hp", "watt", 745.6998715822702),
            (1, "psi", "Pa", 6894.757293168361),
        ],
    )
    def test_a_value_known_from_tables(self, value: float, unit: str, to: str, expected: float) -> None:
        way = conversion(unit, to)
        assert (value * way.times + way.plus) / way.over == pytest.approx(expected, rel=1e-15)

    def test_whole_numbers_are_rounded_once(self) -> None:
        for first, second in itertools.permutations(names_of("length"), 2):
            way = conversion(first, second)
            exact = Fraction(7) * units()[first].scale / units()[second].scale
            assert (7 * way.times + way.plus) / way.over == float(exact), (first, second)

    @given(
        pair=st.sampled_from([n for unit in units().values() for n in [unit.dimension]]).flatmap(
            lambda dimension: st.tuples(*[st.sampled_from(names_of(dimension))] * 2)
        ),
        value=st.floats(-1e9, 1e9),
    )
    def test_there_and_back_is_the_same(self, pair: tuple[str, str], value: float) -> None:
        there, back = conversion(*pair), conversion(*reversed(pair))
        again = ((value * there.times + there.plus) / there.over * back.times + back.plus) / back.over
        assert again == pytest.approx(value, rel=1e-12, abs=1e-9)

    def test_no_name_is_of_two_units(self) -> None:
        spelled = [name for dimension in {unit.dimension for unit in units().values()} for name in names_of(dimension)]
        assert len(spelled) == len(set(spelled)) == len(units())
        assert {near_unit(name) for name in ("Miles", "miles per hour", "klm")} == {"miles", "mile_per_hour", "km"}

    def test_rules_hold_for_the_converted_value_and_history_equals_requests(self, bench: Bench) -> None:
        bench.write("a.csv", "mile,kg,u\n10,1,lb\n100,2,kg\n3,5,stones\n,,\n7,3,bushel\n8,4,\n")
        rules = {
            "mile": ColumnRule(type=Type.FLOAT, unit="mile", to="km", max=50),
            "kg": ColumnRule(type=Type.FLOAT, unit_column="u", to="kilogram"),
        }
        source = source_of("a.csv", columns=rules)
        types = {"mile": Type.FLOAT, "kg": Type.FLOAT, "u": Type.CATEGORY}
        checked = bench.check(source, types)
        accepted = bench.accepted(checked)
        assert accepted["mile"] == [16.09344, 4.828032, None]
        assert accepted["kg"] == [0.45359237, 31.7514659, None]
        assert bench.reasons(checked) == {2: ["max:mile"], 5: ["unit:kg"], 6: ["unit:kg"]}
        requests = pl.LazyFrame({"mile": ["10", "3"], "kg": ["1", "5"], "u": ["lb", "stones"]})
        again = align_request(requests, source, types, {}, ["mile", "kg"]).collect()
        assert again["mile"].to_list() == accepted["mile"][:2]
        assert again["kg"].to_list() == accepted["kg"][:2]
        with pytest.raises(UnitRefused, match="row 2: no unit or rate is known for the value of column 'kg'") as caught:
            align_request(pl.LazyFrame({"kg": [1, 5], "u": ["lb", "bushel"]}), source, types, {}, ["kg"]).collect()
        assert "bushel" not in str(caught.value)
        assert caught.value.fix
        with pytest.raises(BesideMissing, match="'kg' and lack 'u'"):
            align_request(pl.LazyFrame({"kg": [1]}), source, types, {}, ["kg"])

    def test_a_unit_column_that_is_not_there_is_told(self, bench: Bench) -> None:
        bench.write("a.csv", "x\n1\n")
        rule = ColumnRule(type=Type.FLOAT, unit_column="u", to="kg")
        with pytest.raises(ContractError, match=r"columns.x: there is no column 'u'"):
            bench.check(source_of("a.csv", columns={"x": rule}), {"x": Type.FLOAT})


class TestCurrencies:
    """Currencies are units whose factor is a rate."""

    AMOUNTS: ClassVar = {"price": Type.FLOAT, "currency": Type.CATEGORY, "day": Type.TIMESTAMP}
    RATES = Rates(base="EUR", per_base=True, fixed=(("USD", 1.25), ("GBP", 0.8)))

    def check(
        self, bench: Bench, rows: str, rule: ColumnRule, rates: Rates, statics: Mapping[str, Table] | None = None
    ) -> CheckedSource:
        bench.write("a.csv", "price,currency,day\n" + rows)
        source = source_of("a.csv", columns={"price": rule}, event_time="day", rates=rates)
        return bench.check(source, self.AMOUNTS, statics)

    def test_fixed_rates_by_a_column(self, bench: Bench) -> None:
        rows = "10,EUR,\n10,USD,\n10,GBP,\n10,CHF,\n10,,\n,CHF,\n"
        rule = ColumnRule(type=Type.FLOAT, unit_column="currency", to="USD")
        checked = self.check(bench, rows, rule, self.RATES)
        assert bench.accepted(checked)["price"] == [12.5, 10.0, 15.625, None]
        assert bench.reasons(checked) == {4: ["unit:price"], 5: ["unit:price"]}

    def test_what_one_is_worth_is_the_other_way_round(self, bench: Bench) -> None:
        rates = Rates(base="USD", per_base=False, fixed=(("EUR", 1.25),))
        rule = ColumnRule(type=Type.FLOAT, unit="EUR", to="USD")
        assert bench.accepted(self.check(bench, "10,,\n", rule, rates))["price"] == [12.5]

    def test_dated_rates_are_those_of_the_rows_day(self, bench: Bench) -> None:
        bench.write(
            "fx.csv",
            "code,on,rate\nUSD,2026-01-01,2\nUSD,2026-01-05,4\nGBP,2026-01-01,0.5\nUSD,2026-01-03,\nUSD,2026-01-04,-1\n",
        )
        table = bench.check(source_of("fx.csv"), {"code": Type.CATEGORY, "on": Type.DATE, "rate": Type.FLOAT}).table
        rates = Rates(
            base="EUR",
            per_base=True,
            source="fx",
            currency="code",
            rate="rate",
            time="on",
            max_age_us=5 * 86_400_000_000,
        )
        rows = (
            "8,USD,2026-01-01\n8,USD,2026-01-04T23:59:59Z\n8,USD,2026-01-05\n8,USD,2025-12-31\n8,GBP,2026-01-02\n"
            "8,GBP,2026-01-07\n8,EUR,2020-01-01\n8,USD,\n"
        )
        rule = ColumnRule(type=Type.FLOAT, unit_column="currency", to="EUR")
        checked = self.check(bench, rows, rule, rates, {"fx": table})
        assert bench.accepted(checked)["price"] == [4.0, 4.0, 2.0, 16.0, 8.0]
        assert bench.reasons(checked) == {row: ["unit:price"] for row in (4, 6, 8)}
        source = source_of("a.csv", columns={"price": rule}, event_time="day", rates=rates)
        requests = pl.scan_csv(bench.root / "a.csv", infer_schema=False).filter(
            pl.int_range(pl.len()).is_in([0, 1, 2, 4])
        )
        again = align_request(requests, source, self.AMOUNTS, {"fx": scan(table.ref, bench.stage)}, ["price"]).collect()
        assert again["price"].to_list() == [4.0, 4.0, 2.0, 16.0]

    @given(
        amount=st.floats(-1e12, 1e12), code=st.sampled_from(["EUR", "USD", "GBP"]), to=st.sampled_from(["EUR", "USD"])
    )
    def test_amounts_equal_plain_arithmetic(self, amount: float, code: str, to: str) -> None:
        rule = ColumnRule(type=Type.FLOAT, unit_column="currency", to=to)
        source = source_of("a.csv", columns={"price": rule}, rates=self.RATES)
        frame = pl.LazyFrame({"price": [amount], "currency": [code]})
        found = align_request(frame, source, self.AMOUNTS, {}, ["price"]).collect()["price"][0]
        per_euro = {"EUR": 1.0, **dict(self.RATES.fixed)}
        assert found == (amount if code == to else amount / per_euro[code] * per_euro[to])

    def test_a_table_of_rates_without_its_columns_is_told(self, bench: Bench) -> None:
        bench.write("fx.csv", "code,on\nUSD,2026-01-01\n")
        table = bench.check(source_of("fx.csv"), {"code": Type.CATEGORY, "on": Type.DATE}).table
        rates = Rates(base="EUR", per_base=True, source="fx", currency="code", rate="rate", time="on")
        with pytest.raises(ContractError, match="column 'rate' of source 'fx' is not there"):
            self.check(bench, "1,,\n", ColumnRule(type=Type.FLOAT, unit="USD", to="EUR"), rates, {"fx": table})
