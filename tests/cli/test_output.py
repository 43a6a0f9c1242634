"""Values as the terminal shows them."""

from __future__ import annotations

import pytest

from headrace.cli.output import figure, things


@pytest.mark.parametrize(("n", "told"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (330_712, "330,712 files")])
def test_one_thing_is_told_as_one(n: int, told: str) -> None:
    assert things(n, "file") == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.97671, "0.9767"),
        (0.0, "0.0000"),
        (-12.5, "-12.5000"),
        (0.00002, "2e-05"),
        (-0.00012346, "-0.0001235"),
        (999_999.5, "999999.5000"),
        (16_120_810_831.4, "16,120,810,831"),
        (-1.00498558415e20, "-1.005e+20"),
        (float("nan"), "nan"),
    ],
)
def test_a_figure_keeps_its_digits_at_any_size(value: float, told: str) -> None:
    assert figure(value) == told


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("entity", "2 entities"),
        ("day", "2 days"),
        ("answer is", "2 answers are"),
        ("prediction comes", "2 predictions come"),
    ],
)
def test_the_verb_and_the_ending_follow_the_number(one: str, several: str) -> None:
    assert things(1, one) == f"1 {one}"
    assert things(2, one) == several
