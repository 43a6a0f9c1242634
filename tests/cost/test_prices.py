"""The price book: what it says, what is wrong with it, and sums made with it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from headrace.cost.errors import PriceBookInvalid, PriceMissing
from headrace.cost.prices import PriceBook, amortised, load_prices, price_usage, serving_price, storage_price

HEADER = 'BillingCurrency = "USD"\n'
ROW = """
[[prices]]
SkuPriceId = "core"
PricingUnit = "Core-Hours"
ListUnitPrice = 0.1
EffectiveFrom = 2026-01-01
Source = "invoice"
"""


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000_000


NOW = at("2026-11-23")


def book(tmp_path: Path, text: str) -> PriceBook:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return load_prices(path)


def test_the_shipped_book_says_that_it_is_an_example() -> None:
    assert {price.source for price in load_prices().prices} == {"example, not a quotation"}
    assert all(price.sku_price_id.startswith("example-") for price in load_prices().prices)
    assert {price.pricing_unit for price in load_prices().prices} == {"Core-Hours", "GB-Hours", "GB-Months"}


def test_usage_is_core_time_plus_memory_time() -> None:
    usd, rows = price_usage(load_prices(), cpu_s=1800, memory_byte_s=4e9 * 3600, at_us=NOW)
    assert usd == pytest.approx(0.5 * 0.04 + 4 * 0.005)
    assert rows == "example-compute-core@2026-01-01+example-compute-memory@2026-01-01"


def test_storage_is_priced_by_the_month() -> None:
    assert storage_price(load_prices(), 2_000_000_000, at_us=NOW) == pytest.approx(0.046)


def test_a_million_predictions_cost_their_core_time_over_the_utilisation() -> None:
    full = serving_price(load_prices(), 100.0, at_us=NOW, utilisation=1.0)
    assert full == pytest.approx(100 / 3600 * 0.04)
    assert serving_price(load_prices(), 100.0, at_us=NOW, utilisation=0.25) == pytest.approx(4 * full)
    assert serving_price(load_prices(), 100.0, at_us=NOW) == pytest.approx(full / 0.3)
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match="share"):
            serving_price(load_prices(), 1.0, at_us=NOW, utilisation=share)


def test_training_is_spread_over_the_predictions_it_serves() -> None:
    assert amortised(12.0, 6_000_000) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="at least one"):
        amortised(1.0, 0)


def test_the_newest_price_in_effect_holds(tmp_path: Path) -> None:
    newer = ROW.replace("2026-01-01", "2026-06-01").replace("0.1", "0.2")
    for text in (HEADER + ROW + newer, HEADER + newer + ROW):
        prices = book(tmp_path, text)
        assert prices.at("Core-Hours", at("2026-05-31T23:59:59")).list_unit_price == 0.1
        assert prices.at("Core-Hours", at("2026-06-01")).list_unit_price == 0.2
        with pytest.raises(PriceMissing, match="in effect at 2025-12-31"):
            prices.at("Core-Hours", at("2025-12-31T23:59:59"))
        with pytest.raises(PriceMissing, match="'GB-Hours'"):
            price_usage(prices, cpu_s=1, memory_byte_s=1, at_us=NOW)


@pytest.mark.parametrize(
    ("change", "line", "key", "problem"),
    [
        (("ListUnitPrice = 0.1\n", ""), 3, "ListUnitPrice", "missing"),
        (("= 0.1", "= -0.1"), 6, "ListUnitPrice", ">= 0"),
        (("= 0.1", "= nan"), 6, "ListUnitPrice", ">= 0"),
        (("= 0.1", "= true"), 6, "ListUnitPrice", ">= 0"),
        (("= 0.1", '= "0.1"'), 6, "ListUnitPrice", ">= 0"),
        (("Core-Hours", "Core-Minutes"), 5, "PricingUnit", "one of Core-Hours, GB-Hours, GB-Months"),
        (('"Core-Hours"', "[1]"), 5, "PricingUnit", "one of"),
        (("= 2026-01-01", '= "2026-01-01"'), 7, "EffectiveFrom", "without quotes"),
        (("= 2026-01-01", "= 2026-01-01T00:00:00"), 7, "EffectiveFrom", "a date"),
        (('"invoice"', '""'), 8, "Source", "not empty"),
        (("Source", "Sauce"), 3, "Source", "missing"),
        (('"USD"', '"EUR"'), 1, "BillingCurrency", "USD"),
        (("BillingCurrency", "Currency"), 1, "Currency", "unknown key"),
        (("ListUnitPrice = 0.1", "ListUnitPrice = = 0.1"), 6, "TOML", "cannot be parsed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, change: tuple[str, str], line: int, key: str, problem: str
) -> None:
    with pytest.raises(PriceBookInvalid) as caught:
        book(tmp_path, (HEADER + ROW).replace(*change))
    assert (line, key) in [(mistake.line, mistake.key) for mistake in caught.value.mistakes]
    mistake = next(mistake for mistake in caught.value.mistakes if mistake.key == key)
    assert problem in mistake.problem
    assert f"prices.toml:{line}: {key}: " in str(caught.value)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = HEADER + ROW.replace("0.1", "-1") + ROW.replace("Core-Hours", "Hours").replace("invoice", "")
    with pytest.raises(PriceBookInvalid) as caught:
        book(tmp_path, text)
    assert [(mistake.line, mistake.key) for mistake in caught.value.mistakes] == [
        (6, "ListUnitPrice"),
        (12, "PricingUnit"),
        (15, "Source"),
    ]


@pytest.mark.parametrize("text", ["", "prices = []\n", "prices = 3\n", "prices = [3]\n", "[prices]\nx = 1\n"])
def test_a_book_without_prices_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PriceBookInvalid, match="at least one"):
        book(tmp_path, HEADER + text)


def test_rows_may_be_written_inline(tmp_path: Path) -> None:
    row = "{ " + ", ".join(line for line in ROW.splitlines() if "=" in line) + " }"
    assert book(tmp_path, f"prices = [{row}]").at("Core-Hours", NOW).list_unit_price == 0.1
    with pytest.raises(PriceBookInvalid, match="unknown key"):
        book(tmp_path, f"prices = [{row}]".replace("Source", "Sauce"))


def test_two_prices_of_a_unit_from_one_day_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceBookInvalid, match="second price of Core-Hours"):
        book(tmp_path, HEADER + ROW + ROW.replace('"core"', '"other"'))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceBookInvalid, match="cannot be read"):
        load_prices(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PriceBookInvalid, match="not UTF-8"):
        load_prices(tmp_path / "binary.toml")
