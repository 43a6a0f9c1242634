"""A project whose amounts are decimals: the same to the last place in history, online and at a request."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.examples import define, write_csv

from headrace.app import Project
from headrace.cli import main
from headrace.language.types import Type
from headrace.scoring.errors import ValueRefused

TEXT = """
format = 1
[project]
name = "payments"
label = "returned"
key = ["id"]
time = "at"
request = ["customer", "amount", "at"]
[sources.payments]
read = "data/payments.ndjson"
event_time = "at"
[sources.payments.columns]
amount = { type = "decimal", min = 0.000001 }
returned = { known = { after = "at", delay = "1d" } }
[sources.payments.columns.fee]
type = "decimal"
known = { after = "at", delay = "1m" }
[features.expressions]
with_tax = "amount * 1.19"
is_even = "amount % 1 = 0"
above = "amount > coalesce(spent_amount_max_7d, 0.01)"
rest = "spent_amount_sum_7d - amount"
[features.windows.spent_amount]
source = "payments"
key = ["customer"]
value = "fee"
over = ["7d"]
take = ["sum", "max", "mean", "last", "count"]
[features.lookups.before]
source = "payments"
key = ["customer"]
take = ["fee"]
[costs]
false_positive = "1 USD"
false_negative = { column = "amount", currency = "USD" }
[training]
families = ["linear", "lightgbm"]
budget = "2 trials"
"""
T0 = 1_700_006_400  # midnight
WATERMARK = T0 + 40 * 86_400


@pytest.fixture(scope="module")
def payments() -> list[dict[str, Any]]:
    """Amounts that no float holds: of twelve digits before the point and six after it."""
    draw = random.Random(7)
    rows = []
    for number in range(900):
        cents, millionths = draw.randrange(100), draw.randrange(10**6)
        amount = draw.choice(["0.10", "0.20", "123456789.123457", f"{draw.randrange(10**9)}.{millionths:06d}"])
        at = T0 + number * 3_600 + draw.randrange(3_600)
        fee = draw.choice(["0.1", "0.2", "0.3", "33333333333.333333", f"{draw.randrange(100)}.{cents:02d}"])
        rows.append({"id": number, "customer": f"c{draw.randrange(9)}", "amount": amount, "fee": fee, "at": at})
    return rows


@pytest.fixture
def root(tmp_path: Path, payments: list[dict[str, Any]]) -> Path:
    draw = random.Random(1)
    lines = []
    for row in payments:
        at = f"{pl.from_epoch(pl.Series([row['at']]), 's').dt.strftime('%Y-%m-%dT%H:%M:%SZ')[0]}"
        returned = "true" if draw.random() < (0.7 if float(row["amount"]) > 1e8 else 0.2) else "false"
        # as other programs write them: numbers in JSON, with all digits
        lines.append(
            f'{{"id": {row["id"]}, "customer": "{row["customer"]}", "amount": {row["amount"]}, "fee": {row["fee"]}, '
            f'"at": "{at}", "returned": {returned}}}\n'
        )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "payments.ndjson").write_text("".join(lines))
    return define(tmp_path, TEXT)


def sums(payments: list[dict[str, Any]], customer: str, at: int) -> Decimal | None:
    """The fees of the last seven days that were known a minute after they were paid, as a loop adds them."""
    edge = (at - 7 * 86_400) // 3_600 * 3_600
    found = [Decimal(row["fee"]) for row in payments if row["customer"] == customer and edge <= row["at"] + 60 < at]
    return sum(found, Decimal(0)) if found else None


def test_a_sum_of_amounts_is_the_same_to_the_last_place_everywhere(
    root: Path, payments: list[dict[str, Any]], tmp_path: Path
) -> None:
    with Project.open(root) as project:
        outcome = project.run()
        rows = pl.read_parquet(project.objects.scan_target(project.build_features().ref.key).url)
        assert rows.schema["amount"] == rows.schema["spent_amount_sum_7d"] == pl.Decimal(18, 6)
        by_id = {row["id"]: row for row in rows.iter_rows(named=True)}
        assert len(by_id) > 800
        for row in payments:
            if row["id"] in by_id:
                held = by_id[row["id"]]
                assert held["spent_amount_sum_7d"] == sums(payments, row["customer"], row["at"])
                assert held["amount"] == Decimal(row["amount"])
                tax = (Decimal(row["amount"]) * Decimal("1.19")).quantize(Decimal("0.000001"), "ROUND_HALF_UP")
                assert held["with_tax"] == tax
        assert project.materialize(until_us=WATERMARK * 10**6).steps
        history, online = (project.load("payments@champion", features=how) for how in ("history", "online"))
        names = [field.name for field in history.program.outputs]
        for customer in ("c0", "c3", "c8", "nobody"):
            sent = {"customer": customer, "amount": "123456789012.123456", "at": WATERMARK_TEXT}
            values = [
                dict(zip(names, one._features(sent, 0, "error", WATERMARK * 10**6), strict=True))
                for one in (history, online)
            ]
            assert values[0] == values[1]
            total = sums(payments, customer, WATERMARK)
            assert values[0]["spent_amount_sum_7d"] == (None if total is None else int(total.scaleb(6)))
            answers = [one.predict([sent], reasons=50)[0] for one in (history, online)]
            assert answers[0].probability == answers[1].probability
            told = {reason.feature: reason.value for reason in answers[0].reasons}
            assert told.get("amount", "123456789012.123456") == "123456789012.123456"
        assert outcome.version is not None


WATERMARK_TEXT = "2023-12-25T00:00:00Z"


def test_a_request_says_amounts_as_text_or_as_a_number_and_others_are_refused(root: Path) -> None:
    with Project.open(root) as project:
        project.run()
        scorer = project.load("payments@champion")
        row = {"customer": "c1", "at": WATERMARK_TEXT}
        first, *others = (
            scorer.predict([{**row, "amount": one}])[0] for one in ("12.30", 12.3, Decimal("12.3"), "12.300000000")
        )
        assert [one.probability for one in others] == [first.probability] * 3
        for wrong in ("0.1234567", "10000000000000", "abc", 1e13, 0.1 + 0.2, True, "1e3"):
            with pytest.raises(ValueRefused) as caught:
                scorer.predict([{**row, "amount": "1"}, {**row, "amount": wrong}])
            said = str(caught.value)
            assert "amount" in said
            assert "12 digits before the point and 6 after it" in said
            assert str(wrong) not in said


def test_amounts_are_profiled_and_explained_and_go_through_a_file(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--project", str(root), "--json"]) == 0
    assert main(["features", "certify", "--rows", "80", "--project", str(root), "--json"]) == 0
    capsys.readouterr()
    for name in ("with_tax", "rest", "spent_amount_sum_7d", "before_fee"):
        assert main(["features", "explain", name, "--project", str(root), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["feature"]["type"] == Type.DECIMAL
        if name == "with_tax":
            assert told["tree"] == ["multiply: decimal", "  amount: decimal", "  1.19: decimal"]
    assert main(["data", "profile", "payments", "--project", str(root), "--json"]) == 0
    assert '"decimal"' in capsys.readouterr().out
    amounts = ["12.30", "0.10", "0.5", "1.25", "9", "123456789.10", "999999999999.999999"]
    rows = [[number, "c1", amount, WATERMARK_TEXT] for number, amount in enumerate(amounts)]
    asked = write_csv(tmp_path / "asked.csv", ["id", "customer", "amount", "at"], rows)
    out = tmp_path / "out.parquet"
    assert main(["predict", "payments@champion", str(asked), "--out", str(out), "--project", str(root)]) == 0
    keyless = write_csv(tmp_path / "keyless.csv", ["customer", "amount", "at"], [["c1", "12.30", WATERMARK_TEXT]])
    assert main(["predict", "payments@champion", str(keyless), "--out", str(out), "--project", str(root)]) == 2
    assert "has no column 'id', which the model needs" in capsys.readouterr().err
    long = tmp_path / "long.ndjson"
    long.write_text(f'{{"id": 1, "customer": "c1", "amount": 123456789012.123456, "at": "{WATERMARK_TEXT}"}}')
    assert main(["predict", "payments@champion", str(long), "--out", str(out), "--project", str(root)]) == 2
    said = capsys.readouterr().err
    assert "row 1: the value of column 'amount' is no decimal" in said
    assert "only as text" in said
    long.write_text(long.read_text().replace("123456789012.123456", '"123456789012.123456"'))
    assert main(["predict", "payments@champion", str(long), "--out", str(out), "--project", str(root)]) == 0
    assert main(["predict", "payments@champion", str(asked), "--out", str(out), "--project", str(root)]) == 0
    with Project.open(root) as project:
        scorer = project.load("payments@champion")
        sent = [{"customer": "c1", "amount": amount, "at": WATERMARK_TEXT} for amount in amounts]
        one_by_one = [scorer.predict([row])[0] for row in sent]
    by_file = pl.read_parquet(out)
    assert by_file["probability"].to_list() == [one.probability for one in one_by_one]
    decided = [one.decision for one in one_by_one]
    assert by_file["decision"].to_list() == [one.decision for one in scorer.predict(sent)] == decided
    assert set(decided) == {True, False}, "what a missed one costs is its own amount"
