"""What a run scores if its rows are drawn anew, for many draws at once; more is better.

A draw is told by how often it holds each row: a score of thousands of draws is then a few products
of matrices. GLUE's own functions, of one draw, are in `eval/tasks/glue_metrics.py`.

Letters: R draws, N rows, V distinct values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

__all__ = ["SCORES", "Score", "accuracy", "answer_bits", "matthews", "right", "spearman"]

Score = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
"""Answers to N rows and counts_RN -> scores_R."""


def right(answers: pd.DataFrame) -> np.ndarray:
    """Return of each row 1 where it is answered right, else 0."""
    return (answers["label"] == answers["predicted"]).to_numpy(float)


def accuracy(answers: pd.DataFrame, counts_RN: np.ndarray) -> np.ndarray:
    """Return the fraction of the drawn rows that is answered right."""
    return counts_RN @ right(answers) / counts_RN.sum(axis=1)


def matthews(answers: pd.DataFrame, counts_RN: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation of the classes 0 and 1, which is Pearson's of these numbers."""
    predicted_N, labels_N = _sides(answers)
    assert set(labels_N) | set(predicted_N) <= {0.0, 1.0}
    return _correlation(predicted_N, labels_N, counts_RN)


def spearman(answers: pd.DataFrame, counts_RN: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation: Pearson's of the ranks among the drawn rows."""
    predicted_N, labels_N = _sides(answers)
    return _correlation(_ranks(predicted_N, counts_RN), _ranks(labels_N, counts_RN), counts_RN)


def answer_bits(answers: pd.DataFrame, counts_RN: np.ndarray) -> np.ndarray:
    """Return what the right answers cost in bits per byte, negated: more is better."""
    nats_N, bytes_N = (answers[name].to_numpy(float) for name in ("answer_nats", "answer_bytes"))
    return -(counts_RN @ nats_N) / (counts_RN @ bytes_N) / math.log(2)


SCORES: dict[str, Score] = {
    "accuracy": accuracy,
    "matthews_correlation": matthews,
    "spearman": spearman,
}
"""Name of the measurement -> its score on drawn rows."""


def _sides(answers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return answers["predicted"].to_numpy(float), answers["label"].to_numpy(float)


def _ranks(values_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """Return each row's rank among the drawn rows; equal values share their mean rank."""
    _, place_N, size_V = np.unique(values_N, return_inverse=True, return_counts=True)
    sorted_RN = counts_RN[:, np.argsort(values_N)]
    drawn_RV = np.add.reduceat(sorted_RN, np.cumsum(size_V) - size_V, axis=1)
    rank_RV = drawn_RV.cumsum(axis=1) - (drawn_RV - 1) / 2
    return rank_RV.take(place_N, axis=1)


def _correlation(x: np.ndarray, y: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation in each draw; 0 where one side is constant.

    Both sides are of shape N, or RN where they differ between draws. They are whole or half
    numbers, so that all sums are exact and a constant side has a scale of exactly 0.
    """
    x_RN, y_RN = (np.broadcast_to(side, counts_RN.shape) for side in (x, y))

    def product(one_RN: np.ndarray, other_RN: np.ndarray) -> np.ndarray:
        both_R = np.einsum("rn,rn,rn->r", counts_RN, one_RN, other_RN)
        sums = (np.einsum("rn,rn->r", counts_RN, side_RN) for side_RN in (one_RN, other_RN))
        return counts_RN.sum(axis=1) * both_R - math.prod(sums)

    scale_R = np.sqrt(product(x_RN, x_RN) * product(y_RN, y_RN))
    return np.divide(product(x_RN, y_RN), scale_R, out=np.zeros_like(scale_R), where=scale_R > 0)
