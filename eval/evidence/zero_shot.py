"""Zero-shot scores as tables: one task a row, with its source, its rows and what chance gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from eval.data.task_data import AVERAGED, TASK_DATA
from eval.evidence.arms import arm_looks
from eval.evidence.formatting import number, percent
from eval.evidence.grid import common, finished, value_of
from eval.evidence.intervals import interval
from eval.evidence.stats import BASELINE, paired
from eval.record import Measurement, Record
from eval.spec import Suite

__all__ = [
    "ANSWER_BITS",
    "MEAN_OF_TASKS",
    "average_line",
    "has_tasks",
    "score_table",
    "tasks_of",
    "zero_shot_data",
    "zero_shot_table",
]

ANSWER_BITS = "answer_bits_per_byte"
MEAN_OF_TASKS = "mean of these tasks"


def score_table(tasks: Mapping[str, Any], measurements: Mapping[str, Measurement]) -> pd.DataFrame:
    """Return the scores of one model: what was read of each task, and how it did."""
    rows = []
    for task, origin in tasks.items():
        metric = TASK_DATA[task].metric
        score, bits = measurements[f"{task}/{metric}"], _bits(task, measurements)
        chance = TASK_DATA[task].chance
        rows.append(
            {
                "task": task,
                "source": origin["source"],
                "split": origin["split"],
                "rows": _rows(origin),
                "metric": metric,
                "score (standard error)": _with_error(score),
                "chance": "" if chance is None else percent(chance),
                "right answer, bits per byte (standard error)": ""
                if bits is None
                else _with_error(bits),
            }
        )
    return pd.DataFrame(rows)


def average_line(tasks: Mapping[str, Any], measurements: Mapping[str, Measurement]) -> str:
    """Say the paper's average, if all of its tasks were read whole; else say what is missing."""
    whole = [t for t in AVERAGED if t in tasks and tasks[t]["rows"] == tasks[t]["rows_published"]]
    if len(whole) == len(AVERAGED):
        mean = fmean(measurements[f"{t}/{TASK_DATA[t].metric}"].value for t in AVERAGED)
        return (
            f"Average of the {len(AVERAGED)} tasks: {100 * mean:.1f}. The paper's harness is of "
            "2022; triviaqa and webqs have another metric in today's.\n"
        )
    absent = [t for t in AVERAGED if t not in tasks]
    part = [t for t in AVERAGED if t in tasks and t not in whole]
    said = [f"without {', '.join(absent)}"] * bool(absent) + [
        f"the first rows only of {', '.join(part)}"
    ] * bool(part)
    return f"No average: the paper's is over {len(AVERAGED)} whole tasks; here {'; '.join(said)}.\n"


def has_tasks(records: Sequence[Record]) -> bool:
    """Whether there is a baseline that was measured on zero-shot tasks, to compare with."""
    done = [r for r in records if r.status == "ok" and r.experiment.arm == BASELINE]
    return any(r.experiment.tasks for r in done)


def tasks_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the tasks that all finished runs were measured on, in the order of their names."""
    sets = [set(r.experiment.tasks) for r in records if r.status == "ok"]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def zero_shot_data(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return by arm and task the mean over seeds of the score and of the right answer's bits.

    `low` and `high` bound the 90 % Student-t interval over seeds, where there are two or more.
    """
    rows = []
    runs = {arm: list(seeds.values()) for arm, seeds in finished(records).items() if seeds}
    for arm in arm_looks(runs):
        for task in tasks_of(records):
            for name in (TASK_DATA[task].metric, ANSWER_BITS):
                if f"{task}/{name}" in runs[arm][0].measurements:
                    rows.append(_mean_row(runs[arm], arm, task, name))
    return pd.DataFrame(rows)


def zero_shot_table(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return one row a task: bits per byte of the right answer in every arm, and accuracy.

    An arm's difference to the baseline is paired by seed, with its 90 % interval; positive is
    better. The last row is the mean over the tasks.
    """
    runs = {arm: list(seeds.values()) for arm, seeds in finished(records).items() if seeds}
    looks = arm_looks(runs)
    tasks = [t for t in tasks_of(records) if f"{t}/{ANSWER_BITS}" in runs[BASELINE][0].measurements]
    rows = []
    for task in tasks:
        origin = runs[BASELINE][0].provenance["zero_shot"]["tasks"][task]
        row: dict[str, Any] = {"task": task, "split": origin["split"], "rows": _rows(origin)}
        for arm in looks:
            row |= _cells(records, arm, looks[arm].label, [f"{task}/{ANSWER_BITS}"])
        rows.append(row)
    mean: dict[str, Any] = {"task": MEAN_OF_TASKS, "split": "", "rows": ""}
    for arm in looks:
        mean |= _cells(records, arm, looks[arm].label, [f"{t}/{ANSWER_BITS}" for t in tasks])
    return pd.DataFrame([*rows, mean])


def _cells(records: Sequence[Record], arm: str, label: str, names: Sequence[str]) -> dict[str, str]:
    """Return the baseline's value, or an arm's difference to it."""
    runs = [r for r in records if r.experiment.arm == arm and r.status == "ok"]
    if arm == BASELINE:
        return {label: number(fmean(value_of(r, name) for r in runs for name in names))}
    both = common(records, arm, BASELINE)
    per_seed: dict[int, list[float]] = {}
    for name in names:
        differences = paired(both, arm, BASELINE, measurement=name, higher_is_better=False)
        for seed, difference in differences.items():
            per_seed.setdefault(seed, []).append(difference)
    means = [fmean(values) for values in per_seed.values()]
    if len(means) < 2:
        return {label: f"{means[0]:+.4f}" if means else ""}
    return {label: str(interval(means))}


def _mean_row(runs: Sequence[Record], arm: str, task: str, name: str) -> dict[str, Any]:
    values = [value_of(r, f"{task}/{name}") for r in runs]
    row: dict[str, Any] = {
        "tier": runs[0].experiment.tier,
        "arm": arm,
        "task": task,
        "measurement": name,
        "n": len(values),
        "mean": fmean(values),
        "chance": None if name == ANSWER_BITS else TASK_DATA[task].chance,
    }
    if len(values) > 1:
        found = interval(values)
        row |= {"low": found.low, "high": found.high}
    return row


def _bits(task: str, measurements: Mapping[str, Measurement]) -> Measurement | None:
    names = (f"{task}/{ANSWER_BITS}", f"{task}/bits_per_byte")
    return next((measurements[name] for name in names if name in measurements), None)


def _rows(origin: Mapping[str, Any]) -> str:
    rows, published = origin["rows"], origin["rows_published"]
    return f"{rows:,}" if rows == published else f"first {rows:,} of {published:,}"


def _with_error(measurement: Measurement) -> str:
    value, error = measurement.value, measurement.standard_error
    if measurement.unit == "fraction":
        return f"{100 * value:.1f} ({100 * error:.1f}) %"
    return f"{value:.4g} ({error:.2g})"
