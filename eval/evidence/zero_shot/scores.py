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
from eval.evidence.stats import BASELINE, TREATMENT, paired
from eval.record import Measurement, Record
from eval.spec import Suite

__all__ = [
    "ANSWER_BITS",
    "FEWER_BITS",
    "MEAN_OF_TASKS",
    "average_line",
    "averages_line",
    "has_tasks",
    "mean_of_tasks",
    "rows_of",
    "score_table",
    "tasks_of",
    "with_error",
    "zero_shot_data",
    "zero_shot_sentence",
    "zero_shot_table",
]

ANSWER_BITS = "answer_bits_per_byte"
FEWER_BITS = f"{ANSWER_BITS} less than the baseline"
MEAN_OF_TASKS = "mean of these tasks"
_OTHER = "The paper's harness is of 2022; triviaqa and webqs have another metric in today's."


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
                "rows": rows_of(origin),
                "metric": metric,
                "score (standard error)": with_error(score),
                "chance": "" if chance is None else percent(chance),
                "right answer, bits per byte (standard error)": ""
                if bits is None
                else with_error(bits),
            }
        )
    return pd.DataFrame(rows)


def average_line(tasks: Mapping[str, Any], measurements: Mapping[str, Measurement]) -> str:
    """Say the paper's average, if all of its tasks were read whole; else say what is missing."""
    if told := _not_whole(tasks):
        return told
    return f"Average of the {len(AVERAGED)} tasks: {100 * _average(measurements):.1f}. {_OTHER}\n"


def averages_line(records: Sequence[Record]) -> str:
    """Say the paper's average of every arm, a mean over its seeds, or what is missing for it."""
    runs = {arm: list(seeds.values()) for arm, seeds in finished(records).items() if seeds}
    every = [run for arm in runs.values() for run in arm]
    told = [_not_whole(run.provenance["zero_shot"]["tasks"]) for run in every]
    if any(told):
        return next(filter(None, told))
    looks = arm_looks(runs)
    means = [
        f"{looks[arm].label} {100 * fmean(_average(r.measurements) for r in runs[arm]):.1f} "
        f"(n = {len(runs[arm])})"
        for arm in looks
    ]
    return f"Average of the {len(AVERAGED)} tasks: {', '.join(means)}. {_OTHER}\n"


def has_tasks(records: Sequence[Record]) -> bool:
    """Whether there is a baseline that was measured on zero-shot tasks, to compare with."""
    done = [r for r in records if r.status == "ok" and r.experiment.arm == BASELINE]
    return any(r.experiment.tasks for r in done)


def tasks_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the tasks that all finished runs were measured on, in the order of their names."""
    sets = [set(r.experiment.tasks) for r in records if r.status == "ok"]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def zero_shot_data(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return what the figure shows of every arm and task, over the seeds.

    The score: its mean and 90 % Student-t interval over the seeds. The bits that the right answer
    costs: the difference to the baseline, paired by seed, positive where fewer; the baseline has
    none. `low` and `high` bound the interval, where there are two seeds or more.
    """
    rows = []
    runs = {arm: seeds for arm, seeds in finished(records).items() if seeds}
    for arm in arm_looks(runs):
        first = next(iter(runs[arm].values()))
        for task in tasks_of(records):
            metric, bits = f"{task}/{TASK_DATA[task].metric}", f"{task}/{ANSWER_BITS}"
            if metric in first.measurements:
                scores = [value_of(r, metric) for r in runs[arm].values()]
                chance = {"chance": TASK_DATA[task].chance}
                rows.append(_row(first, task, TASK_DATA[task].metric, scores) | chance)
            if bits in first.measurements and arm != BASELINE:
                fewer = list(_saved(records, arm, bits).values())
                rows += [_row(first, task, FEWER_BITS, fewer)] if fewer else []
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
        row: dict[str, Any] = {"task": task, "split": origin["split"], "rows": rows_of(origin)}
        for arm in looks:
            row |= _cells(records, arm, looks[arm].label, [f"{task}/{ANSWER_BITS}"])
        rows.append(row)
    mean: dict[str, Any] = {"task": MEAN_OF_TASKS, "split": "", "rows": ""}
    for arm in looks:
        mean |= _cells(records, arm, looks[arm].label, [f"{t}/{ANSWER_BITS}" for t in tasks])
    return pd.DataFrame([*rows, mean])


def zero_shot_sentence(suite: Suite, records: Sequence[Record]) -> str:
    """Say on how many tasks random-LTD's right answers cost less than the baseline's."""
    data: Any = zero_shot_data(suite, records)
    rows = data[(data["arm"] == TREATMENT) & (data["measurement"] == FEWER_BITS)]
    if "low" not in rows or rows.empty:
        return "Zero-shot: one seed, so nothing can be said of a task."
    better, worse = sum(rows["low"] > 0), sum(rows["high"] < 0)
    return (
        f"Zero-shot, in bits of the right answer per byte: random-LTD is better than the baseline "
        f"on {better} of {len(rows)} tasks, worse on {worse}, undecided on the others; mean of the "
        f"tasks {mean_of_tasks(suite, records)}."
    )


def mean_of_tasks(suite: Suite, records: Sequence[Record]) -> str:
    """Return random-LTD's mean gain over the tasks, in bits of the right answer per byte."""
    data: Any = zero_shot_data(suite, records)
    rows = data[(data["arm"] == TREATMENT) & (data["measurement"] == FEWER_BITS)]
    names = [f"{task}/{ANSWER_BITS}" for task in rows["task"]]
    return _cells(records, TREATMENT, "", names)[""]


def _cells(records: Sequence[Record], arm: str, label: str, names: Sequence[str]) -> dict[str, str]:
    """Return the baseline's value, or an arm's difference to it."""
    runs = [r for r in records if r.experiment.arm == arm and r.status == "ok"]
    if arm == BASELINE:
        return {label: number(fmean(value_of(r, name) for r in runs for name in names))}
    per_seed: dict[int, list[float]] = {}
    for name in names:
        for seed, difference in _saved(records, arm, name).items():
            per_seed.setdefault(seed, []).append(difference)
    means = [fmean(values) for values in per_seed.values()]
    if len(means) < 2:
        return {label: f"{means[0]:+.4f}" if means else ""}
    return {label: str(interval(means))}


def _saved(records: Sequence[Record], arm: str, name: str) -> dict[int, float]:
    """Return by seed how much less than the baseline an arm measured."""
    both = common(records, arm, BASELINE)
    return paired(both, arm, BASELINE, measurement=name, higher_is_better=False)


def _row(run: Record, task: str, name: str, values: Sequence[float]) -> dict[str, Any]:
    row: dict[str, Any] = {"tier": run.experiment.tier, "arm": run.experiment.arm, "task": task}
    row |= {"measurement": name, "n": len(values), "mean": fmean(values)}
    if len(values) > 1:
        found = interval(values)
        row |= {"low": found.low, "high": found.high}
    return row


def _average(measurements: Mapping[str, Measurement]) -> float:
    return fmean(measurements[f"{task}/{TASK_DATA[task].metric}"].value for task in AVERAGED)


def _not_whole(tasks: Mapping[str, Any]) -> str:
    """Say which of the averaged tasks are missing or cut short; nothing, if none."""
    absent = [t for t in AVERAGED if t not in tasks]
    part = [t for t in AVERAGED if t in tasks and tasks[t]["rows"] < tasks[t]["rows_published"]]
    said = [f"without {', '.join(absent)}"] * bool(absent)
    said += [f"the first rows only of {', '.join(part)}"] * bool(part)
    whole = f"No average score as the paper's, which is over {len(AVERAGED)} whole tasks"
    return f"{whole}; here {'; '.join(said)}.\n" if said else ""


def _bits(task: str, measurements: Mapping[str, Measurement]) -> Measurement | None:
    names = (f"{task}/{ANSWER_BITS}", f"{task}/bits_per_byte")
    return next((measurements[name] for name in names if name in measurements), None)


def rows_of(origin: Mapping[str, Any]) -> str:
    """Say how many rows were evaluated, and of how many."""
    rows, published = origin["rows"], origin["rows_published"]
    return f"{rows:,}" if rows == published else f"first {rows:,} of {published:,}"


def with_error(measurement: Measurement) -> str:
    """Write a measurement with its standard error over the examples."""
    value, error = measurement.value, measurement.standard_error
    if measurement.unit == "fraction":
        return f"{100 * value:.1f} ({100 * error:.1f}) %"
    return f"{number(value)} ({error:.2g})"
