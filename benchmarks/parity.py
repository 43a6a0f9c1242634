"""Both forms of random trees on hard values, counted: a case is one tree on one row, equal to the bit or not.

usage: python -m benchmarks.parity [CASES [SEED]]
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.harness import record
from headrace.language.columns import to_polars
from headrace.language.functions import FUNCTIONS
from headrace.language.tree import Call, Node
from headrace.language.types import Type
from headrace.testing.parity import draw_rows, draw_tree, first_difference, frame_of, smallest_difference

TREES, ROWS = 100, 500
"""Trees a batch, and rows on which each is computed."""
DEPTH: Final = 6


def functions_of(node: Node) -> set[str]:
    """Names of the functions in a tree."""
    if not isinstance(node, Call):
        return set()
    return {node.function}.union(*map(functions_of, node.arguments))


def depth_of(node: Node) -> int:
    """How many calls are one inside the other."""
    return 1 + max(map(depth_of, node.arguments), default=0) if isinstance(node, Call) else 0


def main(arguments: Sequence[str]) -> int:
    """Compare and record; exits 1 at the first difference."""
    wanted, seed = (int(float(text)) for text in [*arguments, *("1e7", "0")[len(arguments) :]])
    source = random.Random(seed)
    cases, depths, used, nulls, shown = 0, [0] * (DEPTH + 1), set[str](), 0.0, 0
    started = time.monotonic()
    while cases < wanted:
        trees = [draw_tree(source, source.choice(list(Type)), source.randint(1, DEPTH)) for _ in range(TREES)]
        rows = draw_rows(source, ROWS)
        if first_difference(trees, rows) is not None:
            print(f"seed {seed}, after {cases:,} cases:\n{smallest_difference(trees, rows)}")
            return 1
        cases += TREES * ROWS
        for tree in trees:
            used |= functions_of(tree)
            depths[depth_of(tree)] += 1
        sample = frame_of(rows).select(to_polars(tree).is_null().mean().alias(str(at)) for at, tree in enumerate(trees))
        nulls, shown = nulls + sum(sample.row(0)), shown + TREES
        print(f"{cases:,} cases, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    body = (
        f"{cases:,} cases: {sum(depths):,} random trees, each on {ROWS} rows of hard values (seed {seed}): **0 "
        f"differences**. In them stood {len(used)} of the {len(FUNCTIONS)} functions; trees by depth, from 0: "
        f"{', '.join(f'{count:,}' for count in depths)}. {nulls / shown:.0%} of the results were null. "
        f"{time.monotonic() - started:.0f} s."
    )
    record(
        "Parity of the two forms",
        " ".join(["python -m benchmarks.parity", *arguments]),
        body,
        libraries=["polars", "numpy"],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
