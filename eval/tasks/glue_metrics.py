"""GLUE's official metrics, by scikit-learn and SciPy, with standard errors over the examples.

Letters: N examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from eval.record import Measurement
from eval.seeding import stream

__all__ = ["METRICS", "measure_predictions"]

_RESAMPLES = 200
"""The error itself is then known to a twentieth."""


def measure_predictions(
    predicted_N: np.ndarray, labels_N: np.ndarray, metrics: tuple[str, ...], *, split: str
) -> dict[str, Measurement]:
    """Return each metric of the predictions; its standard error is bootstrapped over examples.

    Raises: ValueError for fewer than two examples, or lengths that differ.
    """
    if len(predicted_N) != len(labels_N) or len(labels_N) < 2:
        raise ValueError(f"{len(predicted_N)} predictions for {len(labels_N)} labels")
    draws = stream("bootstrap of metrics", 0).integers(
        len(labels_N), size=(_RESAMPLES, len(labels_N))
    )
    return {
        name: Measurement(
            value=METRICS[name](predicted_N, labels_N),
            unit="fraction",
            split=split,
            n=len(labels_N),
            standard_error=float(
                np.std([METRICS[name](predicted_N[i], labels_N[i]) for i in draws], ddof=1)
            ),
        )
        for name in metrics
    }


def _accuracy(predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    return float(accuracy_score(labels_N, predicted_N))


def _f1(predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Return the f1 of class 1; 0 where it neither occurs nor is predicted."""
    score: Any = f1_score  # its types leave numbers out of zero_division
    return float(score(labels_N, predicted_N, zero_division=0))


def _matthews(predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Return Matthews' correlation; 0 where predictions or labels are of a single class."""
    if min(len(set(predicted_N.tolist())), len(set(labels_N.tolist()))) == 1:
        return 0.0
    return float(matthews_corrcoef(labels_N, predicted_N))


def _pearson(predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    return _correlation(pearsonr, predicted_N, labels_N)


def _spearman(predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Return the correlation of ranks; ties share their mean rank."""
    return _correlation(spearmanr, predicted_N, labels_N)


def _correlation(of: Callable, predicted_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Return a correlation; 0 where one side is constant."""
    if len(set(predicted_N.tolist())) == 1 or len(set(labels_N.tolist())) == 1:
        return 0.0
    value = float(of(predicted_N, labels_N).statistic)
    assert math.isfinite(value)
    return value


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
"""GLUE's name of the metric -> function of predictions and labels."""
