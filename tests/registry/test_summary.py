"""What lists and comparisons show of a version."""

from __future__ import annotations

import msgspec
from tests.registry.test_card import choice, evaluation

from headrace.registry.summary import Summary, version_summary


def test_a_summary_has_the_first_metric_the_costs_and_reads_back() -> None:
    plain = version_summary(evaluation(), choice())
    assert (plain["metric"], plain["value"], plain["low"], plain["high"]) == ("average_precision", 0.41, 0.4, 0.42)
    assert plain["cost_per_million"] == sum(plain["costs"].values())
    assert plain["family"] == "lightgbm"
    read = msgspec.convert(msgspec.json.decode(msgspec.json.encode(plain)), Summary)
    assert read.metrics == evaluation().metrics


def test_without_costs_there_is_no_price() -> None:
    candidate = msgspec.structs.replace(choice().candidates[0], money=None)
    plain = version_summary(evaluation(), msgspec.structs.replace(choice(), candidates=(candidate,)))
    assert plain["cost_per_million"] is None
    assert plain["costs"] == {}
