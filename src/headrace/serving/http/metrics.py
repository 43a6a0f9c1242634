"""Counters in the text format of Prometheus, as a scrape finds them.

Names end in their unit; buckets are cumulative. One worker tells of all, by what the supervisor last said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.serving.batch.counts import EDGES_S, OUTCOMES, BatchCounts, BatchProcess, FormatCounts
from headrace.serving.batch.messages import MEDIA_TYPES
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
    yield f"# HELP {name} From a whole request, or slice of a batch, to its answer"
    yield f"# TYPE {name} histogram"
    for arm in ping.totals:
        if any(arm.counts.latency_us):  # else a shadow, whose requests are its arm's
            edges = [edge * _US for edge in LATENCY_EDGES_US]
            yield from _buckets(name, _labels(arm), edges, arm.counts.latency_us, arm.counts.latency_sum_us * _US)
    name = "headrace_requests_refused_total"
    yield f"# HELP {name} Requests that were answered with an error, by status"
    yield f"# TYPE {name} counter"
    for status, count in sorted(ping.statuses.items()):
        if status >= 400:
            yield f'{name}{{status="{status}"}} {count}'
    yield "# HELP headrace_workers Workers that live"
    yield "# TYPE headrace_workers gauge"
    yield f"headrace_workers {ping.workers}"
    if ping.handshakes is not None:
        name = "headrace_tls_handshakes_total"
        yield f"# HELP {name} TLS handshakes that came to an end, by outcome"
        yield f"# TYPE {name} counter"
        for ended, count in ping.handshakes.items():
            yield f'{name}{{outcome="{ended}"}} {count}'
    if ping.batch_process is not None:
        yield from _batches(ping.batches, ping.batch_process)


def _batches(counts: BatchCounts, process: BatchProcess) -> Iterator[str]:
    """Those of a server that answers batches. A format of which none has come is told with zeros: a rate is of two."""
    formats = {name: counts.formats.get(name, FormatCounts()) for name in MEDIA_TYPES}
    name = "headrace_batches_total"
    yield f"# HELP {name} Batches that came to an end, by format and outcome"
    yield f"# TYPE {name} counter"
    for format_, of in formats.items():
        for outcome in OUTCOMES:
            yield f'{name}{{format="{format_}",outcome="{outcome}"}} {of.outcomes.get(outcome, 0)}'
    name = "headrace_batches_refused_total"
    yield f"# HELP {name} Batches that were answered with an error, by its code"
    yield f"# TYPE {name} counter"
    for reason, count in sorted(counts.reasons.items()):
        yield f'{name}{{reason="{reason}"}} {count}'
    name = "headrace_batch_rows_total"
    yield f"# HELP {name} Rows of batches that were answered"
    yield f"# TYPE {name} counter"
    for format_, of in formats.items():
        yield f'{name}{{format="{format_}"}} {of.rows}'
    name = "headrace_batch_seconds"
    yield f"# HELP {name} From a whole batch to its answer"
    yield f"# TYPE {name} histogram"
    for format_, of in formats.items():
        took = of.took or (0,) * (len(EDGES_S) + 1)
        yield from _buckets(name, f'format="{format_}"', EDGES_S, took, of.took_sum_s)
    name = "headrace_batch_process_up"
    yield f"# HELP {name} Whether the process that reads batches answers"
    yield f"# TYPE {name} gauge"
    yield f"{name} {int(process.answers)}"
    name = "headrace_batch_process_restarts_total"
    yield f"# HELP {name} Times that the process that reads batches was lost and begun again"
    yield f"# TYPE {name} counter"
    yield f"{name} {process.restarts}"


def _buckets(name: str, labels: str, edges: Sequence[float], counts: Sequence[int], total: float) -> Iterator[str]:
    """A histogram of one set of labels: `counts` has one place more than `edges`."""
    reached = 0
    for edge, count in zip((*edges, None), counts, strict=True):
        reached += count
        yield f'{name}_bucket{{{labels},le="{"+Inf" if edge is None else f"{edge:g}"}"}} {reached}'
    yield f"{name}_sum{{{labels}}} {total:.6f}"
    yield f"{name}_count{{{labels}}} {reached}"


def _counter(name: str, says: str, arms: tuple[ArmCounts, ...], of: object) -> Iterator[str]:
    assert callable(of), "a function of an arm's counts"
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} counter"
    for arm in arms:
        yield f"{name}{{{_labels(arm)}}} {of(arm)}"


def _labels(arm: ArmCounts) -> str:
    return f'deployment="{arm.deployment}",arm="{arm.arm}"'
