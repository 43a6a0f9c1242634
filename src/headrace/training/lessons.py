"""What target encodings may learn of the training rows, and from which other rows each of them is encoded."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.definition.model import Split
from headrace.features.encodings.targets import Labels, Parts, Past
from headrace.training.data import Examples
from headrace.training.splits import group_folds, random_folds, stratified_folds

PARTS: Final = 5
"""Parts that training rows are drawn into where their order in time says nothing."""


def labels_of(examples: Examples, split: Split, rows: NDArray[np.intp] | None = None) -> Labels:
    """The labels of training rows: of all, or of those at the positions `rows`.

    Under a time split a row learns from rows whose label was known before it was asked for (without such instants, from
    rows asked for before it). Else rows are drawn into parts as the split draws its folds: groups and rows of one key
    stay whole, classes are spread evenly.
    """
    kept = np.arange(len(examples)) if rows is None else rows
    y = examples.y[kept]
    twins = None if examples.twins is None else examples.twins[kept]
    classes = examples.classes if examples.task == "multiclass" else ()
    if split.by == "time" and examples.time_us is not None:
        asked = examples.time_us[kept]
        known = asked if examples.label_known_us is None else examples.label_known_us[kept]
        return Labels(y, classes, Past(asked, known))
    if split.by == "group" and examples.groups is not None:
        folds = group_folds(examples.groups[kept], PARTS, seed=split.seed)
    elif split.by == "stratified" and examples.task != "regression":
        folds = stratified_folds(y, PARTS, seed=split.seed, twins=twins)
    else:
        folds = random_folds(len(y), PARTS, seed=split.seed, twins=twins)
    part = np.zeros(len(y), np.intp)
    for number, fold in enumerate(folds):
        part[fold.validation] = number
    return Labels(y, classes, Parts(part))
