"""The signed version, and the page about it."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.features.certificate import Certificate
from headrace.features.model import Frame
from headrace.runs.model import StageContext
from headrace.scoring.model import Lineage
from headrace.stages.model import Checked, Compiled, Page, Registered, SplitAdvice, Workspace
from headrace.stages.pages import lay_out
from headrace.training.automatic_model import Automatic
from headrace.training.leak_model import Learnt
from headrace.training.model import Choice, Evaluation, SearchResult, Trial

if TYPE_CHECKING:
    from headrace.registry.model import Version
    from headrace.runs.runner import Run


_ALWAYS = ("lightgbm", "numpy", "onnx", "polars", "scikit-learn")
_EXTRAS = {"catboost": ("catboost",), "xgboost": ("xgboost", "xgboost-cpu")}
"""By family: the distributions that its library may come in."""


def libraries_of(trial: Trial) -> dict[str, str]:
    """Versions of the libraries that the version was made with; of extras those that fitted one of its models."""
    families = {member.family for member in trial.members} or {trial.family}
    found = {name: library_version(name) for name in _ALWAYS}
    for name in (name for family in sorted(families) for name in _EXTRAS.get(family, ())):
        with suppress(PackageNotFoundError):
            found[name] = library_version(name)
    return found


def register(
    run: Run,
    work: Workspace,
    checked: Checked,
    frame: Frame,
    certificate: Certificate,
    trials: SearchResult,
    choice: Choice,
    compiled: Compiled,
    evaluation: Evaluation,
) -> Version:
    """Pack, sign and number the version; a project's first version becomes its champion."""
    from headrace.registry.card import model_card
    from headrace.registry.summary import version_summary
    from headrace.scoring.decision import Decider
    from headrace.scoring.golden import golden_rows

    definition = work.definition
    trial = next(t for t in trials.trials if t.number == choice.trial)
    lineage = Lineage(
        definition_sha256=work.definition_sha256,
        snapshots={name: snapshot.ref.sha256 for name, snapshot in checked.snapshots.items()},
        tables={name: table.ref.sha256 for name, table in checked.tables.items()},
        frame=frame.ref.sha256,
        trial=trial.number,
        family=trial.family,
        params=trial.settled or trial.params,
        libraries=libraries_of(trial),
        headrace=library_version("headrace"),
        refitted=definition.training.refit,
    )
    source = definition.source(definition.project.source)
    contract = {"source": source, "types": checked.types[source.name]}

    def compute(ctx: StageContext) -> Registered:
        inputs = len(compiled.encoder.columns)
        card = model_card(definition, frame.program, compiled.decision, evaluation, choice, lineage, inputs=inputs)
        onnx = ctx.fetch(compiled.onnx)
        files = {
            "model.onnx": onnx,
            "golden.json": golden_rows(onnx, compiled.encoder, Decider(compiled.decision)),
            "program.json": msgspec.json.encode(frame.program),
            "encoder.json": msgspec.json.encode(compiled.encoder),
            "decision.json": msgspec.json.encode(compiled.decision),
            "contract.json": msgspec.json.encode(contract),
            "profile.json": ctx.fetch(compiled.profile),
            "lineage.json": msgspec.json.encode(lineage, order="sorted"),
            "certificate.json": msgspec.json.encode(certificate, order="sorted"),
            "README.md": card.encode(),
        }
        made = work.signing().register(frame.program.model, files, run.id, version_summary(evaluation, choice))
        return Registered(made.number)

    made = run.stage(
        "register",
        depends={
            "compiled": compiled,
            "evaluation": evaluation,
            "choice": choice,
            "lineage": lineage,
            "contract": contract,
            "program": frame.program,
            "certificate": certificate,
        },
        rooms=("registry", "scoring", "stages"),
        compute=compute,
        kind=Registered,
    )
    version = work.versions.get(f"{frame.program.model}@{made.number}")
    if work.versions.champion(version.model) is None:
        work.signing().promote(version.model, version.number, by=f"run {run.id}", reason="the first version")
        version = work.versions.get(f"{version.model}@{version.number}")
    return version


def write_run_page(
    run: Run,
    work: Workspace,
    frame: Frame,
    trials: SearchResult,
    choice: Choice,
    evaluation: Evaluation,
    version: Version,
    automatic: Automatic | None,
    looks: int,
    advice: SplitAdvice | None,
    learnt: Learnt,
) -> Path:
    counts = [
        ("rows with a label", frame.rows),
        ("held out for the one last look", frame.holdout_rows),
        ("without a label: counted, never trained on", frame.unlabelled),
        ("label known before the prediction was asked for: left out", frame.label_too_early),
        ("label not known before the holdout began: left out", learnt.purged),
        ("another row again, exactly or nearly", frame.repeats),
        ("of the holdout, a row before it again", frame.repeats_held_out),
        ("times that the holdout has been looked at, this one included", looks),
    ]
    name = f"{version.model}@{version.number}"

    def compute(ctx: StageContext) -> Page:
        from headrace.training.page import run_page

        page = run_page(
            project=work.definition.project.name,
            version=name,
            trials=trials.trials,
            choice=choice,
            evaluation=evaluation,
            counts=counts,
            classes=frame.classes,
            automatic=automatic,
            split="" if advice is None else _said(advice),
        )
        return Page(ctx.keep_bytes(page.encode(), "reports", ".html"))

    page = run.stage(
        "run page",
        depends={
            "trials": trials,
            "choice": choice,
            "evaluation": evaluation,
            "counts": counts,
            "version": name,
            "automatic": automatic,
            "split": advice,
        },
        rooms=("pages", "training"),
        compute=compute,
        kind=Page,
    )
    return lay_out(work, page.page, f"version-{version.number}.html")


def _said(advice: SplitAdvice) -> str:
    """How rows were divided, and why."""
    how = (
        f"Rows were divided by {advice.by}"
        if advice.column is None
        else f"Rows were divided by {advice.by}, {advice.column}"
    )
    return f"{how}: {advice.reason}."
