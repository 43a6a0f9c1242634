"""What a run computes again, and what it does not: it depends on what changed, and on nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.examples import edit, flights_rows, write_csv

from headrace.app import Project
from headrace.runs.history import get_run
from headrace.stages.model import ContractBroken, Outcome

CHECKS = "check airports, check flights, check weather, check planes, check airlines, tell of the label, quality page"
LEARNING = (
    *("assemble", "certify", "rows", "search", "select", "compile"),
    *("learning curve", "evaluate", "register", "run page"),
)


def run(root: Path, *, refresh: bool = False) -> tuple[Outcome, list[str]]:
    """Run the project as a new process would; the outcome and the names of the stages that were computed."""
    with Project.open(root) as project:
        outcome = project.run(refresh=refresh)
        with project.catalog.read() as reader:
            record = get_run(reader, project.name, outcome.run)
    computed = [stage.name for stage in record.stages if stage.state == "done"]
    assert len(computed) == outcome.stages_done
    return outcome, computed


def test_unchanged_nothing_is_computed_and_the_version_is_the_same(delays: Path) -> None:
    first, computed = run(delays)
    assert computed == []
    assert first.version.number == 1
    assert first.cost_usd == 0
    pages = [first.run_page.read_bytes(), first.quality_page.read_bytes()]
    for page in (first.run_page, first.quality_page):
        page.unlink()
    second, computed = run(delays)
    assert computed == []
    assert second.version.package == first.version.package
    assert [second.run_page.read_bytes(), second.quality_page.read_bytes()] == pages


def test_a_refresh_reads_everything_and_computes_nothing_from_equal_bytes(delays: Path) -> None:
    outcome, computed = run(delays, refresh=True)
    assert sorted(computed) == [f"read {name}" for name in ("airlines", "airports", "flights", "planes", "weather")]
    assert outcome.version.number == 1
    assert run(delays)[1] == []


def test_what_a_refresh_found_stays_found(delays: Path) -> None:
    path = delays / "data" / "flights" / "2013-01.csv"
    was = path.stat()
    path.write_bytes(path.read_bytes().replace(b",LGA,", b",JFK,", 1))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # same size, same time: it looks unchanged
    assert run(delays)[1] == []
    refreshed, computed = run(delays, refresh=True)
    assert "check flights" in computed
    again, computed = run(delays)
    assert computed == []
    assert again.version == refreshed.version
    assert again.version.number == 2


def test_a_new_part_is_read_and_everything_after_it_is_computed(delays: Path) -> None:
    write_csv(delays / "data" / "flights" / "2013-02.csv", *flights_rows([1], ["LGA"], month=2))
    outcome, computed = run(delays)
    assert computed == [
        "read flights",
        "check flights",
        "watch flights",
        "tell of the label",
        "quality page",
        *LEARNING,
    ]
    assert outcome.version.number == 2
    assert outcome.version.aliases == (), "the champion stays until somebody promotes another version"
    (delays / "data" / "flights" / "2013-02.csv").unlink()
    back, computed = run(delays)
    assert computed == []
    assert back.version.number == 1


def test_a_changed_check_computes_what_depends_on_it(delays: Path) -> None:
    edit(delays, {"air_time > 10": "air_time > 11"})
    outcome, computed = run(delays)
    # neither refuses a row: the accepted table is the same, so nothing is learned again; what the version carries of
    # the contract differs, so it is another version
    assert computed == ["check flights", "watch flights", "register", "run page"]
    assert outcome.version.number == 2

    edit(delays, {"air_time > 11": "air_time > 60"})
    _, computed = run(delays)
    assert computed == ["check flights", "watch flights", "tell of the label", "quality page", *LEARNING]


def test_a_check_that_fails_stops_before_anything_is_learned(delays: Path) -> None:
    edit(delays, {r'air_time > 10"\non_fail = "quarantine"': 'air_time > 60"\non_fail = "fail"'})
    project = Project.open(delays)
    with pytest.raises(ContractBroken, match="plausible_air_time failed in") as caught:
        project.run()
    assert caught.value.exit_code == 1
    checked = project.check()
    report = next(report for report in checked.reports if report.source == "flights")
    assert not report.passed
    assert report.read == report.accepted + report.repaired + report.quarantined
    with project.catalog.read() as reader:
        record = get_run(reader, project.name, "last")
    assert record.stages[-1].name == "quality page"


def test_other_costs_read_nothing_and_assemble_nothing(delays: Path) -> None:
    edit(delays, {r'false_positive = "4 USD"': 'false_positive = "5 USD"'})
    outcome, computed = run(delays)
    assert computed == ["search", "select", "compile", "learning curve", "evaluate", "register", "run page"]
    assert outcome.version.number == 2


def test_a_comment_computes_nothing(delays: Path) -> None:
    path = delays / "headrace.toml"
    path.write_text("# the same, said otherwise\n" + path.read_text().replace(" = ", "  =  "))
    outcome, computed = run(delays)
    assert computed == []
    assert outcome.version.number == 1


def test_the_record_and_the_outcome_say_the_same(delays: Path) -> None:
    outcome, _ = run(delays)
    project = Project.open(delays)
    with project.catalog.read() as reader:
        record = get_run(reader, project.name, outcome.run)
    assert record.result == json.loads(json.dumps(outcome.summary()))
    assert record.state == "done"
    assert all(stage.usage is not None and stage.usage.wall_s >= 0 for stage in record.stages)
    assert [stage.name for stage in record.stages if stage.name.startswith("check")] == CHECKS.split(", ")[:-2]
