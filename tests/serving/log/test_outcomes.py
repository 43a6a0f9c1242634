"""Truths: joined by id or by entity and instant; the one known last counts; what matches nothing yet is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving.log.samples import ROUTE, record, writer

from headrace.language.types import Type
from headrace.serving.log.errors import OutcomesRefused
from headrace.serving.log.outcomes import Joined, joined, outcome_of, read_outcomes
from headrace.serving.log.record import Outcome
from headrace.serving.log.ship import ship
from headrace.serving.log.summary import summary
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.tables.delta import DeltaTableStore

HOUR = 3_600_000_000


class Place:
    """A log and its tables."""

    def __init__(self, root: Path) -> None:
        self.log = root / "log"
        self.tables = DeltaTableStore(LocalObjectStore(root / "objects"))

    def predict(self, *numbers: int, **more: Any) -> None:
        one = writer(self.log)
        route = one.introduce(ROUTE)
        one.append([record(n, route, **more) for n in numbers])
        one.close()
        ship(self.log, self.tables, "p")

    def learn(self, *truths: Outcome) -> None:
        one = writer(self.log)
        one.append_outcomes(truths)
        one.close()
        ship(self.log, self.tables, "p")

    def joined(self) -> Joined:
        found = joined(self.tables, "p")
        assert found is not None
        return found

    def truths(self) -> dict[str, float | None]:
        rows = self.joined().rows.collect()
        return dict(zip(rows["request_id"].to_list(), rows["truth"].to_list(), strict=True))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def truth(request_id: str, value: bool | float | str, known_us: int = 0) -> Outcome:
    return Outcome(value=value, known_us=known_us, request_id=request_id)


def test_before_anything_is_shipped_there_is_nothing_to_join(place: Place) -> None:
    assert joined(place.tables, "p") is None
    place.predict(1)
    assert place.truths() == {"r1": None}
    assert place.joined().rows.collect_schema()["outcome"] == pl.String


def test_truths_of_every_kind_join_by_id(place: Place) -> None:
    place.predict(1, 2, 3, 4, 5)
    place.learn(truth("r1", True), truth("r2", False), truth("r3", 2.5), truth("r4", "late"))
    assert place.truths() == {"r1": 1.0, "r2": 0.0, "r3": 2.5, "r4": None, "r5": None}
    rows = place.joined().rows.sort("request_id").collect()
    assert rows["outcome"].to_list() == ["true", "false", "2.5", '"late"', None]


def test_the_truth_known_last_counts_whatever_came_last(place: Place) -> None:
    place.predict(1)
    place.learn(truth("r1", True, known_us=20))
    place.learn(truth("r1", False, known_us=10))
    assert place.truths() == {"r1": 1.0}
    place.learn(truth("r1", False, known_us=30), truth("r1", False, known_us=30))
    assert place.truths() == {"r1": 0.0}


def test_a_truth_that_comes_before_its_prediction_is_kept(place: Place) -> None:
    place.predict(1)
    place.learn(truth("r2", True), truth("r1", False))
    assert place.joined().unmatched == 1
    assert place.truths() == {"r1": 0.0}
    place.predict(2)
    assert place.joined().unmatched == 0
    assert place.truths() == {"r1": 0.0, "r2": 1.0}


def test_rows_of_one_request_have_their_own_truths(place: Place) -> None:
    for row in range(3):
        place.predict(1, row=row)
    place.learn(Outcome(value=True, known_us=0, request_id="r1", row=2))
    rows = place.joined().rows.sort("row").collect()
    assert rows["truth"].to_list() == [None, None, 1.0]


def test_an_entity_s_truth_is_about_its_newest_answer_before(place: Place) -> None:
    for n, at_us in ((1, 10 * HOUR), (2, 12 * HOUR), (3, 15 * HOUR)):
        place.predict(n, entity=("N1",), at_us=at_us)
    place.predict(4, entity=("N2",), at_us=12 * HOUR)

    def about(entity: str, hour: float, known_us: int = 0, deployment: str = "d") -> Outcome:
        return Outcome(value=True, known_us=known_us, deployment=deployment, entity=(entity,), at_us=round(hour * HOUR))

    place.learn(about("N1", 12), about("N1", 9), about("N1", 15 + 25), about("N2", 13, deployment="other"))
    assert place.truths() == {"r1": None, "r2": 1.0, "r3": None, "r4": None}
    assert place.joined().unmatched == 3
    place.learn(truth("r2", False, known_us=5), about("N1", 11.9))
    assert place.truths() == {"r1": 1.0, "r2": 0.0, "r3": None, "r4": None}


def test_the_summary_counts_what_is_known(place: Place) -> None:
    place.predict(1, 2, latency_us=3_000)
    place.learn(truth("r1", True), truth("r9", True))
    found = summary(place.log, place.tables, "p")
    assert (found.shipped, found.outcomes, found.unmatched) == (2, 2, 1)
    assert [(day.arm, day.n, day.known, day.mean_latency_ms) for day in found.days] == [("v3", 2, 1, 3.0)]


def test_a_file_of_truths_is_read(tmp_path: Path) -> None:
    by_id = tmp_path / "by_id.csv"
    by_id.write_text("request_id,row,value,known\nr1,0,true,2026-11-27T10:00:00Z\nr2,1,false,2026-11-27\n")
    assert read_outcomes(by_id) == [
        Outcome(value=True, known_us=1_795_773_600_000_000, request_id="r1", row=0),
        Outcome(value=False, known_us=1_795_737_600_000_000, request_id="r2", row=1),
    ]
    digits = tmp_path / "digits.csv"
    digits.write_text("value,known,tailnum,at\n1.5,1970-01-01,007,1970-01-01\n")
    [one] = read_outcomes(digits, sticky=["tailnum"], deployment="d", types={"tailnum": Type.CATEGORY})
    assert one.entity == ("007",)
    digits.write_text("value,known,request_id\n1.5,1970-01-01,0123\n")
    assert read_outcomes(digits)[0].request_id == "0123"
    by_entity = tmp_path / "by_entity.ndjson"
    by_entity.write_text('{"tailnum": "N1", "at": "1970-01-01T00:00:02Z", "value": "late", "known": "1970-01-01"}\n')
    assert read_outcomes(by_entity, sticky=["tailnum"], deployment="d") == [
        Outcome(value="late", known_us=0, deployment="d", entity=("N1",), at_us=2_000_000)
    ]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"request_id": "r1", "known": "2026-11-27"}, "value"),
        ({"request_id": "r1", "value": None, "known": "2026-11-27"}, "value"),
        ({"request_id": "r1", "value": float("nan"), "known": "2026-11-27"}, "value"),
        ({"request_id": "r1", "value": 1.0}, "known"),
        ({"request_id": "r1", "value": 1.0, "known": "yesterday"}, "known"),
        ({"request_id": 7, "value": 1.0, "known": "2026-11-27"}, "request_id"),
        ({"request_id": "r1", "row": -1, "value": 1.0, "known": "2026-11-27"}, "request_id"),
        ({"request_id": "r1", "row": 2**31, "value": 1.0, "known": "2026-11-27"}, "request_id"),
        ({"request_id": "r1", "row": 0.5, "value": 1.0, "known": "2026-11-27"}, "request_id"),
        ({"value": 1.0, "known": "2026-11-27"}, "tailnum"),
        ({"value": 1.0, "known": "2026-11-27", "tailnum": "N1"}, "at"),
    ],
)
def test_a_truth_that_does_not_say_what_it_is_about_is_refused(row: dict[str, Any], column: str) -> None:
    with pytest.raises(OutcomesRefused, match=rf"row 3, column '{column}'") as refused:
        outcome_of(row, 3, sticky=["tailnum"], deployment="d")
    assert "yesterday" not in str(refused.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    for name in ("none.csv", "x.xlsx", "x.parquet"):
        with pytest.raises(OutcomesRefused):
            read_outcomes(tmp_path / name)
