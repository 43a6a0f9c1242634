"""What looking every day costs: false stops of equal arms over 100 looks, how soon real differences are told, and how
soon a bad canary is taken back; beside a plain t-test that is looked at as often, and one that is looked at once.

usage: python -m benchmarks.experiments [SIMULATIONS]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from benchmarks.harness import record, table
from headrace.serving.experiments.confidence import BEST_AT, Sample, difference, interval, p_differs
from headrace.serving.experiments.rates import Rate, p_more
from headrace.serving.experiments.sample_ratio import p_value
from headrace.serving.guards import ALPHA

LOOKS: Final = 100
RATE: Final = 0.05
Pair = tuple[Sample, Sample]
Looks = Iterator[list[Pair]]


def rare(rng: np.random.Generator, runs: int, entities: int, rates: tuple[float, float]) -> Looks:
    """Costs of 1 at these rates, else 0: of each run the sums of both arms at every look."""
    step = entities // LOOKS
    hits = np.cumsum([rng.binomial(step, rate, (runs, LOOKS)) for rate in rates], axis=2).astype(float)
    for run in range(runs):
        yield [
            (Sample(step * (i + 1), a, a), Sample(step * (i + 1), b, b))
            for i, (a, b) in enumerate(zip(hits[0, run].tolist(), hits[1, run].tolist(), strict=True))
        ]


def skewed(rng: np.random.Generator, runs: int, entities: int) -> Looks:
    """Log-normal costs of three entities in ten, else 0."""
    step = entities // LOOKS
    for _ in range(runs):
        costs = np.where(rng.random((2, entities)) < 0.3, rng.lognormal(0.0, 1.0, (2, entities)), 0.0)
        sums = np.cumsum(costs, axis=1)[:, step - 1 :: step].tolist()
        squares = np.cumsum(costs * costs, axis=1)[:, step - 1 :: step].tolist()
        yield [
            (Sample(step * (i + 1), sums[0][i], squares[0][i]), Sample(step * (i + 1), sums[1][i], squares[1][i]))
            for i in range(LOOKS)
        ]


def ours(a: Sample, b: Sample) -> bool:
    """Whether the confidence sequence tells the arms apart."""
    return p_differs(difference(a, b)) <= 0.05


def plain(a: Sample, b: Sample) -> bool:
    """Whether a t-test at 5 % does."""
    spread = a.variance / a.n + b.variance / b.n
    return spread > 0.0 and abs(a.mean - b.mean) > 1.96 * math.sqrt(spread)


def stops(runs: Looks, tests: tuple[Callable[[Sample, Sample], bool], ...]) -> list[list[float]]:
    """Of each test the entities an arm at which each run was first told apart; infinite where it never was."""
    found: list[list[float]] = [[] for _ in tests]
    for looks in runs:
        for told, test in zip(found, tests, strict=True):
            told.append(next((float(a.n) for a, b in looks if test(a, b)), math.inf))
    return found


def share(found: list[float]) -> str:
    """Of those that stopped."""
    return f"{100 * np.mean(np.isfinite(found)):.1f} %"


def fixed(rates: tuple[float, float], power: float) -> int:
    """Entities an arm of a two-sided test at 5 % that is looked at once."""
    z = 1.959964 + {0.5: 0.0, 0.8: 0.841621, 0.95: 1.644854}[power]
    return round(z * z * sum(rate * (1.0 - rate) for rate in rates) / (rates[1] - rates[0]) ** 2)


def rollback(rng: np.random.Generator, runs: int, weight: float, rates: tuple[float, float]) -> list[float]:
    """Of each run the canary's answers until the errors guard takes it back; infinite where 10,000 do not suffice."""
    found = []
    for _ in range(runs):
        a = b = n = m = 0
        told = math.inf
        while n < 10_000 and told == math.inf:
            n, m = n + 20, m + round(20 * (1 - weight) / weight)
            a, b = (
                a + int(rng.binomial(20, rates[0])),
                int(b + rng.binomial(round(20 * (1 - weight) / weight), rates[1])),
            )
            if p_more(Rate(n, a), Rate(m, b), by=0.01) <= ALPHA:
                told = float(n)
        found.append(told)
    return found


def main(simulations: int = 2_000) -> None:
    """Simulate and record."""
    rng = np.random.default_rng(2026)
    tests = (ours, plain)
    equal = [
        ("5 % of entities cost 1, 20,000 an arm", stops(rare(rng, simulations, 20_000, (RATE, RATE)), tests)),
        ("log-normal costs of 30 %, 10,000 an arm", stops(skewed(rng, simulations, 10_000), tests)),
    ]
    entities = rng.multinomial(200, [0.5, 0.5], (simulations, LOOKS)).cumsum(axis=1).tolist()
    doubted = np.mean([any(p_value(at, [0.5, 0.5]) <= 0.05 for at in run) for run in entities])
    rows: list[list[object]] = [[name, share(a), share(b)] for name, (a, b) in equal]
    false = table(["equal arms, told apart at any of 100 looks", "confidence sequence", "t-test at each look"], rows)
    rates = [(RATE, other) for other in (0.055, 0.06, 0.07)]
    rows = []
    for pair in rates:
        horizon = {0.055: 100_000, 0.06: 60_000, 0.07: 20_000}[pair[1]]
        [told] = stops(rare(rng, simulations // 2, horizon, pair), (ours,))
        for power in (0.5, 0.8, 0.95):
            once = fixed(pair, power)
            took = float(np.quantile(told, power, method="higher"))
            rows.append(
                [f"{pair[0]:.1%} against {pair[1]:.1%}", f"{power:.0%}", f"{took:,.0f}", f"{once:,}", took / once]
            )
    soon = table(["difference", "told in", "entities an arm, looked at 100 times", "looked at once", "ratio"], rows)
    rows = []
    for weight, pair in (
        (0.05, (0.05, 0.01)),
        (0.5, (0.05, 0.01)),
        (0.05, (0.2, 0.002)),
        (0.05, (0.02, 0.01)),
        (0.05, (0.01, 0.01)),
    ):
        took_back = rollback(rng, max(50, simulations // 10), weight, pair)
        half = np.quantile(took_back, 0.5, method="higher")
        late = np.quantile(took_back, 0.9, method="higher")
        told_in = [f"{each:,.0f}" if math.isfinite(each) else "never" for each in (half, late)]
        rows.append([f"{pair[0]:.1%} against {pair[1]:.1%}, a canary of {weight:.0%}", share(took_back), *told_in])
    back = table(["errors, 1 % more allowed", "taken back", "after answers, median", "nine in ten"], rows)
    narrow = interval(difference(Sample(10_000, 500.0, 500.0), Sample(10_000, 500.0, 500.0)))
    body = (
        f"{simulations:,} simulated experiments a line (half of it for differences, a tenth for canaries), 100 looks "
        f"each, sequences narrowest at {BEST_AT:,} entities; at 10,000 an arm of 5 % the sequence is "
        f"±{narrow.high:.4f} wide, an interval for one look ±{1.96 * math.sqrt(2 * 0.05 * 0.95 / 10_000):.4f}. "
        f"A right ratio of entities is doubted (p ≤ 0.05) in {doubted:.1%}.\n\n{false}\n\n{soon}\n\n{back}"
    )
    record("Experiments that are looked at", "python -m benchmarks.experiments", body, libraries=["numpy"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
