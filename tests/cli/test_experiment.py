"""`headrace experiment` on a project that has answered: what it says is read from what was logged and shipped."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Call

from headrace.app import Project, now_us
from headrace.serving.experiments.model import DAY_US
from headrace.serving.log.record import Outcome, Record, Route
from headrace.serving.log.ship import ship
from headrace.serving.log.writer import LogHeader, LogWriter
from headrace.serving.model import Deployment
from headrace.serving.revisions import Change, begin, deploy_canary, deploy_split

NAME = "flight-delays"
Answer = Callable[[Deployment, dict[str, float]], None]


def split(project: Project, *, canary: bool = False, bandit: bool = False) -> Deployment:
    """The champion beside a version 2 that only the deployment knows of, since ten days."""
    from headrace.operations.deploying import served

    begun = now_us() - 10 * DAY_US
    change = Change(at_us=begun, by="ada", salt="salt")
    one = served(project.registry().get(f"{NAME}@champion", model=NAME))
    two = msgspec.structs.replace(one, version=2, package="2" * 64)
    first = begin(one, change, project=project.name, name=NAME)
    if canary:
        then = deploy_canary(first, two, 50, change)
    else:
        then = deploy_split(first, {"v1": 0.5, "v2": 0.5}, change, serves={"v2": two}, bandit=bandit)
    for each in (first, then):
        project.service.deploying().stored.write(each)
    return then


@pytest.fixture
def answer(delays: Path) -> Answer:
    """Logs and ships 1,500 answers of each arm over nine days: a share of them missed a late flight."""

    def answers(deployment: Deployment, missed: dict[str, float]) -> None:
        draw = random.Random(1)
        with Project.open(delays) as project:
            header = LogHeader(project=project.name, worker="w1")
            log = LogWriter(project.prediction_log, header=header, durability="process", on_full="refuse", clock=now_us)
            for arm, share in missed.items():
                route = log.introduce(
                    Route(
                        deployment=NAME, revision=deployment.revision, arm=arm, model=NAME, version=1, package="a" * 64
                    )
                )
                for n in range(1_500):
                    at = deployment.at_us + n * 6 * DAY_US // 1_000
                    log.append([Record(f"{arm}-{n}", 0, route, at, (f"{arm}{n}",), b"\0" * 4, (0.1,), False)])
                    truth = draw.random() < share
                    log.append_outcomes([Outcome(value=truth, known_us=at, request_id=f"{arm}-{n}")])
            log.close()
            ship(project.prediction_log, project.growing, project.name)

    return answers


def test_an_arm_that_costs_less_is_shipped_and_then_answers_all(
    call: Call, delays: Path, answer: Answer, tmp_path: Path
) -> None:
    with Project.open(delays) as project:
        deployment = split(project)
    answer(deployment, {"v1": 0.30, "v2": 0.10})
    said = call("experiment", "status", NAME, "--page", tmp_path / "page.html")
    assert said.code == 0
    assert said.out.startswith(f"{NAME}: ship v2\n")
    assert "ship v2" in (tmp_path / "page.html").read_text(encoding="utf-8")
    found = call("experiment", NAME, "--json").document
    assert (found["decision"], found["arm"]) == ("ship", "v2")
    assert [arm["entities"] for arm in found["arms"]] == [1_500, 1_500]
    done = call("experiment", "settle", NAME)
    assert f"{NAME} revision 3: v2 costs" in done.out
    with Project.open(delays) as project:
        newest = project.service.deploying().stored.get(NAME)
    assert [(arm.name, arm.weight) for arm in newest.arms] == [("v2", 1.0)]
    assert (newest.verb, newest.by) == ("promote", "headrace")


def test_arms_that_are_alike_stay_as_they_are(call: Call, delays: Path, answer: Answer) -> None:
    with Project.open(delays) as project:
        deployment = split(project)
    answer(deployment, {"v1": 0.2, "v2": 0.2})
    assert "stays as it is" in call("experiment", "settle", NAME).out
    assert "stop, v1 stays" in call("experiment", "status", NAME, "--days", "5").out


def test_a_canary_that_costs_more_is_taken_back_and_never_made_to_climb(
    call: Call, delays: Path, answer: Answer
) -> None:
    with Project.open(delays) as project:
        deployment = split(project, canary=True)
    assert "no cost calls for another revision" in call("experiment", "settle", NAME).out
    answer(deployment, {"v1": 0.10, "v2": 0.30})
    assert f"{NAME} revision 3: cost of v2" in call("experiment", "settle", NAME).out
    with Project.open(delays) as project:
        assert project.service.deploying().stored.get(NAME).verb == "rollback"


def test_a_bandit_gives_more_to_what_costs_less(call: Call, delays: Path, answer: Answer) -> None:
    with Project.open(delays) as project:
        deployment = split(project, bandit=True)
    answer(deployment, {"v1": 0.30, "v2": 0.10})
    assert call("experiment", "settle", NAME, "--json").document["changed"] is True
    with Project.open(delays) as project:
        shares = {arm.name: arm.weight for arm in project.service.deploying().stored.get(NAME).arms}
    assert shares == {"v1": pytest.approx(0.05), "v2": pytest.approx(0.95)}


@pytest.mark.parametrize("wrong", [("--mature", "soon"), ("--worth", "-1"), ("--days", "0")])
def test_a_plan_that_cannot_be_is_refused(call: Call, delays: Path, wrong: tuple[str, str]) -> None:
    with Project.open(delays) as project:
        split(project)
    said = call("experiment", "status", NAME, *wrong)
    assert said.code == 2
    assert "experiment-plan-invalid" in said.err
    assert wrong[0] in said.err
