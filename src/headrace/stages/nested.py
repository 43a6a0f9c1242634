"""What the whole procedure is worth, where the definition asks for it: a stage of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from headrace.runs.model import StageContext
from headrace.stages.learning import TRAINING, divided, searched
from headrace.stages.model import Workspace
from headrace.training.families.places import own_digests
from headrace.training.nested_model import Nested

if TYPE_CHECKING:
    from headrace.features.model import Frame
    from headrace.runs.runner import Run
    from headrace.training.model import Evaluation


def validate_procedure(run: Run, work: Workspace, frame: Frame) -> Nested | None:
    """Search, choice and fit again without each part of the training rows; None where the definition asks for none."""
    definition = work.definition
    parts = definition.evaluation.nested
    if not parts:
        return None

    def compute(ctx: StageContext) -> Nested:
        from headrace.training.families.places import own_models_in
        from headrace.training.nested import Procedure, nested
        from headrace.training.workers import Workers

        procedure = Procedure(
            training=definition.training,
            split=definition.split,
            costs=definition.costs,
            selection=definition.selection,
            encodings=definition.features.encodings,
            prices=work.prices,
            at_us=work.clock(),
        )
        threads = definition.training.threads
        with own_models_in(work.root):
            return nested(
                divided(ctx, frame, definition).train,
                procedure,
                parts,
                recorder=ctx,
                clock=time.monotonic,
                executor=lambda: Workers(threads, time.monotonic, ctx.workdir),
            )

    return run.stage(
        "nested validation",
        depends={
            "frame": frame,
            "parts": parts,
            "training": searched(definition.training),
            "split": definition.split,
            "costs": definition.costs,
            "selection": definition.selection,
            "encodings": definition.features.encodings,
            "prices": work.prices.prices,
            "own_models": own_digests(definition.training.families, work.root),
        },
        rooms=(*TRAINING, "cost"),
        compute=compute,
        kind=Nested,
    )


def with_procedure(evaluation: Evaluation, found: Nested | None) -> Evaluation:
    """With what nested validation says, after what is said of the search."""
    from headrace.training.nested import procedure_verdict

    verdict = None if found is None else procedure_verdict(found)
    if verdict is None:
        return evaluation
    verdicts = list(evaluation.verdicts)
    place = next((i + 1 for i, one in enumerate(verdicts) if one.topic == "optimism"), len(verdicts))
    return msgspec.structs.replace(evaluation, verdicts=(*verdicts[:place], verdict, *verdicts[place:]))
