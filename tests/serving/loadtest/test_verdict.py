"""What is said to have held a server back."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.serving.loadtest.latencies import Latencies
from headrace.serving.loadtest.machine import ProcessUse, Use
from headrace.serving.loadtest.run import Stage, judged
from headrace.serving.loadtest.stages import Told
from headrace.serving.loadtest.verdict import judge


def told(**said: Any) -> Told:
    usual: dict[str, Any] = {
        "seconds": 2.0,
        "offered": 10_000,
        "sent": 8_000,
        "answered": 8_000,
        "answered_within": 7_000,
        "latencies": Latencies.of([10**8] * 10_000),
        "busy": 0.4,
    }
    return Told(**(usual | said))


def process(pid: int = 7, busy: float = 0.5, waited: float = 0.0) -> ProcessUse:
    return ProcessUse(pid=pid, core=pid % 2, busy=busy, waited=waited, all_threads=busy)


def use(*workers: ProcessUse, disk: float | None = 0.01) -> Use:
    generators = (process(9, 1.0),)
    return Use(seconds=1.6, workers=workers, generators=generators, cores={0: 0.5, 1: 1.0}, disk=disk)


@pytest.mark.parametrize(
    ("stage", "machine", "kind", "says"),
    [
        (told(), use(process(busy=0.98)), "worker cpu", "process 7 was 98% busy on core 1"),
        (told(), use(process(6, 0.97), process(7, 0.4)), "worker cpu", "1 of 2 were full"),
        (told(refused={429: 900}, codes={"too-busy": 900}), use(process(busy=0.98)), "worker cpu", "it refused"),
        (told(), use(process(busy=0.6, waited=0.38)), "no core", "worker 7 waited for one 38% of the time"),
        (told(busy=0.99), use(process(busy=0.3)), "generator", "the server could do more (workers busy: 30%)"),
        (told(busy=0.99), use(process(busy=0.95)), "worker cpu", "the generator was busy 99%"),
        (told(), use(process(busy=0.2), disk=0.97), "disk", "had work 97% of the time"),
        (told(refused={429: 9}, codes={"too-busy": 9}), use(process(busy=0.7)), "admission", "too-busy 9"),
        (told(refused={429: 9}, codes={"key-too-fast": 9}), use(process(busy=0.7)), "key limit", "key-too-fast"),
        (
            told(refused={503: 9}, codes={"prediction-log-behind": 9}),
            use(process(busy=0.2)),
            "log",
            "prediction-log-behind",
        ),
        (told(refused={503: 9}, codes={"online-stale": 9}), use(process()), "refused", "online-stale 9"),
        (
            told(refused={429: 901}, codes={"too-busy": 900, "key-too-many": 1}),
            use(process(busy=0.98)),
            "worker cpu",
            "was 98% busy",
        ),
        (
            told(refused={429: 900, 503: 2}, codes={"too-busy": 900, "prediction-log-behind": 1, "online-stale": 1}),
            use(process(busy=0.7)),
            "admission",
            "too-busy 900",
        ),
        (told(), use(), "unknown", "not on this machine"),
        (told(), use(process(busy=0.3)), "unknown", "nothing was full"),
        (told(answered_within=9_990), use(process(busy=0.3)), "not reached", "every rate that was tried"),
        (told(answered_within=9_990, failed={"status 500": 3}), use(process()), "failures", "status 500 3"),
    ],
)
def test_the_bottleneck_is_named_with_its_evidence(stage: Told, machine: Use, kind: str, says: str) -> None:
    found = judge(stage, machine, pinned=True)
    assert found.kind == kind
    assert says in found.sentence
    assert found.sentence.endswith(".")


def test_the_verdict_is_by_the_least_rate_that_was_too_much_and_the_limit_by_the_schedule_alone() -> None:
    clients = Stage(clients=64, told=told(answered_within=30_000), use=use(), found="within")
    by_rate = {
        1_000.0: told(offered=2_000, sent=2_000, answered=2_000, answered_within=2_000),
        8_000.0: told(offered=16_000, sent=16_000, answered=10_000, answered_within=10_000),
        4_000.0: told(offered=8_000, sent=8_000, answered=7_000, answered_within=7_000),
    }
    full = {1_000.0: use(), 8_000.0: use(process(busy=0.2), disk=0.97), 4_000.0: use(process(busy=0.98))}
    scheduled = [Stage(rate=rate, told=each, use=full[rate], found=each.found(9.0)) for rate, each in by_rate.items()]
    assert [each.found for each in scheduled] == ["within", "far too much", "much"]
    bottleneck, saturation = judged([clients, *scheduled], pinned=True)
    assert (bottleneck.kind, saturation) == ("worker cpu", 5_000.0)
    bottleneck, saturation = judged([clients, *scheduled[:1]], pinned=True)
    assert (bottleneck.kind, saturation) == ("not reached", None)


def test_a_generator_without_a_core_of_its_own_is_said_to_be_so() -> None:
    found = judge(told(busy=1.0), use(process(busy=0.3)), pinned=False)
    assert "had no core of its own" in found.sentence
    assert "--generators" not in found.sentence


def test_what_is_under_way_at_the_end_of_a_stage_is_no_saturation() -> None:
    """A slow server that keeps up owes as many answers as come in the time of one."""
    slow = told(offered=100, sent=100, answered=100, answered_within=90, latencies=Latencies.of([2 * 10**8] * 100))
    assert not slow.is_saturated
    assert slow.found(p99_s=0.3) == "within"
    assert slow.found(p99_s=0.1) == "slow"
    assert told().found(p99_s=1.0) == "far too much"
    assert told(refused={429: 1}, answered_within=9_900).found(p99_s=1.0) == "much"


def stage(rate: float, told: Told) -> Stage:
    return Stage(rate=rate, told=told, use=use(process(busy=0.3)), found=told.found(p99_s=60.0))


def test_what_a_full_generator_got_is_no_saturation_of_the_server() -> None:
    within = told(offered=4_000, sent=4_000, answered=4_000, answered_within=4_000, latencies=Latencies.of([10**6]))
    full = [stage(2_000, within), stage(5_000, told(busy=0.99))]
    bottleneck, saturation = judged(full, pinned=True)
    assert (bottleneck.kind, saturation) == ("generator", None)
    bottleneck, saturation = judged([full[0], stage(5_000, told())], pinned=True)
    assert (bottleneck.kind, saturation) == ("unknown", 3_500.0)
