"""`headrace keys create`, `list`, `revoke`: who may ask a prediction server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.options import AsJson, Flag, ProjectPath, Several
from headrace.cli.output import instant, print_json, print_line, print_table
from headrace.errors import WrongUse
from headrace.governance.users import user_name

if TYPE_CHECKING:
    from headrace.serving.keys import ApiKey
    from headrace.serving.pulling import Spread


class LifetimeInvalid(WrongUse):
    """No time that a key can hold."""

    code = "lifetime-invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f'a lifetime should be like 12h or 90d, or "none", found {text[:40]!r}', fix="write such a lifetime"
        )


def create(
    *,
    deployment: Annotated[tuple[str, ...], Several] = (),
    verb: Annotated[tuple[str, ...], Several] = ("predict",),
    lifetime: str = "90d",
    note: str = "",
    rate: float | None = None,
    concurrency: int | None = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Make an API key. It is shown this once; what is stored tells nobody what it is.

    Parameters
    ----------
    deployment
        Which deployments it may use; every one when left out.
    verb
        What it may do: predict, outcomes.
    lifetime
        How long it holds, such as 12h or 90d; "none" for ever.
    note
        For the list: whose it is, what for.
    rate
        Requests a second that it may ask, over all workers of a server; as many as it likes when left out.
    concurrency
        Requests that it may have under way at a time, likewise.
    """
    from headrace.app import Project
    from headrace.definition.quantities import parse_duration
    from headrace.serving.deployments import check_name

    lifetime_us = None if lifetime == "none" else parse_duration(lifetime)
    if not lifetime_us and lifetime != "none":
        raise LifetimeInvalid(lifetime)
    for name in deployment:
        check_name(name)  # one that there is none of yet may be deployed later; one that cannot be never is
    with Project.open(project) as opened:
        text, key = opened.service.api_keys().create(
            verbs=verb,
            deployments=deployment,
            rate=rate,
            concurrency=concurrency,
            lifetime_us=lifetime_us,
            by=user_name(),
            note=note,
        )
        opened.service.tell_servers()
        spread = opened.service.wait_for_keys()
    if as_json:
        print_json({"key": text, "id": key.id, "expires_us": key.expires_us, **spread._asdict()})
        return 0
    print_line(text)
    print_line()
    where = ", ".join(deployment) or "every deployment"
    ends = "does not expire" if key.expires_us is None else f"expires {instant(key.expires_us)}"
    limits = "" if rate is None and concurrency is None else f", at most {_limits(rate, concurrency)}"
    print_line(f"key {key.id} may {' and '.join(key.verbs)} at {where}{limits}, {ends}.")
    print_line("It is shown this once. Send it as `Authorization: Bearer KEY`.")
    _tell(spread)
    return 0


def list_keys(
    *,
    every: Annotated[Flag, Parameter(name="--all")] = False,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """The API keys, the oldest first.

    Parameters
    ----------
    every
        Also those that ended so long ago that servers are told of them no longer.
    """
    from headrace.app import Project, now_us

    with Project.open(project) as opened:
        stored = opened.service.api_keys()
        keys = stored.ever() if every else stored.list()
    if as_json:
        print_json({"keys": keys})
        return 0
    if not keys:
        print_line("there are no API keys yet: headrace keys create")
        return 0
    now = now_us()
    print_table(
        ["id", "may", "at", "limits", "made", "by", "holds", "note"],
        [
            [
                key.id,
                ", ".join(key.verbs),
                ", ".join(key.deployments) or "every deployment",
                _limits(key.rate, key.concurrency),
                instant(key.created_us),
                key.by,
                _holds(key, now),
                key.note,
            ]
            for key in keys
        ],
    )
    return 0


def _holds(key: ApiKey, now_us: int) -> str:
    if key.revoked_us is not None:
        return f"revoked {instant(key.revoked_us)}"
    if key.expires_us is None:
        return "for ever"
    return f"until {instant(key.expires_us)}" if key.holds(now_us) else "expired"


def _limits(rate: float | None, concurrency: int | None) -> str:
    told = [
        *([] if rate is None else [f"{rate:g} / s"]),
        *([] if concurrency is None else [f"{concurrency:,} at a time"]),
    ]
    return ", ".join(told) or "none"


def revoke(name: str, *, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """End an API key, and wait until no server takes it any longer; exit 3 if one may still do so.

    Parameters
    ----------
    name
        Its id, as `headrace keys list` shows it.
    """
    from headrace.app import Project

    with Project.open(project) as opened:
        key = opened.service.api_keys().revoke(name)
        opened.service.tell_servers()
        spread = opened.service.wait_for_keys()
    if as_json:
        print_json({"id": key.id, "revoked_us": key.revoked_us, **spread._asdict()})
    else:
        ended_us = key.expires_us if key.revoked_us is None else key.revoked_us  # one that had left was not revoked now
        print_line(f"key {key.id} no longer holds, since {instant(ended_us)}")
        _tell(spread)
    return 3 if spread.behind or spread.silent else 0


def _tell(spread: Spread) -> None:
    if spread.behind:
        print_line(f"not yet known to {', '.join(spread.behind)}, which cannot read the object store or is busy")
    if spread.silent:
        print_line(
            f"not known to {', '.join(spread.silent)}, not heard of since: if it was killed, nothing is left to do; "
            "if it is cut off from the object store, it goes by the keys of before until [serving] max_stale has passed"
        )
