"""`headrace replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import count, print_json, print_line, things
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.serving.log.replay import Replayed


class NothingToReplay(WrongUse):
    """Neither a request nor a day was named."""

    code = "nothing-to-replay"

    def __init__(self) -> None:
        super().__init__(
            "expected a request's id, or a day", fix="headrace replay REQUEST_ID, or headrace replay --day 2026-11-27"
        )


def replay(
    request_id: str | None = None,
    *,
    day: str | None = None,
    sample: int = 1000,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Compute logged predictions again, from the logged input and exactly the package that answered, to the bit.

    Exit 1 if one of them comes out otherwise: then something between the log and the package is not what it was.

    Parameters
    ----------
    request_id
        One request: all its rows, and its shadows.
    day
        Instead of a request: predictions of this day (UTC, as 2026-11-27) that were shipped.
    sample
        At most so many of the day's.
    """
    from headrace.app import Project
    from headrace.cli.instants import day_of
    from headrace.serving.log import find
    from headrace.serving.log.replay import replay as again

    if (request_id is None) == (day is None):
        raise NothingToReplay
    with Project.open(project) as opened:
        if request_id is not None:
            logged = find.find(opened.prediction_log, opened.growing, opened.name, request_id)
        else:
            logged = find.sample(opened.growing, opened.name, day=day_of(str(day)), n=sample)
        done = again(logged, opened.registry().package)
    differ = [one for one in done if one.differences]
    skipped = [one for one in done if one.skipped]
    if as_json:
        print_json({"replayed": len(done) - len(skipped), "skipped": len(skipped), "differ": [*map(_facts, differ)]})
        return 1 if differ else 0
    for one in differ:
        where = f"{one.prediction.record.request_id} row {one.prediction.record.row}"
        for difference in one.differences:
            print_line(f"{where}: {difference.what} was {difference.logged}, is {difference.now}")
    for one in skipped[:3]:
        print_line(f"{one.prediction.record.request_id}: nothing to compute: {one.skipped}")
    same = len(done) - len(differ) - len(skipped)
    print_line(f"{count(same)} of {things(len(done) - len(skipped), 'prediction comes')} out the same, to the bit")
    return 1 if differ else 0


def _facts(one: Replayed) -> dict[str, Any]:
    record, route = one.prediction.record, one.prediction.route
    return {
        "request_id": record.request_id,
        "row": record.row,
        "model": route.model,
        "version": route.version,
        "package": route.package,
        "differences": [{"what": d.what, "logged": d.logged, "now": d.now} for d in one.differences],
    }
