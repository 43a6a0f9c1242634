"""Two versions side by side."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.registry.model import ComparedFile, ComparedNumber, Comparison, Version
from headrace.registry.summary import Summary
from headrace.scoring.model import Manifest


def compare_versions(a: Version, b: Version, manifest_a: Manifest, manifest_b: Manifest) -> Comparison:
    """The numbers of their summaries, and which files differ.

    A number that one of the two lacks is None there, and then neither is better.
    """
    first, second = (msgspec.convert(version.summary, Summary) for version in (a, b))
    metrics_a, metrics_b = ({metric.name: metric for metric in summary.metrics} for summary in (first, second))
    costs_a, costs_b = (_costs(summary) for summary in (first, second))
    digests_a, digests_b = ({entry.name: entry.sha256 for entry in each.files} for each in (manifest_a, manifest_b))
    return Comparison(
        a=a,
        b=b,
        metrics=tuple(
            _number(
                name,
                metrics_a[name].value if name in metrics_a else None,
                metrics_b[name].value if name in metrics_b else None,
                higher_is_better=(metrics_a.get(name) or metrics_b[name]).higher_is_better,
            )
            for name in dict.fromkeys((*metrics_a, *metrics_b))
        ),
        costs=tuple(
            _number(name, costs_a.get(name), costs_b.get(name), higher_is_better=False)
            for name in dict.fromkeys((*costs_a, *costs_b))
        ),
        files=tuple(
            ComparedFile(name=name, same=digests_a.get(name) == digests_b.get(name))
            for name in sorted(digests_a | digests_b)
        ),
    )


def _number(name: str, a: float | None, b: float | None, *, higher_is_better: bool) -> ComparedNumber:
    better: Literal["a", "b"] | None = None
    if a is not None and b is not None and a != b:
        better = "a" if (a > b) == higher_is_better else "b"
    return ComparedNumber(name=name, a=a, b=b, better=better)


def _costs(summary: Summary) -> dict[str, float]:
    """Each kind of cost with its currency in its name: two currencies are never set against each other."""
    if summary.cost_per_million is None:
        return {}
    costs = {**summary.costs, "total": summary.cost_per_million}
    return {f"{kind} ({summary.currency} per million predictions)": value for kind, value in costs.items()}
