"""GLUE across its suites: one row a task, and the average of the columns beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from eval.data.glue_tasks import glue_task
from eval.evidence.formatting import percent, to_markdown
from eval.evidence.grid import common, finished, value_of
from eval.evidence.pages import Part, part_of
from eval.evidence.paper import load_reported
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT, Interval, interval, judge, paired
from eval.evidence.tables import suite_table
from eval.paths import RESULTS
from eval.record import load_records
from eval.spec import Tier
from eval.suites import SUITES
from eval.suites import suite as find_suite

__all__ = [
    "Average",
    "beside_paper",
    "committed_glue",
    "glue_average",
    "glue_data",
    "glue_headline",
    "glue_markdown",
    "glue_page",
    "glue_parts",
]

_PREFIX = "bert_glue_"
_ORDER = (
    *("sst2", "snli"),
    *("sst2_full", "cola", "stsb", "mrpc", "rte", "mnli", "qqp", "qnli"),
)
_SCORE = {"accuracy": "accuracy", "matthews_correlation": "Matthews", "spearman": "Spearman"}
_MISMATCHED = "validation_mismatched_accuracy"
# Paper: section 5.2, nine columns; of three no training rows lie in a package or the local folder.
_AVERAGED = {
    "cpu": ("sst2_full", "cola", "stsb", "mrpc", "rte"),
    "paper": ("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte"),
}
_LEFT_OUT = {
    "cpu": "Left out of it: MNLI (two columns), QQP and QNLI, whose training rows come in no "
    "package and are not in the folder used; the package's SST-2 and SNLI, which are not GLUE's.",
    "paper": "",
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
    """Return the parts that finetune on a task and have records, in the order to show them."""
    names = [_PREFIX + name for name in _ORDER]
    found = [p for p in parts if p.suite.name in names and p.suite.margin is not None]
    return sorted((p for p in found if p.records), key=lambda p: names.index(p.suite.name))


def committed_glue(tier: Tier, store: Path = RESULTS) -> list[Part]:
    """Return the parts of every GLUE suite at a tier that the store has records of."""
    names = [_PREFIX + name for name in _ORDER]
    declared = [find_suite(name, tier) for name in names if tier in SUITES[name].declared]
    return glue_parts([part_of(s, load_records(store, s.name)) for s in declared])


def glue_data(parts: Sequence[Part]) -> pd.DataFrame:
    """Return the paired difference of every arm to the baseline, by task and seed, in points.

    `seed` is "mean" for the mean over the seeds, with its 90 % interval.
    """
    rows = []
    for part in parts:
        name = part.suite.name.removeprefix(_PREFIX)
        for arm in (e.arm for e in part.suite.arms if e.arm != BASELINE):
            found = _differences(part, arm)
            row = {"tier": part.tier, "task": _label(name, part.tier), "arm": arm, "n": len(found)}
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
    here = {part.suite.name.removeprefix(_PREFIX): part for part in parts}
    wanted = _AVERAGED.get(tier, ())
    lacking = [_label(name, tier) for name in wanted if name not in here]
    if lacking or not wanted:
        return f"No average: there are no records of {', '.join(lacking) or 'its columns'} yet."
    arms = (BASELINE, TREATMENT, SHORTENED)
    scores = [_scores(here[name], arm) for name in wanted for arm in arms]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores)))
    if len(seeds) < 2:
        return "No average: fewer than two seeds finished in all of its columns."
    by_arm = {
        arm: [fmean(x for name in wanted for x in _scores(here[name], arm)[s]) for s in seeds]
        for arm in arms
    }
    return Average(
        columns=sum(len(_scores(here[name], BASELINE)[seeds[0]]) for name in wanted),
        seeds=tuple(seeds),
        baseline=fmean(by_arm[BASELINE]),
        differences={
            arm: interval(x - b for x, b in zip(by_arm[arm], by_arm[BASELINE])) for arm in arms[1:]
        },
    )


def glue_page(parts: Sequence[Part]) -> str:
    """Return the page of all GLUE suites: what is missing, the tables by tier, the paper's."""
    lines = ["# GLUE, task by task\n"]
    for tier in dict.fromkeys(part.tier for part in parts):
        here = [part for part in parts if part.tier == tier]
        lines += [f"## Tier {tier}\n", *(f"Incomplete: {g}.\n" for p in here for g in p.gaps)]
        lines += [glue_markdown(here), beside_paper()]
        lines += [f"![Paired differences by task](glue-{tier}.svg)\n"]
    return "\n".join(lines)


def glue_headline(parts: Sequence[Part]) -> str:
    """Return what the README shows of GLUE."""
    here = [part for part in parts if part.tier == parts[0].tier]
    lines = [f"Incomplete: {gap}.\n" for part in here for gap in part.gaps]
    return "\n".join([*lines, glue_markdown(here), "Details: [GLUE](results/summary/glue.md).\n"])


def glue_markdown(parts: Sequence[Part]) -> str:
    """Return one row a task, and the average with what it leaves out."""
    found = glue_average(parts)
    rows = [_row(part) for part in parts]
    if isinstance(found, str):
        note = found
    else:
        left_out = _LEFT_OUT.get(parts[0].tier, "")
        note = f"The average has no margin, so no verdict. {left_out}".strip()
        rows.append(_average_row(found))
    told = (
        "Scores times 100, means over the seeds; differences in points, paired by seed, with 90 % "
        "intervals; positive is better.\n"
    )
    return "\n".join([told, to_markdown(pd.DataFrame(rows)), f"{note}\n"])


def _row(part: Part) -> dict[str, Any]:
    name, suite = part.suite.name.removeprefix(_PREFIX), part.suite
    scores = [100 * value_of(r, suite.primary) for r in finished(part.records)[BASELINE].values()]
    verdict = judge(suite, part.records)
    return {
        "task": f"{_label(name, part.tier)} ({_SCORE[suite.primary]})",
        "rows": f"{_evaluated(part):,}",
        "n": verdict.n,
        "baseline (sd)": _spread(scores),
        "random-LTD against it": _difference(part, TREATMENT),
        "shortened baseline against it": _difference(part, SHORTENED),
        "layer tokens saved": _saved(part),
        "margin": f"{100 * (suite.margin or 0):g}",
        "verdict": verdict.outcome,
    }


def _label(name: str, tier: str) -> str:
    title = glue_task(name.removesuffix("_full")).title
    return f"{title}, package" if (name, tier) == ("sst2", "cpu") else title


def _saved(part: Part) -> str:
    table: Any = suite_table(part.suite, part.records).set_index("arm")
    return percent(table["layer_token_saving_frac"].get(TREATMENT, 0.0))


def _average_row(found: Average) -> dict[str, Any]:
    return {
        "task": f"average of {found.columns} columns",
        "rows": "",
        "n": len(found.seeds),
        "baseline (sd)": f"{found.baseline:.2f}",
        "random-LTD against it": _points(found.differences[TREATMENT]),
        "shortened baseline against it": _points(found.differences[SHORTENED]),
        "layer tokens saved": "",
        "margin": "",
        "verdict": "",
    }


def beside_paper() -> str:
    """Return the published averages with their budgets, and what they are averages of."""
    published = [r for r in load_reported() if r.measurement == "GLUE average"]
    rows = [
        {"arm": r.arm, "model": r.model, "pretrained on": r.data, "GLUE average": f"{r.value:.2f}"}
        for r in published
    ]
    told = (
        "The authors' averages of nine columns. There random-LTD drops while pretraining, and the "
        "finetuning is ordinary, as in our suites bert_pretrain_TASK; in bert_glue_TASK it drops "
        "while finetuning. Models, budgets and columns differ, so the averages do not compare.\n"
    )
    sources = sorted({f"- {row.locator} ({row.evidence})" for row in published})
    return "\n".join([told, to_markdown(pd.DataFrame(rows)), *sources, ""])


def _scores(part: Part, arm: str) -> dict[int, list[float]]:
    """Return the columns of a task by seed, times 100."""
    names = [part.suite.primary]
    if len(glue_task(part.suite.arms[0].data).validation) > 1:
        names.append(_MISMATCHED)
    runs = finished(part.records).get(arm, {})
    return {seed: [100 * value_of(r, name) for name in names] for seed, r in runs.items()}


def _differences(part: Part, arm: str) -> dict[int, float]:
    """Return the differences to the baseline in points; of every metric here, more is better."""
    both = common(part.records, arm, BASELINE)
    found = paired(both, arm, BASELINE, measurement=part.suite.primary, higher_is_better=True)
    return {seed: 100 * difference for seed, difference in found.items()}


def _difference(part: Part, arm: str) -> str:
    found = list(_differences(part, arm).values())
    if len(found) == 1:
        return f"{found[0]:+.2f} (no interval)"
    return _points(interval(found)) if found else ""


def _points(of: Interval) -> str:
    return f"{of.mean:+.2f} [{of.low:+.2f}, {of.high:+.2f}]"


def _spread(scores: Sequence[float]) -> str:
    spread = f" ({stdev(scores):.2f})" if len(scores) > 1 else ""
    return f"{fmean(scores):.2f}{spread}" if scores else ""


def _evaluated(part: Part) -> int:
    return next(r for r in part.records if r.status == "ok").measurements[part.suite.primary].n
