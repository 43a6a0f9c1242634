"""Contracts of the Open Data Contract Standard: ours come back as they were, others as far as they can be told."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import python_with

from headrace.cli import main
from headrace.data.errors import ContractUnreadable
from headrace.data.odcs import from_odcs, to_odcs
from headrace.definition.section import source_section
from headrace.language.types import Type

ORDERS = """
[sources.orders]
read = "data/orders.csv"
unique = "id"
event_time = "at"
fresh = { within = "2w", on_fail = "warn" }
rename = { betrag = "amount" }
[sources.orders.columns]
id = { type = "integer", not_null = true }
amount = { type = "float", min = 0, max_null = 0.25, on_fail = "repair", repair = ["clip", { default = 1 }] }
land = { type = "category", allowed = ["DE", "FR"], max_length = 2, pattern = "[A-Z]+" }
at = { min = 2020-01-01T00:00:00Z }
[[sources.orders.checks]]
name = "enough"
rows = { min = 2, max = 9 }
[[sources.orders.checks]]
name = "cheap"
where = "amount IS NULL OR amount < 100"
on_fail = "quarantine"
[[sources.orders.checks]]
name = "known"
foreign_key = { customer = "customers.id" }
on_fail = "warn"
[[sources.orders.checks]]
name = "as_before"
distribution = ["amount"]
on_fail = "warn"
"""
TYPES = {
    "id": Type.INTEGER,
    "amount": Type.FLOAT,
    "land": Type.CATEGORY,
    "at": Type.TIMESTAMP,
    "customer": Type.INTEGER,
}


def back(source: dict[str, Any], types: dict[str, Type]) -> dict[str, Any]:
    document = yaml.safe_load(yaml.safe_dump(to_odcs("shop", "orders", source, types)))
    [found] = from_odcs(document)
    assert (found.name, found.left_out) == ("orders", ())
    return tomllib.loads(source_section(found.name, found.values))["sources"]["orders"]  # type: ignore[no-any-return]


def in_order(source: dict[str, Any]) -> dict[str, Any]:
    """With checks by name: the standard keeps foreign keys apart from the others."""
    return source | {"checks": sorted(source.get("checks", []), key=lambda check: str(check["name"]))}


def test_an_exported_contract_comes_back_as_it_was() -> None:
    written = tomllib.loads(ORDERS)["sources"]["orders"]
    expected = in_order(written)
    expected["columns"]["at"] = {"min": "2020-01-01T00:00:00+00:00"}
    assert in_order(back(written, TYPES)) == expected


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
rules = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([str(type_) for type_ in Type]),
        "min": st.integers(-9, 9) | st.floats(-9, 9),
        "max": st.integers(-9, 9),
        "max_length": st.integers(1, 9),
        "pattern": words.filter(bool),
        "allowed": st.lists(words, min_size=1, unique=True),
        "max_null": st.sampled_from([0.0, 0.1, 0.3333, 1.0]),
        "not_null": st.booleans(),
        "missing": st.lists(words),
        "on_fail": st.sampled_from(["fail", "warn", "quarantine"]),
    },
)


@given(
    columns=st.dictionaries(st.sampled_from(["id", "amount", "a b", "ü"]), rules, min_size=1),
    unique=st.none() | st.sampled_from(["id", ["id", "amount"]]),
    where=words.filter(bool),
)
def test_any_contract_comes_back_as_it_was(columns: dict[str, Any], unique: Any, where: str) -> None:
    source: dict[str, Any] = {"read": "a.csv", "columns": columns, "checks": [{"name": "c", "where": where}]}
    source |= {} if unique is None else {"unique": unique}
    found = back(source, {"id": Type.INTEGER, "more": Type.DURATION})
    # what holds when it is left out may be left out
    said = {name: {k: v for k, v in rule.items() if v is not False} for name, rule in columns.items()}
    source["columns"] = {name: rule for name, rule in said.items() if rule}
    assert {"columns": {}, **found} == source


def test_the_standards_own_words_are_taken_over_and_what_is_not_is_told() -> None:
    document = yaml.safe_load("""
apiVersion: v3.0.2
kind: DataContract
id: other
version: 2.1.0
status: active
servers: [{server: prod, type: local, path: "data/{model}.parquet", format: parquet}]
slaProperties:
- {property: latency, value: 4, unit: d, element: tab1.at}
- {property: retention, value: 3, unit: y}
schema:
- name: tab1
  properties:
  - {name: id, logicalType: integer, primaryKey: true, physicalName: ID_}
  - {name: at, logicalType: timestamp, required: true}
  - {name: code, logicalType: string, logicalTypeOptions: {pattern: "^[A-Z]{3}$", minLength: 3, format: uuid}}
  - {name: part, logicalType: string, logicalTypeOptions: {pattern: "a|b"}}
  - {name: tags, logicalType: array}
  - name: sex
    logicalType: string
    quality:
    - {metric: invalidValues, mustBe: 0, arguments: {validValues: [m, f]}}
    - {type: text, description: as people say}
  quality:
  - {metric: rowCount, mustBeGreaterThan: 100, severity: warning}
  - {name: own, type: sql, query: SELECT 1, mustBe: 1}
""")
    [found] = from_odcs(document)
    assert found.values == {
        "read": "data/tab1.parquet",
        "rename": {"ID_": "id"},
        "unique": ["id"],
        "event_time": "at",
        "fresh": "4d",
        "columns": {
            "id": {"type": "integer"},
            "at": {"type": "timestamp", "not_null": True},
            "code": {"type": "string", "min_length": 3, "pattern": "[A-Z]{3}"},
            "part": {"type": "string", "pattern": ".*(?:a|b).*"},
            "sex": {"type": "string", "allowed": ["m", "f"]},
        },
        "checks": [{"name": "rowCount", "rows": {"min": 101}, "on_fail": "warn"}],
    }
    assert found.left_out == (
        "code: format",
        "tags: logicalType array",
        "sex: quality text",
        "slaProperties retention",
        "quality own",
    )


@pytest.mark.parametrize("text", ["3", "[]", "kind: DataContract", "{kind: DataContract, apiVersion: v9}",
                                  "{kind: DataContract, apiVersion: v3.1.0, schema: [1]}"])  # fmt: skip
def test_what_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractUnreadable):
        from_odcs(yaml.safe_load(text))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "shop"
    (root / "data").mkdir(parents=True)
    head = 'format = 1\n[project]\nname = "shop"\nsource = "orders"\nlabel = "amount > 10"\nrequest = ["customer"]\n'
    customers = '[sources.customers]\nread = "data/customers.csv"\n'
    (root / "headrace.toml").write_text(head + ORDERS.replace('rename = { betrag = "amount" }\n', "") + customers)
    (root / "data" / "orders.csv").write_text(
        "id,amount,land,customer,at\n1,5,DE,1,2026-01-01T00:00:00Z\n2,6,FR,2,2026-01-02T00:00:00Z\n"
    )
    (root / "data" / "customers.csv").write_text("id\n1\n2\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "keys"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    assert main(["check", "--json"]) == 0
    return root


@pytest.fixture(scope="session")
def datacontract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard's command-line tool, in an environment of its own."""
    return python_with("datacontract", tmp_path_factory).with_name("datacontract")


@pytest.mark.heavy
def test_the_standards_own_tool_takes_the_export_and_finds_the_broken_row(shop: Path, datacontract: Path) -> None:
    assert main(["data", "contract", "export", "orders", "-o", "contract.yaml"]) == 0

    def said(command: str) -> tuple[int, str]:
        done = subprocess.run([datacontract, command, "contract.yaml"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = said("lint")
    assert (code, "valid against ODCS v3.1.0" in text) == (0, True), text
    code, text = said("test")
    assert code == 0, text
    assert "row_count" in text
    (shop / "data" / "orders.csv").write_text(
        "id,amount,land,customer,at\n1,500,DE,1,2026-01-01\n1,6,XX,2,2026-01-02\n"
    )
    code, text = said("test")
    assert code == 1
    found = " ".join(text.split())
    for broken in ("duplicate_count(id) was 1", "invalid_count(land) was 1", "custom_sql(orders) was 1"):
        assert broken in found


def test_the_command_prints_and_reads_what_it_printed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["data", "contract", "export", "orders"]) == 0
    (shop / "c.yaml").write_text(capsys.readouterr().out)
    assert main(["data", "contract", "import", "c.yaml"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["sources"]["orders"]["unique"] == "id"
    assert main(["data", "contract", "import", "none.yaml"]) == 2
    (shop / "c.yaml").write_text("a: [")
    assert main(["data", "contract", "import", "c.yaml"]) == 2
    assert "contract-unreadable" in capsys.readouterr().err
