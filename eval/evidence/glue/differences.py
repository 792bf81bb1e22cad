"""GLUE across its suites: paired differences by task, and the average of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from eval.data.glue_tasks import glue_task
from eval.evidence.grid import common, finished, value_of
from eval.evidence.part import Part, part_of
from eval.evidence.stats import (
    BASELINE,
    JUDGED,
    Interval,
    interval,
    paired,
)
from eval.paths import RESULTS
from eval.record import load_records
from eval.spec import Tier
from eval.suites import SUITES
from eval.suites import suite as find_suite

__all__ = [
    "PREFIX",
    "Average",
    "columns_of",
    "committed_glue",
    "glue_average",
    "glue_data",
    "glue_parts",
    "point_differences",
    "task_label",
]

PREFIX = "bert_glue_"
_ORDER = (
    *("sst2", "snli"),
    *("sst2_full", "cola", "stsb", "mrpc", "rte", "mnli", "qqp", "qnli"),
)
_MISMATCHED = "accuracy_validation_mismatched"
# Paper: section 5.2, nine columns; of three no training rows lie in a package or the local folder.
_AVERAGED = {
    "cpu": ("sst2_full", "cola", "stsb", "mrpc", "rte"),
    "paper": ("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Average:
    """The mean over the averaged columns, in points, and its paired differences by seed."""

    columns: int
    seeds: tuple[int, ...]
    baseline: float
    differences: dict[str, Interval]
    """Of random-LTD and the shortened baseline to the baseline; positive is better."""


def glue_parts(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that finetune on a task and have a baseline, in the order to show them."""
    names = [PREFIX + name for name in _ORDER]
    found = [p for p in parts if p.suite.name in names and p.suite.margin is not None]
    begun = (p for p in found if finished(p.records).get(BASELINE))
    return sorted(begun, key=lambda p: names.index(p.suite.name))


def committed_glue(tier: Tier, store: Path = RESULTS) -> list[Part]:
    """Return the parts of every GLUE suite at a tier that the store has records of."""
    names = [PREFIX + name for name in _ORDER]
    declared = [find_suite(name, tier) for name in names if tier in SUITES[name].declared]
    return glue_parts([part_of(s, load_records(store, s.name)) for s in declared])


def glue_data(parts: Sequence[Part]) -> pd.DataFrame:
    """Return the paired difference of every arm to the baseline, by task and seed, in points.

    `seed` is "mean" for the mean over the seeds, with its 90 % interval.
    """
    rows = []
    for part in parts:
        name = part.suite.name.removeprefix(PREFIX)
        for arm in (e.arm for e in part.suite.arms if e.arm != BASELINE):
            found = point_differences(part, arm)
            task = task_label(name, part.tier)
            row = {"tier": part.tier, "task": task, "arm": arm, "n": len(found)}
            rows += [{**row, "seed": str(seed), "difference": d} for seed, d in found.items()]
            if len(found) > 1:
                of = interval(found.values())
                rows.append({**row, "seed": "mean", "difference": of.mean, "low": of.low})
                rows[-1] |= {"high": of.high, "margin": 100 * (part.suite.margin or 0)}
    return pd.DataFrame(rows)


def glue_average(parts: Sequence[Part]) -> Average | str:
    """Return the average, or a sentence that says what it lacks.

    Every column weighs the same, MNLI's two splits as two. Only seeds that finished in all three
    arms of all columns count, and differences are of averages of the same seed.
    """
    tier = parts[0].tier
    here = {part.suite.name.removeprefix(PREFIX): part for part in parts}
    wanted = _AVERAGED.get(tier, ())
    lacking = [task_label(name, tier) for name in wanted if name not in here]
    if lacking or not wanted:
        columns = ", ".join(lacking) or "its columns"
        return f"No average: there are no records with GLUE's own training rows of {columns} yet."
    scores = [columns_of(here[name], arm) for name in wanted for arm in JUDGED]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores)))
    if len(seeds) < 2:
        return "No average: fewer than two seeds finished in all of its columns."
    by_arm = {
        arm: [fmean(x for name in wanted for x in columns_of(here[name], arm)[s]) for s in seeds]
        for arm in JUDGED
    }
    return Average(
        columns=sum(len(columns_of(here[name], BASELINE)[seeds[0]]) for name in wanted),
        seeds=tuple(seeds),
        baseline=fmean(by_arm[BASELINE]),
        differences={
            arm: interval(x - b for x, b in zip(by_arm[arm], by_arm[BASELINE]))
            for arm in JUDGED[1:]
        },
    )


def task_label(name: str, tier: str) -> str:
    """Return how tables and figures call a task, by the name of its suite without the prefix."""
    title = glue_task(name.removesuffix("_full")).title
    return f"{title}, package" if (name, tier) == ("sst2", "cpu") else title


def columns_of(part: Part, arm: str) -> dict[int, list[float]]:
    """Return the columns of a task by seed, times 100."""
    names = [part.suite.primary]
    if len(glue_task(part.suite.arms[0].data).validation) > 1:
        names.append(_MISMATCHED)
    runs = finished(part.records).get(arm, {})
    return {seed: [100 * value_of(r, name) for name in names] for seed, r in runs.items()}


def point_differences(part: Part, arm: str) -> dict[int, float]:
    """Return the differences to the baseline in points; of every metric here, more is better."""
    both = common(part.records, arm, BASELINE)
    found = paired(both, arm, BASELINE, measurement=part.suite.primary, higher_is_better=True)
    return {seed: 100 * difference for seed, difference in found.items()}
