"""The choice as one compiled graph: of the training rows, which the holdout measures, and where asked of all rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.features.model import Frame
from headrace.runs.model import StageContext
from headrace.stages.learning import TRAINING, divided, read_frame
from headrace.stages.model import Compiled, Workspace
from headrace.training.families.places import own_digests
from headrace.training.model import Choice, SearchResult, Trial

if TYPE_CHECKING:
    from headrace.runs.runner import Run
    from headrace.training.data import Examples
    from headrace.training.fit import FittedCandidate

AGREEMENT_ROWS: Final = 20_000
"""Rows, evenly spaced, on which a model of all rows is compared with its library."""


def compile_chosen(run: Run, work: Workspace, frame: Frame, trials: SearchResult, choice: Choice) -> Compiled:
    """Fit the choice on all training rows, calibrate and set its threshold out of fold, compile it to one graph."""
    definition = work.definition
    trial, parts = _chosen(trials, choice)
    decision = trial.decision
    assert decision is not None, "a trial that is done has a decision"

    def compute(ctx: StageContext) -> Compiled:
        from headrace.features.encoder import encode_columns
        from headrace.features.profile import profile_frame
        from headrace.training.answers import unpack_answers
        from headrace.training.conformal import with_uncertainty
        from headrace.training.effects import exact_effects
        from headrace.training.maps import calibrate

        data = divided(ctx, frame, definition)
        fitted = _fitted(ctx, work, trials, trial, data.train)
        X = encode_columns(fitted.encoder, data.holdout.rows)
        answers = fitted.predict(X)
        assert trial.answers is not None, "a trial that is done has answers"
        asked = unpack_answers(ctx.fetch(trial.answers))
        y, said = data.train.y[asked.rows], asked.scores
        if frame.task != "regression":
            said = calibrate(y, said, asked.fold)[1]
        return Compiled(
            onnx=ctx.keep_bytes(fitted.onnx, "graphs", ".onnx"),
            encoder=fitted.encoder,
            decision=with_uncertainty(
                decision,
                y,
                said,
                asked.fold,
                coverage=definition.evaluation.coverage,
                least=0.0 if definition.training.objective.kind == "poisson" else None,
            ),
            profile=ctx.keep_bytes(profile_frame(frame.program, data.train.rows), "profiles", ".json"),
            label_spread=fitted.label_spread,
            library=ctx.keep_bytes(answers.tobytes(), "answers", ".f64"),
            effects=exact_effects(
                fitted.models, fitted.onnx, X, [column.name for column in fitted.encoder.columns], frame.task
            ),
        )

    return run.stage(
        "compile",
        depends={
            "frame": frame,
            "parts": [_made_of(part) for part in parts],
            "weights": [member.weight for member in trial.members],
            "decision": decision,
            "answers": trial.answers,
            "coverage": definition.evaluation.coverage,
            "own_models": own_digests([part.family for part in parts], work.root),
            "training": {
                "seed": definition.training.seed,
                "threads": definition.training.threads,
                "metric": trials.metric,
                "objective": definition.training.objective,
            },
            "split": definition.split,
            "costs": definition.costs,
            "encodings": definition.features.encodings,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Compiled,
    )


def learn_from_all(
    run: Run, work: Workspace, frame: Frame, trials: SearchResult, choice: Choice, compiled: Compiled
) -> Compiled:
    """What is packed: where the definition asks for it the choice fitted anew, to the rows of the holdout too.

    The decision stays as it was made out of fold, and the figures are those of the model before: nothing is left to
    measure the new one on but that it still answers as its library does.

    Raises
    ------
    PackageDisagrees : it does not.
    """
    definition = work.definition
    if not definition.training.refit:
        return compiled
    trial, parts = _chosen(trials, choice)

    def compute(ctx: StageContext) -> Compiled:
        import numpy as np

        from headrace.features.encoder import encode_columns
        from headrace.features.profile import profile_frame
        from headrace.training.data import everything
        from headrace.training.errors import PackageDisagrees
        from headrace.training.measure import agreement_limit, largest_difference

        examples = everything(frame, read_frame(ctx, frame, definition), definition.split)
        examples = replace(examples, left_out=trials.left_out)  # seen without the holdout
        fitted = _fitted(ctx, work, trials, trial, examples, afresh=True)
        rows = np.linspace(0, len(examples) - 1, min(len(examples), AGREEMENT_ROWS)).astype(np.intp)
        X = encode_columns(fitted.encoder, examples.at(rows).rows)
        answers = fitted.predict(X)
        difference = largest_difference(fitted.onnx, X, answers)
        limit = agreement_limit(frame.task, fitted.label_spread)
        if not difference <= limit:
            raise PackageDisagrees(difference=difference, limit=limit, rows=len(rows))
        return Compiled(
            onnx=ctx.keep_bytes(fitted.onnx, "graphs", ".onnx"),
            encoder=fitted.encoder,
            decision=compiled.decision,
            profile=ctx.keep_bytes(profile_frame(frame.program, examples.rows), "profiles", ".json"),
            label_spread=fitted.label_spread,
            library=ctx.keep_bytes(answers.tobytes(), "answers", ".f64"),
        )

    return run.stage(
        "refit",
        depends={
            "frame": frame,
            "parts": [_made_of(part) for part in parts],
            "weights": [member.weight for member in trial.members],
            "compiled": compiled,
            "own_models": own_digests([part.family for part in parts], work.root),
            "training": {"seed": definition.training.seed, "threads": definition.training.threads},
            "split": definition.split,
            "encodings": definition.features.encodings,
        },
        rooms=TRAINING,
        compute=compute,
        kind=Compiled,
    )


def _fitted(
    ctx: StageContext, work: Workspace, trials: SearchResult, trial: Trial, examples: Examples, *, afresh: bool = False
) -> FittedCandidate:
    from headrace.training.families.places import own_models_in
    from headrace.training.fit import fit_chosen

    definition = work.definition
    with own_models_in(work.root):
        return fit_chosen(
            examples,
            trial,
            definition.training,
            definition.split,
            definition.features.encodings,
            trials=trials.trials,
            fetch=ctx.fetch,
            afresh=afresh,
            workdir=ctx.workdir,
        )


def _chosen(trials: SearchResult, choice: Choice) -> tuple[Trial, list[Trial]]:
    """The trial, and those that its model is made of."""
    trial = next(t for t in trials.trials if t.number == choice.trial)
    named = {member.trial for member in trial.members} or {trial.number}
    return trial, [t for t in trials.trials if t.number in named]


def _made_of(trial: Trial) -> dict[str, object]:
    """What a model of the package depends on."""
    return {
        "family": trial.family,
        "params": trial.settled or trial.params,
        "imbalance": trial.imbalance,
        "form": trial.form,
        "graph": trial.graph if trial.form == "bag" else None,
        "kept": trial.kept,
    }
