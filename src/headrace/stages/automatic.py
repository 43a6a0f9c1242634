"""Features by themselves: what the request suggests is computed at once, tried by family, and kept where it pays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.definition.model import Definition, Features
from headrace.features.automatic.model import Family, Looks
from headrace.features.model import ExpressionStep, Frame, Program, WindowStep
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import StageContext
from headrace.stages.learning import TRAINING, divided, gather
from headrace.stages.model import Checked, Workspace
from headrace.training.automatic_model import Automatic, Tried

if TYPE_CHECKING:
    from headrace.features.label import Label
    from headrace.runs.runner import Run
    from headrace.training.automatic import Variant

EXPRESSION_US: Final = 0.3
WINDOW_US: Final = 3.0
INPUT_US: Final = 0.2
"""What one more of each is said to take of a core for one row, in microseconds: fixed, so that a choice repeats.
`python -m benchmarks.row_form` measures the whole row."""
FIT_CELL_S: Final = 5e-7
"""Seconds of a core that one more value of a training row costs the fit."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What may be kept: the families, and the frame that has the columns of all of them."""

    definition: Definition
    """With the features of all families."""
    families: tuple[Family, ...]
    refused: tuple[Tried, ...]
    """Families whose features the definition does not allow."""


def propose_features(run: Run, work: Workspace, checked: Checked) -> Proposed:
    """Look at the request's columns and propose families of features that the definition allows."""
    from headrace.features.automatic.proposals import propose, with_families
    from headrace.features.build import build_program
    from headrace.features.errors import FeatureErrors
    from headrace.features.known import SourceColumns

    definition = work.definition
    program = build_program(definition, checked.types)
    source = definition.source(program.source)
    columns = SourceColumns(source, checked.types[source.name])
    possible: list[Family] = []
    refused: list[Tried] = []
    for family in propose(definition, columns, _looks(run, checked, program)):
        try:
            build_program(
                with_features(definition, with_families(definition.features, [*possible, family])), checked.types
            )
        except FeatureErrors as errors:
            reason = str(errors.errors[0])
            refused.append(Tried(name=family.name, why=family.why, inputs=0, state="failed", reason=reason))
        else:
            possible.append(family)
    wide = with_features(definition, with_families(definition.features, possible))
    return Proposed(wide, tuple(possible), tuple(refused))


def keep_what_pays(
    run: Run, work: Workspace, checked: Checked, label: Label, proposed: Proposed
) -> tuple[Workspace, Frame, Automatic]:
    """The workspace and the frame with the features that pay, and what was tried."""
    from headrace.definition.features_section import features_section
    from headrace.features.automatic.proposals import with_families

    with_all = _program(proposed.definition, checked)
    try:
        wide = gather(run, replace(work, definition=proposed.definition), with_all, label, checked)
        automatic = _try(run, work, checked, wide, proposed)
    except NotEnoughMemory:  # without them the project may fit
        return work, gather(run, work, _program(work.definition, checked), label, checked), _none(proposed)
    kept = [family for family in proposed.families if family.name in automatic.kept]
    definition = with_features(work.definition, with_families(work.definition.features, kept))
    text = features_section(with_families(Features(), kept))
    program = scaled_as(_program(definition, checked), wide.program)
    return (
        replace(work, definition=with_the_rest(definition, automatic.spent_s)),
        msgspec.structs.replace(wide, program=program),
        msgspec.structs.replace(automatic, tried=automatic.tried + proposed.refused, text=text),
    )


def _none(proposed: Proposed) -> Automatic:
    """Nothing was tried."""
    reason = "the memory limit does not hold the columns of all families"
    tried = [
        Tried(name=family.name, why=family.why, inputs=0, state="not tried", reason=reason)
        for family in proposed.families
    ]
    return Automatic(candidate="", measure="", rows=0, folds=0, tried=(*tried, *proposed.refused))


def with_features(definition: Definition, features: Features) -> Definition:
    """The definition with these features."""
    return msgspec.structs.replace(definition, features=features)


def with_the_rest(definition: Definition, spent_s: float) -> Definition:
    """The definition with what is left of a budget in seconds where families were tried for so many."""
    from headrace.training.automatic import BUDGET_SHARE

    budget = definition.training.budget
    if budget.seconds is None:
        return definition
    # the last family may have taken longer than was left for it; the search has its share all the same
    rest = msgspec.structs.replace(budget, seconds=budget.seconds - min(spent_s, BUDGET_SHARE * budget.seconds))
    return msgspec.structs.replace(definition, training=msgspec.structs.replace(definition.training, budget=rest))


def scaled_as(program: Program, wide: Program) -> Program:
    """The program with the steps of the one that the frame was made with: the scales of exact sums are in them."""
    made = {step.name: step for step in wide.steps}
    return msgspec.structs.replace(program, steps=tuple(made[step.name] for step in program.steps))


def _program(definition: Definition, checked: Checked) -> Program:
    from headrace.features.build import build_program

    return build_program(definition, checked.types)


def _looks(run: Run, checked: Checked, program: Program) -> Looks:
    table = checked.tables[program.source]

    def compute(ctx: StageContext) -> Looks:
        import polars as pl

        from headrace.features.automatic.look import look_at

        url, options = ctx.scan(table.ref)
        ctx.count(rows_in=table.rows)
        return look_at(pl.scan_parquet(url, storage_options=options or None), program.request)

    depends = {"table": table.ref, "request": program.request}
    return run.stage("look at inputs", depends=depends, rooms=("features",), compute=compute, kind=Looks)


def _try(run: Run, work: Workspace, checked: Checked, wide: Frame, proposed: Proposed) -> Automatic:
    from headrace.training.automatic import Share

    definition = work.definition
    training = definition.training
    share = Share.of(training.budget, len(proposed.families))

    def compute(ctx: StageContext) -> Automatic:
        from headrace.training.automatic import MOST_ROWS, try_families
        from headrace.training.workers import nursery

        nursery()  # the search follows: what its trials need is loaded meanwhile
        rows = wide.rows - wide.holdout_rows
        examples = divided(ctx, wide, proposed.definition, step=max(1, -(-rows // MOST_ROWS))).train
        known = _Known(work, checked, rows)
        return try_families(
            examples,
            proposed.families,
            known.variant,
            known.own_cost,
            training=training,
            share=share,
            split=definition.split,
            costs=definition.costs,
            recorder=ctx,
            clock=time.monotonic,
        )

    return run.stage(
        "try features",
        depends={
            "frame": wide,
            "families": proposed.families,
            "features": definition.features,
            "training": {
                "families": training.families,
                "metric": training.metric,
                "objective": training.objective,
                "seed": training.seed,
                "threads": training.threads,
            },
            "share": share,
            "split": definition.split,
            "costs": definition.costs,
            "prices": work.prices.prices,
        },
        rooms=(*TRAINING, "cost"),
        compute=compute,
        kind=Automatic,
    )


class _Known:
    """What the model is given with some families, and what one of them costs."""

    def __init__(self, work: Workspace, checked: Checked, rows: int) -> None:
        self._work, self._checked, self._rows = work, checked, rows

    def variant(self, families: Sequence[Family]) -> Variant:
        """Inputs with these families."""
        from headrace.training.automatic import Variant

        definition = self._definition(families)
        return Variant(_program(definition, self._checked).outputs, definition.features.encodings)

    def own_cost(self, kept: Sequence[Family], family: Family) -> float:
        """In money, of a million predictions: serving, and the fit spread over a month of predictions."""
        from headrace.cost.prices import amortised, price_usage, serving_price
        from headrace.training.pricing import DEFAULT_VOLUME

        work = self._work
        (before_us, before), (after_us, after) = self._takes(kept), self._takes([*kept, family])
        costs, at_us = work.definition.costs, work.clock()
        volume = (costs.volume_per_month if costs is not None else None) or DEFAULT_VOLUME
        cpu_s = (after - before) * self._rows * FIT_CELL_S
        fit_usd, _ = price_usage(work.prices, cpu_s=cpu_s, memory_byte_s=0.0, at_us=at_us)
        return serving_price(work.prices, after_us - before_us, at_us=at_us) + amortised(fit_usd, volume)

    def _takes(self, families: Sequence[Family]) -> tuple[float, int]:
        """Microseconds of a row beyond the model's own, and the number of inputs."""
        from headrace.features.encodings.plan import count_inputs

        definition = self._definition(families)
        program = _program(definition, self._checked)
        inputs = count_inputs(program.outputs, definition.features.encodings, ())
        kinds = [type(step) for step in program.steps]
        steps_us = EXPRESSION_US * kinds.count(ExpressionStep) + WINDOW_US * kinds.count(WindowStep)
        return steps_us + INPUT_US * inputs, inputs

    def _definition(self, families: Sequence[Family]) -> Definition:
        from headrace.features.automatic.proposals import with_families

        definition = self._work.definition
        return with_features(definition, with_families(definition.features, families))
