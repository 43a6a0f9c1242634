"""The chosen candidate, fitted on all training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Encoding, Split, Training
from headrace.features.encoder import encode_training, fit_encoder
from headrace.features.model import Encoder
from headrace.training.data import Examples
from headrace.training.families import load_family
from headrace.training.folding import levels_of
from headrace.training.lessons import labels_of
from headrace.training.model import Trial


@dataclass(frozen=True, slots=True)
class FittedCandidate:
    """What a package needs of training, beside the trial's `decision`."""

    encoder: Encoder
    onnx: bytes
    label_spread: float
    """Standard deviation of the training label."""
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    """The library's own answers to encoded rows, before calibration; lives only in this process."""


def fit_chosen(
    examples: Examples, trial: Trial, training: Training, split: Split, encodings: Sequence[Encoding] = ()
) -> FittedCandidate:
    """Fit the trial's family and parameters on all training rows; equal arguments give equal bytes."""
    family = load_family(trial.family, examples.task)
    labels = labels_of(examples, split)
    encoder = fit_encoder(examples.outputs, examples.rows, encodings, labels)
    fitted = family.fit(
        encode_training(encoder, examples.rows, labels),
        examples.y,
        trial.settled or trial.params,
        task=examples.task,
        n_classes=examples.n_classes,
        levels=levels_of(encoder),
        seed=training.seed,
        threads=training.threads,
    )
    return FittedCandidate(
        encoder=encoder, onnx=fitted.to_onnx(), label_spread=float(np.std(examples.y)), predict=fitted.predict
    )
