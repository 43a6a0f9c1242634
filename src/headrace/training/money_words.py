"""What a choice costs, and what it would cost if costs were others, in a sentence with its figures."""

from __future__ import annotations

from headrace.pages.scale import short
from headrace.training.model import Choice, Verdict

LITTLE = 0.05
"""Of the expected cost of a million predictions: less lost than that asks for no look."""


def costs_wrong(choice: Choice) -> Verdict | None:
    """What is lost where one of [costs] is in truth half or twice what it is said to be; None without [costs]."""
    chosen = next(c for c in choice.candidates if c.trial == choice.trial)
    if not choice.sensitivity or chosen.money is None:
        return None
    worst = max(choice.sensitivity, key=lambda one: one.regret)
    total = chosen.money.total
    share = worst.regret / total if total > 0 else 0.0
    others = sorted({one.trial for one in choice.sensitivity} - {choice.trial})
    stays = "the choice stays" if not others else f"the better choice would be trial {' or '.join(map(str, others))}"
    lost = (
        f"at most {short(worst.regret)} {choice.currency} a million predictions are lost, {share:.1%} of their cost "
        f"(if {worst.key} were {worst.factor:g} times what is said)"
    )
    if share <= LITTLE:
        says = f"Costs may be wrong by half or by two and little is lost: {stays}, {lost}."
        return Verdict(topic="costs", level="good", says=says)
    says = f"Much depends on what errors cost: wrong by half or by two, {stays}; {lost}."
    return Verdict(topic="costs", level="look", says=says)
