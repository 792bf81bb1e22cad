"""Two trained models on the same rows: what other rows would change, seed by seed and over all.

The intervals of the verdicts are over seeds, on one set of rows. Here a pair of runs is held fixed
and its rows are drawn anew; and then both kinds of noise are put together.

Letters: S seeds, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from eval.errors import UserError
from eval.evidence.arms import difference_label
from eval.evidence.contrasts import CLASS_TOKEN, CLS, CONSTANT, PADDING
from eval.evidence.formatting import to_markdown
from eval.evidence.grid import finished, require_paired
from eval.evidence.intervals import Interval, interval
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT
from eval.record import Record
from eval.seeding import stream

__all__ = [
    "PairedRows",
    "has_answers",
    "mcnemar",
    "paired_rows",
    "rows_interval",
    "rows_markdown",
    "seeds_and_rows_interval",
]

_PAIRS = (
    (TREATMENT, BASELINE),
    (TREATMENT, SHORTENED),
    (PADDING, TREATMENT),
    (TREATMENT, CLS),
    (TREATMENT, CLASS_TOKEN),
    (TREATMENT, CONSTANT),
)
"""All that a verdict is about."""
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedRows:
    """A pair of runs of one seed on the same rows."""

    seed: int
    differences_N: np.ndarray
    """Of each row: 1 where only the first run has it right, -1 where only the second."""
    difference: Interval
    """In accuracy, with its bootstrap interval over the rows; positive: the first one is better."""
    only_first: int
    """Rows that only the first run has right."""
    only_second: int
    p: float
    """Of McNemar's exact test, two-sided."""


def has_answers(records: Sequence[Record]) -> bool:
    """Whether runs kept their answer to every row, with classes that are right or wrong."""
    done = [r for r in records if r.status == "ok" and r.examples is not None]
    return any("accuracy" in r.measurements for r in done)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value of as uneven a split of the rows that one run has right.

    Under the null hypothesis each such row is the first run's with probability one half.
    """
    decided = only_first + only_second
    return float(stats.binomtest(only_first, decided).pvalue) if decided else 1.0


def rows_interval(differences_N: np.ndarray, confidence: float = 0.90) -> Interval:
    """Return the mean over rows and its percentile bootstrap interval, the same at every call."""
    mean = low = high = float(differences_N.mean())
    if np.ptp(differences_N):  # else there is nothing to draw from
        found = stats.bootstrap(
            (differences_N,),
            np.mean,
            confidence_level=confidence,
            n_resamples=_RESAMPLES,
            method="percentile",
            rng=stream("bootstrap over rows", 0),
        )
        low, high = map(float, found.confidence_interval)
    n, sd = len(differences_N), float(differences_N.std(ddof=1))
    return Interval(mean=mean, low=low, high=high, n=n, sd=sd, confidence=confidence)


def seeds_and_rows_interval(differences_SN: np.ndarray, confidence: float = 0.90) -> Interval:
    """Return the mean and its interval if both seeds and rows were drawn anew.

    The variance of the mean over seeds, on these rows, plus that over rows, of the seeds' mean;
    Student-t with the degrees of freedom of the seeds. What seeds and rows do together is in both,
    so the interval is a little too wide.

    Raises: ValueError for fewer than two seeds.
    """
    num_seeds, num_rows = differences_SN.shape
    if num_seeds < 2:
        raise ValueError("one seed does not tell how seeds differ")
    by_seed_S, by_row_N = differences_SN.mean(axis=1), differences_SN.mean(axis=0)
    variance = by_seed_S.var(ddof=1) / num_seeds + by_row_N.var(ddof=1) / num_rows
    half = float(stats.t.ppf(0.5 + confidence / 2, num_seeds - 1)) * math.sqrt(variance)
    mean, sd = float(by_seed_S.mean()), float(by_seed_S.std(ddof=1))
    return Interval(
        mean=mean, low=mean - half, high=mean + half, n=num_seeds, sd=sd, confidence=confidence
    )


def paired_rows(
    records: Sequence[Record], store: Path, arm: str, against: str
) -> Iterator[PairedRows]:
    """Yield the comparison of two arms for each seed that finished in both.

    Raises: UserError if a file of answers is missing, or two runs were asked other rows.
    """
    runs = finished(records)
    ours, theirs = runs.get(arm, {}), runs.get(against, {})
    for seed in sorted(ours.keys() & theirs.keys()):
        require_paired(ours[seed], theirs[seed])
        first, second = _answers(store, ours[seed]), _answers(store, theirs[seed])
        if not first["row"].equals(second["row"]):
            raise UserError(f"seed {seed} of {arm} and {against} answered other rows; run it again")
        right_N, other_N = (part["label"] == part["predicted"] for part in (first, second))
        differences_N = right_N.to_numpy().astype(float) - other_N.to_numpy().astype(float)
        only = int((differences_N > 0).sum()), int((differences_N < 0).sum())
        yield PairedRows(
            seed=seed,
            differences_N=differences_N,
            difference=rows_interval(differences_N),
            only_first=only[0],
            only_second=only[1],
            p=mcnemar(*only),
        )


def rows_markdown(records: Sequence[Record], store: Path) -> str:
    """Return the comparisons that verdicts are about, a row a seed; empty without any."""
    if not has_answers(records):
        return ""
    pairs = {pair: list(paired_rows(records, store, *pair)) for pair in _PAIRS}
    table = [
        {
            "difference": difference_label(*pair),
            "seed": found.seed,
            "rows": f"{found.difference.n:,}",
            "accuracy [90 % bootstrap over rows]": str(found.difference),
            "right in the first alone": found.only_first,
            "right in the second alone": found.only_second,
            "McNemar p": f"{found.p:.3f}" if found.p >= 0.001 else "< 0.001",
        }
        for pair, several in pairs.items()
        for found in several
    ]
    if not table:
        return ""
    told = (
        "Pair by pair, over the rows: what other rows would change in the difference of two "
        "trained models. The verdict's interval is over seeds, on these rows.\n"
    )
    return "\n".join([told, to_markdown(pd.DataFrame(table)), _together(pairs)])


def _together(pairs: Mapping[tuple[str, str], Sequence[PairedRows]]) -> str:
    table = [
        {
            "difference": difference_label(*pair),
            "n": len(several),
            "accuracy [90 % interval over seeds]": str(
                interval(found.difference.mean for found in several)
            ),
            "[90 % interval over seeds and rows]": str(
                seeds_and_rows_interval(np.stack([found.differences_N for found in several]))
            ),
        }
        for pair, several in pairs.items()
        if len(several) > 1
    ]
    if not table:
        return ""
    told = "If other seeds and other rows had been drawn, both at once:\n"
    return "\n".join([told, to_markdown(pd.DataFrame(table))])


def _answers(store: Path, record: Record) -> pd.DataFrame:
    """Return the answers to the reported rows, in their order."""
    path = store / str(record.examples)
    if not path.is_file():
        raise UserError(f"the answers {path} of run {record.key} are missing; restore it from git")
    found: Any = pd.read_csv(path)
    found = found[found["split"] == record.experiment.eval_split]
    return found.sort_values("row").reset_index(drop=True)
