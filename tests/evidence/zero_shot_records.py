"""Records with invented zero-shot scores, in which seeds differ far more than arms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from eval.data.task_data import TASK_DATA
from eval.evidence.zero_shot.scores import ANSWER_BITS
from eval.record import Measurement, Record
from eval.spec import Suite
from tests.evidence.synthetic import make_records, make_suite

__all__ = ["ARMS", "CHOSEN", "LABELS", "TASKS", "differences", "evidence", "scored", "value"]

TASKS = ("piqa", "copa", "lambada_openai", "wikitext")
CHOSEN = ("copa", "lambada_openai", "piqa")
"""Those with a right answer, in the order to show them."""
ARMS = ("baseline", "random_ltd", "shortened_baseline")
BETTER = {"baseline": 0.0, "random_ltd": 0.05, "shortened_baseline": -0.1}
"""What an arm is better by: in bits of the right answer, and in its score."""
LABELS = ["baseline", "random-LTD", "shortened baseline"]


def with_tasks(suite: Suite, tasks: tuple[str, ...] = TASKS) -> Suite:
    """Return the suite with zero-shot tasks."""
    return dataclasses.replace(
        suite, arms=tuple(dataclasses.replace(arm, tasks=tasks) for arm in suite.arms)
    )


def scored(record: Record, tasks: Sequence[str] = TASKS, rows: int | None = 20) -> Record:
    """Add invented scores; what a seed shares is far larger than what tells arms apart."""
    better = BETTER[record.experiment.arm]
    draw = np.random.default_rng([record.seed, ARMS.index(record.experiment.arm)])
    found: dict[str, Measurement] = {}
    for i, task in enumerate(tasks):
        cost = 2.0 + i + 0.5 * record.seed - better + 0.002 * draw.standard_normal()
        name = "bits_per_byte" if task == "wikitext" else ANSWER_BITS
        found[f"{task}/{name}"] = _measured(cost, "bits/byte")
        unit = "per word" if task == "wikitext" else "fraction"
        value = 0.4 + 0.01 * record.seed + better
        found[f"{task}/{TASK_DATA[task].metric}"] = _measured(value, unit)
    origin = {
        task: {"source": "package", "split": TASK_DATA[task].split, "version": "1.0"}
        | {"rows": rows or TASK_DATA[task].rows, "rows_published": TASK_DATA[task].rows}
        for task in tasks
    }
    return dataclasses.replace(
        record,
        experiment=dataclasses.replace(record.experiment, tasks=tuple(tasks)),
        measurements={**record.measurements, **found},
        provenance={**record.provenance, "zero_shot": {"tasks": origin}},
    )


def _measured(value: float, unit: str) -> Measurement:
    return Measurement(value=value, unit=unit, split="test", n=20, standard_error=0.01)


def evidence(seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> tuple[Suite, list[Record]]:
    """Return a full grid with zero-shot scores."""
    suite = make_suite(seeds=seeds)
    return with_tasks(suite), [scored(record) for record in make_records(suite)]


def value(records: Sequence[Record], arm: str, seed: int, name: str) -> float:
    (record,) = [r for r in records if (r.experiment.arm, r.seed) == (arm, seed)]
    return record.measurements[name].value


def differences(records: Sequence[Record], arm: str, tasks: Sequence[str]) -> list[float]:
    """Return by seed how much less the right answers cost than in the baseline."""
    return [
        fmean(
            value(records, "baseline", seed, f"{task}/{ANSWER_BITS}")
            - value(records, arm, seed, f"{task}/{ANSWER_BITS}")
            for task in tasks
        )
        for seed in sorted({r.seed for r in records})
    ]
