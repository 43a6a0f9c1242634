"""`headrace data profile`: the columns of the newest check, for people, for machines and as a page."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Call


def test_the_columns_are_told_with_missing_and_frequent_values(call: Call, delays: Path) -> None:
    said = call("data", "profile", "airlines")
    assert (said.code, said.err) == (0, "")
    heading, columns, *rows = said.out.splitlines()
    assert heading == "airlines: 16 accepted rows"
    assert columns.split()[:4] == ["column", "type", "missing", "different"]
    assert [row.split()[:4] for row in rows if row] == [
        ["carrier", "string", "0.0%", "16"],
        ["name", "string", "0.0%", "16"],
    ]


def test_machines_get_whole_profiles_of_every_source(call: Call, delays: Path) -> None:
    found = call("data", "profile", "--json").document
    assert sorted(found) == ["airlines", "airports", "flights", "planes", "weather"]
    delay = next(column for column in found["flights"]["columns"] if column["name"] == "dep_delay")
    assert delay["type"] == "float"
    assert 0 < delay["nulls"] < found["flights"]["rows"]
    assert delay["quantiles"] == sorted(delay["quantiles"])
    assert len(delay["histogram"]["edges"]) == len(delay["histogram"]["counts"]) + 1
    assert sum(delay["histogram"]["counts"]) + delay["nulls"] == found["flights"]["rows"]


def test_a_page_of_one_source_can_be_written(call: Call, delays: Path) -> None:
    assert call("data", "profile", "planes", "-o", "planes.html").out.endswith("page: planes.html\n")
    page = Path("planes.html").read_text(encoding="utf-8")
    assert "built" in page
    assert "dep_delay" not in page


def test_an_unknown_source_is_named_with_those_that_are(call: Call, delays: Path) -> None:
    said = call("data", "profile", "plane")
    assert said.code == 2
    assert "there is no source 'plane'; there are flights" in said.err
