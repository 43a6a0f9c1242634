"""What can go wrong while candidates are searched, compared and measured."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import CheckFailed, WrongUse


class TargetUnusable(CheckFailed):
    """The label cannot be trained on: one value only, NaN or infinite values, no rows."""

    code = "target-unusable"

    def __init__(self, found: str, *, expected: str, fix: str, **facts: object) -> None:
        super().__init__(f"the label of the training rows is {found}; expected {expected}", fix=fix, **facts)


class FoldsImpossible(CheckFailed):
    """The training rows cannot be divided into even one usable fold."""

    code = "folds-impossible"

    def __init__(self, why: str, *, by: str, folds: int, rows: int) -> None:
        super().__init__(
            f'no usable fold of {rows} training rows under [split] by = "{by}", folds = {folds}: {why}',
            fix="give more rows, lower [split] folds, split by another rule, or name another [training] metric",
            by=by,
            folds=folds,
            rows=rows,
        )


class GroupColumnMissing(WrongUse):
    """`[split] group` names a column that the frame does not carry."""

    code = "group-column-missing"

    def __init__(self, column: str | None, *, columns: Sequence[str]) -> None:
        found = "no column is named" if column is None else f"{column!r} is not a column of the frame"
        super().__init__(
            f'[split] by = "group" divides rows by a column, but {found}; the frame has {", ".join(columns)}',
            fix="set [split] group to a key column or a feature",
            column=column,
            columns=list(columns),
        )


class SegmentColumnMissing(WrongUse):
    """`[evaluation]` names a column that the frame does not carry."""

    code = "segment-column-missing"

    def __init__(self, column: str, *, columns: Sequence[str]) -> None:
        super().__init__(
            f"[evaluation] names {column!r}, which is no column of the frame; it has {', '.join(columns)}",
            fix="name an input of the model or a key column in segments and fairness",
            column=column,
            columns=list(columns),
        )


class NoNewGroup(CheckFailed):
    """Under a time split with a group, nothing in the holdout is new."""

    code = "no-new-group"

    def __init__(self, group: str, *, rows: int) -> None:
        super().__init__(
            f'[split] by = "time" with group = "{group}" asks about rows of groups that were not learnt from, and all '
            f"{rows:,} rows of the holdout are of groups that come before it too",
            fix="take `group` out where the model will meet the same groups again, or set a larger [split] holdout",
            group=group,
            rows=rows,
        )


class UnknownMetric(WrongUse):
    """`[training] metric` is not a metric of this task."""

    code = "unknown-metric"

    def __init__(self, metric: str, *, task: str, known: Sequence[str]) -> None:
        super().__init__(
            f"[training] metric = {metric!r} is not a metric of a {task} task; there are {', '.join(known)}",
            fix="name one of them, or leave metric out",
            metric=metric,
            task=task,
            known=list(known),
        )


class UnknownFamily(WrongUse):
    """`[training] families` names a family that is not there, or that does not do this task."""

    code = "unknown-family"

    def __init__(self, family: str, *, known: Sequence[str]) -> None:
        super().__init__(
            f"[training] families has {family!r}; the families are {', '.join(known)}",
            fix="correct the name in [training] families",
            family=family,
            known=list(known),
        )


class FamilyOfAnotherTask(WrongUse):
    """`[training] families` names a family that does not do the label's task."""

    code = "family-of-another-task"

    def __init__(self, family: str, *, does: Sequence[str], task: str, known: Sequence[str]) -> None:
        super().__init__(
            f"[training] families has {family!r}, which does {' and '.join(does)}; the label makes a {task} task, "
            f"which {', '.join(known)} do",
            fix="take it out of [training] families, or write a label of its task; [project] task says which one texts "
            "and numbers are taken for",
            family=family,
            does=list(does),
            task=task,
            known=list(known),
        )


class SettingOfAnotherTask(WrongUse):
    """The definition asks for what another kind of task has."""

    code = "setting-of-another-task"

    def __init__(self, key: str, *, of: str, task: str, fix: str) -> None:
        super().__init__(
            f"{key} is of a {of} task, and the label makes a {task} task", fix=fix, key=key, of=of, task=task
        )


class ObjectiveNotLearnt(WrongUse):
    """`[training] families` names a family that cannot learn the objective."""

    code = "objective-not-learnt"

    def __init__(self, name: str, *, objective: str, known: Sequence[str]) -> None:
        super().__init__(
            f"the family {name} does not learn the objective {objective}; those that do: {', '.join(known)}",
            fix=f"take {name} out of [training] families, or leave `families` out",
            family=name,
            objective=objective,
            known=list(known),
        )


class OwnModelUnusable(WrongUse):
    """`[training] families` names a model of the project's own that cannot be used."""

    code = "own-model-unusable"

    def __init__(self, family: str, why: str, *, fix: str) -> None:
        super().__init__(f"[training] families has {family!r}, which cannot be used: {why}", fix=fix, family=family)


class UnknownClass(WrongUse):
    """`[costs] matrix` names a class that the label does not have."""

    code = "unknown-class"

    def __init__(self, name: str, *, classes: Sequence[str]) -> None:
        super().__init__(
            f"[costs] matrix names the class {name!r}; the label has {len(classes)} other classes",
            fix="correct the names in [costs] matrix",
            name=name,
            classes=len(classes),
        )


class AmountUnusable(WrongUse):
    """`[costs]` takes amounts from a column that a decision cannot use."""

    code = "amount-unusable"

    def __init__(self, key: str, column: str, *, found: str | None, inputs: Sequence[str]) -> None:
        what = "is no input of the model" if found is None else f"is of type {found}"
        super().__init__(
            f"[costs] {key} takes each row's amount from {column!r}, which {what}: a decision needs the amount, a "
            f"number, when it is asked for; the inputs are {', '.join(inputs)}",
            fix="name a number of the request or a feature that is not dropped; for an amount that becomes known only "
            "later make a feature of what was known before, or give one amount for every row",
            key=key,
            column=column,
        )


class CapacityWithoutRate(WrongUse):
    """`[costs] capacity`, and nothing says how many rows a day there are."""

    code = "capacity-without-rate"

    def __init__(self) -> None:
        super().__init__(
            "[costs] capacity limits how many rows a day are acted on, and neither [costs] volume nor the instants of "
            "the training rows say how many a day there are",
            fix='write volume = "10k / day" in [costs]',
        )


class CurrencyNotPriced(WrongUse):
    """Machines are priced in USD, and no exchange rate is known."""

    code = "currency-not-priced"

    def __init__(self, currency: str) -> None:
        super().__init__(
            f"[costs] is in {currency}, but serving and training are priced in USD and no exchange rate is known",
            fix="write the amounts of [costs] in USD",
            currency=currency,
        )


class BudgetTooSmall(CheckFailed):
    """The budget ended before one candidate had been fitted."""

    code = "budget-too-small"

    def __init__(self, *, seconds: float, spent: float) -> None:
        super().__init__(
            f"the budget of {seconds:g} s ended after {spent:.1f} s, before a first candidate was fitted on every fold",
            fix='raise [training] budget, for example to "120s", or write it in trials: "10 trials"',
            seconds=seconds,
            spent=spent,
        )


class NothingFitted(CheckFailed):
    """Every trial failed."""

    code = "nothing-fitted"

    def __init__(self, notes: Sequence[str]) -> None:
        listed = "; ".join(dict.fromkeys(notes))
        super().__init__(
            f"all {len(notes)} trials failed, no candidate is left: {listed}",
            fix="read the notes; fewer or other [training] families, or other features, may help",
            notes=list(notes),
        )


class NothingToRegister(CheckFailed):
    """Every candidate that was fitted is of a family that is compared only."""

    code = "nothing-to-register"

    def __init__(self, families: Sequence[str]) -> None:
        named = ", ".join(dict.fromkeys(families))
        super().__init__(
            f"{named} can be compared and not registered: nothing proves a graph equal to it, or it would hold the "
            "training rows; no other candidate was fitted",
            fix='add a family that compiles to [training] families, such as "linear" or "lightgbm"',
            families=list(dict.fromkeys(families)),
        )


class ReplayDiffers(CheckFailed):
    """A recorded trial is not the one that the search would make now."""

    code = "replay-differs"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"trial {number} was recorded with other parameters than the search now asks for",
            fix="run again with --refresh: the search starts anew",
            number=number,
        )


class PackageDisagrees(CheckFailed):
    """The compiled model does not answer as the library that trained it."""

    code = "package-disagrees"

    def __init__(self, *, difference: float, limit: float, rows: int) -> None:
        super().__init__(
            f"the compiled model differs from its library by {difference:.3g} on the holdout ({rows} rows); "
            f"the limit is {limit:.3g}, so it is not registered",
            fix="take this family out of [training] families and report the case",
            difference=difference,
            limit=limit,
            rows=rows,
        )


class CostsOfAnotherTask(WrongUse):
    """`[costs]` prices the errors of another kind of task than the label makes."""

    code = "costs-of-another-task"

    def __init__(self, *, priced: str, task: str) -> None:
        keys = {"binary": "false_positive and false_negative", "multiclass": "matrix", "regression": "over and under"}
        super().__init__(
            f"[costs] gives {keys[priced]}, the costs of a {priced} task, and the label makes a {task} task, which has "
            f"{keys[task]}",
            fix=f"give {keys[task]}, or write a label of a {priced} task; [project] task says which one texts and"
            " numbers are taken for",
            priced=priced,
            task=task,
        )


class CostsMissing(WrongUse):
    """The rule compares costs, and errors have no price."""

    code = "costs-missing"

    def __init__(self) -> None:
        super().__init__(
            '[selection] rule = "least_cost" compares what errors cost, but [costs] does not price them for this task',
            fix="price errors in [costs] (false_positive and false_negative, matrix, or over and under), "
            'or set rule = "best_metric"',
        )
