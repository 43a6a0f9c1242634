"""A loaded package that answers: rows in, predictions out. The same numbers, to the bit, as the columns form gives.

Loads no table engine and no training library; a frame is read through narwhals, imported when one is passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.errors import HeadraceError
from headrace.features.encoder import row_encoder
from headrace.features.model import CategoryLevels, Encoder, ExpressionStep, Program
from headrace.features.program import HistoryLike, ReadRow, RowProgram, check_program
from headrace.language.row_decimals import SCALE
from headrace.language.types import Type
from headrace.language.values import RowValue, encode
from headrace.scoring.decision import Decider
from headrace.scoring.errors import HistoryMissing, PackageUnreadable, ScoreNotFinite
from headrace.scoring.golden import NAME as GOLDEN
from headrace.scoring.golden import Golden, GoldenCheck
from headrace.scoring.graph import Graph
from headrace.scoring.model import Decision, Prediction, Reason
from headrace.scoring.package import Package, decode_json
from headrace.scoring.rows import RowReader, as_mappings

Extra = Literal["error", "ignore"]
_EFFECT_CELLS: Final = 4 * 1024 * 1024
"""Most cells of one matrix of changed rows when effects are computed: 16 MiB."""


class Scorer:
    """Answers for one package.

    Parameters
    ----------
    package
        What `read_package` gave.
    version
        The number that answers name; None outside a registry.
    history
        Where lookups and windows come from; without it only a program of row expressions answers rows, while
        `score_matrix` always does.

    Raises
    ------
    PackageRefused : the graph is not allowed, the files do not fit together, or the golden rows are answered otherwise
        than when the package was made.

    Notes
    -----
    One instance may serve many threads if its history may.
    """

    def __init__(self, package: Package, version: int | None = None, history: HistoryLike | None = None) -> None:
        self.model: Final = package.manifest.model
        self.version: Final = version
        self.program: Final = decode_json(package, "program.json", Program)
        self.encoder: Final = decode_json(package, "encoder.json", Encoder)
        self.decider: Final = Decider(decode_json(package, "decision.json", Decision))
        self._uncertainty = self.decider.uncertainty
        self._said_of = self._sayer()
        self.graph: Final = Graph(package.files["model.onnx"])
        contract = decode_json(package, "contract.json", _Contract)
        _check_fit(self.program, self.encoder, self.decider.decision, self.graph)
        self.contract_types: Final = contract.types
        """Of the columns that the source has, request columns or not."""
        self._places = {field.name: place for place, field in enumerate(self.encoder.inputs)}
        self._typical = np.array([column.typical for column in self.encoder.columns], np.float32)
        self._needs_history = tuple(s.name for s in self.program.steps if not isinstance(s, ExpressionStep))
        self._has_history = history is not None
        try:
            check_program(self.program)
            self._reader = RowReader(self.program, contract.types)
            self._amounts = tuple(self._places[column] for column in self.decider.columns)
            inputs = self.encoder.inputs
            self._units = tuple(SCALE if inputs[place].type is Type.DECIMAL else 1 for place in self._amounts)
            self._encode = row_encoder(self.encoder)
            self._outputs = RowProgram(self.program, history or _NO_HISTORY).outputs
        except (HeadraceError, KeyError, ValueError, TypeError, IndexError) as error:
            raise PackageUnreadable("program.json", f"it cannot be compiled: {error}") from error
        self.golden: Final = self._golden(package)
        """Asked once already; None for a package of an earlier release, which has no golden rows."""

    def _golden(self, package: Package) -> GoldenCheck | None:
        if GOLDEN not in package.files:
            return None
        check = GoldenCheck(decode_json(package, GOLDEN, Golden), self.graph, self.decider)
        check.all()
        return check

    def predict(
        self, rows: Any, *, reasons: int = 0, extra: Extra = "error", now_us: int | None = None
    ) -> list[Prediction]:
        """One prediction a row, in order.

        Parameters
        ----------
        rows
            A sequence of mappings from column to value, or a Polars, pandas or Arrow frame. Every request column must
            be there unless it can be derived from others that are; null means not known. Instants are ISO 8601 text
            or `datetime`; without an offset they are UTC. A level that training did not see counts as rare.
        reasons
            How many reasons each prediction carries at most: the features whose setting to their typical value changes
            the answer most. Each costs no more than one further row for every feature.
        extra
            What becomes of columns that neither the model nor its source knows. Those of the source that are no request
            columns may come along and are passed over.
        now_us
            The instant of asking, microseconds since 1970 UTC: a row's prediction time is the earlier of it and the
            row's own time.

        Raises
        ------
        ColumnMissing, ColumnUnknown, ValueRefused : naming row (from 0) and column, never a value.
        RowsRefused, HistoryMissing, ScoreNotFinite
        """
        mappings = as_mappings(rows)
        features = [self._features(row, number, extra, now_us) for number, row in enumerate(mappings)]
        encoded = [self._encode(values) for values in features]
        own = [self._own(values) for values in features] if self._amounts else []
        if len(encoded) == 1 and not reasons:
            return [self._one(encoded[0], own[0] if own else ())]
        X = np.frombuffer(b"".join(encoded), np.float32).reshape(len(encoded), self.graph.width)
        scores = self.score_matrix(X)
        why: list[tuple[Reason, ...]] = [()] * len(X)
        if reasons > 0 and len(X):
            why = [
                self._reasons(values, x, row, reasons)
                for values, x, row in zip(features, X, self.effects(X, _columns(own)), strict=True)
            ]
        return self._predictions(scores, why, _columns(own))

    def _own(self, values: Sequence[object]) -> tuple[object, ...]:
        """A row's own amounts; those of decimals as floats."""
        found = zip((values[place] for place in self._amounts), self._units, strict=True)
        return tuple(v if unit == 1 or not isinstance(v, int) else (v + 0.0) / unit for v, unit in found)

    def prepare(self, values: Sequence[object], now_us: int | None = None) -> tuple[bytes, tuple[object, ...]]:
        """The hot path up to the graph: one row's model input, little-endian float32, and its own amounts.

        Parameters
        ----------
        values : of the request columns in the row form, as `headrace.scoring.bodies` reads them
        now_us : as for `predict`

        Raises
        ------
        HistoryMissing : and what the history raises
        """
        if self._needs_history and not self._has_history:
            raise HistoryMissing(self.model, self._needs_history)
        features = self._outputs(values, now_us)
        return self._encode(features), self._own(features) if self._amounts else ()

    def answer(
        self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]
    ) -> tuple[list[Prediction], list[tuple[float, ...]]]:
        """The hot path from there: a prediction for each prepared row, and the scores that each was made of.

        Raises `ScoreNotFinite`.
        """
        many = self._classes_row_by_row if self.decider.decision.task == "multiclass" else self._row_by_row
        return many(encoded, amounts)

    def _row_by_row(
        self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]
    ) -> tuple[list[Prediction], list[tuple[float, ...]]]:
        """One call of the graph, then row by row: as rows are told one by one, columns cost more than they are worth,
        for 100 rows three times as much."""
        if len(encoded) == 1:
            score = self.score_features(encoded[0])
            return [self._said_of(score, amounts[0])], [(score,)]
        X = np.frombuffer(b"".join(encoded), np.float32).reshape(len(encoded), self.graph.width)
        probability = self.decider.probability
        scores = []
        for number, raw in enumerate(self.graph.raw(X, threads=1).tolist()):
            if raw - raw != 0.0:  # NaN or an infinity
                raise ScoreNotFinite(number)
            scores.append(probability(raw))
        return list(map(self._said_of, scores, amounts)), [(score,) for score in scores]

    def _classes_row_by_row(
        self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]
    ) -> tuple[list[Prediction], list[tuple[float, ...]]]:
        """The same for several classes."""
        if len(encoded) == 1:
            raws = [self.graph.row(encoded[0]).tolist()]
        else:
            X = np.frombuffer(b"".join(encoded), np.float32).reshape(len(encoded), self.graph.width)
            raws = self.graph.raw(X, threads=1).tolist()
        predictions, scores = [], []
        for number, (raw, own) in enumerate(zip(raws, amounts, strict=True)):
            if not all(map(math.isfinite, raw)):
                raise ScoreNotFinite(number)
            shares = self.decider.shares(raw)
            scores.append(tuple(shares))
            predictions.append(self._among_classes(shares, own))
        return predictions, scores

    def _among_classes(self, shares: list[float], amounts: tuple[object, ...]) -> Prediction:
        """What is said of one row's probabilities of the classes, at its own amounts."""
        decider, sure = self.decider, self._uncertainty
        classes, review = decider.decision.classes, None
        if decider.decision.reject is not None:
            review = decider.review(shares, amounts)
        return Prediction(
            model=self.model,
            version=self.version,
            probabilities=dict(zip(classes, shares, strict=True)),
            decision=None if review else classes[decider.choice(shares, amounts)],
            set=sure.set_among(shares) if sure.sets_known else None,
            review=review,
        )

    def row_to_features(self, row: Mapping[str, object], *, now_us: int | None = None) -> bytes:
        """The hot path up to the graph: one request row as the model's input, little-endian float32."""
        return self._encode(self._features(row, 0, "error", now_us))

    def score_features(self, features: bytes) -> float:
        """The hot path from there: the probability (binary) or the value (regression) of one row's input."""
        raw = float(self.graph.row(features)[0])
        if raw - raw != 0.0:  # NaN or an infinity
            raise ScoreNotFinite(0)
        return self.decider.probability(raw)

    def score_matrix(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Binary: P(positive), shape (n,). Multiclass: shape (n, k). Regression: values, shape (n,).

        `X` has the shape (n, width), as `features.encoder.encode_columns` makes it.
        """
        return self.decider.probabilities(self.graph.raw(X))

    def decisions(
        self, scores: NDArray[np.float64], amounts: Sequence[NDArray[np.float64]] = ()
    ) -> list[bool | None] | list[str | None] | None:
        """What is decided at these scores, None where it is left to people; None for a regression, and for a binary
        model without a threshold.

        `amounts` are the columns that `decider.columns` names, NaN for null; left out, rows count as training rows did
        on the mean.
        """
        decision = self.decider.decision
        if decision.task == "regression":
            return None
        left = self.decider.reviews(scores, amounts).tolist()
        if decision.task == "multiclass":
            chosen = self.decider.choices(scores, amounts)
            return [None if no else decision.classes[code] for code, no in zip(chosen, left, strict=True)]
        acted = self.decider.positives(scores, amounts)
        return None if acted is None else [None if no else bool(act) for act, no in zip(acted, left, strict=True)]

    def reviews(
        self, scores: NDArray[np.float64], amounts: Sequence[NDArray[np.float64]] = ()
    ) -> Sequence[bool | None]:
        """Which rows are left to people; each None for a model that was told no price of that."""
        if self.decider.decision.reject is None:
            return [None] * len(scores)
        return [bool(left) for left in self.decider.reviews(scores, amounts)]

    def effects(self, X: NDArray[np.float32], amounts: Sequence[NDArray[np.float64]] = ()) -> NDArray[np.float64]:
        """What each feature does to each answer: the answer less the answer with the feature at its typical value.

        Shape (n, width). The answer is P(positive), the value, or the probability of the class that is decided, at the
        rows' own `amounts` (as for `decisions`).
        """
        effects = np.zeros(X.shape)
        step = max(1, _EFFECT_CELLS // (self.graph.width * (self.graph.width + 1)))
        for start in range(0, len(X), step):
            own = [column[start : start + step] for column in amounts]
            effects[start : start + step] = self._effects(X[start : start + step], own)
        return effects

    def _effects(self, X: NDArray[np.float32], amounts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        n, m = X.shape
        changed = np.repeat(X[:, None, :], m + 1, axis=1)
        features = np.arange(m)
        changed[:, features, features] = self._typical
        scores = self.score_matrix(changed.reshape(-1, m))
        if scores.ndim == 1:
            answers = scores.reshape(n, m + 1)
        else:
            k = scores.shape[1]
            scores = scores.reshape(n, m + 1, k)
            decided = self.decider.choices(scores[:, m, :], amounts)
            answers = np.take_along_axis(scores, decided[:, None, None], axis=2)[:, :, 0]
        effects: NDArray[np.float64] = answers[:, m:] - answers[:, :m]
        return effects

    def _features(self, row: Mapping[str, object], number: int, extra: Extra, now_us: int | None) -> tuple[object, ...]:
        values = self._reader.read(row, number, ignore_unknown=extra == "ignore")
        if self._needs_history and not self._has_history:
            raise HistoryMissing(self.model, self._needs_history)
        return self._outputs(values, now_us)

    def _reasons(
        self, values: Sequence[object], x: NDArray[np.float32], effects: NDArray[np.float64], most: int
    ) -> tuple[Reason, ...]:
        order = np.argsort(-np.abs(effects), kind="stable")[:most]
        columns = self.encoder.columns
        return tuple(
            Reason(
                feature=columns[place].name,
                value=self._said(values, x, int(place)),
                effect=float(effects[place]),
            )
            for place in order
            if effects[place] != 0.0
        )

    def _said(self, values: Sequence[object], x: NDArray[np.float32], place: int) -> RowValue:
        """What a reason shows: the value that has a code or is a number; else the input's own number."""
        column = self.encoder.columns[place]
        if column.of is None or isinstance(column.encoding, CategoryLevels):
            return encode(_row_value(values[self._places[column.source]]), column.type)
        return encode(float(x[place]), Type.FLOAT)

    def _one(self, features: bytes, amounts: tuple[object, ...]) -> Prediction:
        """The answer for one row, without a matrix."""
        if self.decider.decision.task == "multiclass":
            return self._classes_row_by_row([features], [amounts])[0][0]
        return self._said_of(self.score_features(features), amounts)

    def _sayer(self) -> Callable[[float, tuple[object, ...]], Prediction]:
        """From a probability (binary) or a value (regression), and the row's own amounts, to what is said of it."""
        model, version, decider, sure = self.model, self.version, self.decider, self._uncertainty

        def value(score: float, _: tuple[object, ...]) -> Prediction:
            low, high = sure.interval(score) if sure.intervals_known else (None, None)
            return Prediction(model=model, version=version, value=score, low=low, high=high)

        def reviewed(score: float, amounts: tuple[object, ...]) -> Prediction:
            return Prediction(
                model=model,
                version=version,
                probability=score,
                decision=decider.positive(score, amounts),
                set=sure.set_of(score) if sure.sets_known else None,
                review=decider.review(score, amounts),
            )

        def probability(score: float, amounts: tuple[object, ...]) -> Prediction:
            likely = sure.set_of(score) if sure.sets_known else None
            decision = decider.positive(score, amounts)
            return Prediction(model=model, version=version, probability=score, decision=decision, set=likely)

        if decider.decision.task == "regression":
            return value
        return probability if decider.decision.reject is None else reviewed

    def _predictions(
        self,
        scores: NDArray[np.float64],
        why: Sequence[tuple[Reason, ...]],
        amounts: Sequence[NDArray[np.float64]] = (),
    ) -> list[Prediction]:
        model, version, decision = self.model, self.version, self.decider.decision
        sure = self._uncertainty
        if decision.task == "regression":
            ends: Iterable[tuple[float | None, float | None]] = [(None, None)] * len(scores)
            if sure.intervals_known:
                lows, highs = sure.intervals(scores)
                ends = zip(lows.tolist(), highs.tolist(), strict=True)
            return [
                Prediction(model=model, version=version, value=score, low=low, high=high, reasons=reasons)
                for score, (low, high), reasons in zip(scores.tolist(), ends, why, strict=True)
            ]
        sets: Sequence[tuple[str, ...] | None] = sure.sets(scores) if sure.sets_known else [None] * len(scores)
        decided = self.decisions(scores, amounts) or [None] * len(scores)
        reviews = self.reviews(scores, amounts)
        if decision.task == "binary":
            return [
                Prediction(
                    model=model,
                    version=version,
                    probability=score,
                    decision=act,
                    set=likely,
                    review=review,
                    reasons=reasons,
                )
                for score, act, likely, review, reasons in zip(
                    scores.tolist(), decided, sets, reviews, why, strict=True
                )
            ]
        return [
            Prediction(
                model=model,
                version=version,
                probabilities=dict(zip(decision.classes, row, strict=True)),
                decision=chosen,
                set=likely,
                review=review,
                reasons=reasons,
            )
            for row, chosen, likely, review, reasons in zip(scores.tolist(), decided, sets, reviews, why, strict=True)
        ]


class _Contract(msgspec.Struct, frozen=True):
    """What the scorer needs of `contract.json`: the columns that the source has, request columns or not."""

    types: dict[str, str] = {}


class _NoHistory:
    """Stands in where none was given; `Scorer` refuses rows before it is asked."""

    def reader(self, steps: Sequence[int]) -> ReadRow:
        def read(keys: Sequence[Sequence[object]], t_us: int | None) -> list[object]:
            raise AssertionError((steps, len(keys), t_us))

        return read


_NO_HISTORY: Final = _NoHistory()


def _columns(rows: Sequence[tuple[object, ...]]) -> tuple[NDArray[np.float64], ...]:
    """Rows' own amounts as columns, NaN for what is no number."""
    return tuple(
        np.array([float(value) if isinstance(value, int | float) else np.nan for value in column])
        for column in zip(*rows, strict=True)
    )


def _row_value(value: object) -> RowValue:
    assert value is None or isinstance(value, int | float | str | bool)
    return value


def _check_fit(program: Program, encoder: Encoder, decision: Decision, graph: Graph) -> None:
    """Refuse files that were not made for each other."""
    if program.format != 1:
        raise PackageUnreadable("program.json", f"it has format {program.format}, this release reads format 1")
    if encoder.format != 1:
        raise PackageUnreadable("encoder.json", f"it has format {encoder.format}, this release reads format 1")
    if encoder.inputs != program.outputs:
        raise PackageUnreadable("encoder.json", "it does not take the outputs of program.json")
    taken = {(field.name, field.type) for field in encoder.inputs}
    if not {(column.source, column.type) for column in encoder.columns} <= taken:
        raise PackageUnreadable("encoder.json", "a column is made from what it does not take")
    if graph.width != len(encoder.columns):
        reason = f"it takes {graph.width} columns, encoder.json gives {len(encoder.columns)}"
        raise PackageUnreadable("model.onnx", reason)
    expected = len(decision.classes) if decision.task == "multiclass" else 1
    if graph.outputs != expected:
        raise PackageUnreadable("model.onnx", f"it gives {graph.outputs} numbers a row, decision.json takes {expected}")
