"""The counts of rows that `results/glue_rows.csv` records, and the same counted in the data."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from eval.data.glue import Labelled, load_labelled
from eval.paths import RESULTS


def recorded_rows(source: str, task: str) -> list[dict[str, Any]]:
    """Return the task's recorded rows, one a reported split."""
    table = pd.read_csv(RESULTS / "glue_rows.csv").query("source == @source and task == @task")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def counted(task: str, source: str, reported_split: str) -> dict[str, Any]:
    """Count what is loaded; rows that are in no part of it are those that leak."""
    (recorded,) = [r for r in recorded_rows(source, task) if r["reported_split"] == reported_split]
    parts = {s: len(load_labelled(task, s, source)) for s in ("held_out", "train")}
    return (
        recorded
        | parts
        | {
            "leaked": recorded["training_rows"] - sum(parts.values()),
            "reported": len(load_labelled(task, reported_split, source)),
        }
    )


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def pairs(rows: Labelled) -> set[frozenset[str]]:
    second = rows.second or rows.first
    return {frozenset((plain(a), plain(b))) for a, b in zip(rows.first, second)}
