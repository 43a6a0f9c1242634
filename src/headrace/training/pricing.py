"""What errors cost on given rows: amounts of the rows' own, how many rows can be acted on, and costs supposed wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Costs, Task
from headrace.features.encodings.numbers import as_float
from headrace.language.types import Type
from headrace.scoring.decision import Decider
from headrace.scoring.model import Amount, Decision
from headrace.training.data import Examples
from headrace.training.errors import AmountUnusable, CapacityWithoutRate, CostsOfAnotherTask, UnknownClass

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Matrix = tuple[tuple[float, ...], ...]

BINARY: Final[Mapping[str, tuple[int, int]]] = {"false_positive": (0, 1), "false_negative": (1, 0)}
"""Key of [costs] → (truth, decision)."""
_DAY_US: Final = 86_400_000_000
_MONTH_DAYS: Final = 365.25 / 12
DEFAULT_VOLUME: Final = 1_000_000.0
"""Predictions a month when [costs] has no volume."""


def predictions_until_trained_anew(costs: Costs | None) -> float:
    """How many the next model makes: of `retrain`, or of a month."""
    volume = (costs.volume_per_month if costs is not None else None) or DEFAULT_VOLUME
    months = 1.0 if costs is None or costs.retrain_us is None else costs.retrain_us / (_DAY_US * _MONTH_DAYS)
    return volume * months


@dataclass(frozen=True, slots=True)
class Pricing:
    """What of [costs] the rows themselves say."""

    columns: Mapping[str, Floats] = field(default_factory=dict)
    """Column → each row's amount, NaN for null."""
    share: float | None = None
    """The share of rows that can be acted on; None: all."""

    def at(self, rows: NDArray[np.intp]) -> Pricing:
        """The rows at these positions."""
        return Pricing({name: values[rows] for name, values in self.columns.items()}, self.share)

    def of(self, decision: Decision) -> tuple[Floats, ...]:
        """The amounts as a `Decider` of it takes them."""
        return tuple(self.columns[name] for name in Decider(decision).columns)


def pricing_of(examples: Examples, costs: Costs | None) -> Pricing:
    """What the rows say of the costs.

    Raises
    ------
    CostsOfAnotherTask : errors of another task have a price.
    AmountUnusable : amounts in a column that is no input of the model, and so is not known when a decision is asked
    for, or that holds no numbers.
    CapacityWithoutRate : a capacity, but neither a volume nor a time that says how many rows a day there are.
    """
    if costs is None:
        return Pricing()
    if (priced := _task_of(costs)) != examples.task:
        raise CostsOfAnotherTask(priced=priced, task=examples.task)
    types = {output.name: output.type for output in examples.outputs}
    for key, column in costs.amounts:
        found = types.get(column)
        if found not in (Type.INTEGER, Type.DECIMAL, Type.FLOAT):
            raise AmountUnusable(key, column, found=None if found is None else str(found), inputs=list(types))
    names = dict.fromkeys(column for _, column in costs.amounts)
    return Pricing({name: amounts_in(examples.rows, name) for name in names}, _share(examples, costs))


def _task_of(costs: Costs) -> Task:
    """The task whose errors they price: the definition lets them be of one kind."""
    if costs.over is not None or costs.under is not None:
        return "regression"
    return "multiclass" if costs.matrix or any(">" in key for key, _ in costs.amounts) else "binary"


def amounts_in(rows: pl.DataFrame, column: str) -> Floats:
    """A column of amounts, NaN for null."""
    return as_float(rows[column]).fill_null(float("nan")).to_numpy()


def _share(examples: Examples, costs: Costs) -> float | None:
    """How many rows can be acted on of those that a day brings: of the volume, else of the training rows a day."""
    if costs.capacity_per_day is None:
        return None
    if costs.volume_per_month is not None:
        return min(costs.capacity_per_day * _MONTH_DAYS / costs.volume_per_month, 1.0)
    times = examples.time_us
    span = 0 if times is None or not len(times) else int(times.max() - times.min())
    if span <= 0:
        raise CapacityWithoutRate
    return min(costs.capacity_per_day * span / _DAY_US / len(examples), 1.0)


def is_priced(task: Task, costs: Costs) -> bool:
    """Whether any error of the task has a price, its own or the rows' own."""
    own = {key for key, _ in costs.amounts}
    if task == "multiclass":
        return bool(costs.matrix or own - set(BINARY))
    keys = BINARY if task == "binary" else ("over", "under")
    return any(key in own or getattr(costs, key) is not None for key in keys)


def cost_matrix(task: Task, classes: tuple[str, ...], costs: Costs | None) -> Matrix:
    """cost[truth][predicted]; pairs that are not listed cost nothing, and so do here those that rows say themselves.

    Empty without costs of the task.
    """
    if costs is None or task == "regression":
        return ()
    if task == "binary":
        return ((0.0, costs.false_positive or 0.0), (costs.false_negative or 0.0, 0.0))
    if not costs.matrix and not costs.amounts:
        return ()
    table = [[0.0] * len(classes) for _ in classes]
    for truth, predicted, cost in costs.matrix:
        place = _place(f"{truth}>{predicted}", task, classes)
        table[place[0]][place[1]] = cost
    return tuple(map(tuple, table))


def row_amounts(
    task: Task,
    classes: tuple[str, ...],
    costs: Costs,
    pricing: Pricing,
    factors: Mapping[str, float] | None = None,
) -> tuple[Amount, ...]:
    """The costs that rows say themselves, with what counts where they do not."""
    made = []
    for key, column in costs.amounts:
        truth, predicted = _place(key, task, classes)
        values = pricing.columns[column]
        right = values[(values >= 0.0) & (values < np.inf)]
        factor = 1.0 if factors is None else factors.get(key, 1.0)
        mean = float(right.mean()) if len(right) else 0.0
        made.append(Amount(truth=truth, predicted=predicted, column=column, otherwise=mean * factor, factor=factor))
    return tuple(made)


def _place(key: str, task: Task, classes: tuple[str, ...]) -> tuple[int, int]:
    if task == "binary":
        return BINARY[key]
    code = {name: place for place, name in enumerate(classes)}
    names = key.split(">", 1)
    for name in names:
        if name not in code:
            raise UnknownClass(name, classes=classes)
    return code[names[0]], code[names[1]]


def cost_keys(task: Task, costs: Costs) -> tuple[str, ...]:
    """The costs of the task that may be wrong, by key."""
    if task == "binary":
        return tuple(BINARY)
    if task == "regression":
        return tuple(key for key in ("over", "under") if getattr(costs, key) is not None)
    return tuple(dict.fromkeys([*(f"{a}>{b}" for a, b, _ in costs.matrix), *(key for key, _ in costs.amounts)]))


def scaled(costs: Costs, key: str, factor: float) -> Costs:
    """The costs with one that every row has alike multiplied; those that rows say themselves are scaled by factors."""
    if getattr(costs, key, None) is not None:
        return msgspec.structs.replace(costs, **{key: getattr(costs, key) * factor})
    matrix = tuple((a, b, cost * factor if f"{a}>{b}" == key else cost) for a, b, cost in costs.matrix)
    return msgspec.structs.replace(costs, matrix=matrix)


def capped(benefit: Floats, share: float, least: float) -> float:
    """From which benefit on to act so that no more than the share of these rows is acted on, but not below `least`.

    Halfway between two benefits; rows that tie at the limit are all left out, so that it is never exceeded.
    """
    most = int(np.floor(share * len(benefit)))
    ordered = np.sort(benefit)[::-1]
    if most >= len(ordered) or ordered[most] < least:
        return least
    above = ordered[ordered > ordered[most]]
    if not len(above):
        return float(np.nextafter(ordered[0], np.inf))
    return float(max((above[-1] + ordered[most]) / 2, np.nextafter(ordered[most], np.inf)))


def row_costs(
    y: NDArray[Any],
    answer: Floats,
    decision: Decision,
    costs: Costs | None,
    pricing: Pricing | None = None,
    *,
    actual: Decision | None = None,
) -> Floats | None:
    """What each row's error costs; None when errors of this task are not priced.

    Parameters
    ----------
    decision : what is decided by; rows that it leaves to people cost its `reject`
    pricing : of these rows, where they have amounts
    actual : whose costs are the true ones, where they are not those that the decision believes in; `costs` are true
    """
    if costs is None:
        return None
    if decision.task == "regression":
        if costs.over is None and costs.under is None:
            return None
        error = answer - y
        each: Floats = (costs.over or 0.0) * np.maximum(error, 0.0) + (costs.under or 0.0) * np.maximum(-error, 0.0)
        return each
    amounts = () if pricing is None else pricing.of(decision)
    decided = decisions(answer, decision, amounts)
    true = actual or decision
    if true.cost_matrix:
        each = Decider(true).costs(y, decided, amounts)
    elif decision.task == "multiclass":
        return None
    else:
        fp, fn = costs.false_positive or 0.0, costs.false_negative or 0.0
        each = fp * ((decided == 1) & (y == 0)) + fn * ((decided == 0) & (y == 1))
    if decision.reject is not None:
        each = np.where(Decider(decision).reviews(answer, amounts), decision.reject, each)
    return each


def mean_cost(
    y: NDArray[Any],
    answer: Floats,
    decision: Decision,
    costs: Costs | None,
    pricing: Pricing | None = None,
    *,
    actual: Decision | None = None,
) -> float | None:
    """Mean cost of one prediction's error; parameters as of `row_costs`."""
    each = row_costs(y, answer, decision, costs, pricing, actual=actual)
    return None if each is None else float(each.mean())


def decisions(answer: Floats, decision: Decision, amounts: tuple[Floats, ...] = ()) -> NDArray[np.int64]:
    """What is decided on calibrated probabilities: 0 and 1, or class codes; also of rows that are left to people."""
    decider = Decider(decision)
    if decision.task == "multiclass":
        return decider.choices(answer, amounts).astype(np.int64)
    acted = decider.positives(answer, amounts)
    return (answer >= 0.5 if acted is None else acted).astype(np.int64)
