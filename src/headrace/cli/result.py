"""What a finished run recorded of its result, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.cli.output import count, figure, money, near, print_line, print_table, seconds, things
from headrace.cli.run import verdict_lines

MOST_METRICS = 6
_SAID = ("aliases", "currency", "family", "model", "reason", "run", "version")
"""Keys that have no line of their own."""


def print_result(result: Mapping[str, Any]) -> None:
    """The version, its metrics and money, whether to believe it, and whatever else is known."""
    told = dict(result)
    print_line()
    if "version" in told:
        aliases = ", ".join(told.get("aliases") or ())
        print_line(f"{told['model']}@{told['version']}{f' ({aliases})' if aliases else ''}: {told.get('reason', '')}")
    currency = told.get("currency", "USD")
    metrics = told.pop("metrics", None) or {}
    for name, value in list(metrics.items())[:MOST_METRICS]:
        _line(name.replace("_", " "), figure(value))
    if len(metrics) > MOST_METRICS:
        _line("", f"and {len(metrics) - MOST_METRICS} more: the page has them, and headrace models show")
    cost = told.pop("cost_per_million", None)
    if cost is not None:
        parts = ", ".join(f"{part} {money(cost[part], currency)}" for part in ("errors", "serving", "training"))
        _line("cost a million predictions", f"{money(cost['total'], currency)}   ({parts})")
    serving = told.pop("serving", None) or {}
    if None not in (serving.get("by_request"), serving.get("by_batch")):
        prices = f"{money(serving['by_request'])} by the request, {money(serving['by_batch'])} in batches"
        _line("serving a million", prices)
    for one in told.pop("sensitivity", None) or ():
        _line(f"if {one['key']} is {one['factor']:g} times", _supposed(one, currency))
    verdicts, nested = told.pop("verdicts", None), told.pop("nested", None)
    pages = told.pop("pages", None) or {}
    if "wall_s" in told:
        spent = money(told.pop("cost_usd", 0.0))
        stages = things(told.pop("stages_computed", 0), "stage")
        told["this run"] = f"{seconds(told.pop('wall_s'))}, {spent}, {stages} computed"
    if "split" in told:
        split = told["split"]
        told["split"] = f"by {', '.join(filter(None, (split['by'], split['column'])))}: {split['why']}"
    if "proposed_features" in told:
        proposed = told["proposed_features"]
        kept = ", ".join(proposed["kept"])
        told["proposed_features"] = f"{len(proposed['kept'])} of {proposed['tried']} pay{': ' * bool(kept)}{kept}"
    for name, value in told.items():
        if name not in _SAID:
            _line(name.replace("_", " "), value)
    if pages:
        _line("pages", ", ".join(near(Path(page)) for page in pages.values()))
    if isinstance(nested, dict):
        _print_nested(nested)
    if isinstance(verdicts, list) and verdicts:
        print_line("can it be believed:")
        for line in verdict_lines(verdicts):
            print_line(line)


def _print_nested(nested: Mapping[str, Any]) -> None:
    """What search and choice gave without each part of the training rows."""
    metric = str(nested["metric"]).replace("_", " ")
    print_line(f"nested validation, {nested['budget']} a part:")
    print_table(
        ["part", "learnt", "asked", "chosen", f"{metric} out of fold", f"{metric} found", "error cost", ""],
        [
            [
                str(number),
                count(one["learnt"]),
                count(one["asked"]),
                one["family"],
                *("" if one[name] is None else f"{one[name]:.4g}" for name in ("promised", "found", "error_cost")),
                one["note"],
            ]
            for number, one in enumerate(nested["parts"], 1)
        ],
    )


def _line(name: str, value: object) -> None:
    print_line(f"  {name:<26} {value}")


def _supposed(one: Mapping[str, Any], currency: str) -> str:
    """What would be lost if a cost were in truth another."""
    lost = f"{money(one['regret'], currency)} a million lost"
    return f"the choice stays; {lost}" if one["stays"] else f"trial {one['trial']} would be chosen; {lost}"
