"""An experiment is judged by what is logged, shipped and joined to its truths: nothing is made up for it here."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from tests.serving.experiments.samples import version
from tests.serving.log.samples import HEADER

from headrace.serving.experiments.costs import pricing
from headrace.serving.experiments.evaluate import evaluate
from headrace.serving.experiments.log_evidence import LogEvidence, alike
from headrace.serving.experiments.model import DAY_US, Plan
from headrace.serving.log.record import Outcome, Record, Route
from headrace.serving.log.ship import ship
from headrace.serving.log.writer import LogWriter
from headrace.serving.model import Deployment
from headrace.serving.revisions import Change, begin, deploy_split, with_shadow
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.tables.delta import DeltaTableStore

START = 20_000 * DAY_US


class Kept:
    """Revisions in memory."""

    def __init__(self, revisions: list[Deployment]) -> None:
        self._revisions = revisions

    def get(self, name: str) -> Deployment:
        return self._revisions[-1]

    def history(self, name: str) -> list[Deployment]:
        return self._revisions


class Place:
    """A deployment of two arms and a shadow, and what was logged of it."""

    def __init__(self, root: Path) -> None:
        objects = LocalObjectStore(root / "objects")
        self.log, self.tables = root / "log", DeltaTableStore(objects)
        change = Change(at_us=START, by="ada", salt="s")
        first = begin(version(3), change, project="p", name="delays")
        split = deploy_split(first, {"v3": 0.5, "v4": 0.5}, change, serves={"v4": version(4)})
        self.revisions = [first, split, with_shadow(split, version(9), change)]
        self.evidence = LogEvidence(Kept(self.revisions), self.tables, "p", cost=pricing("binary", None))

    def answer(
        self,
        number: int,
        arm: str,
        *,
        wrong: bool | None,
        at_us: int = START + 5,
        revision: int = 3,
        shadow: float = 0.5,
    ) -> None:
        """One entity's answer; wrong or right, or its truth is not known."""
        self._rows.append((number, arm, wrong, at_us, revision, shadow))

    _rows: list[tuple[int, str, bool | None, int, int, float]]

    def __enter__(self) -> Place:
        self._rows = []
        return self

    def __exit__(self, *_: object) -> None:
        writer = LogWriter(self.log, header=HEADER, durability="process", on_full="refuse", clock=lambda: START)
        for number, arm, wrong, at_us, revision, shadow in self._rows:
            for name, package, is_shadow, score in (
                (arm, "a" * 64, False, 0.2),
                ("shadow-v9", f"{9:064x}", True, shadow),
            ):
                route = writer.introduce(
                    Route(
                        deployment="delays", revision=revision, arm=name, model="delays", version=int(name[-1]),
                        package=package, sticky=("tail",), shadow=is_shadow, fallback=arm == "v4" and number % 10 == 0,
                    )
                )  # fmt: skip
                writer.append([Record(f"r{number}", 0, route, at_us, (f"N{number}",), b"\0" * 8, (score,), False)])
            if wrong is not None:
                writer.append_outcomes([Outcome(value=wrong, known_us=at_us + 9, request_id=f"r{number}")])
        writer.close()
        ship(self.log, self.tables, "p")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_is_known_before_anything_is_shipped(place: Place) -> None:
    assert place.evidence.counts("delays") == {}
    assert place.evidence.outcomes("delays") == {}


def test_reading_the_log_says_nothing_of_its_own(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    with place:
        place.answer(1, "v3", wrong=True)
    assert place.evidence.outcomes("delays")
    assert capfd.readouterr().err == ""


def test_answers_become_cohorts_with_the_shadow_as_covariate(place: Place) -> None:
    with place:
        for n in range(10):
            place.answer(n, "v3" if n < 6 else "v4", wrong=None if n == 0 else n % 2 == 0, shadow=n / 10)
        place.answer(20, "v4", wrong=True, at_us=START + DAY_US)
    found = place.evidence.outcomes("delays")
    [three] = found["v3"]
    assert (three.day, three.entities, three.known.n, three.known.cost_sum) == (20_000, 6, 5, 2.0)
    assert three.known.covariate_sum == pytest.approx(0.1 + 0.2 + 0.3 + 0.4 + 0.5)
    assert [(each.day, each.entities) for each in found["v4"]] == [(20_000, 4), (20_001, 1)]
    assert place.evidence.crossed == 0


def test_answers_under_other_weights_do_not_count(place: Place) -> None:
    with place:
        place.answer(1, "v3", wrong=True, revision=1)
        place.answer(2, "v3", wrong=True, revision=2)
        place.answer(3, "v3", wrong=False, revision=3)
    [cohort] = place.evidence.outcomes("delays")["v3"]
    assert (cohort.entities, cohort.known.cost_sum) == (2, 1.0)


def test_counts_are_those_of_answers_that_were_sent(place: Place) -> None:
    with place:
        for n in range(40):
            place.answer(n, "v3" if n % 2 else "v4", wrong=None)
    found = place.evidence.counts("delays")
    assert (found["v3"].rows, found["v4"].rows) == (20, 20)
    assert (found["v3"].fell_back, found["v4"].fell_back) == (0, 4)
    assert [sum(each.scores) for each in found.values()] == [20, 20]


def test_an_experiment_is_judged_from_the_log(place: Place) -> None:
    """400 entities a day for six days: one arm errs in 30 % of its answers, the other in 10 %."""
    draw = random.Random(1)
    with place:
        for n in range(2_400):
            arm = "v3" if n % 2 else "v4"
            wrong = draw.random() < (0.3 if arm == "v3" else 0.1)
            place.answer(n, arm, wrong=wrong, at_us=START + n * 6 * DAY_US // 2_400, shadow=draw.random())
    evidence = place.evidence
    plan = Plan(guards=Plan().guards[1:])
    status = evaluate(
        evidence.deployment("delays"), evidence.counts("delays"), evidence.outcomes("delays"), plan, START + 8 * DAY_US
    )
    assert (status.decision, status.arm, status.days) == ("ship", "v4", 6)
    assert [arm.n for arm in status.arms] == [1_200, 1_200]
    assert status.covariate is not None


def test_revisions_alike_share_arms_weights_and_salt(place: Place) -> None:
    assert alike(place.revisions) == {2, 3}
    other = msgspec.structs.replace(place.revisions[-1], revision=4, salt="t")
    assert alike([*place.revisions, other]) == {4}
    kept: list[Deployment] = list(place.evidence.history("delays"))
    assert kept == place.revisions
