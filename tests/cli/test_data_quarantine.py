"""The quarantine from the command line: look, take out, correct, hand back, take back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Call

DEFINITION = """
format = 1
[project]
name = "shop"
label = "amount > 10"
request = ["customer"]
[sources.orders]
read = "orders.csv"
[sources.orders.columns]
amount = { type = "float", min = 0 }
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "headrace.toml").write_text(DEFINITION)
    (root / "orders.csv").write_text("customer,amount\nann,5\nben,-7\ncid,oops\n=1+1,-2\n")
    monkeypatch.chdir(root)
    return root


def test_rows_are_looked_at_corrected_and_handed_back(call: Call, shop: Path) -> None:
    assert call("data", "quarantine", "orders").code == 2, "it was never checked"
    assert call("check").code == 0
    said = call("data", "quarantine", "orders")
    assert said.out.splitlines()[0].split() == ["row", "reasons", "customer", "amount", "text"]
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [
        ["2", "min:amount"],
        ["3", "type:amount"],
        ["4", "min:amount"],
    ]
    few = call("data", "quarantine", "orders", "--rule", "min", "--limit", "1", "--json").document
    assert [(row["_row"], row["_reasons"]) for row in few["rows"]] == [(2, ["min:amount"])]

    assert call("data", "quarantine", "orders", "-o", "rows.csv").code == 0
    file = shop / "rows.csv"
    assert "'=1+1,'-2" in file.read_text()
    file.write_text(file.read_text().replace("oops", "8").replace("'-2", "2"))
    said = call("data", "replay", "orders", "rows.csv", "--reason", "typing errors", "--json")
    assert (said.code, said.document["number"], said.document["rows"]) == (0, 1, 2)
    assert call("data", "replay", "orders", "rows.csv").code == 0, "still set aside until the next check"
    assert call("data", "replay", "orders", "--withdraw", "2").code == 0

    checked = call("check").out
    assert "4 rows = 1 accepted + 0 repaired + 2 replayed + 1 quarantined" in checked
    listed = call("data", "replay", "orders")
    assert ["in force" in line for line in listed.out.splitlines()[1:]] == [True, False]
    assert "typing errors" in listed.out
    ledger = call("data", "--json").document["sources"]
    assert ledger == [{"source": "orders", "read": 4, "accepted": 1, "repaired": 0, "replayed": 2, "quarantined": 1}]

    stale = call("data", "replay", "orders", "rows.csv")
    assert stale.code == 1
    assert "correction-stale" in stale.err
    assert call("data", "replay", "orders", "--withdraw", "1").code == 0
    assert "1 accepted + 0 repaired + 3 quarantined" in call("check").out


def test_wrong_use_is_told(call: Call, shop: Path) -> None:
    call("check")
    for words, code in (
        (("data", "quarantine", "nobody"), "source-unknown"),
        (("data", "replay", "orders", "--withdraw", "9"), "correction-unknown"),
        (("data", "replay", "orders", "none.csv"), "correction-unreadable"),
        (("data", "replay", "orders", "none.csv", "--withdraw", "1"), "two-wishes"),
        (("data", "quarantine", "orders", "-o", "rows.xlsx"), "correction-unreadable"),
    ):
        said = call(*words)
        assert said.code == 2
        assert code in said.err
    assert call("data", "replay", "orders").out == "no row of orders was corrected\n"
    assert "no row of orders is set aside by max" in call("data", "quarantine", "orders", "--rule", "max").out


def test_check_names_the_broken_rules_with_their_first_rows_and_ends_with_one(call: Call, shop: Path) -> None:
    text = (shop / "headrace.toml").read_text().replace("[project]", '[project]\nsource = "orders"')
    more = '[sources.people]\nread = "people.csv"\n[[sources.people.checks]]\nname = "many"\nrows = { min = 9 }\n'
    (shop / "headrace.toml").write_text(text + more)
    (shop / "people.csv").write_text("id\n1\n")
    said = call("check")
    assert said.code == 1
    lines = said.out.splitlines()
    assert "  quarantine min:amount: 2 rows, first: row 2 of orders.csv" in lines
    assert "  fail       check:many: 1 rows are accepted, at least 9 must be" in lines
    alone = call("check", "--source", "orders", "--json")
    assert alone.code == 0
    assert [report["source"] for report in alone.document["sources"]] == ["orders"]
    assert call("check", "--source", "people", "--source", "orders").code == 1
    assert "source-unknown" in call("check", "--source", "order").err
