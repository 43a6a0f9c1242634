"""What held a server back, by what was seen meanwhile: a pure judgement, said in one sentence with its evidence."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from headrace.serving.loadtest.machine import ProcessUse, Use
from headrace.serving.loadtest.stages import LATE_SHARE, Told

Kind = Literal[
    "refused",
    "worker cpu",
    "no core",
    "generator",
    "disk",
    "key limit",
    "admission",
    "log",
    "not reached",
    "failures",
    "unknown",
]
FULL: Final = 0.9
"""Of a core, or a disk: from this on it is called full."""
CROWDED: Final = 0.15
"""Share of the time that a process waited for a core: from this on others are said to have taken it."""
_KEY_CODES: Final = "key-"
"""What the codes of an API key's own limits begin with."""
_BUSY_CODE: Final = "too-busy"
_LOG_CODES: Final = ("prediction-log-full", "prediction-log-unavailable", "prediction-log-behind")


class Bottleneck(msgspec.Struct, frozen=True):
    """What it was."""

    kind: Kind
    sentence: str


def judge(told: Told, use: Use, *, pinned: bool) -> Bottleneck:
    """What held the server back in a stage that was too much.

    Parameters
    ----------
    told, use : of that stage
    pinned : whether the generator had a core of its own
    """
    codes = {code: n for code, n in told.codes.items() if n}
    if codes and (refused := _refused(codes)) is not None:
        return refused
    if not told.is_saturated and told.failures:
        return Bottleneck("failures", f"none was reached before requests failed: {_listed(told.failed)}.")
    if not told.is_saturated and not told.is_generator_full:
        return Bottleneck("not reached", "none was reached: the server answered every rate that was tried.")
    if any(each.busy >= FULL for each in use.workers):
        return Bottleneck("worker cpu", _workers_full(told, use))
    starved = max((*use.workers, *use.generators), key=lambda each: each.waited, default=None)
    if starved is not None and starved.waited >= CROWDED:
        return Bottleneck("no core", _crowded(starved, use, pinned=pinned))
    if told.is_generator_full:
        return Bottleneck("generator", _generator(told, use, pinned=pinned))
    if use.disk is not None and use.disk >= FULL:
        return Bottleneck("disk", f"the log's disk, which had work {use.disk:.0%} of the time; {_rest(use)}.")
    if told.refusals:
        why = _listed(codes) or _listed({str(status): n for status, n in told.refused.items()})
        return Bottleneck("admission", f"the server's limit of what may wait ({why}); {_rest(use)}.")
    if not use.workers:
        return Bottleneck(
            "unknown", "unknown: the server's processes are not on this machine, or are not this user's to see."
        )
    return Bottleneck("unknown", f"unknown: nothing was full; {_rest(use)}.")


def _refused(codes: dict[str, int]) -> Bottleneck | None:
    """By what most refusals were for; None: there was too much to do."""
    kinds: dict[str, dict[str, int]] = {}
    for code, n in codes.items():
        kinds.setdefault(_kind_of(code), {})[code] = n
    most = max(kinds, key=lambda kind: sum(kinds[kind].values()))
    said = _listed(kinds[most])
    if most == "log":
        return Bottleneck("log", f"the log of predictions: the server refused because of it ({said}).")
    if most == "key limit":
        return Bottleneck("key limit", f"the limits of the API key ({said}), not the server.")
    if most == "refused":
        return Bottleneck("refused", f"none of its own: the server refused for another reason ({said}).")
    return None


def _kind_of(code: str) -> str:
    if code in _LOG_CODES:
        return "log"
    if code.startswith(_KEY_CODES):
        return "key limit"
    return "admission" if code == _BUSY_CODE else "refused"


def _workers_full(told: Told, use: Use) -> str:
    full = [each for each in use.workers if each.busy >= FULL]
    if len(use.workers) == 1:
        said = f"the worker's CPU: process {full[0].pid} was {full[0].busy:.0%} busy on core {full[0].core}"
    else:
        each = ", ".join(f"{one.pid} {one.busy:.0%} on core {one.core}" for one in use.workers)
        said = f"the workers' CPU: {len(full)} of {len(use.workers)} were full ({each})"
    also = "; what was more it refused" if told.refusals else ""
    return f"{said}{also}; {_others(told, use)}."


def _crowded(starved: ProcessUse, use: Use, *, pinned: bool) -> str:
    who = "the generator" if starved in use.generators else f"worker {starved.pid}"
    why = "other processes had them" if pinned else "the generator, the workers and other processes shared them"
    return (
        f"cores: {who} waited for one {starved.waited:.0%} of the time, as {why} (busy: {_cores(use)}); "
        "the server's own limit is above this: measure where nothing else runs, or ask from another machine."
    )


def _generator(told: Told, use: Use, *, pinned: bool) -> str:
    late = told.late / max(told.sent, 1)
    facts = [f"it was busy {told.busy:.0%} of the time"]
    if late > LATE_SHARE:
        facts.append(f"sent {late:.1%} of its requests late")
    more = "" if pinned else ", and had no core of its own"
    workers = ", ".join(f"{each.busy:.0%}" for each in use.workers)
    server = f"; the server could do more (workers busy: {workers})" if workers else ""
    fix = "ask from another machine, or with --generators" if pinned else "ask from another machine"
    return f"the generator, not the server: {' and '.join(facts)}{more}{server}: {fix}."


def _others(told: Told, use: Use) -> str:
    facts = [f"the generator was busy {told.busy:.0%}"]
    if use.disk is not None:
        facts.append(f"the log's disk {use.disk:.0%}")
    return ", ".join(facts)


def _rest(use: Use) -> str:
    facts = []
    if use.workers:
        facts.append("workers were busy " + ", ".join(f"{each.busy:.0%}" for each in use.workers))
    if use.disk is not None:
        facts.append(f"the log's disk {use.disk:.0%}")
    facts.append(f"cores {_cores(use)}")
    return ", ".join(facts)


def _cores(use: Use) -> str:
    return ", ".join(f"{share:.0%}" for _, share in sorted(use.cores.items())) or "not known"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda each: -each[1]))
