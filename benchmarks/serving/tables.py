"""The tables of `benchmarks.serving`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.harness import table
from benchmarks.serving.client import BATCHES, SINGLE
from benchmarks.serving.contenders import CONTENDERS, TOOLS, version
from benchmarks.serving.servers import Trouble

Found = Mapping[str, Mapping[str, Any] | Trouble]
"""Name of a contender → its figures, or why there are none."""
CONNECTIONS: Final = (16, 64)


def measured(found: Found) -> dict[str, Mapping[str, Any]]:
    """Those that have figures."""
    return {name: one for name, one in found.items() if not isinstance(one, Trouble)}


def report(found: Found, about: Mapping[str, Any], sklearn_trees: int, batch: int) -> str:
    """Every contender, and how many times the best of the tools ours is."""
    figures = measured(found)
    limit, ours = figures.get("limit"), figures.get("headrace")
    headings = [
        "server", "rows/s, 16 conn.", "64 conn.", "of the limit", "headrace ×, 16 / 64", "p50 / p99 µs, 16",
        "CPU µs/row, 64", f"requests/s of {batch} rows",
        f"wrong of {SINGLE} / of {BATCHES * batch:,} together", "PSS MB", "ready s, first / again",
    ]  # fmt: skip
    lines = []
    for name, one in found.items():
        title = CONTENDERS[name].title
        if isinstance(one, Trouble):
            lines.append((title, f"not measured: {one}", *("–" for _ in headings[2:])))
            continue
        rates = [f"rate {connections}" for connections in CONNECTIONS]
        lines.append(
            (
                title,
                *(f"{one[rate]:,.0f}" for rate in rates),
                "" if limit is None else " / ".join(f"{one[rate] / limit[rate]:.3f}" for rate in rates),
                "" if ours is None else " / ".join(f"{ours[rate] / one[rate]:.1f}" for rate in rates),
                f"{one['p50_us 16']:,.0f} / {one['p99_us 16']:,.0f}",
                f"{one['cpu_us 64']:,.1f}",
                f"{one['many']:,.0f}" if "many" in one else "–",
                f"{one['wrong']} / {one['wrong_many']}" if "wrong" in one else "–",
                f"{one['pss_mb']:,.0f}",
                f"{one['first_s']:.2f} / {one['ready_s']:.2f}",
            )
        )
    text = (
        f"{about['trees']} trees ({about['nodes']:,} nodes) on {about['columns']} columns; scikit-learn peers share "
        f"{sklearn_trees} of their own. Server on core 0, wrk on core 1. Ours with keys, limits, metrics, sticky "
        "assignment and every answer in the log before it leaves (`process`). Wrong answers: of rows asked one by one, "
        "and of rows of a request together.\n\n" + table(headings, lines)
    )
    return text if ours is None else f"{text}\n\n{best(figures)}".rstrip()


def best(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """How many times what the best of the tools answers ours is."""
    tools = [name for name in figures if CONTENDERS[name].tool]
    if not tools:
        return ""
    documented = [name for name in tools if CONTENDERS[name].documented]
    forms = [("in a form that their documents describe", documented)]
    if documented != tools:  # else nothing was measured that could be better than those
        forms.append(("in any form that was measured", tools))
    said = []
    for which, names in forms:
        told = []
        for connections in CONNECTIONS:
            rate = f"rate {connections}"
            if names:
                first = max(names, key=lambda name: float(figures[name][rate]))
                times = figures["headrace"][rate] / figures[first][rate]
                told.append(f"{CONTENDERS[first].title} at {connections} connections (headrace × {times:.1f})")
        if told:
            said.append(f"{which} {' and '.join(told)}")
    there = dict.fromkeys(CONTENDERS[name].tool for name in tools)
    versions = ", ".join(f"{TOOLS[tool]} {version(tool)}" for tool in there)
    return f"Of {versions}, the most rows a second: {'; '.join(said)}."


def report_many(found: Found, alone: Mapping[str, float], batch: int) -> str:
    """What a request of many rows costs beside the model."""
    lines = [
        ("the graph alone, in process", f"{alone['graph_us']:,.0f}", f"{alone['graph_us'] / alone['predict_us']:.2f}"),
        ("`predict` of the rows, in process", f"{alone['predict_us']:,.0f}", "1.00"),
        *(
            (CONTENDERS[name].title, f"{one['many_cpu_us']:,.0f}", f"{one['many_cpu_us'] / alone['predict_us']:.2f}")
            for name, one in measured(found).items()
            if "many_cpu_us" in one
        ),
    ]
    headings = [f"{batch} rows a request", "processor µs", "of predict"]
    return f"A request of {batch} rows, 16 connections, and the model alone with the same rows:\n\n" + table(
        headings, lines
    )
