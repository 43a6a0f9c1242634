"""Examples to train on, and a stage's context in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from headrace.data.model import Field
from headrace.definition.model import Task
from headrace.language.types import Type
from headrace.runs.model import ObjectRef
from headrace.training.data import Examples

FIELDS = (
    Field(name="speed", type=Type.FLOAT),
    Field(name="count", type=Type.INTEGER),
    Field(name="city", type=Type.CATEGORY),
    Field(name="open", type=Type.BOOLEAN),
    Field(name="empty", type=Type.FLOAT),
    Field(name="same", type=Type.INTEGER),
)
HOUR = 3_600_000_000


def make_examples(n: int, task: Task = "binary", *, seed: int = 0) -> Examples:
    """Rows an hour apart; the label depends on speed, city and open, and is known 90 minutes later."""
    rng = np.random.Generator(np.random.PCG64(seed))
    speed, count, city = rng.normal(size=n), rng.poisson(4, n), rng.geometric(0.2, n)
    is_open = rng.random(n) < 0.5
    score = speed + 0.5 * np.sin(city) + is_open + 0.3 * rng.normal(size=n)
    y: Any = score
    if task == "binary":
        y = (score > np.quantile(score, 0.8)).astype(np.int64)
    elif task == "multiclass":
        y = np.digitize(score, [-0.5, 0.5, 1.5]).astype(np.int64)
    rows = pl.DataFrame(
        {
            "speed": pl.Series(
                [None if gap < 0.05 else v for v, gap in zip(speed.tolist(), rng.random(n), strict=True)]
            ),
            "count": count,
            "city": [f"c{c}" for c in city.tolist()],
            "open": is_open,
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "same": np.full(n, 3),
        }
    )
    time_us = np.arange(n, dtype=np.int64) * HOUR
    classes = {"binary": ("false", "true"), "multiclass": ("a", "b", "c", "d"), "regression": ()}[task]
    return Examples(
        task=task,
        classes=classes,
        outputs=FIELDS,
        rows=rows,
        y=y,
        time_us=time_us,
        label_known_us=time_us + HOUR * 3 // 2,
        groups=(city % 7).astype(np.int64),
    )


class MemoryRecorder:
    """What the search uses of a stage's context; can be killed after a number of records."""

    def __init__(
        self, parts: Mapping[str, bytes] | MemoryRecorder | None = None, *, kill_after: int | None = None
    ) -> None:
        self.parts: dict[str, bytes] = dict((parts.parts if isinstance(parts, MemoryRecorder) else parts) or {})
        self.kill_after = kill_after
        self.notes: list[str] = []
        self.blobs: dict[str, bytes] = parts.blobs if isinstance(parts, MemoryRecorder) else {}

    def keep_bytes(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        return ObjectRef(key=f"{kind}/{sha256}{suffix}", sha256=sha256, size=len(data))

    def put_aside(self, data: bytes, kind: str, suffix: str) -> ObjectRef:
        return self.keep_bytes(data, kind, suffix)

    def fetch(self, ref: ObjectRef) -> bytes:
        return self.blobs[ref.sha256]

    def recorded(self) -> Mapping[str, bytes]:
        return dict(self.parts)

    def record(self, part: str, data: bytes) -> None:
        assert part not in self.parts, "a trial is recorded once"
        self.parts[part] = data
        if self.kill_after is not None and len(self.parts) >= self.kill_after:
            raise KeyboardInterrupt

    def progress(self, done: float, total: float | None = None, *, unit: str = "rows", note: str = "") -> None:
        assert total is None or done <= total
        self.notes.append(f"{unit}: {note}")


class StepClock:
    """A clock that moves by a fixed step at every look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now
