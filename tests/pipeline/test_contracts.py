"""Contracts of several sources that refer to one another, to the clock, and to what was accepted before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headrace.app import Project
from headrace.pipeline import check_only
from headrace.runs.history import get_run
from headrace.runs.progress import SilentProgress
from headrace.stages.model import Checked

HOUR = 3_600_000_000
NOON = 20_454 * 24 * HOUR + 12 * HOUR
DEFINITION = """
format = 1
[project]
name = "shop"
source = "orders"
label = "amount > 10"
request = ["customer"]

[sources.orders]
read = "orders.csv"
event_time = "at"
fresh = "2h"
[[sources.orders.checks]]
name = "known_customer"
foreign_key = { customer = "customers.id" }
on_fail = "quarantine"
[[sources.orders.checks]]
name = "same_total"
sum = "amount"
equals = "billing.amount"

[sources.customers]
read = "customers.csv"
unique = "id"

[sources.billing]
read = "billing.csv"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "headrace.toml").write_text(DEFINITION)
    (tmp_path / "orders.csv").write_text(
        "customer,amount,at\n1,0.10,2026-01-01T10:00:00Z\n2,0.20,2026-01-01T11:30:00Z\n7,99,2026-01-01T11:00:00Z\n"
    )
    (tmp_path / "customers.csv").write_text("id,name\n1,Ann\n2,Ben\n")
    (tmp_path / "billing.csv").write_text("amount\n0.30\n")
    return tmp_path


def check(root: Path, *, now: int = NOON) -> tuple[Checked, list[str]]:
    """The outcome at an instant, and the stages that were computed for it."""
    with Project.open(root) as project:
        work = dataclasses.replace(project.workspace(SilentProgress()), clock=lambda: now)
        checked = check_only(work)
        with project.catalog.read() as reader:
            stages = get_run(reader, project.name, "last").stages
    return checked, [stage.name for stage in stages if stage.state == "done"]


def verdicts(checked: Checked, source: str) -> dict[str, bool]:
    report = checked.sources[source].report
    return {rule.rule: rule.passed for rule in report.rules if rule.rule.startswith(("check:", "fresh"))}


def test_a_source_is_checked_after_those_that_it_refers_to(shop: Path) -> None:
    checked, computed = check(shop)
    assert verdicts(checked, "orders") == {"check:known_customer": False, "check:same_total": True, "fresh": True}
    assert checked.sources["orders"].report.reasons == (("check:known_customer", 1),)
    assert all(report.passed for report in checked.reports)
    assert [name for name in computed if name.startswith("check")] == [
        "check customers",
        "check billing",
        "check orders",
    ]
    assert check(shop)[1] == []


def test_a_change_of_what_is_referred_to_checks_again(shop: Path) -> None:
    check(shop)
    (shop / "customers.csv").write_text("id,name\n1,Ann\n2,Ben\n7,Gil\n")
    checked, computed = check(shop)
    assert computed == [
        *("read customers", "check customers", "watch customers", "check orders", "watch orders", "quality page"),
    ]
    assert verdicts(checked, "orders")["check:known_customer"]
    assert not verdicts(checked, "orders")["check:same_total"]


def test_freshness_is_of_the_moment_and_nothing_is_computed_for_it(shop: Path) -> None:
    check(shop)
    later, computed = check(shop, now=NOON + 2 * HOUR)
    assert not later.sources["orders"].report.passed
    assert not verdicts(later, "orders")["fresh"]
    assert computed == ["quality page"]
    early, _ = check(shop, now=NOON - HOUR)
    assert early.sources["orders"].report.passed
    assert any("ahead of this machine's clock" in warning for warning in early.sources["orders"].report.warnings)


def test_a_shifted_snapshot_is_refused_until_it_is_accepted_and_each_keeps_its_reference(shop: Path) -> None:
    draw = np.random.default_rng(0)
    rule = '[[sources.billing.checks]]\nname = "as_before"\ndistribution = "amount"\n'
    plain = DEFINITION.replace('name = "same_total"', 'name = "same_total"\non_fail = "warn"')
    (shop / "headrace.toml").write_text(plain + rule)

    def bill(mean: float) -> None:
        amounts = draw.normal(mean, 1, 1000).round(2)
        (shop / "billing.csv").write_text("amount\n" + "\n".join(map(str, amounts)) + "\n")

    bill(5)
    first = (shop / "billing.csv").read_text()
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": True}
    bill(5)
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": True}
    bill(9)
    shifted = (shop / "billing.csv").read_text()
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": False}
    assert check(shop)[1] == [], "the same snapshot has the same reference"
    bill(9)
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": False}, "what was refused is no reference"
    (shop / "billing.csv").write_text(shifted)
    (shop / "headrace.toml").write_text(plain + rule + 'on_fail = "warn"\n')
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": False}
    (shop / "headrace.toml").write_text(plain + rule)
    bill(9)
    assert verdicts(check(shop)[0], "billing") == {"check:as_before": True}, "the shifted one was let pass"
    (shop / "billing.csv").write_text(first)
    checked, computed = check(shop)
    assert "compare billing" not in computed
    [result] = [r for r in checked.sources["billing"].report.rules if r.kind == "distribution"]
    assert result.detail == "there is no earlier snapshot to compare with"
