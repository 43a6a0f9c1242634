"""Fuzzy duplicates from the command line: the page's own example, its evidence, and an answer that overrules it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.conftest import Call

from headrace.data.matching.answers import FILE, read_answers

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "duplicates.md"


@pytest.fixture
def customers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "customers"
    (root / "data").mkdir(parents=True)
    text = PAGE.read_text()
    for language, name in (("csv", "data/customers.csv"), ("toml", "headrace.toml")):
        block = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
        assert block is not None
        (root / name).write_text(block[1])
    monkeypatch.chdir(root)
    return root


def test_the_page_on_duplicates_shows_what_becomes_of_its_rows(call: Call, customers: Path) -> None:
    assert call("data", "matches", "customers").code == 2, "it was never checked"
    assert "8 rows = 5 accepted + 0 repaired + 3 quarantined" in call("check").out
    found = call("data", "matches", "customers", "--json").document
    assert [[row["row"] for row in one["rows"]] for one in found["clusters"]] == [[2, 1], [4, 3], [8, 7]]
    pair = found["clusters"][0]["pairs"][0]
    bits = found["told"]["prior_bits"] + pair["related"] + sum(one["bits"] for one in pair["evidence"])
    assert bits == pytest.approx(pair["bits"], abs=1e-4)
    said = call("data", "matches", "customers", "--limit", "1")
    assert "name same words" in said.out
    assert "cluster 2" not in said.out
    aside = call("data", "quarantine", "customers", "--json").document["rows"]
    assert [row["_reasons"] for row in aside] == [["duplicate-fuzzy"]] * 3


def test_an_answer_overrules_the_weights_from_the_next_check_on(call: Call, customers: Path) -> None:
    assert call("check").code == 0
    assert call("data", "matches", "customers", "--different", "1", "2").code == 0
    assert call("data", "matches", "customers", "--same", "5", "6").code == 0
    assert "Weber" not in (customers / "headrace.matches").read_text()
    assert call("check").code == 0
    found = call("data", "matches", "customers", "--json").document
    assert [[row["row"] for row in one["rows"]] for one in found["clusters"]] == [[4, 3], [6, 5], [8, 7]]
    review = call("data", "matches", "customers", "--review", "--json").document["review"]
    assert (1, 2) not in [(pair["left"], pair["right"]) for pair in review]
    assert call("data", "matches", "customers", "--review").code == 0


def test_the_last_answer_about_two_rows_holds_in_whatever_order_they_come(call: Call, customers: Path) -> None:
    path = customers / "data" / "customers.csv"
    head, *rows = path.read_text().splitlines()
    assert call("check").code == 0
    assert call("data", "matches", "customers", "--same", "5", "6").code == 0
    path.write_text("\n".join([head, *rows[:4], rows[5], rows[4], *rows[6:]]) + "\n")
    assert call("check").code == 0
    assert call("data", "matches", "customers", "--different", "5", "6").code == 0
    assert [one.same for one in read_answers(customers / FILE, "customers")] == [False]
    assert call("check").code == 0
    found = call("data", "matches", "customers", "--json").document
    assert [sorted(row["row"] for row in one["rows"]) for one in found["clusters"]] == [[1, 2], [3, 4], [7, 8]]


def test_a_file_of_answers_that_was_merged_badly_is_told(call: Call, customers: Path) -> None:
    (customers / FILE).write_text("=======\n")
    said = call("check")
    assert (said.code, "headrace.matches, line 1" in said.err) == (2, True)


def test_wrong_use_is_named(call: Call, customers: Path) -> None:
    assert call("check").code == 0
    wrong = call("data", "matches", "customers", "--same", "1", "99")
    assert (wrong.code, "row 99" in wrong.err) == (2, True)
    assert call("data", "matches", "custmers").code == 2
    definition = customers / "headrace.toml"
    definition.write_text(definition.read_text().partition("[sources.customers.match]")[0])
    wrong = call("data", "matches", "customers")
    assert (wrong.code, "[sources.customers.match]" in wrong.err) == (2, True)
