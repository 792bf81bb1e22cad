"""One run, one JSON file, written once: what was run, on what, at what cost, with what result."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from eval.errors import UserError
from eval.spec import Experiment

__all__ = [
    "SCHEMA",
    "Cost",
    "Measurement",
    "Record",
    "failed_path",
    "load_record",
    "load_records",
    "record_path",
    "write_record",
]

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One measured number, with its unit and how sure it is within the run."""

    value: float
    unit: str
    split: str
    n: int
    """Examples the value is a mean over."""
    standard_error: float
    """Of that mean, over the examples; it says nothing of the spread between seeds."""

    @classmethod
    def of_mean(cls, values_N: np.ndarray, *, unit: str, split: str) -> Self:
        """Return the mean of a value over the examples."""
        return cls(
            value=float(values_N.mean()),
            unit=unit,
            split=split,
            n=len(values_N),
            standard_error=float(values_N.std(ddof=1) / math.sqrt(len(values_N))),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a run consumed. Wall-clock compares only between interleaved runs on one machine."""

    steps: int
    tokens: int
    layer_tokens: int
    flops: int
    train_wall_s: float
    train_cpu_s: float
    eval_wall_s: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A finished or failed run."""

    key: str
    experiment: Experiment
    seed: int
    status: Literal["ok", "failed"]
    provenance: dict[str, Any]
    cost: Cost | None
    measurements: dict[str, Measurement]
    hashes: dict[str, str]
    """What must agree between runs: initial weights, batch order, evaluated text."""
    curve: str | None
    """Curve file, relative to the store."""
    error: str | None = None
    examples: str | None = None
    """File with one row a zero-shot example, relative to the store; left out where there is
    none."""

    def to_json(self) -> str:
        """Return the record as text: sorted keys, no NaN, one trailing newline."""
        data = {"schema": SCHEMA, **asdict(self), "experiment": self.experiment.to_dict()}
        if self.examples is None:
            del data["examples"]
        return json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"


def record_path(store: Path, experiment: Experiment, seed: int, key: str) -> Path:
    """Return a record's place in a store (`results/` or `out/`). Names are handles only."""
    return store / "runs" / experiment.suite / f"{experiment.arm}-seed{seed}-{key}.json"


def failed_path(path: Path) -> Path:
    """Return where the record of a failed run lies, beside the place of a finished one."""
    return path.with_suffix(".failed.json")


def write_record(store: Path, record: Record) -> Path:
    """Write a record, once and atomically.

    Raises: UserError if the place is taken or a number is not finite, ValueError if the record
        contradicts itself; nothing is written then.
    """
    _check(record)
    text = record.to_json()
    path = record_path(store, record.experiment, record.seed, record.key)
    if record.status == "failed":
        path = failed_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(text)
    try:
        os.chmod(file.name, 0o644)
        os.link(file.name, path)  # fails if the record exists: no run overwrites another
    except FileExistsError:
        raise UserError(
            f"{path} exists already and records are written once; delete it to run again"
        ) from None
    finally:
        os.unlink(file.name)
    return path


def load_record(path: Path) -> Record:
    """Read one record.

    Raises: UserError if it is not valid JSON, of another schema, or lacks or adds a field.
    """
    try:
        data = json.loads(path.read_text())
        if data.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return _from_data(data)
    except (ValueError, TypeError, KeyError, AttributeError, UserError) as error:
        raise UserError(
            f"{path} is not a valid record ({error}); restore it from git, or delete it and run "
            "the experiment again"
        ) from error


def load_records(store: Path, suite: str) -> list[Record]:
    """Read a suite's records of a store, sorted by arm and seed, whatever the file order."""
    paths = sorted((store / "runs" / suite).glob("*.json"))
    return sorted(map(load_record, paths), key=lambda r: (r.experiment.arm, r.seed, r.key))


def _from_data(data: dict[str, Any]) -> Record:
    cost = data["cost"]
    record = Record(
        **{
            **data,
            "experiment": Experiment.from_dict(data["experiment"]),
            "cost": None if cost is None else Cost(**cost),
            "measurements": {k: Measurement(**m) for k, m in data["measurements"].items()},
        }
    )
    _check(record)
    return record


def _check(record: Record) -> None:
    cost = {} if record.cost is None else asdict(record.cost)
    numbers = {f"cost {name}": value for name, value in cost.items()}
    for name, measurement in record.measurements.items():
        numbers |= {name: measurement.value, f"{name} error": measurement.standard_error}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise UserError(f"{name} of {record.key} is not a finite number")
    if record.status not in {"ok", "failed"}:
        raise ValueError(f"status {record.status!r} is neither ok nor failed")
    if record.status == "ok" and (record.cost is None or not record.measurements):
        raise ValueError("a finished run has a cost and at least one measurement")
    if record.status == "failed" and not record.error:
        raise ValueError("a failed run says why")
