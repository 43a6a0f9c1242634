"""The page says what was decided and why; the command prints the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from tests.serving.experiments.samples import at_day, cohorts, counts, split

from headrace.cli.experiment import show
from headrace.serving.experiments.evaluate import evaluate
from headrace.serving.experiments.model import Cohort, Plan, Status
from headrace.serving.experiments.page import experiment_page, verdict
from headrace.serving.model import Counts, Deployment
from headrace.serving.revisions import Change, promote

NASTY = '<script>alert("x")</script>&'


class Known:
    """Evidence of one experiment, of two days."""

    def __init__(self, entities: int = 5_000) -> None:
        rng = np.random.default_rng(1)
        self._entities = {"v3": cohorts(rng, 4, 5_000, 0.10), "v4": cohorts(rng, 4, entities, 0.07)}

    def deployment(self, name: str) -> Deployment:
        assert name == "delays"
        return split()

    def counts(self, name: str) -> Mapping[str, Counts]:
        return {"v3": counts(), "v4": counts()}

    def outcomes(self, name: str) -> Mapping[str, Sequence[Cohort]]:
        return self._entities

    def history(self, name: str) -> Sequence[Deployment]:
        first = promote(split(), Change(at_us=at_day(0), by="ada", salt="s", reason=NASTY), arm="v3")
        return [first, split()]


def status(plan: Plan | None = None) -> Status:
    known = Known()
    now = at_day(6)
    return evaluate(split(), known.counts(""), known.outcomes(""), plan or Plan(currency="USD"), now)


def test_the_page_tells_the_decision_the_money_and_the_rule() -> None:
    page = experiment_page(status())
    for part in ("ship v4", "less an entity than v3", "20,000", "USD", "latency of v4", "It may be looked at as often"):
        assert part in page


def test_the_page_draws_the_difference_of_every_day() -> None:
    [svg] = re.findall(r"<svg.*?</svg>", experiment_page(status()), re.DOTALL)
    drawn = ET.fromstring(svg)
    assert drawn.get("aria-label") == "v4 beside v3, cost an entity"
    assert len(drawn.findall(".//line[@class='whisker']")) == 4


def test_the_page_runs_nothing_and_loads_nothing() -> None:
    page = experiment_page(
        msgspec.structs.replace(status(), name=NASTY, reason=NASTY, notes=(NASTY,)), Known().history("")
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_the_page_of_an_experiment_of_which_nothing_is_known() -> None:
    page = experiment_page(evaluate(split(), {}, {}, Plan(), at_day(1)))
    assert "goes on" in page
    assert "too little is known of v4 or v3 yet" in page
    assert "<svg" not in page


def test_the_command_prints_the_decision_and_its_evidence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert show(Known(), "delays", Plan(currency="USD"), now_us=at_day(6), page=page) == 0
    printed = capsys.readouterr().out
    for part in ("delays: ship v4", "v4 costs", "delays@4", "errors of v4: 0.2 % against 0.2 % of v3", "rule: Ship"):
        assert part in printed
    assert "What happened" in page.read_text(encoding="utf-8")


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    show(Known(), "delays", Plan(), now_us=at_day(6), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["decision"], found["arm"]) == ("ship", "v4")
    assert msgspec.convert(found, Status).arms[1].name == "v4"


def test_an_experiment_that_is_not_to_be_believed_ends_the_command_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(Known(entities=4_000), "delays", Plan(), now_us=at_day(6)) == 1
    assert "not to be believed" in capsys.readouterr().out


def test_every_decision_has_its_words() -> None:
    made = [msgspec.structs.replace(status(), decision=each) for each in ("ship", "stop", "go on", "invalid")]
    assert [verdict(each) for each in made] == ["ship v4", "stop, v4 stays", "goes on", "not to be believed"]
