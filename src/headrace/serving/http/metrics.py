"""Counters in the text format of Prometheus, as a scrape finds them.

Names end in their unit; buckets are cumulative. One worker tells of all, by what the supervisor last said.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.serving.messages import ArmCounts, Ping
from headrace.serving.model import LATENCY_EDGES_US

_US: float = 1e-6


def metrics_text(ping: Ping) -> bytes:
    """The page."""
    return ("\n".join(_lines(ping)) + "\n").encode()


def _lines(ping: Ping) -> Iterator[str]:
    yield from _counter("headrace_predictions_total", "Rows answered", ping.totals, lambda c: c.counts.rows)
    yield from _counter(
        "headrace_prediction_failures_total",
        "Rows that an arm could not answer",
        ping.totals,
        lambda c: c.counts.failed,
    )
    yield from _counter(
        "headrace_prediction_fallbacks_total",
        "Rows that another version answered in its place",
        ping.totals,
        lambda c: c.counts.fell_back,
    )
    yield from _counter(
        "headrace_shadow_rows_skipped_total",
        "Rows that a shadow was not asked for, as there was no time",
        ping.totals,
        lambda c: c.counts.skipped,
    )
    yield from _counter(
        "headrace_prediction_compute_seconds_total",
        "What an arm itself took for its rows",
        ping.totals,
        lambda c: f"{c.counts.row_sum_us * _US:.6f}",
    )
    name = "headrace_prediction_seconds"
    yield f"# HELP {name} From a whole request to its answer"
    yield f"# TYPE {name} histogram"
    for arm in ping.totals:
        if not any(arm.counts.latency_us):
            continue  # a shadow, whose requests are its arm's
        labels, reached = _labels(arm), 0
        for edge, count in zip((*LATENCY_EDGES_US, None), arm.counts.latency_us, strict=False):
            reached += count
            yield f'{name}_bucket{{{labels},le="{"+Inf" if edge is None else f"{edge * _US:g}"}"}} {reached}'
        yield f"{name}_sum{{{labels}}} {arm.counts.latency_sum_us * _US:.6f}"
        yield f"{name}_count{{{labels}}} {reached}"
    name = "headrace_requests_refused_total"
    yield f"# HELP {name} Requests that were answered with an error, by status"
    yield f"# TYPE {name} counter"
    for status, count in sorted(ping.statuses.items()):
        if status >= 400:
            yield f'{name}{{status="{status}"}} {count}'
    yield "# HELP headrace_workers Workers that live"
    yield "# TYPE headrace_workers gauge"
    yield f"headrace_workers {ping.workers}"


def _counter(name: str, says: str, arms: tuple[ArmCounts, ...], of: object) -> Iterator[str]:
    assert callable(of), "a function of an arm's counts"
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} counter"
    for arm in arms:
        yield f"{name}{{{_labels(arm)}}} {of(arm)}"


def _labels(arm: ArmCounts) -> str:
    return f'deployment="{arm.deployment}",arm="{arm.arm}"'
