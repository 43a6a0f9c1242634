"""Golden rows: what a package answered when it was made is what it answers wherever it is loaded."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.made import KEY, OUTPUTS, decision, encoder, forest, id_of, package_files, signed

from headrace.definition.model import Task
from headrace.scoring.decision import Decider
from headrace.scoring.errors import GoldenRowsDiffer, PackageUnreadable
from headrace.scoring.golden import ROWS, Golden, golden_rows
from headrace.scoring.package import read_package
from headrace.scoring.scorer import Scorer

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


def load(files: dict[str, bytes], task: Task = "binary") -> Scorer:
    stored = signed(files, task=task)
    return Scorer(read_package(stored.__getitem__, package=id_of(stored), signers=[KEY.public]))


def golden_of(files: dict[str, bytes]) -> Golden:
    return msgspec.json.decode(files["golden.json"], type=Golden)


@pytest.mark.parametrize("task", TASKS)
def test_a_package_answers_its_golden_rows(task: Task) -> None:
    check = load(package_files(task), task).golden
    assert check is not None
    assert check.rows == ROWS
    for _ in range(2 * ROWS):
        check.next()


@pytest.mark.parametrize("task", TASKS)
def test_another_model_under_the_same_rows_is_refused(task: Task) -> None:
    files = {**package_files(task, seed=1), "golden.json": package_files(task, seed=2)["golden.json"]}
    with pytest.raises(GoldenRowsDiffer) as refusal:
        load(files, task)
    assert refusal.value.facts["file"] == "golden.json"


def test_another_calibration_under_the_same_rows_is_refused() -> None:
    moved = msgspec.structs.replace(decision(), knots=((0.05, 0.0), (0.3, 0.2), (0.7, 0.7500001), (0.95, 1.0)))
    with pytest.raises(GoldenRowsDiffer):
        load({**package_files(), "decision.json": msgspec.json.encode(moved)})


@given(st.integers(0, ROWS - 1), st.sampled_from(["raw", "scores"]), st.sampled_from([1e-3, -1e-3, float("nan")]))
def test_one_answer_that_differs_is_enough(row: int, which: str, by: float) -> None:
    files = package_files()
    golden = golden_of(files)
    answers = [list(each) for each in getattr(golden, which)]
    answers[row][0] += by
    changed = msgspec.json.encode(msgspec.structs.replace(golden, **{which: answers}))
    with pytest.raises((GoldenRowsDiffer, PackageUnreadable)):  # JSON has no NaN
        load({**files, "golden.json": changed})


def test_what_another_processor_adds_in_another_order_passes() -> None:
    files = package_files("regression")
    golden = golden_of(files)
    raw = tuple((float(np.nextafter(np.float32(each[0]), np.float32(9))),) for each in golden.raw)
    near = msgspec.structs.replace(golden, raw=raw, scores=raw)
    assert load({**files, "golden.json": msgspec.json.encode(near)}, "regression").golden is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"width": 7},
        {"inputs": b"\0" * 8},
        {"raw": ()},
        {"scores": ((0.5,),)},
        {"raw": ((0.1, 0.2),) * ROWS},
        {"raw": ((0.1, 0.2), *((0.1,),) * (ROWS - 1))},
        {"raw": ((0.1,),) * 2000, "scores": ((0.1,),) * 2000, "inputs": b"\0" * (2000 * 4 * len(OUTPUTS))},
    ],
)
def test_rows_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    files = package_files()
    changed = msgspec.json.encode(msgspec.structs.replace(golden_of(files), **changes))
    with pytest.raises(PackageUnreadable):
        load({**files, "golden.json": changed})


def test_the_same_model_gives_the_same_rows_and_rows_without_an_answer_are_none() -> None:
    onnx = forest(len(OUTPUTS), trees=3, depth=2, link="Sigmoid")
    made = [golden_rows(onnx, encoder(), Decider(decision())) for _ in range(2)]
    assert made[0] == made[1]
    golden = msgspec.json.decode(made[0], type=Golden)
    X = np.frombuffer(golden.inputs, "<f4").reshape(-1, golden.width)
    assert np.isnan(X[1]).all()
    assert 0.02 < np.isnan(X[2:]).mean() < 0.3


def test_a_package_of_an_earlier_release_has_none() -> None:
    files = {name: data for name, data in package_files().items() if name != "golden.json"}
    assert load(files).golden is None
