"""Rows in, predictions out: clear errors, documented values, and one row the same as many."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import permutations
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.made import (
    COLUMNS,
    OUTPUTS,
    ROW,
    decision,
    encoder,
    forest,
    onnx_bytes,
    package_files,
    program,
)

from headrace.definition.model import Task
from headrace.features.encoder import encode_columns
from headrace.features.model import LookupStep
from headrace.features.program import ReadRow
from headrace.language.types import Type
from headrace.scoring.bodies import BodyReader
from headrace.scoring.errors import (
    ColumnMissing,
    ColumnUnknown,
    HistoryMissing,
    PackageUnreadable,
    RowsRefused,
    ScoreNotFinite,
    ValueRefused,
)
from headrace.scoring.model import Amount
from headrace.scoring.package import draft_package
from headrace.scoring.scorer import Scorer


def scorer(task: Task = "binary", replaced: Mapping[str, bytes] = MappingProxyType({})) -> Scorer:
    return Scorer(draft_package("delays", task, package_files(task, replaced=replaced)), version=4)


SCORERS: dict[Task, Scorer] = {task: scorer(task) for task in ("binary", "multiclass", "regression")}

EARLY, LATE = dt.datetime(1990, 1, 1), dt.datetime(2060, 1, 1)  # noqa: DTZ001 - naive instants are UTC
row_strategy = st.fixed_dictionaries(
    {
        "carrier": st.one_of(st.none(), st.sampled_from(["AA", "UA", "DL", "never seen", ""])),
        "distance": st.one_of(st.none(), st.floats(0, 1e5), st.just(math.nan), st.integers(0, 5000)),
        "seats": st.one_of(st.none(), st.integers(-5, 900)),
        "vip": st.one_of(st.none(), st.booleans()),
        "due": st.one_of(st.none(), st.datetimes(EARLY, LATE), st.just(ROW["due"])),
    }
)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@settings(max_examples=60)
@given(rows=st.lists(row_strategy, min_size=1, max_size=12), reasons=st.integers(0, 9))
def test_a_row_alone_and_in_a_batch_gets_the_same_answer(task: Task, rows: list[dict[str, Any]], reasons: int) -> None:
    loaded = SCORERS[task]
    assert loaded.predict(rows, reasons=reasons) == [loaded.predict([row], reasons=reasons)[0] for row in rows]
    without = loaded.predict(rows)
    assert [(p.probability, p.probabilities, p.value, p.decision) for p in without] == [
        (p.probability, p.probabilities, p.value, p.decision) for p in loaded.predict(rows, reasons=reasons)
    ]


OWN = msgspec.structs.replace(
    decision(),
    threshold=None,
    cost_matrix=((0.0, 300.0), (500.0, 0.0)),
    amounts=(Amount(truth=1, predicted=0, column="distance", otherwise=400.0),),
    reject=120.0,
)
"""What a missed case costs stands in the row, and what costs much either way is left to people."""
OWN_CLASSES = msgspec.structs.replace(
    decision("multiclass"),
    amounts=tuple(
        Amount(truth=truth, predicted=predicted, column="distance", otherwise=9.0)
        for truth, predicted in permutations(range(3), 2)
    ),
    reject=3.0,
)


@pytest.mark.parametrize(
    "loaded",
    [
        *SCORERS.values(),
        scorer(replaced={"decision.json": msgspec.json.encode(OWN)}),
        scorer("multiclass", {"decision.json": msgspec.json.encode(OWN_CLASSES)}),
    ],
)
@settings(max_examples=40)
@given(rows=st.lists(row_strategy, min_size=1, max_size=8), times=st.sampled_from([1, 3, 70]))
def test_the_hot_path_gives_a_row_the_same_answer_alone_among_few_and_among_many(
    loaded: Scorer, rows: list[dict[str, Any]], times: int
) -> None:
    reader = BodyReader(loaded.program)
    made = [loaded.prepare(reader.mapping(row, number)) for number, row in enumerate(rows)]
    alone = [loaded.answer([encoded], [amounts]) for encoded, amounts in made]
    together, scores = loaded.answer([encoded for encoded, _ in made] * times, [amounts for _, amounts in made] * times)
    assert together == [answer for answers, _ in alone for answer in answers] * times
    assert together[: len(rows)] == loaded.predict(rows)
    assert scores == [score for _, found in alone for score in found] * times


def test_a_binary_answer_has_probability_decision_and_version() -> None:
    (answer,) = SCORERS["binary"].predict([ROW])
    assert (answer.model, answer.version) == ("delays", 4)
    assert answer.probability is not None
    assert 0 <= answer.probability <= 1
    assert answer.decision is (answer.probability >= 0.0625)
    assert answer.probabilities is None
    assert answer.value is None


def test_a_multiclass_answer_names_every_class() -> None:
    (answer,) = SCORERS["multiclass"].predict([ROW])
    assert answer.probabilities is not None
    assert list(answer.probabilities) == ["early", "on time", "late"]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.decision in answer.probabilities


def test_a_regression_answers_with_a_value() -> None:
    (answer,) = SCORERS["regression"].predict([ROW])
    assert answer.value is not None
    assert (answer.probability, answer.decision) == (None, None)


def test_the_hot_path_gives_what_predict_gives() -> None:
    loaded = SCORERS["binary"]
    features = loaded.row_to_features(ROW)
    assert len(features) == 4 * len(OUTPUTS)
    assert loaded.score_features(features) == loaded.predict([ROW, ROW])[1].probability


def test_the_columns_form_gives_the_same_bits() -> None:
    rows = [ROW, {**ROW, "carrier": None, "distance": None}, {**ROW, "seats": 0, "carrier": "never seen", "vip": None}]
    loaded = SCORERS["binary"]
    columns = pl.DataFrame(
        {
            "carrier": ["UA", None, "never seen"],
            "distance": [1400.5, None, 1400.5],
            "seats": [120, 120, 0],
            "vip": [True, True, None],
            "log_mile": [math.log(1401.5), None, math.log(1401.5)],
            "late": [True, True, True],
            "route": ["UA-X", None, "never seen-X"],
            "per_seat": [1400.5 / 120, None, None],
        }
    )
    X = encode_columns(loaded.encoder, columns)
    assert X.tobytes() == b"".join(loaded.row_to_features(row) for row in rows)
    assert loaded.score_matrix(X).tolist() == [p.probability for p in loaded.predict(rows)]
    assert loaded.decisions(loaded.score_matrix(X)) == [p.decision for p in loaded.predict(rows)]


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_null_is_allowed_everywhere(column: str) -> None:
    SCORERS["binary"].predict([{**ROW, column: None}])
    SCORERS["binary"].predict([dict.fromkeys(ROW)])


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_a_missing_column_is_named_with_its_row(column: str) -> None:
    short = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(ColumnMissing, match=rf"rows\[1\].*{column!r}"):
        SCORERS["binary"].predict([ROW, short])


def test_a_column_that_can_be_derived_need_not_be_sent() -> None:
    raw = {k: v for k, v in ROW.items() if k != "due"} | {"hour_at": "2013-01-01T23:00:00Z", "minute_of": 15}
    assert SCORERS["binary"].predict([raw]) == SCORERS["binary"].predict([ROW])
    partly = {name: value for name, value in raw.items() if name != "minute_of"}
    with pytest.raises(ColumnMissing, match="hour_at, minute_of"):
        SCORERS["binary"].predict([partly])


def test_what_is_sent_wins_over_what_can_be_derived() -> None:
    both = {**ROW, "hour_at": "1999-01-01T00:00:00Z", "minute_of": 0}
    assert SCORERS["binary"].predict([both]) == SCORERS["binary"].predict([ROW])


def test_an_unknown_column_is_an_error_with_a_near_miss_unless_ignored() -> None:
    loaded = SCORERS["binary"]
    wrong = {**ROW, "distanse": 3}
    with pytest.raises(ColumnUnknown, match=r"rows\[0\].*'distanse'.*did you mean 'distance'"):
        loaded.predict([wrong])
    with pytest.raises(ColumnUnknown) as far:
        loaded.predict([{**ROW, "zzzz": 3}])
    assert far.value.facts["near"] is None
    assert loaded.predict([wrong], extra="ignore") == loaded.predict([ROW])
    with pytest.raises(ColumnUnknown):  # what was ignored once is still refused without the word
        loaded.predict([wrong])


def test_key_columns_may_come_along() -> None:
    assert SCORERS["binary"].predict([{**ROW, "flight": object()}]) == SCORERS["binary"].predict([ROW])


def test_other_columns_of_the_source_may_come_along() -> None:
    loaded = scorer(replaced={"contract.json": b'{"types":{"arr_delay":"float"},"source":{}}'})
    assert loaded.predict([{**ROW, "arr_delay": "anything"}]) == loaded.predict([ROW])
    with pytest.raises(ColumnUnknown):
        loaded.predict([{**ROW, "arr_delays": 1}])


@pytest.mark.parametrize(
    ("column", "value", "expected", "found"),
    [
        ("distance", "1400", "a number", "text"),
        ("distance", True, "a number", "a boolean"),
        ("seats", 3.5, "an integer", "a number"),
        ("seats", 2**64, "an integer within 64 bits", "a larger one"),
        ("vip", 1, "true or false", "an integer"),
        ("carrier", 7, "text", "an integer"),
        ("carrier", "secret\ud800", "text", "lone surrogate"),
        ("due", "next week", "a timestamp", "other text"),
        ("due", ["secret"], "a timestamp", "a list"),
    ],
)
def test_a_value_of_another_type_is_named_without_the_value(
    column: str, value: object, expected: str, found: str
) -> None:
    with pytest.raises(
        ValueRefused, match=rf"rows\[1\], column {column!r}: expected {expected}.*found .*{found}"
    ) as error:
        SCORERS["binary"].predict([ROW, {**ROW, column: value}])
    assert "secret" not in str(error.value)
    assert "next week" not in str(error.value)


def test_an_unseen_category_counts_as_rare() -> None:
    answers = SCORERS["binary"].predict([{**ROW, "carrier": name} for name in ("ZZ", "never heard of", "")])
    assert len({answer.probability for answer in answers}) == 1
    features = np.frombuffer(SCORERS["binary"].row_to_features({**ROW, "carrier": "ZZ"}), np.float32)
    assert features[0] == 3.0


def frame(columns: dict[str, list[object]]) -> pl.DataFrame:
    return pl.DataFrame(columns, schema_overrides={"due": pl.Datetime("us", "UTC")})


ROWS = [
    {**ROW, "due": dt.datetime(2013, 1, 1, 23, 15, tzinfo=dt.UTC)},
    dict.fromkeys(ROW),
    {**ROW, "seats": None, "due": dt.datetime(2013, 6, 1, tzinfo=dt.UTC), "carrier": "DL"},
]
TABLE = frame({name: [row[name] for row in ROWS] for name in ROW})


def test_frames_are_rows() -> None:
    expected = SCORERS["binary"].predict(ROWS)
    assert SCORERS["binary"].predict(TABLE) == expected
    # pandas holds the integers with a hole as floats, the texts and times with NaN and NaT
    pandas = pd.DataFrame({name: [row[name] for row in ROWS] for name in ROW})
    assert SCORERS["binary"].predict(pandas) == expected
    assert SCORERS["binary"].predict(tuple(ROWS)) == expected
    assert SCORERS["binary"].predict(TABLE.clear()) == []
    assert SCORERS["binary"].predict([]) == []


@pytest.mark.parametrize("rows", [ROW, "rows", b"rows", 7, [ROW, 3], [[1, 2]], TABLE.lazy(), None])
def test_what_is_no_table_is_refused(rows: object) -> None:
    with pytest.raises(RowsRefused):
        SCORERS["binary"].predict(rows)


def test_reasons_say_what_setting_a_feature_to_its_typical_value_changes() -> None:
    loaded = SCORERS["regression"]
    (answer,) = loaded.predict([ROW], reasons=3)
    assert 0 < len(answer.reasons) <= 3
    sizes = [abs(reason.effect) for reason in answer.reasons]
    assert sizes == sorted(sizes, reverse=True)
    for reason in answer.reasons:
        place = OUTPUTS.index(reason.feature)
        changed = np.frombuffer(loaded.row_to_features(ROW), np.float32).copy()
        changed[place] = loaded.encoder.columns[place].typical
        assert answer.value is not None
        assert reason.effect == answer.value - loaded.score_features(changed.tobytes())
    assert all(reason.value == ROW[reason.feature] for reason in answer.reasons if reason.feature in ROW)


def test_a_feature_at_its_typical_value_is_no_reason() -> None:
    typical = {"carrier": "AA", "distance": 800.0, "seats": 150, "vip": False, "due": ROW["due"]}
    (answer,) = SCORERS["regression"].predict([typical], reasons=len(OUTPUTS))
    assert not {"carrier", "distance", "seats", "vip"} & {reason.feature for reason in answer.reasons}


def test_multiclass_reasons_are_about_the_decided_class() -> None:
    loaded = SCORERS["multiclass"]
    (answer,) = loaded.predict([ROW], reasons=1)
    (reason,) = answer.reasons
    changed = np.frombuffer(loaded.row_to_features(ROW), np.float32).copy()
    place = OUTPUTS.index(reason.feature)
    changed[place] = loaded.encoder.columns[place].typical
    assert answer.probabilities is not None
    decided = list(answer.probabilities).index(str(answer.decision))
    after = loaded.score_matrix(changed.reshape(1, -1))[0, decided]
    assert reason.effect == list(answer.probabilities.values())[decided] - after


def test_predictions_are_json() -> None:
    answers = SCORERS["multiclass"].predict(ROWS, reasons=3)
    assert len(msgspec.json.decode(msgspec.json.encode(answers))) == 3


def with_lookup() -> bytes:
    lookup = LookupStep(name="plane", source="planes", key=(("carrier", "code"),), take=(("built", Type.INTEGER),))
    return msgspec.json.encode(msgspec.structs.replace(program(), steps=(*program().steps, lookup)))


def test_a_program_with_lookups_needs_history_for_rows_but_not_for_a_matrix() -> None:
    loaded = scorer(replaced={"program.json": with_lookup()})
    with pytest.raises(HistoryMissing, match="plane"):
        loaded.predict([ROW])
    with pytest.raises(HistoryMissing):
        loaded.row_to_features(ROW)
    assert loaded.score_matrix(np.zeros((2, len(OUTPUTS)), np.float32)).shape == (2,)


def test_history_is_asked_at_the_earlier_of_the_rows_time_and_now() -> None:
    asked: list[tuple[int, tuple[object, ...], int | None]] = []

    class Past:
        def reader(self, steps: Sequence[int]) -> ReadRow:
            def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
                asked.extend((step, tuple(key), t_us) for step, key in zip(steps, keys, strict=True))
                return [1999] * len(steps)

            return read

    loaded = Scorer(
        draft_package("delays", "binary", package_files(replaced={"program.json": with_lookup()})), None, Past()
    )
    due = 1_357_082_100_000_000
    loaded.predict([ROW])
    loaded.predict([ROW], now_us=due - 1)
    loaded.predict([{**ROW, "due": None}], now_us=5)
    assert asked == [(4, ("UA",), due), (4, ("UA",), due - 1), (4, ("UA",), 5)]


@pytest.mark.parametrize(("task", "outputs"), [("regression", 1), ("multiclass", 3)])
def test_an_answer_that_is_no_number_is_an_error(task: Task, outputs: int) -> None:
    from onnx import helper

    constants = {"w": np.full((len(OUTPUTS), outputs), 3e38, np.float32)}
    data = onnx_bytes([helper.make_node("MatMul", ["x", "w"], ["y"])], constants, width=len(OUTPUTS))
    loaded = scorer(task, {"model.onnx": data})
    with pytest.raises(ScoreNotFinite, match=r"rows\[0\]"):
        loaded.predict([ROW])
    small = {"carrier": "AA", "distance": 0.0, "seats": 1, "vip": False, "due": "2013-01-01T02:00:00Z"}
    with pytest.raises(ScoreNotFinite, match=r"rows\[1\]"):
        loaded.predict([small, ROW])
    reader = BodyReader(loaded.program)
    good, bad = (loaded.prepare(reader.mapping(row, 0))[0] for row in (small, ROW))
    for place in (0, 1, 3, 200):  # alone, among few, and among many
        with pytest.raises(ScoreNotFinite, match=rf"rows\[{place}\]"):
            loaded.answer([good] * place + [bad], [()] * (place + 1))


def changed(part: Any, **changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(part, **changes))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("program.json", b"{}"),
        ("program.json", changed(program(), format=2)),
        ("program.json", msgspec.json.encode({**msgspec.to_builtins(program()), "code": "print()"})),
        ("program.json", changed(program(), outputs=program().outputs[:-1])),
        ("encoder.json", changed(encoder(), columns=encoder().columns[::-1])),
        ("encoder.json", changed(encoder(), format=2)),
        ("decision.json", changed(decision("multiclass"))),
        ("decision.json", b'{"task":"ranking"}'),
        ("model.onnx", forest(3, trees=1, depth=1)),
        ("model.onnx", forest(len(OUTPUTS), trees=1, depth=1, outputs=2)),
    ],
)
def test_files_that_do_not_fit_together_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(PackageUnreadable):
        scorer(replaced={name: data})


def test_a_program_that_calls_an_unknown_function_is_refused() -> None:
    text = msgspec.json.encode(program()).replace(b'"function":"ln"', b'"function":"system"')
    assert b"system" in text
    with pytest.raises(PackageUnreadable, match=r"program\.json"):
        scorer(replaced={"program.json": text})


def test_scoring_loads_no_table_engine_and_no_training_library() -> None:
    probe = (
        "import sys\n"
        "from headrace.scoring.scorer import Scorer\n"
        "from headrace.scoring.package import read_package\n"
        "import headrace.scoring.graph, headrace.governance.signing\n"
        "heavy = {'polars', 'sklearn', 'sqlalchemy', 'pandas', 'lightgbm', 'onnx', 'narwhals', 'scipy', 'deltalake',"
        " 'sqlglot', 'headrace.training'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
