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
    "FINETUNED",
    "PRETRAINED",
    "Average",
    "columns_of",
    "committed_glue",
    "family_of",
    "glue_average",
    "glue_data",
    "glue_parts",
    "label_of",
    "point_differences",
]

FINETUNED, PRETRAINED = "bert_glue_", "bert_pretrain_"
"""Begin the names of suites that drop while finetuning on a task, and while pretraining for it."""
_ORDER = (
    *("sst2", "snli"),
    *("sst2_full", "cola", "stsb", "mrpc", "rte", "mnli", "qqp", "qnli"),
)
_MISMATCHED = "accuracy_validation_mismatched"
# Paper: section 5.2, nine columns; of four no training rows lie in a package or the local folder.
_FOUR = ("cola", "stsb", "mrpc", "rte")
_AVERAGED = {
    (FINETUNED, "cpu"): ("sst2_full", *_FOUR),
    (FINETUNED, "paper"): ("mnli", "qqp", "qnli", "sst2", *_FOUR),
    (PRETRAINED, "gpu"): ("sst2", *_FOUR),
    (PRETRAINED, "paper"): ("mnli", "qqp", "qnli", "sst2", *_FOUR),
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
    names = [family + task for family in (FINETUNED, PRETRAINED) for task in _ORDER]
    found = [p for p in parts if p.suite.name in names and p.suite.margin is not None]
    begun = (p for p in found if finished(p.records).get(BASELINE))
    return sorted(begun, key=lambda p: names.index(p.suite.name))


def committed_glue(tier: Tier, store: Path = RESULTS, family: str = FINETUNED) -> list[Part]:
    """Return the parts of every suite of a family at a tier that the store has records of."""
    names = [name for name in (family + task for task in _ORDER) if name in SUITES]
    declared = [find_suite(name, tier) for name in names if tier in SUITES[name].declared]
    return glue_parts([part_of(s, load_records(store, s.name)) for s in declared])


def family_of(part: Part) -> str:
    """Return what the names of a part's suite and of those it is averaged with begin with."""
    return PRETRAINED if part.suite.name.startswith(PRETRAINED) else FINETUNED


def glue_data(parts: Sequence[Part]) -> pd.DataFrame:
    """Return the paired difference of every arm to the baseline, by task and seed, in points.

    `seed` is "mean" for the mean over the seeds, with its 90 % interval. Of pretrainings, only
    the arms that a verdict compares are in it.
    """
    rows = []
    for part in parts:
        judged = family_of(part) == PRETRAINED
        arms = JUDGED if judged else [e.arm for e in part.suite.arms]
        for arm in (arm for arm in arms if arm != BASELINE):
            found = point_differences(part, arm)
            row = {"tier": part.tier, "task": label_of(part), "arm": arm, "n": len(found)}
            rows += [{**row, "seed": str(seed), "difference": d} for seed, d in found.items()]
            if len(found) > 1:
                of = interval(found.values())
                rows.append({**row, "seed": "mean", "difference": of.mean, "low": of.low})
                rows[-1] |= {"high": of.high, "margin": 100 * (part.suite.margin or 0)}
    return pd.DataFrame(rows)


def glue_average(parts: Sequence[Part]) -> Average | str:
    """Return the average of the parts of one family and tier, or a sentence on what it lacks.

    Every column weighs the same, MNLI's two splits as two. Only seeds that finished in all three
    arms of all columns count, and differences are of averages of the same seed.
    """
    family, tier = family_of(parts[0]), parts[0].tier
    here = {part.suite.name.removeprefix(family): part for part in parts}
    wanted = _AVERAGED.get((family, tier), ())
    lacking = [_label(name, tier) for name in wanted if name not in here]
    if not wanted:
        return "No average: at this tier too few of GLUE's own training rows are used."
    if lacking:
        columns = ", ".join(lacking)
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


def label_of(part: Part) -> str:
    """Return how tables and figures call the task of a part."""
    return _label(part.suite.name.removeprefix(family_of(part)), part.tier)


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


def _label(name: str, tier: str) -> str:
    title = glue_task(name.removesuffix("_full")).title
    return f"{title}, package" if (name, tier) == ("sst2", "cpu") else title
