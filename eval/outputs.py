"""The files beside a record: its curve, and one row for every zero-shot example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from eval.record import Record, record_path
from eval.train import Journal

__all__ = ["write_curve", "write_examples", "write_table"]


def write_curve(store: Path, record: Record, journal: Journal) -> str:
    """Write the curve of a run; return the file, relative to the store."""
    name = record_path(store, record.experiment, record.seed, record.key).stem
    relative = Path("curves") / record.experiment.suite / f"{name}.csv.gz"
    write_table(store / relative, pd.DataFrame(journal.curve).astype({"kept": "Int64"}))
    return relative.as_posix()


def write_examples(store: Path, record: Record, examples: pd.DataFrame) -> str:
    """Write the examples of a run; return the file, relative to the store."""
    name = record_path(store, record.experiment, record.seed, record.key).stem
    relative = Path("examples") / record.experiment.suite / f"{name}.csv.gz"
    write_table(store / relative, examples)
    return relative.as_posix()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a compressed CSV; equal tables make equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compression: Any = {"method": "gzip", "mtime": 0}
    table.to_csv(path, index=False, float_format="%.6g", compression=compression)
