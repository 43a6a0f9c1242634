"""The metrics that `[training] metric` may name."""

from __future__ import annotations

_CLASS_METRICS = ("log_loss", "brier", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "kappa")
METRICS = {
    "binary": (
        "average_precision",
        "roc_auc",
        *_CLASS_METRICS,
        "brier_skill",
        "gini",
        "ks",
        "precision_at_1",
        "precision_at_5",
        "precision_at_10",
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "lift_at_10",
        "recall_at_precision_50",
        "recall_at_precision_80",
        "recall_at_precision_90",
        "precision",
        "recall",
        "specificity",
        "npv",
        "f1",
        "f2",
    ),
    "multiclass": (
        *_CLASS_METRICS,
        "macro_roc_auc",
        "weighted_f1",
        "macro_precision",
        "top_2_accuracy",
        "top_3_accuracy",
        "top_5_accuracy",
    ),
    "regression": (
        "rmse",
        "mae",
        "r2",
        "median_absolute_error",
        "mape",
        "smape",
        "wape",
        "rmsle",
        "pinball_10",
        "pinball_50",
        "pinball_90",
        "poisson_deviance",
        "tweedie_deviance",
        "gamma_deviance",
    ),
}
"""What a search may prune by, by task; the first is the default."""

ALL_METRICS = tuple(dict.fromkeys(name for names in METRICS.values() for name in names))
PINBALL = r"pinball_\d{1,2}(\.\d{1,2})?"
"""Metrics of other quantiles, in percent."""
