"""Two trained models on the same rows: what other rows would change, seed by seed.

The intervals of the verdicts are over seeds, on one set of rows. Here a pair of runs is held fixed
and its rows are drawn anew; the two kinds of noise are shown, and never added.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from eval.errors import UserError
from eval.evidence.arms import difference_label
from eval.evidence.formatting import to_markdown
from eval.evidence.grid import finished, require_paired
from eval.evidence.intervals import Interval
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT
from eval.record import Record
from eval.seeding import stream

__all__ = ["PairedRows", "has_answers", "mcnemar", "paired_rows", "rows_interval", "rows_markdown"]

_PAIRS = ((TREATMENT, BASELINE), (TREATMENT, SHORTENED))
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedRows:
    """A pair of runs of one seed on the same rows."""

    seed: int
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
            difference=rows_interval(differences_N),
            only_first=only[0],
            only_second=only[1],
            p=mcnemar(*only),
        )


def rows_markdown(records: Sequence[Record], store: Path) -> str:
    """Return the comparisons of random-LTD with both baselines, a row a seed; empty without any."""
    if not has_answers(records):
        return ""
    table = [
        {
            "difference": difference_label(arm, against),
            "seed": found.seed,
            "rows": f"{found.difference.n:,}",
            "accuracy [90 % bootstrap over rows]": str(found.difference),
            "right in the first alone": found.only_first,
            "right in the second alone": found.only_second,
            "McNemar p": f"{found.p:.3f}" if found.p >= 0.001 else "< 0.001",
        }
        for arm, against in _PAIRS
        for found in paired_rows(records, store, arm, against)
    ]
    if not table:
        return ""
    told = (
        "Pair by pair, over the rows: what other rows would change in the difference of two "
        "trained models. The verdict's interval is over seeds, on these rows; the two do not add "
        "up.\n"
    )
    return "\n".join([told, to_markdown(pd.DataFrame(table))])


def _answers(store: Path, record: Record) -> pd.DataFrame:
    """Return the answers to the reported rows, in their order."""
    path = store / str(record.examples)
    if not path.is_file():
        raise UserError(f"the answers {path} of run {record.key} are missing; restore it from git")
    found: Any = pd.read_csv(path)
    found = found[found["split"] == record.experiment.eval_split]
    return found.sort_values("row").reset_index(drop=True)
