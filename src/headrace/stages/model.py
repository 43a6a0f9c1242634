"""What crosses between the stages of a run, and what a run works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.data.model import CheckedSource, Combined, QualityReport, Snapshot, Table
from headrace.definition.model import Definition
from headrace.errors import CheckFailed
from headrace.features.model import Encoder
from headrace.language.types import Type
from headrace.runs.model import ObjectRef
from headrace.scoring.model import Decision
from headrace.training.automatic_model import Automatic
from headrace.training.leak_model import Leak, Untried
from headrace.training.model import Choice, Effects, Evaluation, LearningCurve
from headrace.training.nested_model import Nested

if TYPE_CHECKING:
    from headrace.cost.prices import PriceBook
    from headrace.registry.model import Version
    from headrace.registry.versions import Registry
    from headrace.runs.runner import Runner


@dataclass(frozen=True)
class Workspace:
    """What a run works with; `app` opens it."""

    definition: Definition
    definition_sha256: str
    root: Path
    environment: Mapping[str, str]
    lock_path: Path
    reports: Path
    """Folder for pages."""
    runner: Runner
    versions: Registry
    """For looking versions up."""
    signing: Callable[[], Registry]
    """The registry with the user's key, for making a version: opened when one is made."""
    prices: PriceBook
    clock: Callable[[], int]
    """Microseconds since 1970."""


@dataclass(frozen=True)
class Checked:
    """What the sources brought, and the page about it."""

    sources: Mapping[str, CheckedSource]
    types: Mapping[str, Mapping[str, Type]]
    """Types of the accepted tables."""
    snapshots: Mapping[str, Snapshot]
    page: Path
    combined: Mapping[str, Combined] = field(default_factory=dict)
    """Of sources that are made from others: the ledger of their rows, and where everything came from."""

    @property
    def reports(self) -> list[QualityReport]:
        """One a source, in the definition's order."""
        return [checked.report for checked in self.sources.values()]

    @property
    def tables(self) -> dict[str, Table]:
        """The accepted tables."""
        return {name: checked.table for name, checked in self.sources.items()}


class ContractBroken(CheckFailed):
    """A rule with `on_fail = "fail"` failed: nothing is trained on such data."""

    code = "contract-broken"

    def __init__(self, broken: Sequence[QualityReport], *, page: Path) -> None:
        said = [
            f"{report.source}: {rule.rule} failed in {rule.failed:,} of {report.read:,} rows"
            + ("" if rule.first_row is None else f", first in row {rule.first_row:,}")
            for report in broken
            for rule in report.rules
            if not rule.passed and rule.on_fail == "fail"
        ] + [
            f"{report.source}: {one.impact} change of column {one.column!r} ({one.kind})"
            for report in broken
            for one in report.changes
            if one.policy == "fail"
        ]
        super().__init__(
            "the contract is broken: " + "; ".join(said),
            fix=f'correct the source, or say on_fail = "quarantine" for the rule; {page} shows everything',
            sources=[report.source for report in broken],
            page=str(page),
        )


class SplitAdvice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How rows are to be divided, and what a quick model showed of it."""

    by: str
    column: str | None = None
    """Of time, or the group."""
    reason: str
    leaks: tuple[Leak, ...] = ()
    """All that was tried."""
    untried: tuple[Untried, ...] = ()
    """What could not be, and why."""


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate, fitted on all training rows and compiled."""

    onnx: ObjectRef
    encoder: Encoder
    decision: Decision
    profile: ObjectRef
    label_spread: float
    library: ObjectRef
    """The library's own answers on the holdout, float64 by row: what the compiled package must agree with."""
    effects: Effects | None = None
    """What each feature did to rows of the holdout, where the library says so exactly."""


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """Whether more rows would help; None where that could not be measured."""

    curve: LearningCurve | None


class Page(msgspec.Struct, frozen=True):
    """A page for people, stored."""

    page: ObjectRef


class Registered(msgspec.Struct, frozen=True):
    """The version that a run made."""

    number: int


@dataclass(frozen=True)
class Outcome:
    """What a run made, for people and for `--json`."""

    run: str
    version: Version
    choice: Choice
    evaluation: Evaluation
    reports: Sequence[QualityReport]
    quality_page: Path
    run_page: Path
    wall_s: float
    cost_usd: float
    stages_done: int
    """Stages that were computed, not found."""
    automatic: Automatic | None = None
    """What was tried of proposed features, where the definition asks for any."""
    holdout_looks: int = 1
    """How often the holdout had been looked at by then, this run's look included."""
    split: SplitAdvice | None = None
    """What was looked at before rows were drawn."""
    nested: Nested | None = None
    """What search and choice are worth; None: the definition does not ask."""

    def summary(self) -> dict[str, Any]:
        """What `run --json` prints, and what the run record keeps."""
        chosen = next(c for c in self.choice.candidates if c.trial == self.choice.trial)
        proposed: dict[str, Any] = {}
        if self.automatic is not None:
            tried = sum(one.state != "not tried" for one in self.automatic.tried)
            proposed = {"proposed_features": {"tried": tried, "kept": sorted(self.automatic.kept)}}
        if self.split is not None:
            proposed["split"] = {"by": self.split.by, "column": self.split.column, "why": self.split.reason}
        if self.nested is not None:
            proposed["nested"] = msgspec.to_builtins(self.nested)
        return {
            "run": self.run,
            "model": self.version.model,
            "version": self.version.number,
            "aliases": list(self.version.aliases),
            "package": self.version.package,
            "family": chosen.family,
            "reason": self.choice.reason,
            **({} if self.evaluation.positive is None else {"positive": self.evaluation.positive}),
            "metrics": {m.name: m.value for m in self.evaluation.metrics},
            "verdicts": [msgspec.to_builtins(verdict) for verdict in self.evaluation.verdicts],
            "cost_per_million": None
            if chosen.money is None
            else {**msgspec.to_builtins(chosen.money), "total": chosen.money.total},
            "sensitivity": [
                {**msgspec.to_builtins(one), "stays": one.trial == self.choice.trial} for one in self.choice.sensitivity
            ],
            "serving": {"by_request": chosen.by_request, "by_batch": chosen.by_batch},
            "currency": self.choice.currency,
            "holdout_looks": self.holdout_looks,
            "stages_computed": self.stages_done,
            "wall_s": round(self.wall_s, 3),
            "cost_usd": self.cost_usd,
            "pages": {"run": str(self.run_page), "quality": str(self.quality_page)},
            **proposed,
        }
