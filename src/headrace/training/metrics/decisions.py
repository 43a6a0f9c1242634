"""Metrics of decisions, from the table of truth by decision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headrace.training.metrics.basis import Floats

NAN = float("nan")


def accuracy(table: Floats) -> float:
    """Share of right decisions."""
    return float(np.trace(table) / table.sum())


def balanced_accuracy(table: Floats) -> float:
    """Mean recall over the classes."""
    truth = table.sum(axis=1)
    seen = truth > 0
    return float(np.mean(np.diag(table)[seen] / truth[seen]))


def macro_f1(table: Floats) -> float:
    """Mean F1 over the classes."""
    f1, seen = _f1_by_class(table)
    return float(np.mean(f1[seen]))


def weighted_f1(table: Floats) -> float:
    """Mean F1 over the classes, by how frequent each is."""
    return float(_f1_by_class(table)[0] @ table.sum(axis=1) / table.sum())


def macro_precision(table: Floats) -> float:
    """Mean precision over the classes; of a class never chosen it is 0."""
    chosen = table.sum(axis=0)
    seen = chosen + table.sum(axis=1) > 0
    return float(np.mean(_ratios(np.diag(table), chosen)[seen]))


def mcc(table: Floats) -> float:
    """Matthews' correlation of truth and decision (Gorodkin, 2004, for more than two classes); 0 when either is
    the same for all rows."""
    truth, chosen, rows = table.sum(axis=1), table.sum(axis=0), table.sum()
    agreed = np.trace(table) * rows - truth @ chosen
    spread = (rows * rows - chosen @ chosen) * (rows * rows - truth @ truth)
    return float(agreed / np.sqrt(spread)) if spread > 0 else 0.0


def kappa(table: Floats) -> float:
    """Cohen's: agreement beyond what chance gives at these shares."""
    rows = table.sum()
    chance = float(table.sum(axis=1) @ table.sum(axis=0) / (rows * rows))
    return float((np.trace(table) / rows - chance) / (1.0 - chance)) if chance < 1.0 else NAN


def precision(table: Floats) -> float:
    """Share of positives among the rows acted on."""
    # nothing chosen: 0, so that a model that never acts is not left out of a comparison
    return _share(table[1, 1], table[:, 1].sum(), otherwise=0.0)


def recall(table: Floats) -> float:
    """Share of the positives that are acted on."""
    return _share(table[1, 1], table[1].sum(), otherwise=NAN)


def specificity(table: Floats) -> float:
    """Share of the negatives that are let pass."""
    return _share(table[0, 0], table[0].sum(), otherwise=NAN)


def npv(table: Floats) -> float:
    """Negative predictive value: share of negatives among the rows let pass."""
    return _share(table[0, 0], table[:, 0].sum(), otherwise=0.0)


def f_beta(beta: float) -> Callable[[Floats], float]:
    """Weighted harmonic mean of precision and recall; recall counts `beta` times."""
    square = beta * beta

    def value(table: Floats) -> float:
        truth, chosen = table[1].sum(), table[:, 1].sum()
        return float((1.0 + square) * table[1, 1] / (square * truth + chosen)) if truth > 0 else NAN

    return value


def _f1_by_class(table: Floats) -> tuple[Floats, Floats]:
    """F1 of each class, and which classes are there or were chosen."""
    both = table.sum(axis=1) + table.sum(axis=0)
    return _ratios(2.0 * np.diag(table), both), both > 0


def _ratios(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _share(part: float, whole: float, *, otherwise: float) -> float:
    return float(part / whole) if whole > 0 else otherwise
