"""What two runs of a seed answered to the same rows, from the files that their records name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.errors import UserError
from eval.evidence.grid import finished, require_paired
from eval.record import Record

__all__ = ["PairedAnswers", "paired_answers"]

_ROW = ("task", "row", "doc_id", "label")
"""Columns that say which row it is, as far as a file has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedAnswers:
    """The answers of a pair of runs; each row of one is the row of that name in the other."""

    seed: int
    first: pd.DataFrame
    second: pd.DataFrame


def paired_answers(
    records: Sequence[Record], store: Path, arm: str, against: str
) -> Iterator[PairedAnswers]:
    """Yield the answers of two arms for each seed that finished in both.

    Raises: UserError if a file of answers is missing, or two runs were asked other rows.
    """
    runs = finished(records)
    ours, theirs = runs.get(arm, {}), runs.get(against, {})
    for seed in sorted(ours.keys() & theirs.keys()):
        require_paired(ours[seed], theirs[seed])
        first, second = _answers(store, ours[seed]), _answers(store, theirs[seed])
        if not _asked(first).equals(_asked(second)):
            raise UserError(f"seed {seed} of {arm} and {against} answered other rows; run it again")
        yield PairedAnswers(seed=seed, first=first, second=second)


def _answers(store: Path, record: Record) -> pd.DataFrame:
    """Return the answers to the reported rows, in their order."""
    path = store / str(record.examples)
    if not path.is_file():
        raise UserError(f"the answers {path} of run {record.key} are missing; restore it from git")
    found: Any = pd.read_csv(path)
    if "split" in found:
        found = found[found["split"] == record.experiment.eval_split]
    return found.sort_values(list(_asked(found))).reset_index(drop=True)


def _asked(answers: pd.DataFrame) -> pd.DataFrame:
    return answers.filter(_ROW)
