"""Columns of decimals: from every format to the last digit, misfits with their reasons, and what is said of them."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.data.stage import Bench, source_of

from headrace.data.combine.columns import entity_columns
from headrace.data.distribution import sketches
from headrace.data.histogram import histogram
from headrace.data.increment import _literal
from headrace.data.infer import infer_types
from headrace.data.matching.normal import normal_form
from headrace.data.odcs import from_odcs, to_odcs
from headrace.data.profile import profile
from headrace.data.table_rules import decimal_sum, float_sum
from headrace.definition.model import (
    ColumnRule,
    Combine,
    EqualSum,
    FixedField,
    ForeignKey,
    Join,
    Repair,
    SameDistribution,
    Source,
)
from headrace.language.types import Type

TYPES = {"k": Type.INTEGER, "amount": Type.DECIMAL}
AMOUNTS = [Decimal("123456789012.123456"), Decimal("-0.000001"), None, Decimal("12.30")]
ROWS = pl.DataFrame({"k": [1, 2, 3, 4]}).with_columns(pl.Series("amount", AMOUNTS, dtype=pl.Decimal(18, 6)))
WIDE = ROWS.with_columns(pl.col("amount").cast(pl.Decimal(38, 10)))
TEXTS = ["123456789012.123456", "-.000001", None, "12.30"]
BACK = {"k": [1, 2, 3, 4], "amount": AMOUNTS}


def as_json(amount: str | None) -> str:
    return "null" if amount is None else amount.replace("-.", "-0.")


def write_csv(path: Path) -> None:
    path.write_text("k,amount\n" + "".join(f"{k},{text or ''}\n" for k, text in enumerate(TEXTS, 1)))


def write_ndjson(path: Path) -> None:
    path.write_text("".join(f'{{"k": {k}, "amount": {as_json(text)}}}\n' for k, text in enumerate(TEXTS, 1)))


def write_json(path: Path) -> None:
    path.write_text("[" + ",".join(f'{{"k": {k}, "amount": {as_json(t)}}}' for k, t in enumerate(TEXTS, 1)) + "]")


def write_json_texts(path: Path) -> None:
    path.write_text(json.dumps([{"k": k, "amount": text} for k, text in enumerate(TEXTS, 1)]))


def write_fixed(path: Path) -> None:
    path.write_text("".join(f"{k:<4}{text or '':<24}\n" for k, text in enumerate(TEXTS, 1)))


def write_excel(path: Path) -> None:
    pl.DataFrame({"k": [1, 2, 3, 4], "amount": TEXTS}).write_excel(path)


def write_avro(path: Path, precision: int = 18, scale: int = 6) -> None:
    import fastavro

    amount = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    fields = [{"name": "k", "type": "long"}, {"name": "amount", "type": ["null", amount]}]
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema({"type": "record", "name": "R", "fields": fields}), ROWS.to_dicts())
    path.write_bytes(buffer.getvalue())


def write_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (k integer, amount)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(TEXTS, 1)))
        connection.commit()


FIXED = {"fields": (FixedField(name="k", start=0, width=4), FixedField(name="amount", start=4, width=24))}
WRITERS: dict[str, tuple[str, Callable[[Path], Any], dict[str, Any]]] = {
    "csv": ("a.csv", write_csv, {}),
    "ndjson": ("a.ndjson", write_ndjson, {}),
    "json numbers": ("a.json", write_json, {}),
    "json texts": ("a.json", write_json_texts, {}),
    "fixed": ("a.txt", write_fixed, {"format": "fixed", **FIXED}),
    "excel": ("a.xlsx", write_excel, {"format": "excel"}),
    "parquet": ("a.parquet", ROWS.write_parquet, {}),
    "wide parquet": ("a.parquet", WIDE.write_parquet, {}),
    "arrow": ("a.arrow", ROWS.write_ipc, {}),
    "wide arrow": ("a.arrow", WIDE.write_ipc, {}),
    "avro": ("a.avro", write_avro, {}),
    "wide avro": ("a.avro", lambda path: write_avro(path, 30, 9), {}),
    "sqlite": ("a.db", write_sqlite, {"format": "sqlite", "query": "SELECT * FROM t ORDER BY k"}),
    "delta": ("t", lambda path: ROWS.write_delta(str(path)), {"format": "delta"}),
    "wide delta": ("t", lambda path: WIDE.write_delta(str(path)), {"format": "delta"}),
}
"""What a format's users write; wide decimals have more digits than a decimal may, but these values fit."""


def source_in(bench: Bench, what: str) -> Source:
    name, write, more = WRITERS[what]
    write(bench.root / name)
    return source_of(name, **({"format": name.rpartition(".")[2]} | more))


@pytest.mark.parametrize("what", WRITERS)
def test_a_decimal_comes_across_to_the_last_digit(bench: Bench, what: str) -> None:
    checked = bench.check(source_in(bench, what), TYPES)
    assert bench.accepted(checked) == BACK


@pytest.mark.parametrize("what", WRITERS)
def test_a_decimal_that_is_wanted_as_a_float_is_the_nearest(bench: Bench, what: str) -> None:
    checked = bench.check(source_in(bench, what), TYPES | {"amount": Type.FLOAT})
    assert bench.accepted(checked)["amount"] == [None if x is None else float(x) for x in AMOUNTS]


@pytest.mark.parametrize("what", ["parquet", "arrow", "avro", "delta"])
def test_decimals_that_fit_are_inferred_and_others_are_numbers(bench: Bench, what: str) -> None:
    assert infer_types(source_in(bench, what), bench.root, {})["amount"].type is Type.DECIMAL
    other = Bench(bench.root / "wide")
    assert infer_types(source_in(other, f"wide {what}"), other.root, {})["amount"].type is Type.FLOAT


@pytest.mark.parametrize("what", ["csv", "ndjson", "json numbers", "sqlite"])
def test_numbers_of_formats_without_decimals_stay_what_they_were(bench: Bench, what: str) -> None:
    assert infer_types(source_in(bench, what), bench.root, {})["amount"].type is not Type.DECIMAL


def test_what_is_no_decimal_is_set_aside_with_its_column(bench: Bench) -> None:
    texts = ["1.2345678", "1e13", "abc", "1000000000000", "1.5e3", "0.1000000000", " 7 ", "", "+.5"]
    bench.write("a.csv", "k,amount\n" + "".join(f"{k},{text}\n" for k, text in enumerate(texts)))
    checked = bench.check(source_of("a.csv"), TYPES)
    assert bench.accepted(checked) == {
        "k": [5, 6, 7, 8],
        "amount": [Decimal("0.1"), Decimal(7), None, Decimal("0.5")],
    }
    set_aside = bench.read(checked.quarantine)
    assert set_aside["amount"].to_list() == texts[:5]
    assert {tuple(reasons) for reasons in set_aside["_reasons"].to_list()} == {("type:amount",)}


@pytest.mark.parametrize("ending", ["json", "ndjson"])
def test_a_json_number_with_too_many_places_is_set_aside(bench: Bench, ending: str) -> None:
    rows = ['{"k": 1, "amount": 123456789012.1234567}', '{"k": 2, "amount": true}', '{"k": 3, "amount": 7}']
    bench.write(f"a.{ending}", "\n".join(rows) if ending == "ndjson" else f"[{','.join(rows)}]")
    checked = bench.check(source_of(f"a.{ending}", format=ending), TYPES)
    assert bench.accepted(checked) == {"k": [3], "amount": [Decimal(7)]}


def test_a_float_is_the_decimal_that_it_was_written_as_or_none(bench: Bench) -> None:
    floats = [0.1, 12.3, 123456789012.5, 8_000_000_000.000001, 0.1 + 0.2, 123456789012.123456, float("inf"), 1e12]
    pl.DataFrame({"k": range(8), "amount": floats}).write_parquet(bench.root / "a.parquet")
    checked = bench.check(source_of("a.parquet", format="parquet"), TYPES)
    assert bench.accepted(checked)["amount"] == [
        Decimal("0.1"), Decimal("12.3"), Decimal("123456789012.5"), Decimal("8000000000.000001"),
    ]  # fmt: skip
    with closing(sqlite3.connect(bench.root / "a.db")) as connection:
        connection.execute("CREATE TABLE t (k integer, amount real)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(floats)))
        connection.commit()
    again = bench.check(source_of("a.db", format="sqlite", query="SELECT * FROM t ORDER BY k"), TYPES)
    assert bench.accepted(again) == bench.accepted(checked)


def test_amounts_in_another_writing_are_exact(bench: Bench) -> None:
    bench.write("a.csv", 'k,amount\n1,"123.456.789.012,123456"\n2,"0,05"\n3,"0,0000005"\n')
    rule = ColumnRule(type=Type.DECIMAL, decimal=",", thousands=".")
    checked = bench.check(source_of("a.csv", columns={"amount": rule}), TYPES)
    assert bench.accepted(checked)["amount"] == [Decimal("123456789012.123456"), Decimal("0.05")]


def test_bounds_levels_repairs_and_checks_of_decimals(bench: Bench) -> None:
    bench.write("a.csv", "k,amount\n1,0.01\n2,0.009999\n3,99.99\n4,99.990001\n5,\n6,12.30\n")
    bounded = ColumnRule(type=Type.DECIMAL, min=0.01, max=99.99)
    source = source_of("a.csv", columns={"amount": bounded})
    assert bench.accepted(bench.check(source, TYPES))["k"] == [1, 3, 5, 6]
    mended = (Repair(how="clip"), Repair(how="default", default=1.5))
    clipped = ColumnRule(type=Type.DECIMAL, min=0.01, max=99.99, not_null=True, repair=mended, on_fail="repair")
    found = bench.accepted(bench.check(source_of("a.csv", columns={"amount": clipped}), TYPES))["amount"]
    assert found == [Decimal(text) for text in ("0.01", "0.01", "99.99", "99.99", "1.5", "12.3")]
    listed = ColumnRule(type=Type.DECIMAL, allowed=("0.01", "12.3"))
    assert bench.accepted(bench.check(source_of("a.csv", columns={"amount": listed}), TYPES))["k"] == [1, 5, 6]
    cents = {"cents": ("amount = round(amount, 2)", "quarantine")}
    assert bench.accepted(bench.check(source_of("a.csv", checks=cents), TYPES))["k"] == [1, 3, 6]


def test_a_derived_decimal_is_exact(bench: Bench) -> None:
    write_csv(bench.root / "a.csv")
    source = source_of("a.csv", derive=(("gross", "amount * 1.19"), ("net", "amount - 0.000001")))
    found = bench.accepted(bench.check(source, TYPES))
    assert found["gross"] == [Decimal("146913578924.426913"), Decimal("-0.000001"), None, Decimal("14.637")]
    assert found["net"] == [Decimal("123456789012.123455"), Decimal("-0.000002"), None, Decimal("12.299999")]


def test_a_profile_and_its_bars_are_of_the_amounts(bench: Bench) -> None:
    amounts = pl.Series("amount", [Decimal(n) / 4 for n in range(400)], dtype=pl.Decimal(18, 6))
    path = bench.root / "t.parquet"
    amounts.to_frame().write_parquet(path)
    (found,) = profile(path, {"amount": Type.DECIMAL})
    assert (found.type, found.nulls, found.distinct) == (Type.DECIMAL, 0, 400)
    assert (found.minimum, found.maximum) == ("0", "99.75")
    assert found.mean == 49.875
    assert found.quantiles == (0.0, 25.0, 50.0, 74.75, 99.75)
    assert found.deviation == pytest.approx(28.9, abs=0.1)
    bars = histogram(amounts, Type.DECIMAL)
    assert bars is not None
    assert sum(bars.counts) == 400
    rule = SameDistribution(name="d", columns=("amount",))
    (sketch,) = sketches(source_of("a.csv", distributions=(rule,)), {"amount": Type.DECIMAL}, amounts.to_frame().lazy())
    assert (len(sketch.edges), sum(sketch.counts)) == (9, 400)
    assert max(sketch.counts) <= 41


def test_sums_of_decimals_are_compared_as_amounts() -> None:
    table = ROWS.lazy().select(x="amount")
    assert decimal_sum(table) == Decimal("123456789024.423455")
    assert float_sum(table) == pytest.approx(123456789024.423455)
    assert decimal_sum(pl.LazyFrame({"x": [0.1, 0.2]})) == decimal_sum(
        pl.LazyFrame({"x": [Decimal("0.3")]}, schema={"x": pl.Decimal(18, 6)})
    )


def test_integers_and_decimals_of_an_entity_are_decimals() -> None:
    tables = {"a": {"id": Type.INTEGER, "paid": Type.INTEGER}, "b": {"id": Type.INTEGER, "paid": Type.DECIMAL}}
    combine = Combine(members=("a", "b"), key=("id",))
    assert {column.name: column.type for column in entity_columns("e", combine, tables)}["paid"] is Type.DECIMAL


def test_a_contract_in_odcs_says_how_exact_an_amount_is() -> None:
    types = {"amount": Type.DECIMAL, "x": Type.FLOAT}
    document = to_odcs("shop", "orders", {"read": "a.csv", "columns": {"amount": {"min": 0}}}, types)
    said = {one["name"]: (one["logicalType"], one.get("physicalType")) for one in document["schema"][0]["properties"]}
    assert said == {"amount": ("number", "decimal(18,6)"), "x": ("number", None)}


@pytest.mark.parametrize(
    ("physical", "expected"),
    [("decimal(18, 6)", "decimal"), ("NUMERIC(12,2)", "decimal"), ("decimal(38,18)", "float"), ("double", "float")],
)
def test_an_exact_type_of_another_contract_is_a_decimal(physical: str, expected: str) -> None:
    columns = [{"name": "amount", "logicalType": "number", "physicalType": physical}]
    table = {"name": "orders", "properties": columns}
    document = {"kind": "DataContract", "apiVersion": "v3.1.0", "id": "o", "version": "1", "schema": [table]}
    [found] = from_odcs(document)
    assert found.values["columns"]["amount"]["type"] == expected


def test_rules_joins_and_keys_of_decimals(bench: Bench) -> None:
    bench.write("rates.csv", "rate,share\n0.1,0.5\n0.19,0.250000\n")
    rates = source_of("rates.csv")
    own = dict.fromkeys(("rate", "share"), Type.DECIMAL)
    statics = {"rates": bench.check(msgspec.structs.replace(rates, name="rates"), own).table}
    bench.write("a.csv", "k,amount,rate\n1,1.10,0.10\n2,1.1,0.19\n3,1.09,0.190\n4,2.5,0.07\n")
    source = source_of(
        "a.csv",
        columns={"amount": ColumnRule(monotone="increasing")},
        joins=(Join(name="tax", source="rates", key=(("rate", "rate"),), take=("share",)),),
        foreign_keys=(ForeignKey(name="known", source="rates", key=(("rate", "rate"),), on_fail="warn"),),
        equal_sums=(EqualSum(name="total", column="rate", source="rates", equals="rate", on_fail="warn"),),
        derive=(("due", "amount * tax_share"),),
    )
    checked = bench.check(source, TYPES | {"rate": Type.DECIMAL}, statics)
    found = bench.accepted(checked)
    assert found["k"] == [1, 2, 4]
    assert found["due"] == [Decimal("0.55"), Decimal("0.275"), None]
    assert bench.reasons(checked) == {3: ["monotone:amount"]}
    unique = source_of("a.csv", unique=("amount",))
    assert bench.accepted(bench.check(unique, TYPES | {"rate": Type.DECIMAL}))["k"] == [2, 3, 4]


def test_amounts_are_compared_as_numbers_by_a_match_and_read_in_order_by_an_increment() -> None:
    amounts = pl.Series("x", [Decimal("12.30"), None, Decimal("-0.05")], dtype=pl.Decimal(18, 6))
    assert normal_form(amounts, "number").to_list() == ["12.3", None, "-0.05"]
    assert _literal(source_of("a.csv"), "amount", Decimal("12.300000")) == "12.300000"
    assert _literal(source_of("a.csv"), "amount", Decimal("1E+3")) == "1000"
