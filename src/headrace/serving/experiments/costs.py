"""What one answer's decision cost, once the truth is known: by `[costs]`, else as an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import NamedTuple

from headrace.definition.model import Costs, Task


class Told(NamedTuple):
    """A logged answer and its truth, as the tables have them."""

    outcome: str
    """JSON text of the truth: `true`, `0.5`, `"late"`."""
    decision: str | None
    """JSON text of what was decided."""
    review: bool
    """Whether it was left to people."""
    score: float | None
    """The probability or the value."""
    own: tuple[object, ...] = ()
    """The row's own amounts, in the order of `[costs]`."""


CostOf = Callable[[Told], float | None]
"""None: it cannot be told, so the answer counts as one whose outcome has not come."""


def pricing(task: Task, costs: Costs | None) -> CostOf:
    """The cost of an answer of this task.

    Without costs of the task a wrong class costs 1, and a value its absolute error.

    Examples
    --------
    >>> cost = pricing("binary", Costs(false_positive=2.0, false_negative=10.0))
    >>> cost(Told("true", "false", False, 0.1)), cost(Told("false", "true", False, 0.9))
    (10.0, 2.0)
    >>> pricing("regression", Costs(over=1.0, under=3.0))(Told("10", None, False, 8.0))
    6.0
    """
    if task == "regression":
        return _of_values(costs)
    fixed = {f"{truth}>{answer}": cost for truth, answer, cost in (costs.matrix if costs is not None else ())}
    amounts: dict[str, int] = {}
    if costs is not None:
        columns = list(dict.fromkeys(column for _, column in costs.amounts))
        amounts = {key: columns.index(column) for key, column in costs.amounts}
        pairs = (("false_positive", costs.false_positive), ("false_negative", costs.false_negative))
        fixed |= {key: cost for key, cost in pairs if cost is not None}
    reject = None if costs is None else costs.reject
    is_binary = task == "binary"

    def cost(told: Told) -> float | None:
        if told.review and reject is not None:
            return reject
        truth, answer = _read(told.outcome), _read(told.decision)
        if is_binary:
            truth = _as_bool(truth)
            answer = _as_bool(answer) if answer is not None else None if told.score is None else told.score >= 0.5
        if truth is None or answer is None:
            return None
        if truth == answer:
            return 0.0
        key = ("false_positive" if answer else "false_negative") if is_binary else f"{truth}>{answer}"
        return _wrong(key, fixed, amounts, told.own)

    return cost


def _wrong(key: str, fixed: Mapping[str, float], amounts: Mapping[str, int], own: tuple[object, ...]) -> float | None:
    """What a wrong class costs: the row's own amount, a price, nothing where others have a price, else 1."""
    place = amounts.get(key)
    if place is not None:
        amount = own[place] if place < len(own) else None
        return float(amount) if isinstance(amount, int | float) and amount >= 0.0 and isfinite(amount) else None
    return fixed.get(key, 0.0 if fixed or amounts else 1.0)


def _of_values(costs: Costs | None) -> CostOf:
    over, under = (1.0, 1.0) if costs is None else (costs.over, costs.under)
    if over is None and under is None:
        over = under = 1.0

    def cost(told: Told) -> float | None:
        truth = _read(told.outcome)
        if told.score is None or isinstance(truth, bool) or not isinstance(truth, int | float):
            return None
        error = told.score - truth
        return error * (over or 0.0) if error > 0.0 else -error * (under or 0.0)

    return cost


def _read(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _as_bool(value: object) -> bool | None:
    return bool(value) if value in (True, False) else None
