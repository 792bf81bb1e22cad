"""Two trained models on the same rows: what other rows would change, seed by seed and over all.

The intervals of the verdicts are over seeds, on one set of rows. Here a pair of runs is held fixed
and its rows are drawn anew; and then both kinds of noise are put together.

Letters: R draws, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from eval.evidence.intervals import Interval, interval
from eval.evidence.rows.answers import PairedAnswers
from eval.evidence.rows.scores import Score, accuracy, right
from eval.seeding import stream

__all__ = [
    "PairedRows",
    "compare",
    "mcnemar",
    "rows_interval",
    "rows_variance",
    "seeds_and_rows_interval",
]

_DRAWS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedRows:
    """A pair of runs of one seed on the same rows."""

    seed: int
    difference: Interval
    """In the score, with its interval over the rows; positive: the first one is better."""
    drawn_R: np.ndarray
    """The difference in each draw of rows, which are the same for all seeds."""
    differences_N: np.ndarray | None
    """Of accuracy alone: of each row 1 where only the first run has it right, -1 where only the
    second."""

    @property
    def right_alone(self) -> tuple[int, int] | None:
        """Return how many rows only the first, and only the second run has right."""
        if self.differences_N is None:
            return None
        return int((self.differences_N > 0).sum()), int((self.differences_N < 0).sum())


def compare(answers: PairedAnswers, score: Score, tasks: Sequence[str] = ()) -> PairedRows:
    """Return the difference of two runs in a score, and what it is on rows that are drawn anew.

    With tasks, it is the mean of their differences, and each task's rows are drawn for themselves.
    """
    parts = list(_parts(answers, tasks))
    whole, drawn = [], []
    for number, (first, second) in enumerate(parts):
        counts_RN, once_1N = _draws(len(first), number).astype(float), np.ones((1, len(first)))
        whole.append(score(first, once_1N) - score(second, once_1N))
        drawn.append(score(first, counts_RN) - score(second, counts_RN))
    drawn_R, num_rows = np.mean(drawn, axis=0), sum(len(first) for first, _ in parts)
    known = score is accuracy
    return PairedRows(
        seed=answers.seed,
        difference=rows_interval(float(np.mean(whole)), drawn_R, num_rows),
        drawn_R=drawn_R,
        differences_N=right(answers.first) - right(answers.second) if known else None,
    )


def rows_interval(
    difference: float, drawn_R: np.ndarray, num_rows: int, confidence: float = 0.90
) -> Interval:
    """Return a difference with its percentile interval over the draws, and their deviation."""
    outside = 50 * (1 - confidence)
    low, high = map(float, np.percentile(drawn_R, [outside, 100 - outside]))
    sd = float(drawn_R.std(ddof=1))
    return Interval(mean=difference, low=low, high=high, n=num_rows, sd=sd, confidence=confidence)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value of as uneven a split of the rows that one run has right.

    Under the null hypothesis each such row is the first run's with probability one half.
    """
    decided = only_first + only_second
    return float(stats.binomtest(only_first, decided).pvalue) if decided else 1.0


def rows_variance(pairs: Sequence[PairedRows]) -> float:
    """Return the variance over rows of the seeds' mean: by its formula if known, else of draws."""
    known = [pair.differences_N for pair in pairs if pair.differences_N is not None]
    if known:
        by_row_N = np.mean(known, axis=0)
        return float(by_row_N.var(ddof=1) / len(by_row_N))
    return float(np.mean([pair.drawn_R for pair in pairs], axis=0).var(ddof=1))


def seeds_and_rows_interval(
    differences: Sequence[float], variance_of_rows: float, confidence: float = 0.90
) -> Interval:
    """Return the mean and its interval if both seeds and rows were drawn anew.

    The variance of the mean over seeds, on these rows, plus that over rows, of the seeds' mean;
    Student-t with the degrees of freedom of the seeds. What seeds and rows do together is in both,
    so the interval is a little too wide.

    Raises: ValueError for fewer than two seeds, which do not tell how seeds differ.
    """
    over_seeds = interval(differences, confidence)
    mean, n = over_seeds.mean, over_seeds.n
    spread = math.sqrt(over_seeds.sd**2 / n + variance_of_rows)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * spread
    return replace(over_seeds, low=mean - half, high=mean + half)


def _parts(
    answers: PairedAnswers, tasks: Sequence[str]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield what is drawn for itself: the rows of each task, or all."""
    if not tasks:
        yield answers.first, answers.second
    for task in tasks:
        first, second = answers.first, answers.second
        yield first.loc[first["task"] == task], second.loc[second["task"] == task]


@lru_cache(maxsize=16)  # a suite's pairs have the same rows, or the same of each of its tasks
def _draws(num_rows: int, number: int) -> np.ndarray:
    """Return how often each draw holds each row, the same at every call."""
    rng = stream("bootstrap over rows", number)
    rows_RN = rng.integers(num_rows, size=(_DRAWS, num_rows))
    counts_RN = [np.bincount(row_N, minlength=num_rows) for row_N in rows_RN]
    return np.array(counts_RN, np.uint16)
