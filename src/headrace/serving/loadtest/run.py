"""A load test from its first request to its verdict: clients that wait first, then a schedule at rising rates."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from headrace.serving.loadtest import machine
from headrace.serving.loadtest.arrivals import Pattern
from headrace.serving.loadtest.crew import Crew
from headrace.serving.loadtest.errors import ServerNotReached
from headrace.serving.loadtest.framing import Setup
from headrace.serving.loadtest.machine import Use
from headrace.serving.loadtest.rows import Rows
from headrace.serving.loadtest.search import Found, Tried, bracket, next_rate, rounded, saturated
from headrace.serving.loadtest.stages import Closed, Open, Told
from headrace.serving.loadtest.target import Asker, Target, request_head
from headrace.serving.loadtest.verdict import Bottleneck, judge

CLIENTS: Final = (16, 64)
"""Of the stages in which clients wait for their answers."""
STAGES: Final = 14
"""At most, of those by a schedule."""
_FIRST_SHARE: Final = 8
"""The first rate is so much less than what 64 clients got."""
_MOST_SHARE: Final = 16
_LEAST_RATE: Final = 1.0
MOST_REQUESTS: Final = 20_000_000
"""Of a generator in a stage: each takes 8 bytes of memory, and as many again, twice, while the schedule is made."""
_OPEN_AT_ONCE: Final = 64
_QUIET_S: Final = 0.5
"""How long the machine is looked at before anything is asked."""
_GRACE_S: Final = 2.0
_WARM_S: Final = 0.5
_BETWEEN_S: Final = 0.3
"""What a stage takes beside its seconds, about."""
_PROBED: Final = 16
_NEW_KEY_S: Final = 15.0
_KEY_S: Final = 3.0
"""A key that was typed may have been made a moment ago; a wrong one should be said to be that soon."""
_COUNTED_S: Final = 10.0
_LEAST_BUSY: Final = 0.01


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    p99_s: float
    seconds: float = 2.0
    connections: int = 1024
    generators: int = 1
    pattern: Pattern = "poisson"
    seed: int = 0
    rate: float | None = None
    """Only this one; None: rates are searched."""

    @property
    def stages(self) -> int:
        """At most, of all kinds."""
        return 1 if self.rate is not None else len(CLIENTS) + STAGES

    @property
    def most_s(self) -> float:
        """The longest that they take: a stage that is too much waits for its last answers."""
        return _WARM_S + self.stages * (self.seconds + _BETWEEN_S) + _GRACE_S * self.stages / 2


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One, and what came of it."""

    clients: int | None = None
    """Who wait for their answers; None: a schedule."""
    rate: float | None = None
    """Offered, by a schedule."""
    told: Told
    use: Use
    found: Found


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where server and generators run, as far as it is known."""

    workers: tuple[int, ...]
    """Processes at the beginning; none: not on this machine, or not this user's to see."""
    worker_cores: tuple[int, ...]
    """On which they may run."""
    generator_cores: tuple[int, ...]
    """That the generators have; none: any."""
    spins: bool
    """Whether they do not sleep between requests."""
    others: dict[int, float]
    """Busy share of each core just before the test: what other processes take."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a load test found."""

    deployment: str
    address: str
    ids: str
    """What the ids of its requests begin with."""
    rows: int
    entities: int
    said_of_rows: str
    plan: Plan
    place: Place
    stages: tuple[Stage, ...]
    saturation: float | None
    """Answers a second at most; None: it was not reached, or the generator's end was."""
    within: float | None
    """The greatest rate offered that was answered whole, with p99 within the bound; None: not one was."""
    bottleneck: Bottleneck
    generator_most: float
    """Requests a second that the generators could send, by how busy they were in their fullest stage."""
    asked: int
    """Requests, all stages together with those before them."""
    answered: int
    logged: int | None
    """Rows that the server counted as answered meanwhile, somebody else's included; None: it does not tell."""


def load_test(
    name: str,
    target: Target,
    key: str,
    rows: Rows,
    plan: Plan,
    *,
    log: Path | None = None,
    is_new_key: bool = False,
    say_place: Callable[[Place], None] = lambda _: None,
    say_stage: Callable[[Stage], None] = lambda _: None,
) -> Report:
    """Run it.

    Parameters
    ----------
    log : the folder of the server's log of predictions, where it may be on this machine
    is_new_key : it was made for this test, so that servers will know it for certain
    say_place, say_stage : told before the first stage, and after each

    Raises
    ------
    ServerNotReached, ProbeRefused, GeneratorLost
    """
    ids = f"bench-{secrets.token_hex(4)}"
    asker = Asker(target, name, key)
    asker.wait_for_key(_NEW_KEY_S if is_new_key else _KEY_S)
    before = asker.counted()
    probed = rows.bodies[:_PROBED]
    answered_before = asker.probe(probed, ids)
    is_here = target.is_here
    workers = machine.listeners(target.port) if is_here else []
    place = _place(workers, before.workers if before is not None else len(workers), plan.generators)
    say_place(place)
    stages: list[Stage] = []
    setups = [
        Setup(
            host=target.host,
            port=target.port,
            tls=target.tls,
            head=request_head(target, name, key, f"{ids}-{number}"),
            bodies=rows.bodies,
            first=number * len(rows.bodies) // plan.generators,
            connections=max(1, plan.connections // plan.generators),
            open_at_once=max(1, min(_OPEN_AT_ONCE, plan.connections) // plan.generators),
            core=place.generator_cores[number] if place.generator_cores else None,
            spins=place.spins,
            grace_s=_GRACE_S,
        )
        for number in range(plan.generators)
    ]
    with Crew(setups) as crew:

        def run(order: Open | Closed) -> Stage:
            # a server may have as many as what is asked calls for
            workers = machine.listeners(target.port) if is_here else []
            see = partial(machine.look, [*workers, *crew.pids], log if workers else None)
            told, first, last = crew.open(order, see) if isinstance(order, Open) else crew.closed(order, see)
            if not told.answered and not told.connections:
                raise ServerNotReached(str(target), "it ended its connections, and takes no new ones")
            stage = Stage(
                clients=order.clients if isinstance(order, Closed) else None,
                rate=order.rate if isinstance(order, Open) else None,
                told=told,
                use=machine.between(first, last, workers=workers, generators=crew.pids),
                found=told.found(plan.p99_s),
            )
            stages.append(stage)
            return stage

        nothing = partial(machine.look, [], None)
        warm, _, _ = crew.closed(Closed(clients=min(CLIENTS[0], plan.connections), seconds=_WARM_S), nothing)
        _search(plan, run, say_stage)
    asked = len(probed) + warm.sent + sum(stage.told.sent for stage in stages)
    answered = answered_before + warm.answered + sum(stage.told.answered for stage in stages)
    after = None
    with suppress(ServerNotReached):  # what was found stands, should the server have gone since
        after = None if before is None else asker.counted_at_least(before.rows + answered, _COUNTED_S)
    bottleneck, saturation = judged(stages, pinned=bool(place.generator_cores))
    return Report(
        deployment=name,
        address=str(target),
        ids=ids,
        rows=len(rows.bodies),
        entities=rows.entities,
        said_of_rows=rows.said,
        plan=plan,
        place=place,
        stages=tuple(stages),
        saturation=saturation,
        within=bracket(_tried(stages))[0],
        bottleneck=bottleneck,
        generator_most=_generator_most(stages),
        asked=asked,
        answered=answered,
        logged=None if before is None or after is None else after.rows - before.rows,
    )


def judged(stages: Sequence[Stage], *, pinned: bool) -> tuple[Bottleneck, float | None]:
    """What held the server back, and its saturation: none where the generator had no time left before it."""
    telling = _telling(stages)
    bottleneck = judge(telling.told, telling.use, pinned=pinned)
    return bottleneck, None if bottleneck.kind == "generator" else _saturation(stages)


def _search(plan: Plan, run: Callable[[Open | Closed], Stage], say: Callable[[Stage], None]) -> None:
    """Every stage, one after the other."""

    def by_schedule(rate: float, number: int) -> Stage:
        order = Open(pattern=plan.pattern, rate=rate, seconds=plan.seconds, seed=plan.seed + number)
        stage = run(order)
        say(stage)
        return stage

    if plan.rate is not None:
        by_schedule(plan.rate, 0)
        return
    got = _LEAST_RATE
    for clients in CLIENTS:
        if clients <= plan.connections:
            stage = run(Closed(clients=clients, seconds=plan.seconds))
            say(stage)
            got = max(got, stage.told.rate)
    tried: list[Tried] = []
    first, most = max(_LEAST_RATE, rounded(got / _FIRST_SHARE)), rounded(got * _MOST_SHARE)
    most = max(first, min(most, plan.generators * MOST_REQUESTS / plan.seconds))
    while (rate := next_rate(tried, first=first, most=most, stages=STAGES)) is not None:
        stage = by_schedule(rate, len(tried))
        tried.append(Tried(rate, stage.found))


def _place(workers: Sequence[int], n_workers: int, generators: int) -> Place:
    """Which cores generators get: those that no worker may use; else, where there are enough for all, the last ones."""
    own = os.sched_getaffinity(0)
    theirs = machine.allowed_cores(workers)
    spare = sorted(own - theirs)
    if len(spare) >= generators:
        cores = spare[-generators:]
    elif workers and len(own) >= n_workers + generators:
        cores = sorted(own)[-generators:]
    else:
        cores = []
    is_alone = not workers and len(own) > generators
    return Place(
        workers=tuple(workers),
        worker_cores=tuple(sorted(theirs)),
        generator_cores=tuple(cores),
        spins=bool(cores) or is_alone,
        others=_others(),
    )


def _others() -> dict[int, float]:
    before = machine.look([], None)
    time.sleep(_QUIET_S)
    return machine.between(before, machine.look([], None), workers=(), generators=()).cores


def _tried(stages: Sequence[Stage]) -> list[Tried]:
    return [Tried(stage.rate, stage.found) for stage in stages if stage.rate is not None]


def _saturation(stages: Sequence[Stage]) -> float | None:
    """The most that was answered in a second of what came by a schedule, if more was asked than was answered."""
    if not any(stage.told.is_saturated for stage in _too_much(stages)):
        return None
    return max(stage.told.rate for stage in stages if stage.rate is not None)


def _too_much(stages: Sequence[Stage]) -> list[Stage]:
    rates = saturated(_tried(stages))
    return [stage for stage in stages if stage.rate in rates and stage.found in ("much", "far too much")]


def _generator_most(stages: Sequence[Stage]) -> float:
    fullest = max(stages, key=lambda stage: stage.told.busy).told
    return fullest.sent / fullest.seconds / max(fullest.busy, _LEAST_BUSY)


def _telling(stages: Sequence[Stage]) -> Stage:
    """The stage that tells what the bottleneck is: the least rate that was too much, as less is lost there to refusing
    than at a greater one; without one the greatest."""

    def rate(stage: Stage) -> float:
        return stage.rate or 0.0

    much = _too_much(stages)
    return min(much, key=rate) if much else max(stages, key=rate)
