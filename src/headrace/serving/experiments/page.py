"""The page of an experiment: the decision and its evidence, for whoever has to answer for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from headrace.pages.charts import Series, line_chart
from headrace.pages.render import render
from headrace.serving.experiments.model import Status
from headrace.serving.model import Deployment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def experiment_page(status: Status, history: Sequence[Deployment] = ()) -> str:
    """One HTML page.

    Parameters
    ----------
    history
        Every revision of the deployment, oldest first; the page tells them newest first.
    """
    return render(
        "serving/experiment.html.j2",
        s=status,
        verdict=verdict(status),
        charts=_charts(status),
        total=sum(status.sample_ratio.entities.values()),
        history=list(reversed(history)),
        when=lambda us: f"{EPOCH + timedelta(microseconds=us):%Y-%m-%d %H:%M} UTC",
    )


def verdict(status: Status) -> str:
    """The decision in a few words."""
    match status.decision:
        case "ship":
            return f"ship {status.arm}"
        case "stop":
            return f"stop, {status.arm} stays"
        case "invalid":
            return "not to be believed"
        case _:
            return "goes on"


def _charts(status: Status) -> list[tuple[str, str]]:
    """Of each arm its difference over days, where that has bounds."""
    drawn: list[tuple[str, str]] = []
    for arm in status.arms[1:]:
        looks = [look for look in status.looks if look.arm == arm.name and look.low is not None]
        if not looks:
            continue
        begun = looks[0].day
        days = [float(look.day - begun) for look in looks]
        title = f"{arm.name} beside {status.arms[0].name}, cost an entity"
        line = Series(
            "difference",
            days,
            [look.value for look in looks],
            low=[look.low for look in looks if look.low is not None],
            high=[look.high for look in looks if look.high is not None],
        )
        level = Series("no difference", [days[0], days[-1]], [0.0, 0.0], dashed=True)
        since = f"{EPOCH + timedelta(days=begun):%Y-%m-%d}"
        drawn.append((title, line_chart(title, [line, level], x_label=f"days since {since}", y_label="difference")))
    return drawn
