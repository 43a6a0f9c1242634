"""The rows that are learnt from, looked at before anything is fitted: a label that strikes the eye, inputs that tell
too much, labels known late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from headrace.definition.model import Definition, Task
from headrace.runs.model import StageContext
from headrace.stages.learning import TRAINING, divided
from headrace.stages.model import Workspace
from headrace.training.leak_model import Learnt
from headrace.training.model import Evaluation, Verdict

if TYPE_CHECKING:
    from headrace.features.model import Frame
    from headrace.runs.runner import Run

MUCH_PURGED: Final = 0.1
"""Share of the rows before the holdout from which on it is said that their labels came too late."""
MOST_NAMED: Final = 3
_DAY_US: Final = 86_400_000_000


def look_at_rows(run: Run, work: Workspace, frame: Frame) -> Learnt:
    """What is to be said of them; said at once where it asks for a look, and among the verdicts at the end."""
    from headrace.training.label_words import free_answers

    definition = work.definition
    _check_settings(definition, frame.task)

    def compute(ctx: StageContext) -> Learnt:
        import numpy as np

        from headrace.training.data import NEVER
        from headrace.training.label_words import label_words
        from headrace.training.telling import telling_inputs

        data = divided(ctx, frame, definition)
        train, delay_us = data.train, None
        if train.time_us is not None and train.label_known_us is not None:
            known = train.label_known_us != NEVER
            if known.any():
                delay_us = int(np.median(train.label_known_us[known] - train.time_us[known]))
        project = definition.project
        return Learnt(
            rows=len(train),
            purged=data.purged,
            delay_us=delay_us,
            telling=telling_inputs(train),
            label=label_words(train, project.label or "", is_asked_for=project.task is not None),
        )

    found = run.stage(
        "rows",
        depends={
            "frame": frame,
            "split": definition.split,
            "label": [definition.project.label, definition.project.task],
        },
        rooms=TRAINING,
        compute=compute,
        kind=Learnt,
    )
    # beside the stage, so that other costs do not look at the rows anew
    found = msgspec.structs.replace(found, costs=free_answers(frame.classes, definition.costs))
    for verdict in learnt_verdicts(found):
        work.runner.progress.say(verdict.says)
    return found


def _check_settings(definition: Definition, task: Task) -> None:
    """Refuse what another task has, where the definition left it to the label which task it is."""
    from headrace.training.errors import SettingOfAnotherTask

    if definition.evaluation.fairness and task != "binary":
        fix = "name the columns in [evaluation] segments instead"
        raise SettingOfAnotherTask("[evaluation] fairness", of="binary", task=task, fix=fix)
    if task == "regression" and any(strategy != "none" for strategy in definition.training.imbalance):
        fix = 'take [training] imbalance out, or let [project] say task = "multiclass" if the numbers are names'
        raise SettingOfAnotherTask("[training] imbalance", of="binary or multiclass", task=task, fix=fix)


def learnt_verdicts(found: Learnt) -> tuple[Verdict, ...]:
    """What asks for a look."""
    said = [Verdict(topic="label", level="look", says=says) for says in found.label]
    said += [Verdict(topic="costs", level="look", says=says) for says in found.costs]
    if found.telling:
        named = "; ".join(str(one) for one in found.telling[:MOST_NAMED])
        more = f", and {len(found.telling) - MOST_NAMED} more" if len(found.telling) > MOST_NAMED else ""
        columns = "It" if len(found.telling) == 1 else "Each"
        says = (
            f"{named}{more}. {columns} may be known only afterwards, be made from the label, or number the rows: say "
            "when it is known ([sources.NAME.columns] known), or leave it out of [project] request."
        )
        said.append(Verdict(topic="inputs", level="look", says=says))
    whole = found.rows + found.purged
    if whole and found.purged >= MUCH_PURGED * whole:
        late = (
            "" if found.delay_us is None else f", half of them {_days(found.delay_us)} or more after it was asked for"
        )
        says = (
            f"{found.purged:,} of {whole:,} rows before the holdout were not learnt from: their labels were not known "
            f"when it began{late}."
        )
        said.append(Verdict(topic="late labels", level="look", says=says))
    return tuple(said)


def with_learnt(evaluation: Evaluation, found: Learnt) -> Evaluation:
    """With what is to be said of the rows, first."""
    return msgspec.structs.replace(evaluation, verdicts=(*learnt_verdicts(found), *evaluation.verdicts))


def _days(span_us: int) -> str:
    days = span_us / _DAY_US
    return f"{days:.1f} days" if days >= 2 else f"{span_us / 3_600_000_000:.1f} hours"
