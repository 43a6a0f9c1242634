"""What `headrace show` says of a finished run's result."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.cli.result import print_result
from headrace.cli.run import next_commands

RESULT: dict[str, Any] = {
    "run": "20260101-000000-abcdef",
    "model": "loans",
    "version": 3,
    "aliases": ["champion"],
    "family": "linear",
    "reason": "Least total cost of 2 candidates.",
    "metrics": {f"metric_{number}": number / 10 for number in range(8)},
    "cost_per_million": {"errors": 900.0, "serving": 2.5, "training": 1.25, "total": 903.75},
    "serving": {"by_request": 0.5, "by_batch": 0.125},
    "sensitivity": [
        {"key": "false_positive", "factor": 0.5, "trial": 1, "regret": 0.0, "stays": True},
        {"key": "false_positive", "factor": 2.0, "trial": 4, "regret": 120.0, "stays": False},
    ],
    "currency": "EUR",
    "verdicts": [{"topic": "skill", "level": "look", "says": "Not shown to be better than guessing."}],
    "holdout_looks": 2,
    "stages_computed": 6,
    "wall_s": 12.0,
    "cost_usd": 0.5,
    "pages": {"run": "/somewhere/version-3.html"},
    "split": {"by": "group", "column": "customer", "why": "rows of one customer are alike"},
    "proposed_features": {"tried": 3, "kept": ["logarithms"]},
}


def test_the_result_reads_like_the_end_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(RESULT)
    said = capsys.readouterr().out
    for line in (
        "loans@3 (champion): Least total cost of 2 candidates.",
        "  metric 5                   0.5000",
        "and 2 more",
        "  cost a million predictions 903.75 EUR   (errors 900.00 EUR, serving 2.50 EUR, training 1.25 EUR)",
        "by the request",
        "  if false_positive is 0.5 times the choice stays; 0.00 EUR a million lost",
        "  if false_positive is 2 times trial 4 would be chosen; 120.00 EUR a million lost",
        "  split                      by group, customer: rows of one customer are alike",
        "  proposed features          1 of 3 pay: logarithms",
        "  pages                      /somewhere/version-3.html",
        "! skill                      Not shown to be better than guessing.",
    ):
        assert line in said, line
    assert "metric 6" not in said
    assert "{" not in said, "nothing is left as the record has it"


def test_a_run_that_made_no_version_says_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"rows": 12})
    assert "  rows                       12" in capsys.readouterr().out


def test_what_comes_next_depends_on_whether_the_version_is_the_champion() -> None:
    assert next_commands("loans@1", ("champion",))[1].startswith("headrace predict loans@champion ")
    assert next_commands("loans@2", ("challenger",)) == (
        "headrace models compare loans@champion loans@2",
        "headrace models promote loans@2",
        "headrace show last",
    )
