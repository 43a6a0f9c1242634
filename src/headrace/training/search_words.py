"""What the search says of its candidates: who else is as good, what strategies won, why it ended early."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.definition.model import Split
from headrace.pages.scale import short
from headrace.training.comparing import asked_ratio, p_differs
from headrace.training.metrics import Metric
from headrace.training.model import Race, SearchResult, Trial, Verdict, is_candidate, named


def rivals(chosen: Trial, done: Sequence[Trial], metric: Metric, split: Split) -> Verdict | None:
    """Which other candidates are as good, by the corrected resampled t-test."""
    others = [t for t in done if t.number != chosen.number and is_candidate(t)]
    ratio = asked_ratio(split, len(chosen.fold_scores))
    level = [(p, t) for t in others if (p := p_differs(chosen.fold_scores, t.fold_scores, ratio=ratio)) is not None]
    if not level:
        return None
    same = sorted((t for p, t in level if p > 0.05), key=lambda t: (t.estimated_us is None, t.estimated_us or 0.0))
    beaten = len(level) - len(same)
    says = f"{beaten} of {len(level)} other candidates differ from it beyond chance in {metric.name.replace('_', ' ')}"
    own, least = chosen.estimated_us, same[0].estimated_us if same else None
    if own and least and least < own / 2:
        says += (
            f"; trial {same[0].number} ({named(same[0])}) does not, and answers about {own / least:.1f} times as fast"
        )
    return Verdict(topic="rivals", level="good" if beaten else "look", says=f"{says}.")


def strategies(trials: Sequence[Trial]) -> Verdict | None:
    """What changing the training rows of rare classes won or lost."""
    raced = [(t.imbalance, t.race) for t in trials if t.race is not None]
    failed = [t for t in trials if t.imbalance != "none" and t.race is None]
    if not raced and not failed:
        return None
    said = [
        f"{name} {'won' if race.won >= 0 else 'lost'} {short(abs(race.won))} {_unit(race)} "
        f"(95 % {short(race.low)} to {short(race.high)})" + (", adopted" if race.adopted else "")
        for name, race in raced
    ]
    whys = [t.note.rpartition(f"{t.imbalance}: ")[2] for t in failed]
    said += [f"{t.imbalance} could not be tried" + f" ({why})" * bool(why) for t, why in zip(failed, whys, strict=True)]
    adopted = any(race.adopted for _, race in raced)
    begins = (
        "Nothing stood beside plain calibration and a moved threshold"
        if not raced
        else "Beside plain calibration and a moved threshold"
        if adopted
        else "Plain calibration and a moved threshold are as good as changing the training rows"
    )
    return Verdict(topic="rare classes", level="good", says=f"{begins}: {'; '.join(said)}.")


def _unit(race: Race) -> str:
    return "a prediction" if race.measure == "cost" else f"of {race.measure.replace('_', ' ')}"


def ended(trials: SearchResult) -> Verdict | None:
    """Why the search ended before its budget did."""
    if not trials.stopped:
        return None
    return Verdict(topic="search", level="good", says=f"The search ended before its budget: {trials.stopped}.")
