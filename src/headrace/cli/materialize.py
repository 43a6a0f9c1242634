"""`headrace materialize`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.instants import instant_us, utc
from headrace.cli.options import AsJson, Flag, ProjectPath
from headrace.cli.output import count, print_json, print_line, print_table, seconds, things


def materialize(
    reference: str | None = None,
    *,
    until: str | None = None,
    anew: Annotated[Flag, Parameter(name="--anew")] = False,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Fill the online store from history: what a version's lookups and windows read at a request.

    Only what became known since the last time is written. What is read while it runs, or after it was killed, is what
    was there before.

    Parameters
    ----------
    reference
        MODEL@ALIAS, MODEL@NUMBER, or MODEL for its champion; the project's champion when left out.
    until
        The watermark, ISO 8601: values hold what was known before it. The end of history when left out.
    anew
        Write everything, whatever was written before.
    """
    import msgspec

    from headrace.app import Project

    started = time.perf_counter()
    show = sys.stderr.isatty() and not as_json

    def say(done: int, note: str) -> None:
        if show:
            sys.stderr.write(f"\r{things(done, 'key')}, {note}\033[K")

    with Project.open(project) as opened:
        made = opened.materialize(
            reference, until_us=None if until is None else instant_us(until), anew=anew, progress=say
        )
    if show:
        sys.stderr.write("\r\033[K")
    took = time.perf_counter() - started
    if as_json:
        print_json(
            {
                "watermark_us": made.watermark_us,
                "steps": msgspec.to_builtins(made.steps),
                "keys": made.keys,
                "seconds": round(took, 3),
            }
        )
        return 0
    if not made.steps:
        print_line("the version has no lookups and no windows: there is nothing to write")
        return 0
    rows = [(one.name, one.source, count(one.keys), _HOW[one.how]) for one in made.steps]
    print_table(["feature", "source", "keys written", ""], rows)
    print_line(f"{things(made.keys, 'key')} written in {seconds(took)}; watermark: {utc(made.watermark_us)}")
    return 0


_HOW = {
    "new": "all: the first time",
    "since": "what became known since the last time",
    "anew": "all: what was known before has changed, or it was asked for",
    "unchanged": "nothing has changed",
}
