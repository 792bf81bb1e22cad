"""Scores of known models beside published ones: whether our evaluation measures what others do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.evidence.formatting import to_markdown
from eval.evidence.paper.published import read_rows
from eval.evidence.zero_shot.scores import average_line, rows_of, score_table, with_error
from eval.model_eval.records import ModelScores
from eval.paths import RESULTS

__all__ = ["Anchor", "anchor_table", "load_anchors", "zero_shot_headline", "zero_shot_page"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """One published score of a model that we can evaluate, too."""

    id: str
    model: str
    task: str
    metric: str
    value: float
    """In `unit`."""
    unit: str
    locator: str
    evidence: str


def load_anchors(path: Path = RESULTS / "anchors.csv") -> tuple[Anchor, ...]:
    """Read the published scores.

    Raises: UserError for a row that lacks anything or is no finite number.
    """
    return read_rows(path, Anchor)


def anchor_table(scores: ModelScores, anchors: Sequence[Anchor]) -> pd.DataFrame:
    """Return one row a published score, with ours and their distance in our standard errors."""
    tasks = scores.provenance["zero_shot"]["tasks"]
    rows = []
    for anchor in anchors:
        if anchor.model == scores.model and anchor.task in tasks:
            ours = scores.measurements[f"{anchor.task}/{anchor.metric}"]
            distance = (100 * ours.value - anchor.value) / (100 * ours.standard_error)
            rows.append(
                {
                    "task": anchor.task,
                    "rows": rows_of(tasks[anchor.task]),
                    "metric": anchor.metric,
                    "ours (standard error)": with_error(ours),
                    "published, all rows": f"{anchor.value:.1f} {anchor.unit}",
                    "distance in standard errors": f"{distance:+.1f}",
                }
            )
    return pd.DataFrame(rows)


def zero_shot_page(records: Sequence[ModelScores], anchors: Sequence[Anchor]) -> str:
    """Return the page of the models scored by `eval-model`."""
    lines = ["# Models scored zero-shot\n"]
    for record in records:
        tasks = record.provenance["zero_shot"]["tasks"]
        lines += [f"## {record.model}, {record.precision}\n", _context(record)]
        lines += [to_markdown(score_table(tasks, record.measurements))]
        lines += [average_line(tasks, record.measurements), *_beside_published(record, anchors)]
        lines += [f"Not evaluated: {line}\n" for line in record.missing]
    return "\n".join(lines)


def zero_shot_headline(records: Sequence[ModelScores], anchors: Sequence[Anchor]) -> str:
    """Return what the README shows: the models that have published scores."""
    lines = []
    for record in records:
        if beside := _beside_published(record, anchors):
            lines += [f"{record.model}, {record.precision}:\n", *beside]
    details = "Details: [models scored zero-shot](results/summary/zero_shot.md).\n"
    return "\n".join([*lines, details])


def _beside_published(record: ModelScores, anchors: Sequence[Anchor]) -> list[str]:
    table = anchor_table(record, anchors)
    if table.empty:
        return []
    of = [a for a in anchors if a.model == record.model and a.task in set(table["task"])]
    sources = "; ".join(dict.fromkeys(f"{a.locator} ({a.evidence})" for a in of))
    return [to_markdown(table), f"Published in: {sources}.\n"]


def _context(record: ModelScores) -> str:
    made, lm_eval = record.provenance["created"][:10], record.provenance["zero_shot"]["lm_eval"]
    return f"Scored {made} with lm-eval {lm_eval}; sha256 of the weights {record.weights}.\n"
