"""Features as known then → candidates under one budget → the choice → one compiled graph → one look at the holdout."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.definition.model import Budget, Definition, Training
from headrace.features.model import Frame, Program
from headrace.runs.errors import NotEnoughMemory
from headrace.runs.model import Memory, StageContext
from headrace.stages.model import Checked, Compiled, Learning, Workspace
from headrace.training.families.places import own_digests
from headrace.training.model import Choice, Evaluation, SearchResult

if TYPE_CHECKING:
    import polars as pl

    from headrace.features.label import Label
    from headrace.runs.runner import Run
    from headrace.training.data import TrainingData
    from headrace.training.stopping import Worth

FEATURES: Final = ("features", "language")
TRAINING: Final = ("training", "features", "scoring", "stages")
RESERVED_BYTES: Final = 4e9
"""Memory that a budget in money pays for."""
CELL_BYTES: Final = 60
"""What training holds of one value of the frame: it was seen to hold 7.9 GB of 145 million values."""


def gather(run: Run, work: Workspace, program: Program, label: Label, checked: Checked) -> Frame:
    """One row a labelled example, every value as it was known when its prediction was asked for."""
    definition = work.definition
    needed = {program.source, *(step.source for step in program.steps if hasattr(step, "source"))}
    tables = {name: table for name, table in checked.tables.items() if name in needed}

    def compute(ctx: StageContext) -> Frame:
        from headrace.features.frame import assemble

        return assemble(program, definition, tables, ctx)

    return run.stage(
        "assemble",
        depends={
            "program": program,
            "project": definition.project,
            "label_known": label.known_after,
            "split": definition.split,
            "tables": tables,
        },
        rooms=FEATURES,
        compute=compute,
        kind=Frame,
    )


def as_here(work: Workspace) -> Workspace:
    """With what [training] leaves to the place where it runs: the families that are installed, and a budget in money as
    the seconds that it pays (all threads busy and so much memory held, whether they are or not: nothing is overspent).
    """
    from headrace.cost.prices import affordable_s
    from headrace.training.families import usual_families

    training = work.definition.training
    if not training.families:
        training = msgspec.structs.replace(training, families=usual_families(training.objective))
    if training.budget.usd is not None:
        seconds = affordable_s(
            work.prices, training.budget.usd, cores=training.threads, memory_bytes=RESERVED_BYTES, at_us=work.clock()
        )
        training = msgspec.structs.replace(training, budget=Budget(seconds=seconds))
    return replace(work, definition=msgspec.structs.replace(work.definition, training=training))


def find_candidates(run: Run, work: Workspace, frame: Frame) -> SearchResult:
    """Candidates under one budget, each under the same folds; the holdout is not touched."""
    definition = work.definition
    seconds = definition.training.budget.seconds

    def compute(ctx: StageContext) -> SearchResult:
        began = time.monotonic()
        from headrace.training.families.places import own_models_in
        from headrace.training.search import search
        from headrace.training.spending import counted
        from headrace.training.workers import Workers

        with (
            counted(ctx, time.monotonic, began, seconds=seconds) as started,
            own_models_in(work.root),
            Workers(definition.training.threads, time.monotonic, ctx.workdir) as workers,
        ):
            return search(
                divided(ctx, frame, definition).train,
                definition.training,
                definition.split,
                definition.costs,
                recorder=ctx,
                clock=time.monotonic,
                encodings=definition.features.encodings,
                executor=workers,
                worth=worth,
                started=started,
            )

    worth = _worth(work)
    return run.stage(
        "search",
        depends={
            "frame": frame,
            "training": searched(definition.training),
            "split": definition.split,
            "costs": definition.costs,
            "worth": None if worth is None else [worth.predictions, worth.second],
            "encodings": definition.features.encodings,
            "own_models": own_digests(definition.training.families, work.root),
        },
        rooms=TRAINING,
        compute=compute,
        kind=SearchResult,
    )


def _worth(work: Workspace) -> Worth | None:
    """What a better model saves, where errors have a price and the search has no budget in trials."""
    from headrace.cost.prices import price_usage
    from headrace.training.pricing import predictions_until_trained_anew
    from headrace.training.stopping import Worth

    costs, training = work.definition.costs, work.definition.training
    if costs is None or training.budget.trials is not None:
        return None
    second, _ = price_usage(work.prices, cpu_s=training.threads, memory_byte_s=RESERVED_BYTES, at_us=work.clock())
    return Worth(predictions_until_trained_anew(costs), second)


def searched(training: Training) -> Training:
    """What of it candidates depend on."""
    return msgspec.structs.replace(training, refit=False)


def choose(run: Run, work: Workspace, trials: SearchResult) -> Choice:
    """The one candidate, in money where there are costs, and what it gives up."""
    definition = work.definition

    def compute(_: StageContext) -> Choice:
        from headrace.training.select import select

        return select(
            trials,
            selection=definition.selection,
            costs=definition.costs,
            prices=work.prices,
            threads=definition.training.threads,
            at_us=work.clock(),
        )

    return run.stage(
        "select",
        depends={
            "trials": trials,
            "selection": definition.selection,
            "costs": definition.costs,
            "prices": work.prices.prices,
        },
        rooms=("training", "cost"),
        compute=compute,
        kind=Choice,
    )


def ask_for_more_rows(run: Run, work: Workspace, frame: Frame, trials: SearchResult, choice: Choice) -> Learning:
    """The chosen candidate on parts of its training rows: whether more of them would help."""
    definition = work.definition

    def compute(ctx: StageContext) -> Learning:
        from headrace.training.families.places import own_models_in
        from headrace.training.learning_curve import learning_curve
        from headrace.training.workers import Workers

        with own_models_in(work.root), Workers(definition.training.threads, time.monotonic, ctx.workdir) as workers:
            curve = learning_curve(
                divided(ctx, frame, definition).train,
                next(t for t in trials.trials if t.number == choice.trial),
                trials.trials,
                definition.training,
                definition.split,
                definition.features.encodings,
                executor=workers,
                clock=time.monotonic,
            )
        return Learning(curve=curve)

    return run.stage(
        "learning curve",
        depends={
            "frame": frame,
            "trials": trials,
            "chosen": choice.trial,
            "training": searched(definition.training),
            "split": definition.split,
            "encodings": definition.features.encodings,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Learning,
    )


def look_at_holdout(
    run: Run,
    work: Workspace,
    frame: Frame,
    compiled: Compiled,
    trials: SearchResult,
    choice: Choice,
    learning: Learning,
) -> Evaluation:
    """Score the holdout once, with the compiled graph itself; a package that disagrees with its library stops here."""
    definition = work.definition

    def compute(ctx: StageContext) -> Evaluation:
        import numpy as np

        from headrace.features.encoder import encode_columns
        from headrace.training.answers import unpack_answers
        from headrace.training.evaluate import Holdout, evaluate
        from headrace.training.pricing import Pricing, amounts_in
        from headrace.training.verdicts import verdicts_on

        data = divided(ctx, frame, definition)
        holdout = data.holdout
        library = np.frombuffer(ctx.fetch(compiled.library), np.float64)
        evaluation = evaluate(
            Holdout(
                X=encode_columns(compiled.encoder, holdout.rows),
                y=holdout.y,
                library=library.reshape(len(holdout), -1) if frame.task == "multiclass" else library,
                features=tuple(column.name for column in compiled.encoder.columns),
                pricing=Pricing({a.column: amounts_in(holdout.rows, a.column) for a in compiled.decision.amounts}),
            ),
            ctx.fetch(compiled.onnx),
            compiled.decision,
            metric=trials.metric,
            costs=definition.costs,
            label_spread=compiled.label_spread,
            quantile=definition.training.objective.quantile,
            seed=definition.training.seed,
            beside=holdout.beside,
            plan=definition.evaluation,
            effects=compiled.effects,
        )
        verdicts = verdicts_on(
            trials,
            choice,
            evaluation,
            split=definition.split,
            y=data.train.y,
            answers=lambda trial: None if trial.answers is None else unpack_answers(ctx.fetch(trial.answers)),
            learning=learning.curve,
        )
        return msgspec.structs.replace(
            evaluation,
            holdout=data.held_out,
            verdicts=verdicts,
            learning=learning.curve,
            left_out=trials.left_out,
        )

    return run.stage(
        "evaluate",
        depends={
            "frame": frame,
            "compiled": compiled,
            "split": definition.split,
            "costs": definition.costs,
            "quantile": definition.training.objective.quantile,
            # nested validation is a stage of its own: it makes no further look
            "evaluation": msgspec.structs.replace(definition.evaluation, nested=0),
            "trials": trials,
            "chosen": choice.trial,
            "learning": learning,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Evaluation,
    )


def divided(ctx: StageContext, frame: Frame, definition: Definition, *, step: int = 1) -> TrainingData:
    """The frame's rows, divided: each, or one in `step`.

    Raises
    ------
    NotEnoughMemory : they do not fit into the limit that was given.
    """
    from headrace.training.data import divide

    if step > 1:
        held = -(-frame.rows // step) - -(-(frame.rows - frame.holdout_rows) // step)
        frame = msgspec.structs.replace(frame, rows=-(-frame.rows // step), holdout_rows=held)
    plan = definition.evaluation
    rows = read_frame(ctx, frame, definition, step=step)
    return divide(frame, rows, definition.split, (*plan.segments, *plan.fairness))


def read_frame(ctx: StageContext, frame: Frame, definition: Definition, *, step: int = 1) -> pl.DataFrame:
    """The frame's rows as training reads them; raises as `divided`."""
    import polars as pl

    _refuse_without_memory(frame, definition, ctx.memory)
    url, options = ctx.scan(frame.ref)
    ctx.count(rows_in=frame.rows)
    rows = pl.scan_parquet(url, storage_options=options or None)
    program = frame.program
    used = {program.time, definition.split.group, *program.key, *(field.name for field in program.outputs)}
    # the table may hold columns of proposed features that were not kept
    rows = rows.select(name for name in rows.collect_schema() if name.startswith("_") or name in used)
    if step > 1:
        rows = rows.gather_every(step)
    return rows.collect()


def _refuse_without_memory(frame: Frame, definition: Definition, memory: Memory) -> None:
    from headrace.features.encodings.plan import count_inputs

    inputs = count_inputs(frame.program.outputs, definition.features.encodings, frame.classes)
    cells = frame.rows * inputs
    needed = memory.limit_bytes - memory.free_bytes + cells * CELL_BYTES
    if memory.is_given and needed > memory.limit_bytes:
        raise NotEnoughMemory(
            "training",
            needed=needed,
            limit=memory.limit_bytes,
            why=f"{frame.rows:,} rows of {inputs} inputs",
            fix="train on fewer rows; headrace features build stays within the limit",
        )
