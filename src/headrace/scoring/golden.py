"""Golden rows: model inputs whose answers were written down when the package was made.

Whoever loads a package asks them before it answers anybody, so that a runtime, a processor or a file that computes
something else is noticed first. The rows are drawn, not taken from data: each is a mixture that no person ever was.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.features.model import CategoryLevels, EncodedColumn, Encoder
from headrace.scoring.decision import Decider
from headrace.scoring.errors import GoldenRowsDiffer, PackageUnreadable
from headrace.scoring.graph import Graph

NAME: Final = "golden.json"
ROWS: Final = 32
MOST_ROWS: Final = 1024
MISSING: Final = 0.1
"""Share of values that are missing in a drawn row."""
_RELATIVE: Final = 1e-5
_ABSOLUTE: Final = 1e-6
"""How far the graph's answers may be off, as a share of each and of the largest: float32 sums that another processor
adds in another order."""
_SCORES: Final = 1e-9
"""The same for what is made of them, in float64."""


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `golden.json` holds."""

    format: int = 1
    width: int
    """Columns of the model's input."""
    inputs: bytes
    """Rows after each other, little-endian float32; base64 in JSON."""
    raw: tuple[tuple[float, ...], ...]
    """What the graph answered to each."""
    scores: tuple[tuple[float, ...], ...]
    """What the calibration made of that: a probability, one for each class, or a value."""


def golden_rows(onnx: bytes, encoder: Encoder, decider: Decider) -> bytes:
    """The bytes of `golden.json`: the same for the same arguments on the same processor."""
    graph = Graph(onnx)
    X = _draw(encoder, int.from_bytes(hashlib.sha256(onnx).digest()[:8], "big"))
    raw = graph.raw(X, threads=1)
    finite = np.isfinite(raw.reshape(len(X), -1)).all(axis=1)  # a row that has no answer is no golden one
    X, raw = X[finite], raw[finite]
    made = Golden(
        width=graph.width,
        inputs=X.astype("<f4").tobytes(),
        raw=_rows(raw.astype(np.float64)),
        scores=_rows(decider.probabilities(raw)) if len(raw) else (),
    )
    return msgspec.json.encode(made, order="sorted")


class GoldenCheck:
    """Asks a loaded graph the golden rows of its package.

    Raises
    ------
    PackageUnreadable : the file does not fit the graph.
    """

    def __init__(self, golden: Golden, graph: Graph, decider: Decider) -> None:
        if golden.format != 1:
            raise PackageUnreadable(NAME, f"it has format {golden.format}, this release reads format 1")
        n = len(golden.raw)
        if (
            n > MOST_ROWS
            or golden.width != graph.width
            or len(golden.inputs) != n * graph.width * 4
            or len(golden.scores) != n
        ):
            raise PackageUnreadable(NAME, "it does not have one answer for each row of the graph's width")
        self.rows: Final = n
        self._graph, self._decider = graph, decider
        self._X = np.frombuffer(golden.inputs, "<f4").astype(np.float32).reshape(n, graph.width)
        try:
            self._raw, self._scores = np.array(golden.raw, ndmin=2), np.array(golden.scores, ndmin=2)
        except ValueError as error:
            raise PackageUnreadable(NAME, "its answers have not as many numbers each") from error
        self._near: Final = _ABSOLUTE * max(1.0, float(np.abs(self._raw).max(initial=0.0)))
        self._turn = 0

    def edges(self, bins: int) -> tuple[float, ...]:
        """Between which about equally many of the first scores fall; fewer where many are the same."""
        if not self.rows:
            return ()
        ordered = np.sort(self._scores[:, 0])
        return tuple(sorted({float(ordered[self.rows * place // bins]) for place in range(1, bins)}))

    def all(self) -> None:
        """Every row; raises `GoldenRowsDiffer`."""
        self._ask(slice(None))

    def next(self) -> None:
        """One row, another one each time: what a health check can afford; raises `GoldenRowsDiffer`."""
        if self.rows:
            self._turn = (self._turn + 1) % self.rows
            self._ask(slice(self._turn, self._turn + 1))

    def _ask(self, rows: slice) -> None:
        X, expected, expected_scores = self._X[rows], self._raw[rows], self._scores[rows]
        if not len(X):
            return
        raw = self._graph.raw(X, threads=1)
        found = raw.reshape(len(X), -1).astype(np.float64)
        # of the answer that was written down, so that a steep calibration makes no small difference a large one
        written = expected.astype(np.float32)
        scores = self._decider.probabilities(written[:, 0] if raw.ndim == 1 else written).reshape(len(X), -1)
        if found.shape != expected.shape or scores.shape != expected_scores.shape:
            raise PackageUnreadable(NAME, "its answers do not have the shape of the graph's")
        right = np.isclose(found, expected, rtol=_RELATIVE, atol=self._near).all(axis=1)
        right &= np.isclose(scores, expected_scores, rtol=_SCORES, atol=_SCORES).all(axis=1)
        if not right.all():
            raise GoldenRowsDiffer(int(np.count_nonzero(~right)), len(X))


def _draw(encoder: Encoder, seed: int) -> NDArray[np.float32]:
    """The typical row, the row of which nothing is known, and rows drawn about them."""
    random = np.random.default_rng(seed)
    columns = [_column(each, random) for each in encoder.columns]
    X = np.stack(columns, axis=1).astype(np.float32)
    X[2:][random.random((ROWS - 2, len(columns))) < MISSING] = np.nan
    return X


def _column(column: EncodedColumn, random: np.random.Generator) -> NDArray[np.float64]:
    typical = np.array([column.typical, np.nan])
    if isinstance(column.encoding, CategoryLevels):
        return np.concatenate([typical, random.integers(0, len(column.encoding.levels) + 1, ROWS - 2)])
    spread = max(abs(column.typical), 1.0) * random.choice([0.1, 1.0, 10.0], ROWS - 2)
    drawn = np.clip(column.typical + spread * random.normal(size=ROWS - 2), -_LARGEST, _LARGEST)
    return np.concatenate([typical, drawn])


_LARGEST: Final = float(np.finfo(np.float32).max)


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.reshape(len(values), -1).tolist())
