"""Several questions at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.experiments.holm import holm

P = st.lists(st.floats(0, 1), max_size=12)


@given(P)
def test_adjusted_values_keep_the_order_and_never_fall_below_the_plain_ones(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(plain <= made <= 1.0 for plain, made in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(order))


@given(P)
def test_the_questions_answered_yes_are_those_of_the_step_down_procedure(values: list[float]) -> None:
    rejected = set()
    for place, i in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        if (len(values) - place) * values[i] > 0.05:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(values)) if p <= 0.05} == rejected


def test_of_twenty_true_sentences_one_or_more_is_denied_in_one_run_of_twenty() -> None:
    """4,000 runs; without the correction in two of three."""
    values = np.random.default_rng(1).random((4_000, 20))
    assert np.mean([min(holm(run)) <= 0.05 for run in values.tolist()]) < 0.06
    assert np.mean(values.min(axis=1) <= 0.05) > 0.6
