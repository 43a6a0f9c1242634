"""The corrected resampled t-test against its formula, and where it has nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from headrace.training.comparing import p_worse


def test_it_is_the_paired_t_test_with_a_larger_variance() -> None:
    rng = np.random.default_rng(0)
    best, other = rng.normal(0.8, 0.02, 10), rng.normal(0.79, 0.02, 10)
    plain = ttest_rel(best, other, alternative="greater")
    corrected = p_worse(best.tolist(), other.tolist())
    assert corrected is not None
    assert corrected > plain.pvalue
    from scipy.stats import t

    factor = np.sqrt((1 / 10) / (1 / 10 + 1 / 9))
    assert corrected == pytest.approx(t.sf(plain.statistic * factor, 9))


def test_it_says_nothing_of_one_fold_and_all_of_constant_gaps() -> None:
    assert p_worse([0.5], [0.4]) is None
    assert p_worse([0.5, 0.6], [0.4]) is None
    assert p_worse([0.5, 0.75], [0.25, 0.5]) == 0.0
    assert p_worse([0.25, 0.5], [0.5, 0.75]) == 1.0


@pytest.mark.parametrize("unit", [1e-13, 1e-9, 1e12])
def test_the_unit_of_the_scores_is_nothing_to_it(unit: float) -> None:
    best, other = np.array([0.80, 0.82, 0.81, 0.79, 0.83]), np.array([0.70, 0.75, 0.70, 0.71, 0.72])
    assert p_worse(best * unit, other * unit) == pytest.approx(p_worse(best, other))  # type: ignore[arg-type]
    assert p_worse(best * unit, np.nextafter(best, 1.0) * unit) == 0.5, "rounding is no difference"  # type: ignore[arg-type]


def test_of_equal_candidates_few_are_called_worse() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        scores = 0.8 + 0.01 * rng.normal(size=(2, 5))
        found.append(p_worse(scores[0].tolist(), scores[1].tolist()))
    called = np.mean([p is not None and p < 0.05 for p in found])
    assert called < 0.05
