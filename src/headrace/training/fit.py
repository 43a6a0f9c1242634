"""The chosen candidate as one graph: models of all training rows, kept models of the folds, or several together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from headrace.definition.model import Encoding, Split, Training
from headrace.features.encoder import encode_training
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.model import Encoder
from headrace.runs.model import ObjectRef
from headrace.training.apart import LONGEST_S, Apart, is_divided
from headrace.training.data import Examples
from headrace.training.families import Fitted, load_family
from headrace.training.folding import levels_of
from headrace.training.guards import guarded
from headrace.training.imbalance import corrected
from headrace.training.kept import unpack_models
from headrace.training.learn import Rows, learn
from headrace.training.lessons import labels_of
from headrace.training.mean_graph import mean_graph
from headrace.training.measure import spread_of_labels
from headrace.training.model import Trial
from headrace.training.splits import make_folds
from headrace.training.workers import Workers

BESIDE: Final = frozenset({"lightgbm", "catboost", "xgboost"})
"""Families whose libraries learn outside of the interpreter and change nothing that other fits share."""

Fetch = Callable[[ObjectRef], bytes]


@dataclass(frozen=True, slots=True)
class FittedCandidate:
    """What a package needs of training, beside the trial's `decision`."""

    encoder: Encoder
    onnx: bytes
    label_spread: float
    """`headrace.training.measure.spread_of_labels` of the training rows."""
    models: tuple[tuple[float, Fitted], ...]
    """The library's own models by weight; live only in this process."""

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """The libraries' own answers to encoded rows, before calibration."""
        parts = [weight * model.predict(X) for weight, model in self.models]
        return np.sum(parts, axis=0) if len(parts) > 1 else self.models[0][1].predict(X)


def fit_chosen(
    examples: Examples,
    trial: Trial,
    training: Training,
    split: Split,
    encodings: Sequence[Encoding] = (),
    *,
    trials: Sequence[Trial] = (),
    fetch: Fetch | None = None,
    afresh: bool = False,
    workdir: Path | None = None,
) -> FittedCandidate:
    """Make the trial's model; equal arguments give equal bytes.

    Parameters
    ----------
    trials : where an ensemble finds its members
    fetch : reads what the search has put away; needed by bags and ensembles
    afresh : the examples are more than the search had: a bag's models learn anew, each from its part of them
    workdir : where processes that fit find their rows; None: all is fitted in this one
    """
    examples = guarded(examples, encodings)
    labels = labels_of(examples, split)
    encoder = fit_encoder(examples.outputs, examples.rows, encodings, labels, left_out=examples.unlearnt)
    by_number = {each.number: each for each in trials}
    parts = [(member.weight, by_number[member.trial]) for member in trial.members] or [(1.0, trial)]
    X: NDArray[np.float32] | None = None
    graphs: list[tuple[float, bytes]] = []
    models: list[tuple[float, Fitted]] = []
    learn_anew: list[tuple[float, Trial, NDArray[np.intp]]] = []
    for weight, part in parts:
        if part.form == "bag" and not afresh:
            assert fetch is not None, "asked with a bag"
            assert part.graph is not None, "a bag has its graph"
            graphs.append((weight, zstandard.decompress(fetch(part.graph))))
            own = _restored(part, examples, fetch)
            models += [(weight / len(own), model) for model in own]
            continue
        if X is None:
            X = encode_training(encoder, examples.rows, labels)
        if part.form == "bag":
            folds = [fold.train for fold in make_folds(examples, split)]
        else:
            folds = [np.arange(len(examples))]
        learn_anew += [(weight / len(folds), part, rows) for rows in folds]
    if X is not None:
        learnt = [(part, rows) for _, part, rows in learn_anew]
        fitted = _refitted(learnt, examples, X, encoder, training, workdir)
        models += [(weight, model) for (weight, _, _), model in zip(learn_anew, fitted, strict=True)]
        graphs += [(weight, model.to_onnx()) for (weight, _, _), model in zip(learn_anew, fitted, strict=True)]
    return FittedCandidate(
        encoder=encoder,
        onnx=mean_graph(graphs),
        label_spread=spread_of_labels(examples.y, training.objective),
        models=tuple(models),
    )


def _restored(trial: Trial, examples: Examples, fetch: Fetch) -> list[Fitted]:
    family = load_family(trial.family, examples.task)
    assert trial.kept is not None, "a bag keeps its models"
    return [
        corrected(family.restore(kept.data), np.array(kept.shift) if kept.shift else None)
        for kept in unpack_models(fetch(trial.kept))
    ]


def _refitted(
    parts: Sequence[tuple[Trial, NDArray[np.intp]]],
    examples: Examples,
    X: NDArray[np.float32],
    encoder: Encoder,
    training: Training,
    workdir: Path | None,
) -> list[Fitted]:
    """The trials' models of the rows at these positions, which `X` has encoded: side by side where there are several,
    for threads that share one fit wait for each other; where there are more threads than fits they share them out. What
    takes long and divides is fitted in processes meanwhile."""
    families = [load_family(trial.family, examples.task) for trial, _ in parts]
    divided = [place for place, (trial, _) in enumerate(parts) if is_divided(trial, families[place])]
    made: dict[int, Fitted] = {}

    def fit_here(places: Sequence[int]) -> None:
        fitted = _fitted_here([parts[place] for place in places], examples, X, encoder, training)
        made.update(zip(places, fitted, strict=True))

    if divided and workdir is not None and training.threads > 1:
        with Workers(training.threads, time.monotonic, workdir, longest_s=LONGEST_S) as workers:
            wanted = [parts[place] for place in divided]
            apart = Apart(workers, wanted, examples, X, levels_of(encoder), training)
            fit_here([place for place in range(len(parts)) if place not in divided])
            made |= {n: model for n, model in zip(divided, apart.fitted(), strict=True) if model is not None}
    fit_here([place for place in range(len(parts)) if place not in made])
    return [made[place] for place in range(len(parts))]


def _fitted_here(
    parts: Sequence[tuple[Trial, NDArray[np.intp]]],
    examples: Examples,
    X: NDArray[np.float32],
    encoder: Encoder,
    training: Training,
) -> list[Fitted]:
    """The same in this process."""

    def fit(place: int, threads: int) -> Fitted:
        trial, rows = parts[place]
        fitted, shift = learn(
            trial.imbalance,
            load_family(trial.family, examples.task),
            Rows(X[rows], examples.y[rows]),
            trial.settled or trial.params,
            task=examples.task,
            objective=training.objective,
            n_classes=examples.n_classes,
            levels=levels_of(encoder),
            seed=training.seed,
            threads=threads,
        )
        return corrected(fitted, shift)

    beside = [place for place, (trial, _) in enumerate(parts) if trial.family in BESIDE and trial.imbalance == "none"]
    if len(parts) <= 1 or training.threads == 1 or not beside:
        return [fit(place, training.threads) for place in range(len(parts))]
    beside.sort(key=lambda place: -parts[place][0].fit_s)  # the longest first
    here = [place for place in range(len(parts)) if place not in beside]
    at_once = min(training.threads, len(beside) + bool(here))
    each = training.threads // at_once
    with ThreadPoolExecutor(at_once - bool(here)) as pool:
        begun = {place: pool.submit(fit, place, each) for place in beside}
        made = {place: fit(place, each) for place in here}
        made |= {place: future.result() for place, future in begun.items()}
    return [made[place] for place in range(len(parts))]
