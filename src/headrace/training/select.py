"""The choice among the trials, in money where there are costs, with what it gave up.

Money is a million predictions: what errors cost at the threshold, what serving costs, and training spread over the
predictions that are made until the next one. Serving and training rest on measured times, which differ a little from
run to run; they are rounded to one figure before anything is compared, so that noise does not choose the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10

from headrace.cost.prices import PriceBook, amortised, price_usage, serving_price
from headrace.definition.model import Costs, Selection
from headrace.training.comparing import p_worse
from headrace.training.errors import CostsMissing, NothingFitted, NothingToRegister
from headrace.training.model import (
    Candidate,
    Choice,
    Money,
    SearchResult,
    Sensitivity,
    Trial,
    form_of,
    is_candidate,
    named,
)
from headrace.training.pricing import predictions_until_trained_anew

LEVEL = 0.05
"""Of the test by which a candidate is told from the best one."""


def select(
    result: SearchResult, *, selection: Selection, costs: Costs | None, prices: PriceBook, threads: int, at_us: int
) -> Choice:
    """Choose one of the finished trials.

    Parameters
    ----------
    threads : cores that a fit kept busy
    at_us : the instant whose prices hold

    Raises
    ------
    CostsMissing : `least_cost` without priced errors.
    NothingToRegister, NothingFitted : no trial is left to choose from.
    """
    trials = [trial for trial in result.trials if is_candidate(trial)]
    if not trials:
        if compared := [trial.family for trial in result.trials if trial.state == "done" and trial.graph is None]:
            raise NothingToRegister(compared)
        raise NothingFitted([trial.note for trial in result.trials])
    if selection.rule == "least_cost" and any(trial.error_cost is None for trial in trials):
        raise CostsMissing
    money = {t.number: _money(t, costs, prices, threads, at_us) for t in trials}
    ranked = sorted(trials, key=_order(selection, trials, money, result.ratio))
    best = min(trials, key=lambda t: (-_score(t), t.number))
    least = min(map(_total, money.values()))
    candidates = tuple(
        Candidate(
            trial=trial.number,
            family=trial.family,
            form=form_of(trial),
            score=_score(trial),
            money=money[trial.number],
            on_frontier=not any(_dominates(other, trial, money) for other in trials),
            loss=_score(best) - _score(trial),
            extra=_total(money[trial.number]) - least,
            by_request=serving_price(prices, trial.row_us or 0.0, at_us=at_us),
            by_batch=None if trial.batch_us is None else serving_price(prices, trial.batch_us, at_us=at_us),
            p_worse=None if trial is best else p_worse(best.fold_scores, trial.fold_scores, ratio=result.ratio),
        )
        for trial in ranked
    )
    currency = costs.currency if costs is not None else "USD"
    return Choice(
        rule=selection.rule,
        trial=ranked[0].number,
        candidates=candidates,
        reason=_reason(ranked, selection, money, result, currency),
        currency=currency,
        sensitivity=_sensitivity(ranked[0], trials, money),
    )


def _sensitivity(chosen: Trial, trials: Sequence[Trial], money: dict[int, Money]) -> tuple[Sensitivity, ...]:
    """What the choice and its threshold lose where one cost is in truth half or twice what it is said to be, against
    what would have been chosen and decided then."""

    def total(trial: Trial, errors: float) -> float:
        own = money[trial.number]
        return errors * 1e6 + _rounded(own.serving) + _rounded(own.training)

    found = []
    for place, now in enumerate(chosen.cost_ifs):
        priced = [trial for trial in trials if len(trial.cost_ifs) == len(chosen.cost_ifs)]
        then = min(priced, key=lambda t: (total(t, t.cost_ifs[place].moved), t.number != chosen.number, t.number))
        regret = total(chosen, now.kept) - total(then, then.cost_ifs[place].moved)
        # decided anew by a threshold that holds for any rows, another may be no cheaper than this one as it is
        better = then.number if regret > 0 else chosen.number
        found.append(Sensitivity(key=now.key, factor=now.factor, trial=better, regret=max(regret, 0.0)))
    return tuple(found)


def _money(trial: Trial, costs: Costs | None, prices: PriceBook, threads: int, at_us: int) -> Money:
    us = trial.row_us
    if costs is not None and costs.served == "batch" and trial.batch_us is not None:
        us = trial.batch_us
    fit_usd, _ = price_usage(prices, cpu_s=trial.fit_s * threads, memory_byte_s=0.0, at_us=at_us)
    return Money(
        errors=(trial.error_cost or 0.0) * 1e6,
        serving=serving_price(prices, us or 0.0, at_us=at_us),
        training=amortised(fit_usd, predictions_until_trained_anew(costs)),
    )


def _rounded(value: float) -> float:
    """To one significant figure: as much as a measured time is good for."""
    return round(value, -floor(log10(value))) if value > 0 else 0.0


def _total(money: Money) -> float:
    """To seven figures: what is less of the whole than that is noise of a measured time, and decides nothing."""
    return float(f"{money.errors + _rounded(money.serving) + _rounded(money.training):.7g}")


def _score(trial: Trial) -> float:
    return float("-inf") if trial.score is None else trial.score


Key = tuple[float, float, int, int]


def _order(
    selection: Selection, trials: Sequence[Trial], money: dict[int, Money], ratio: float | None
) -> Callable[[Trial], Key]:
    """Best first; what is equal falls to the smaller model, then to the earlier trial."""
    first = min(trials, key=lambda t: (-_score(t), t.number))
    best = _score(first)

    def is_near(trial: Trial) -> bool:
        if not selection.interval:
            return _score(trial) >= best - selection.within * abs(best)
        worse = p_worse(first.fold_scores, trial.fold_scores, ratio=ratio)
        return trial is first or (worse is not None and worse > LEVEL)

    def key(trial: Trial) -> Key:
        own = money[trial.number]
        match selection.rule:
            case "least_cost":
                rank, second = _total(own), -_score(trial)
            case "cheapest_within":
                rank, second = (0.0, _rounded(own.serving)) if is_near(trial) else (1.0, -_score(trial))
            case _:
                rank, second = -_score(trial), 0.0
        return rank, second, trial.model_bytes, trial.number

    return key


def _dominates(other: Trial, trial: Trial, money: dict[int, Money]) -> bool:
    """Whether the other is at least as good and as cheap to serve, and one of the two strictly."""
    better = _score(other) - _score(trial)
    cheaper = _rounded(money[trial.number].serving) - _rounded(money[other.number].serving)
    return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)


def _reason(
    ranked: Sequence[Trial], selection: Selection, money: dict[int, Money], result: SearchResult, currency: str
) -> str:
    """Plain words, with figures that repeat from run to run (no measured time)."""
    sign = 1.0 if result.higher_is_better else -1.0
    chosen, best = ranked[0], min(ranked, key=lambda t: (-_score(t), t.number))

    def says(trial: Trial) -> str:
        said = f"trial {trial.number} ({named(trial)}), {result.metric} {sign * _score(trial):.4g} out of fold"
        if trial.error_cost is None:
            return said
        return f"{said} and errors of {money[trial.number].errors:,.0f} {currency} a million"

    why = {
        "best_metric": f"best {result.metric}",
        "least_cost": "least total cost",
        "cheapest_within": f"cheapest to serve that the folds do not show to be worse than the best {result.metric}"
        if selection.interval
        else f"cheapest to serve within {selection.within:.2%} of the best {result.metric}",
    }[selection.rule]
    count = "one candidate" if len(ranked) == 1 else f"{len(ranked)} candidates"
    text = f"{why[0].upper()}{why[1:]} of {count}: {says(chosen)}."
    if _score(best) > _score(chosen):
        text += f" Given up: {says(best)}."
    return f"{text} The search ended early: {result.stopped}." if result.stopped else text
