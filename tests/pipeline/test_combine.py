"""A combined source in a run: a stage of its own, skipped when nothing changed; the same data makes the same bytes."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.app import Project
from headrace.data.model import CheckedSource, Combined
from headrace.runs.history import get_run

DEFINITION = """
format = 1
[project]
name = "shop"
source = "orders"
label = "amount > 10"
request = ["customer"]

[sources.orders]
read = "orders.csv"
[sources.orders.join.who]
source = "customers"
key = { customer = "id" }
take = ["city"]

[sources.customers]
from = ["crm", "billing"]
key = "id"
[sources.customers.map.billing]
id = "cust_no"
[sources.customers.survive]
city = "most_recent"

[sources.crm]
read = "crm.csv"
event_time = "at"

[sources.billing]
read = "billing.csv"
event_time = "at"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "headrace.toml").write_text(DEFINITION)
    (tmp_path / "orders.csv").write_text("customer,amount\n1,5\n2,20\n3,30\n")
    (tmp_path / "crm.csv").write_text("id,city,at\n1,Ulm,2026-01-01\n2,Bonn,2026-01-02\n")
    (tmp_path / "billing.csv").write_text("cust_no,city,at\n1,Jena,2026-01-05\n3,Kiel,2026-01-01\n")
    return tmp_path


def checked(root: Path) -> tuple[dict[str, Any], Combined, CheckedSource, dict[str, str]]:
    """The orders, the entities, their check, and the state of each stage."""
    with Project.open(root) as project:
        found = project.check()
        orders = pl.read_parquet(project.objects.scan_target(found.tables["orders"].ref.key).url)
        with project.catalog.read() as reader:
            stages: dict[str, str] = {stage.name: stage.state for stage in get_run(reader, project.name, "last").stages}
        return orders.to_dict(as_series=False), found.combined["customers"], found.sources["customers"], stages


def test_it_is_joined_like_any_other_source(shop: Path) -> None:
    orders, combined, customers, stages = checked(shop)
    assert orders["who_city"] == ["Jena", "Bonn", "Kiel"]
    assert (combined.snapshot.rows, customers.table.rows) == (3, 3)
    assert stages["combine customers"] == "done"
    assert list(stages).index("combine customers") > list(stages).index("check billing")
    assert checked(shop)[3]["combine customers"] == "cached"


def test_a_correction_is_a_new_version_and_the_old_data_makes_the_old_bytes(shop: Path, tmp_path: Path) -> None:
    before = checked(shop)
    old = (shop / "billing.csv").read_text()
    (shop / "billing.csv").write_text(old.replace("Jena", "Halle") + "2,Essen,2026-02-01\n")
    orders, changed, *_ = checked(shop)
    assert orders["who_city"] == ["Halle", "Essen", "Kiel"]
    assert changed.snapshot.ref != before[1].snapshot.ref
    (shop / "billing.csv").write_text(old)
    again = checked(shop)
    assert again[:3] == before[:3]
    afresh = tmp_path / "afresh"
    shutil.copytree(shop, afresh, ignore=shutil.ignore_patterns(".headrace"))
    rebuilt = checked(afresh)
    assert rebuilt[1].snapshot.ref == before[1].snapshot.ref
    assert (rebuilt[1].lineage, rebuilt[1].overridden) == (before[1].lineage, before[1].overridden)
    assert rebuilt[2].table == before[2].table


def test_the_quality_page_tells_what_became_of_the_rows_and_where_they_disagree(shop: Path) -> None:
    with Project.open(shop) as project:
        page = project.check().page.read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Made from crm and billing" in text
    assert "crm 2 2 0 0 billing 2 1 1 0" in text
    assert "city most_recent 1 33" in text


def test_what_a_combined_source_is_made_from_is_checked_with_it(shop: Path) -> None:
    with Project.open(shop) as project:
        found = project.check(sources=["customers"])
    assert set(found.sources) == {"customers", "crm", "billing"}
    assert found.combined["customers"].snapshot.rows == 3


def test_rows_without_a_shared_key_become_one_by_a_match_of_the_combined_source(tmp_path: Path) -> None:
    draw = random.Random(3)
    given, family = (
        ("Anna", "Cemal", "Dorothea", "Fatma", "Greta"),
        ("Albrecht", "Brandt", "Engelmann", "Fuchs", "Huber"),
    )
    head = "id,name,city,phone,email,born"
    ours, theirs = [head], [head]
    for n in range(200):
        name = f"{draw.choice(given)} {draw.choice(family)}"
        email = f"{name.lower().replace(' ', '.')}{draw.randrange(999)}@example.com"
        born = f"19{draw.randrange(50, 99)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}"
        rest = f"{draw.choice(('Ulm', 'Kiel'))},{draw.randrange(10**8, 10**9)},{email},{born}"
        ours.append(f"A{n},{name},{rest}")
        if n % 4 == 0:
            theirs.append(f"B{n},{name[:-2] + name[-1]},{rest}")
    (tmp_path / "crm.csv").write_text("\n".join(ours) + "\n")
    (tmp_path / "billing.csv").write_text("\n".join(theirs) + "\n")
    (tmp_path / "headrace.toml").write_text(
        'format = 1\n[project]\nsource = "all"\nlabel = "city = \'Ulm\'"\nrequest = ["name"]\n'
        '[sources.crm]\nread = "crm.csv"\n[sources.billing]\nread = "billing.csv"\n'
        '[sources.all]\nfrom = ["crm", "billing"]\nkey = "id"\n'
        "[sources.all.match]\n"
        'compare = { name = "name", city = "text", phone = "phone", email = "email", born = "date" }\n'
    )
    with Project.open(tmp_path) as project:
        found = project.check()
    report = found.sources["all"].report
    assert (report.read, report.quarantined) == (250, 50)
    assert dict(report.reasons) == {"duplicate-fuzzy": 50}
    assert found.tables["all"].rows == 200
