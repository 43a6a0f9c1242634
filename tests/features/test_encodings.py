"""Encodings: what they learn, that rows do not see their own labels, and that a row alone gives a batch's bits."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.features.small import table

from headrace.data.model import Field
from headrace.definition.model import Encoding
from headrace.features.encoder import encode_columns, encode_training, row_encoder
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.encodings.groups import spread_of
from headrace.features.encodings.targets import Labels, Parts, Past
from headrace.features.encodings.text import bucket_counts, buckets_of
from headrace.features.model import Encoder, Frequency, TargetMean
from headrace.language.types import Type

TYPES = {"dest": Type.CATEGORY, "flight": Type.INTEGER, "note": Type.STRING, "miles": Type.FLOAT, "open": Type.BOOLEAN}
FIELDS = [Field(name=name, type=type_) for name, type_ in TYPES.items()]
ENCODINGS = (
    Encoding(name="dest", kinds=("codes", "frequency", "target"), smoothing=3.0, min_rows=2),
    Encoding(name="flight", kinds=("number", "codes", "frequency", "target"), smoothing=0.0),
    Encoding(name="note", kinds=("codes", "statistics", "hashed", "target"), buckets=5, ngrams=(1, 2)),
    Encoding(name="miles", group="dest", take=("mean", "std", "difference", "zscore")),
)
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["a", "b", "", "Late, LATE again_1!", "e\u0301 É", "😀 ok 😀", "\U0010ffff", "x y", "É É"]),
    st.text(max_size=12),
)
rows_of = st.lists(
    st.fixed_dictionaries(
        {
            "dest": st.one_of(st.sampled_from([None, "a", "b"]), st.text(max_size=2)),
            "flight": st.one_of(st.sampled_from([None, 1, -1]), st.integers(-(2**63), 2**63 - 1)),
            "note": TEXTS,
            "miles": st.one_of(st.none(), st.sampled_from([-0.0, 5e-324, 1.7e308, -1.7e308]), st.floats()),
            "open": st.one_of(st.none(), st.booleans()),
        }
    ),
    min_size=1,
    max_size=20,
)
SPECIAL = [
    {"dest": None, "flight": None, "note": None, "miles": None},
    {"dest": "a", "flight": 2**53 + 1, "note": "😀", "miles": math.inf},
    {"dest": "a", "flight": 1, "note": "a b", "miles": -math.inf},
    {"dest": "b", "flight": 1, "note": "", "miles": math.nan},
]


def labels_for(n: int, kind: str, *, parts: int = 3) -> Labels:
    rng = np.random.default_rng(n)
    apart = Parts(rng.integers(0, parts, n))
    if kind == "regression":
        return Labels(rng.normal(size=n) * 10.0 ** float(rng.integers(-5, 5)), (), apart)
    if kind == "multiclass":
        return Labels(rng.integers(0, 3, n), ("x", "y", "z"), apart)
    return Labels(rng.integers(0, 2, n), (), apart)


def fitted(rows: list[dict[str, Any]], labels: Labels, encodings: Sequence[Encoding] = ENCODINGS) -> Encoder:
    encoder = fit_encoder(FIELDS, table(TYPES, rows), encodings, labels)
    return msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder)


def floats(row: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(row) // 4}f", row))


@settings(max_examples=200, deadline=None)
@given(rows_of, rows_of, st.sampled_from(["binary", "regression", "multiclass"]))
@example(SPECIAL, SPECIAL, "binary")
@example(SPECIAL[:1], SPECIAL, "regression")
def test_a_row_alone_and_in_a_batch_are_equal_to_the_bit(
    learnt: list[dict[str, Any]], rows: list[dict[str, Any]], kind: str
) -> None:
    encoder = fitted(learnt, labels_for(len(learnt), kind))
    matrix = encode_columns(encoder, table(TYPES, rows))
    encode = row_encoder(encoder)
    assert matrix.shape == (len(rows), len(encoder.columns))
    assert not np.isinf(matrix).any()
    assert [encode([row.get(name) for name in TYPES]) for row in rows] == [line.tobytes() for line in matrix]


@settings(max_examples=50, deadline=None)
@given(rows_of, st.randoms(use_true_random=False), st.sampled_from(["binary", "regression", "multiclass"]))
def test_the_order_of_training_rows_changes_nothing(rows: list[dict[str, Any]], random: Any, kind: str) -> None:
    labels = labels_for(len(rows), kind)
    order = list(range(len(rows)))
    random.shuffle(order)
    assert isinstance(labels.apart, Parts)
    moved = Labels(labels.y[order], labels.classes, Parts(labels.apart.number[order]))
    shuffled = [rows[place] for place in order]
    encoder = fitted(rows, labels)
    assert fitted(shuffled, moved) == encoder
    one = encode_training(encoder, table(TYPES, rows), labels)
    other = encode_training(encoder, table(TYPES, shuffled), moved)
    assert other.tobytes() == one[order].tobytes()


def test_inputs_are_named_after_what_they_are_made_from() -> None:
    rows = [{"dest": "a", "flight": 1, "note": "n", "miles": 2.0, "open": True}] * 3
    names = [column.name for column in fitted(rows, labels_for(3, "binary")).columns]
    assert names == [
        *(
            "dest",
            "dest_frequency",
            "dest_target",
            "flight",
            "flight_code",
            "flight_frequency",
            "flight_target",
            "note",
        ),
        *("note_length", "note_words", "note_digits", "note_capitals", "note_punctuation"),
        *(f"note_hash_{bucket}" for bucket in range(5)),
        *("note_target", "miles", "miles_by_dest_mean", "miles_by_dest_std"),
        *("miles_by_dest_difference", "miles_by_dest_zscore", "open"),
    ]
    several = fitted(rows, labels_for(3, "multiclass"), ENCODINGS[:1])
    assert [column.name for column in several.columns][:5] == [
        *("dest", "dest_frequency", "dest_target_x", "dest_target_y", "dest_target_z")
    ]


def test_an_encoder_without_encodings_is_saved_as_the_first_release_read_it() -> None:
    encoder = fit_encoder(FIELDS[:1], pl.DataFrame({"dest": ["a"]}))
    saved = msgspec.json.decode(msgspec.json.encode(encoder))
    old = {
        "format": 1,
        "columns": [
            {"name": "dest", "type": "category", "encoding": {"kind": "category", "levels": ["a"]}, "typical": 0.0}
        ],
    }
    assert msgspec.convert(old, type=Encoder) == encoder
    assert saved["takes"] == []


def column_of(name: str, values: Sequence[Any], encoding: Encoding, labels: Labels | None = None) -> Encoder:
    field = next(field for field in FIELDS if field.name == name)
    return fit_encoder([field], table({name: field.type}, [{name: value} for value in values]), [encoding], labels)


def target(values: Sequence[Any], y: Sequence[float], **said: Any) -> TargetMean:
    labels = Labels(np.array(y), (), Parts(np.zeros(len(y), np.intp)))
    encoding = column_of("dest", values, Encoding(name="dest", kinds=("target",), **said), labels).columns[0].encoding
    assert isinstance(encoding, TargetMean)
    return encoding


def test_a_level_is_drawn_to_the_overall_mean_by_the_smoothing() -> None:
    found = target(["a", "a", "a", "b", None], [1, 1, 0, 0, 1], smoothing=2.0)
    assert found.levels == ("a", "b")
    overall = 3 / 5
    assert found.values == ((2 + 2 * overall) / 5, (0 + 2 * overall) / 3)
    assert (found.missing, found.other) == ((1 + 2 * overall) / 3, overall)


def test_rare_levels_share_what_they_have_together() -> None:
    found = target(["a", "a", "b", "c", "d"], [0, 0, 1, 1, 0], smoothing=0.0, min_rows=2)
    assert (found.levels, found.values, found.other) == (("a",), (0.0,), 2 / 3)


def test_labels_of_any_size_are_averaged_exactly() -> None:
    y = [1e300, 1.0, -1e300, 3.0]
    found = target(["a", "a", "a", "a"], y, smoothing=0.0)
    scale = 52 - math.frexp(1e300)[1]
    assert found.values == (0.0,), f"at a scale of 2**{scale} the ones are below half a step"
    rng = np.random.default_rng(0)
    y = rng.normal(size=4001).tolist()
    (value,) = target(["a"] * 4001, y, smoothing=0.0).values
    assert math.isclose(value, sum(map(Fraction, y)) / 4001, rel_tol=1e-13)


def test_frequencies_are_shares_of_all_rows_and_null_has_one() -> None:
    encoder = column_of("dest", ["a", "a", "b", None], Encoding(name="dest", kinds=("frequency",), min_rows=2))
    assert encoder.columns[0].encoding == Frequency(levels=("a",), values=(0.5,), missing=0.25)
    encode = row_encoder(encoder)
    assert [floats(encode([level])) for level in ("a", "b", "new", None)] == [[0.5], [0.0], [0.0], [0.25]]


def test_rare_levels_have_the_code_of_unseen_ones() -> None:
    encoder = column_of("dest", ["a", "a", "b", "b", "c"], Encoding(name="dest", kinds=("codes",), min_rows=2))
    encode = row_encoder(encoder)
    assert [floats(encode([level])) for level in ("a", "b", "c", "new")] == [[0.0], [1.0], [2.0], [2.0]]


def test_a_number_is_compared_with_its_group() -> None:
    rows: list[dict[str, Any]] = [
        {"dest": "a", "miles": 1.0},
        {"dest": "a", "miles": 3.0},
        {"dest": "b", "miles": 7.0},
        {"dest": "b"},
    ]
    rows += [{"dest": None, "miles": 100.0}, {"dest": None, "miles": 102.0}, {"dest": "a", "miles": math.inf}]
    fields = [FIELDS[0], FIELDS[3]]
    types = {field.name: field.type for field in fields}
    encoder = fit_encoder(fields, table(types, rows), ENCODINGS[3:])
    asked: list[dict[str, Any]] = [
        {"dest": "a", "miles": 4.0},
        {"dest": "b", "miles": 4.0},
        {"dest": None, "miles": 4.0},
    ]
    got = encode_columns(encoder, table(types, asked))[:, 2:]
    root = math.sqrt(2)
    wanted = [[2.0, root, 2.0, 2.0 / root], [7.0, math.nan, -3.0, math.nan], [101.0, root, -97.0, -97.0 / root]]
    np.testing.assert_array_equal(got, np.array(wanted, np.float32))
    overall = spread_of(np.array([1.0, 3.0, 7.0, 100.0, 102.0]))
    unseen = encode_columns(encoder, table(types, [{"dest": "new", "miles": 4.0}]))[0, 2:4]
    np.testing.assert_array_equal(unseen, np.array(overall, np.float32))


@pytest.mark.parametrize("values", [[1e6 - 1, 1e6 + 1] * 50, [1.7e308, -1.7e308], [5e-324, 0.0], [3.0]])
def test_spreads_are_right_to_the_last_digits(values: list[float]) -> None:
    found = spread_of(np.array(values))
    exact = list(map(Fraction, values))
    mean = sum(exact, Fraction(0)) / len(exact)
    assert math.isclose(found.mean, mean, rel_tol=1e-15, abs_tol=5e-324)
    if len(values) == 1:
        assert math.isnan(found.std)
        return
    variance = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1)
    if math.isfinite(found.std):
        error = abs(Fraction(found.std) ** 2 - variance)
        assert error <= variance * Fraction(1, 10**10) + Fraction(5e-324) ** 2


def test_texts_are_counted() -> None:
    encoder = column_of("note", ["x"], Encoding(name="note", kinds=("statistics",)))
    text = "Flight UA-12: späť, 😀 snow_2!"
    assert floats(row_encoder(encoder)([text])) == [len(text), 6.0, 3.0, 3.0, 5.0]


def test_pieces_of_a_text_fall_into_stable_buckets() -> None:
    assert buckets_of("late late LATE", 64, (1,)) == [buckets_of("late", 64, (1,))[0]] * 3
    assert buckets_of("no gate free", 1024, (1, 2)) == [873, 68, 547, 455, 131], "stored packages rest on them"
    assert buckets_of("ÉTÉ", 1024, (1,)) != buckets_of("été", 1024, (1,)), "only A-Z are lowered"
    assert len(buckets_of("a b c d", 8, (3,))) == 2
    counts = np.zeros((3, 8), np.float32)
    bucket_counts(pl.Series(["a b a", None, ""]), 8, (1,), counts)
    assert counts[0].sum() == 3
    assert np.isnan(counts[1]).all()
    assert not counts[2].any()


def keys_without_meaning(n: int, levels: int) -> tuple[list[str], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return [f"k{k}" for k in rng.integers(0, levels, n)], rng.integers(0, 2, n)


def auc(y: NDArray[np.int64], score: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, score))


@pytest.mark.parametrize("kind", ["parts", "past"])
def test_target_encoding_does_not_tell_training_rows_their_own_labels(kind: str) -> None:
    n = 20_000
    values, y = keys_without_meaning(n, levels=8_000)
    rows = table({"dest": Type.CATEGORY}, [{"dest": value} for value in values])
    train, fresh = rows[: n // 2], rows[n // 2 :]
    half = n // 2
    time = np.arange(half)
    apart = Parts(np.random.default_rng(2).integers(0, 5, half)) if kind == "parts" else Past(time, time + 50)
    labels = Labels(y[:half], (), apart)
    encoder = fit_encoder(FIELDS[:1], train, [Encoding(name="dest", kinds=("target",), smoothing=1.0)], labels)
    naive = auc(y[:half], encode_columns(encoder, train)[:, 0])
    apart_auc = auc(y[:half], encode_training(encoder, train, labels)[:, 0])
    fresh_auc = auc(y[half:], encode_columns(encoder, fresh)[:, 0])
    assert naive > 0.8, "made of its own rows, the encoding tells their labels"
    assert abs(apart_auc - 0.5) < 0.02
    assert abs(fresh_auc - 0.5) < 0.02


def by_hand(
    values: Sequence[str | None], y: NDArray[Any], may_use: NDArray[np.bool_], smoothing: float
) -> NDArray[np.float64]:
    """Row by row, with whole fractions: `may_use[i, j]` says whether row i learns from row j."""
    overall = float(y.mean())
    made = []
    for place, value in enumerate(values):
        used = [float(y[j]) for j in range(len(y)) if may_use[place, j] and values[j] == value]
        weight = len(used) + smoothing
        made.append((sum(used) + smoothing * overall) / weight if weight else overall)
    return np.array(made)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 6), st.integers(0, 3), st.booleans())))
def test_a_row_in_time_learns_from_labels_known_before_it_was_asked_for(
    events: list[tuple[str | None, int, int, bool]],
) -> None:
    if not events:
        return
    values = [event[0] for event in events]
    asked = np.array([event[1] for event in events])
    known = asked + np.array([event[2] for event in events])
    y = np.array([int(event[3]) for event in events])
    labels = Labels(y, (), Past(asked, known))
    rows = table({"dest": Type.CATEGORY}, [{"dest": value} for value in values])
    encoder = fit_encoder(FIELDS[:1], rows, [Encoding(name="dest", kinds=("target",), smoothing=1.5)], labels)
    got = encode_training(encoder, rows, labels)[:, 0]
    wanted = by_hand(values, y, known[None, :] < asked[:, None], 1.5)
    np.testing.assert_array_equal(got, wanted.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 2), st.booleans()), min_size=1))
def test_a_row_in_a_part_learns_from_the_other_parts(events: list[tuple[str | None, int, bool]]) -> None:
    values, part, y = (list(each) for each in zip(*events, strict=True))
    labels = Labels(np.array(y, np.int64), (), Parts(np.array(part)))
    rows = table({"dest": Type.CATEGORY}, [{"dest": value} for value in values])
    encoder = fit_encoder(FIELDS[:1], rows, [Encoding(name="dest", kinds=("target",), smoothing=0.0)], labels)
    got = encode_training(encoder, rows, labels)[:, 0]
    parts = np.array(part)
    wanted = by_hand(values, labels.y, parts[None, :] != parts[:, None], 0.0)
    np.testing.assert_array_equal(got, wanted.astype(np.float32))
