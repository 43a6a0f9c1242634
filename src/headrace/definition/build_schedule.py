"""[schedule] and [lineage] as read → their objects, with the checks that the sections can answer alone."""

from __future__ import annotations

import datetime as dt

from headrace.definition.build import check_zone
from headrace.definition.document import At, shown
from headrace.definition.kinds import Fields
from headrace.definition.locations import check_address, check_headers
from headrace.definition.model import Lineage, Retry, Schedule


def build_schedule(fields: Fields) -> Schedule:
    """[schedule]: something must start a run."""
    at = fields.at
    for i, line in enumerate(fields.get("cron", ())):
        _check_cron(line, at.key("cron").item(i))
    if (zone := fields.get("zone")) is not None:
        check_zone(zone, at.key("zone"))
    written = [key for key in ("cron", "when") if key in fields.values or at.key(key).is_broken]
    if not written:
        at.missing("cron", expected="`cron`, or `when`, or both", fix='write cron = "0 5 * * *" or when = "new_files"')
    for key, needed in (("settle", "when"), ("zone", "cron"), ("catch_up", "cron")):
        if key in fields.values and needed not in written:
            at.key(key).wrong(
                f"`{key}` is for `{needed}`", expected=f"`{needed}` beside it", found="none", fix="take it out"
            )
    if "catch_up_at_most" in fields.values and fields.get("catch_up") != "all" and not at.key("catch_up").is_broken:
        found = shown(fields.get("catch_up", "latest"))
        at.key("catch_up_at_most").wrong(
            "`catch_up_at_most` is for catching up on all", expected='catch_up = "all"', found=found, fix="take one out"
        )
    return Schedule(
        retry=_retry(fields.get("retry")),
        **fields.only("cron", "zone", "when", "do", "catch_up", "catch_up_at_most"),
        **{f"{key}_us": fields.values[key] for key in ("settle", "timeout") if fields.get(key)},
    )


def build_lineage(fields: Fields) -> Lineage:
    """[lineage]: a file, or a URL with its headers."""
    at = fields.at
    address = fields.get("openlineage", "")
    if address:
        check_address(address, at.key("openlineage"), ("file", "http", "https"), "a path, or an http(s):// URL")
    if "headers" in fields.values and address and not address.startswith(("http://", "https://")):
        at.key("headers").wrong(
            "only requests have headers",
            expected='openlineage = "https://…"',
            found=shown(address),
            fix="take them out",
        )
    check_headers(fields.get("headers", ()), at.key("headers"))
    return Lineage(openlineage=address, **fields.only("headers", "namespace"))


def _retry(fields: Fields | None) -> Retry:
    if fields is None:
        return Retry()
    pauses = {f"{key}_us": fields.values[key] for key in ("backoff", "backoff_max") if key in fields.values}
    return Retry(**fields.only("times"), **pauses)


def _check_cron(line: str, at: At) -> None:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:  # a machine that only scores: it starts no run
        return
    try:
        is_never = next(CronSim(line, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), None) is None
        problem = "it names no time that ever comes" if is_never else None
    except CronSimError as error:
        problem = str(error)
    if problem is not None:
        at.wrong(
            f"this is no time of cron: {problem[0].lower()}{problem[1:]}",
            expected="minute, hour, day of the month, month and day of the week",
            found=shown(line),
            fix='for example "0 5 * * *": at five every day',
        )
