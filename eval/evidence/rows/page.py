"""Pairs of runs on the same rows as tables: a row a seed, and over all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.evidence.arms import difference_label
from eval.evidence.contrasts import CLASS_TOKEN, CLS, CONSTANT, PADDING
from eval.evidence.formatting import to_markdown, words
from eval.evidence.intervals import interval
from eval.evidence.rows.answers import paired_answers
from eval.evidence.rows.pairs import (
    PairedRows,
    compare,
    mcnemar,
    rows_variance,
    seeds_and_rows_interval,
)
from eval.evidence.rows.scores import SCORES, Score, answer_bits
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT
from eval.evidence.zero_shot.scores import ANSWER_BITS, tasks_of
from eval.record import Record
from eval.spec import Suite

__all__ = ["Compared", "compared_in", "rows_markdown"]

_PAIRS = (
    (TREATMENT, BASELINE),
    (TREATMENT, SHORTENED),
    (PADDING, TREATMENT),
    (TREATMENT, CLS),
    (TREATMENT, CLASS_TOKEN),
    (TREATMENT, CONSTANT),
)
"""All that a verdict is about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The score that runs are compared in, row by row."""

    name: str
    score: Score
    tasks: tuple[str, ...] = ()
    """Zero-shot tasks, of whose differences the mean is taken."""


def compared_in(suite: Suite, records: Sequence[Record]) -> Compared | None:
    """Return what runs that kept their answers are compared in: the suite's primary measurement.

    Where that is no score of rows but there are zero-shot tasks, it is the right answers' bits.
    """
    done = [r for r in records if r.status == "ok" and r.examples is not None]
    if not done:
        return None
    if suite.primary in SCORES:
        return Compared(name=words(suite.primary), score=SCORES[suite.primary])
    tasks = tuple(t for t in tasks_of(done) if f"{t}/{ANSWER_BITS}" in done[0].measurements)
    name = f"bits per byte less, mean of {len(tasks)} tasks"
    return Compared(name=name, score=answer_bits, tasks=tasks) if tasks else None


def rows_markdown(suite: Suite, records: Sequence[Record], store: Path) -> str:
    """Return the comparisons that verdicts are about, a row a seed; empty without any."""
    of = compared_in(suite, records)
    if of is None:
        return ""
    pairs = {
        pair: [
            compare(found, of.score, of.tasks) for found in paired_answers(records, store, *pair)
        ]
        for pair in _PAIRS
    }
    table = [
        {
            "difference": difference_label(*pair),
            "seed": found.seed,
            "rows": f"{found.difference.n:,}",
            f"{of.name} [90 % bootstrap over rows]": str(found.difference),
            **_mcnemar(found),
        }
        for pair, several in pairs.items()
        for found in several
    ]
    if not table:
        return ""
    return "\n".join([_told(of), to_markdown(pd.DataFrame(table)), _together(of, pairs)])


def _told(of: Compared) -> str:
    told = (
        "Pair by pair, over the rows: what other rows would change in the difference of two "
        "trained models. The verdict's interval is over seeds, on these rows.\n"
    )
    if not of.tasks:
        return told
    return (
        "Zero-shot, pair by pair, over the rows: what other rows of the same tasks would change in "
        "the difference of two trained models, in bits of the right answer per byte; positive is "
        "better. The intervals of the table above are over seeds, on these rows.\n"
    )


def _mcnemar(found: PairedRows) -> dict[str, Any]:
    if found.right_alone is None:
        return {}
    p = mcnemar(*found.right_alone)
    return {
        "right in the first alone": found.right_alone[0],
        "right in the second alone": found.right_alone[1],
        "McNemar p": f"{p:.3f}" if p >= 0.001 else "< 0.001",
    }


def _together(of: Compared, pairs: Mapping[tuple[str, str], Sequence[PairedRows]]) -> str:
    table = []
    for pair, several in pairs.items():
        if len(several) > 1:
            by_seed = [found.difference.mean for found in several]
            both = seeds_and_rows_interval(by_seed, rows_variance(several))
            table.append(
                {
                    "difference": difference_label(*pair),
                    "n": len(several),
                    f"{of.name} [90 % interval over seeds]": str(interval(by_seed)),
                    "[90 % interval over seeds and rows]": str(both),
                }
            )
    if not table:
        return ""
    told = "If other seeds and other rows had been drawn, both at once:\n"
    return "\n".join([told, to_markdown(pd.DataFrame(table))])
