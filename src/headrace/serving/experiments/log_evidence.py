"""Evidence from the table of predictions and the truths joined to it: nothing else is needed to judge an experiment."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.serving.experiments.cohorts import Answered, gather, together
from headrace.serving.experiments.costs import CostOf, Told
from headrace.serving.experiments.evaluate import ordered
from headrace.serving.experiments.model import Cohort
from headrace.serving.model import LATENCY_EDGES_US, Counts, Deployment, Outcomes

if TYPE_CHECKING:
    import polars as pl

    from headrace.stores.tables import TableStore

EDGES_FROM: Final = 1_000
"""Of the first arm's first answers: they give the edges of scores, and then never change."""
BINS: Final = 10


class Revisions(Protocol):
    """Where revisions are kept."""

    def get(self, name: str) -> Deployment:
        """The one that answers now."""
        ...

    def history(self, name: str) -> list[Deployment]:
        """All, oldest first."""
        ...


class LogEvidence:
    """See `headrace.serving.experiments.model.Evidence`.

    What counts are the answers under the revisions that had the arms and weights of now, without shadows. If there is a
    shadow, its score is the covariate: one version has answered for the entities of all arms, before any of them.

    Parameters
    ----------
    cost
        What an answer cost, once the truth is known.
    """

    def __init__(self, revisions: Revisions, tables: TableStore, project: str, *, cost: CostOf) -> None:
        self._revisions, self._tables, self._project, self._cost = revisions, tables, project, cost
        self.crossed = 0
        """Entities that more than one arm answered, of the last that was asked for."""

    def deployment(self, name: str) -> Deployment:
        """The revision that answers now."""
        return self._revisions.get(name)

    def history(self, name: str) -> Sequence[Deployment]:
        """Every revision, oldest first."""
        return self._revisions.history(name)

    def outcomes(self, name: str) -> Mapping[str, Sequence[Cohort]]:
        """Cohorts of every arm."""
        found = gather(self._answers(name))
        self.crossed = found.crossed
        return found.cohorts

    def costs(self, name: str) -> dict[str, Outcomes]:
        """What `headrace.serving.rollout.decide` is given: of a bandit since the split was made, else under the weights
        of now. Of entities of today, too: a bandit cannot wait, and a canary's harm is worth knowing early."""
        found = gather(self._answers(name, whatever_weights=self.deployment(name).bandit))
        return {arm: together(cohort.known for cohort in each) for arm, each in found.cohorts.items()}

    def counts(self, name: str) -> Mapping[str, Counts]:
        """What is logged of every arm: answers, those of a fallback, latency, scores by ten bins."""
        import polars as pl

        rows = self._rows(name)
        if rows is None:
            return {}
        frame = rows.sort("at", "request_id", "row").select("arm", "fallback", "latency_us", "score").collect()
        first = ordered(self.deployment(name))[0].name
        scores = frame.filter(pl.col("arm") == first)["score"].drop_nulls().head(EDGES_FROM).to_list()
        edges = _edges(scores)
        return {arm: _counts(part, edges) for (arm,), part in frame.group_by(["arm"])}

    def _answers(self, name: str, *, whatever_weights: bool = False) -> Iterator[Answered]:
        import polars as pl

        rows = self._rows(name, whatever_weights=whatever_weights)
        if rows is None:
            return
        columns = ("arm", "entity", "request_id", "outcome", "decision", "review", "score", "own", "covariate")
        frame = rows.select(*columns, pl.col("at").dt.timestamp("us").alias("at_us")).collect()
        for arm, entity, request, outcome, decision, review, score, own, covariate, at_us in frame.iter_rows():
            cost = None
            if outcome is not None:
                amounts = tuple(json.loads(own)) if own else ()
                cost = self._cost(Told(outcome, decision, bool(review), score, amounts))
            yield Answered(arm, request if entity in (None, "[]") else entity, at_us, cost, covariate)

    def _rows(self, name: str, *, whatever_weights: bool = False) -> pl.LazyFrame | None:
        """The answers that were sent under the arms and weights of now, with the shadow's score."""
        import polars as pl

        from headrace.serving.log.outcomes import joined

        deployment = self.deployment(name)
        history = self.history(name)
        numbers = alike(history, whatever_weights=whatever_weights)
        since = min(each.at_us for each in history if each.revision in numbers)
        found = joined(self._tables, self._project, since=_day(since))
        if found is None:
            return None
        every = found.rows.filter(pl.col("deployment") == name, pl.col("revision").is_in(sorted(numbers)))
        sent = every.filter(~pl.col("shadow"))
        if not deployment.shadows:
            return sent.with_columns(covariate=pl.lit(None, pl.Float64))
        shadow = every.filter(pl.col("shadow"), pl.col("package") == deployment.shadows[0].package)
        on = ["request_id", "row"]
        told = shadow.select(*on, pl.col("score").alias("covariate")).unique(on, keep="any")
        return sent.join(told, on=on, how="left")


def alike(history: Sequence[Deployment], *, whatever_weights: bool = False) -> set[int]:
    """The numbers of the newest revisions that share arms, weights and salt: what differs is who else listens."""

    def same(one: Deployment) -> object:
        return one.salt, [(arm.name, arm.serves, None if whatever_weights else arm.weight) for arm in one.arms]

    newest = same(history[-1])
    numbers = set()
    for each in reversed(history):
        if same(each) != newest:
            break
        numbers.add(each.revision)
    return numbers


def _counts(part: pl.DataFrame, edges: Sequence[float]) -> Counts:
    latencies = [float(value) for value in part["latency_us"].to_list()]
    by_latency = [0] * (len(LATENCY_EDGES_US) + 1)
    for value in latencies:
        by_latency[bisect_left(LATENCY_EDGES_US, value)] += 1
    by_score = [0] * (len(edges) + 1)
    for score in part["score"].drop_nulls().to_list():
        by_score[bisect_right(edges, score)] += 1
    instead = int(part["fallback"].sum())
    own = [float(value) for value in part.filter(~part["fallback"])["latency_us"].to_list()]
    return Counts(
        rows=part.height,
        failed=instead,
        fell_back=instead,
        latency_us=tuple(by_latency),
        latency_sum_us=sum(latencies),
        row_sum_us=sum(own),
        row_squares_us=sum(value * value for value in own),
        scores=tuple(by_score) if edges else (),
    )


def _edges(scores: list[Any]) -> list[float]:
    """Between them about equally many of these scores; fewer where many are the same."""
    ordered = sorted(scores)
    if not ordered:
        return []
    return sorted({float(ordered[len(ordered) * place // BINS]) for place in range(1, BINS)})


def _day(us: int) -> Any:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).date()
