"""Columns that nothing can be learnt from are left out, said, and still taken."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from tests.training.samples import MemoryRecorder, StepClock, make_examples

from headrace.data.model import Field
from headrace.definition.model import Budget, Encoding, Split, Training
from headrace.features.encoder import encode_columns, row_encoder
from headrace.language.types import Type
from headrace.scoring.graph import Graph
from headrace.training.data import Examples
from headrace.training.fit import fit_chosen
from headrace.training.guards import unused_inputs
from headrace.training.search import search
from headrace.training.verdicts import inputs

N = 240


def of(columns: dict[str, tuple[Type, pl.Series]]) -> Examples:
    """Examples with these columns."""
    rows = pl.DataFrame({name: series for name, (_, series) in columns.items()})
    fields = tuple(Field(name=name, type=type_) for name, (type_, _) in columns.items())
    return dataclasses.replace(make_examples(N), outputs=fields, rows=rows)


def numbers(seed: int) -> pl.Series:
    return pl.Series(np.random.default_rng(seed).integers(0, 50, N).astype(float))


def many() -> Examples:
    a, b = numbers(0), numbers(1)
    with_gaps = a.to_frame("a").select(pl.when(pl.col("a") > 9).then(pl.col("a"))).to_series()
    texts = pl.Series([f"t{n:.0f}" for n in b.to_list()])
    return of(
        {
            "a": (Type.FLOAT, a),
            "never": (Type.FLOAT, pl.Series([None] * N, dtype=pl.Float64)),
            "nan": (Type.FLOAT, pl.Series([float("nan")] * N)),
            "whole": (Type.INTEGER, a.cast(pl.Int64)),
            "b": (Type.FLOAT, b),
            "one": (Type.INTEGER, pl.Series([7] * N)),
            "zero": (Type.FLOAT, pl.Series([0.0, -0.0] * (N // 2))),
            "gaps": (Type.FLOAT, with_gaps),
            "here": (Type.FLOAT, pl.Series([None, 1.0] * (N // 2))),
            "far": (Type.INTEGER, pl.Series([10**15 + n % 2 for n in range(N)])),
            "text": (Type.CATEGORY, texts),
            "again": (Type.STRING, texts),
            "same": (Type.STRING, texts),
            "word": (Type.STRING, pl.Series(["x"] * N)),
            "silent": (Type.STRING, pl.Series([None] * N, dtype=pl.String)),
        }
    )


def test_what_is_missing_constant_or_there_before_is_left_out_with_what_was_seen() -> None:
    found = {each.name: (each.why, each.of) for each in unused_inputs(many())}
    assert found == {
        "never": ("missing", ""),
        "nan": ("missing", ""),
        "whole": ("repeats", "a"),
        "one": ("constant", ""),
        "zero": ("constant", ""),
        "far": ("constant", ""),
        "same": ("repeats", "again"),
        "word": ("constant", ""),
        "silent": ("missing", ""),
    }
    assert {each.rows for each in unused_inputs(many())} == {N}


def test_twins_that_are_encoded_differently_are_two_inputs_and_exact_values_count_where_levels_do() -> None:
    said = [
        Encoding(name="whole", kinds=("frequency",)),
        Encoding(name="far", kinds=("frequency",)),
        Encoding(name="same", kinds=("target",)),
    ]
    found = {each.name for each in unused_inputs(many(), said)}
    assert not found & {"whole", "far", "same"}
    twins = [Encoding(name="again", kinds=("target",)), Encoding(name="same", kinds=("target",))]
    assert "same" in {each.name for each in unused_inputs(many(), twins)}


def test_where_no_column_varies_the_first_stays() -> None:
    flat = of({"p": (Type.INTEGER, pl.Series([1] * N)), "q": (Type.STRING, pl.Series(["x"] * N))})
    assert [each.name for each in unused_inputs(flat)] == ["q"]


def test_a_model_takes_every_column_and_answers_without_those_that_were_left_out() -> None:
    examples = make_examples(300)
    training = Training(families=("lightgbm",), budget=Budget(trials=1), threads=1)
    split, said = Split(by="random", folds=2), [Encoding(name="count", group="same", take=("difference",))]
    recorder = MemoryRecorder()
    result = search(examples, training, split, None, recorder=recorder, clock=StepClock(0.001), encodings=said)
    assert [(each.name, each.why) for each in result.left_out] == [("empty", "missing"), ("same", "constant")]
    fitted = fit_chosen(examples, result.trials[0], training, split, said, trials=result.trials, fetch=recorder.fetch)
    assert fitted.encoder.inputs == examples.outputs
    assert not {column.source for column in fitted.encoder.columns} & {"empty", "same"}
    graph = Graph(fitted.onnx)
    assert graph.width == len(fitted.encoder.columns)
    X = encode_columns(fitted.encoder, examples.rows)
    encode = row_encoder(fitted.encoder)
    for row, encoded in zip(examples.rows.head(20).iter_rows(), X, strict=False):
        assert encode(row) == encoded.tobytes()
    other = examples.rows.with_columns(empty=pl.Series(np.arange(300.0)))
    np.testing.assert_array_equal(encode_columns(fitted.encoder, other), X)


def test_the_verdict_names_a_few_and_counts_the_others() -> None:
    verdict = inputs(unused_inputs(many()))
    assert verdict is not None
    assert verdict.level == "look"
    assert verdict.says == (
        "9 columns are left out of training: never is missing in all 240 training rows; nan is missing in all 240 "
        "training rows; whole equals a in all 240; one has one value in all 240; and 5 more. Requests carry them as "
        "before; the model does not look at them."
    )
    assert inputs(()) is None


def test_numbers_that_differ_beyond_the_digits_of_a_model_are_said_to_do_so() -> None:
    assert {each.name for each in unused_inputs(many()) if each.rounded} == {"far"}
    ids = pl.Series([(n % 7 + 1) * 10**15 for n in range(N)])
    close = of({"id": (Type.INTEGER, ids), "next": (Type.INTEGER, ids + 1), "alike": (Type.INTEGER, ids)})
    found = unused_inputs(close)
    assert [(each.name, each.why, each.rounded) for each in found] == [
        ("next", "repeats", True),
        ("alike", "repeats", False),
    ]
    verdict = inputs(found)
    assert verdict is not None
    assert "next equals id in all 240 to the seven digits that a model sees" in verdict.says
    assert "alike equals id in all 240." in verdict.says
