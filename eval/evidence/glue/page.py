"""The page of GLUE: one row a task, the average, the limits, and the paper's beside it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from eval.data.glue_tasks import glue_task
from eval.evidence.formatting import percent, to_markdown
from eval.evidence.glue.differences import (
    FINETUNED,
    PRETRAINED,
    Average,
    family_of,
    glue_average,
    glue_data,
    label_of,
    point_differences,
)
from eval.evidence.grid import finished, value_of
from eval.evidence.paper.published import load_reported
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT, Interval, interval, judge
from eval.evidence.tables import suite_table
from eval.evidence.zero_shot.anchors import load_anchors
from eval.paths import RESULTS

__all__ = [
    "beside_paper",
    "figure_name",
    "glue_groups",
    "glue_headline",
    "glue_markdown",
    "glue_page",
]

_ANCHORS = RESULTS / "glue_anchors.csv"
_SAVED = "layer tokens saved"
_SCORE = {"accuracy": "accuracy", "matthews_correlation": "Matthews", "spearman": "Spearman"}
_WITHOUT_ROWS = (
    "Left out of it: MNLI (two columns), QQP and QNLI, whose training rows come in no package and "
    "are not in the folder used"
)
_LEFT_OUT = {
    "cpu": f"{_WITHOUT_ROWS}; the package's SST-2 and SNLI, which are not GLUE's.",
    "gpu": f"{_WITHOUT_ROWS}.",
    "paper": "",
}
_TITLES = {
    FINETUNED: "random-LTD while finetuning",
    PRETRAINED: "random-LTD while pretraining, then ordinary finetuning",
}


def glue_page(parts: Sequence[Part]) -> str:
    """Return the page of all GLUE suites: what is missing, the tables by tier, the paper's."""
    lines = ["# GLUE, task by task\n"]
    for here in glue_groups(parts):
        lines += [f"## {_TITLES[family_of(here[0])]}, tier {here[0].tier}\n", glue_markdown(here)]
        if len(glue_data(here)):
            lines += [f"![Paired differences by task]({figure_name(here)}.svg)\n"]
    return "\n".join([*lines, "## Beside the paper\n", beside_paper()])


def glue_groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts that share a table: those of one family and tier."""
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((family_of(part), part.tier), []).append(part)
    return list(groups.values())


def figure_name(parts: Sequence[Part]) -> str:
    """Return how the figure of such a group is called."""
    after = "pretrained-" if family_of(parts[0]) == PRETRAINED else ""
    return f"glue-{after}{parts[0].tier}"


def glue_headline(parts: Sequence[Part]) -> str:
    """Return what the README shows of GLUE."""
    first = glue_groups(parts)[0]
    return "\n".join([glue_markdown(first), "Details: [GLUE](results/summary/glue.md).\n"])


def glue_markdown(parts: Sequence[Part]) -> str:
    """Return what is missing, a row a task, the average with what it leaves out, and the limits."""
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
    gaps = [f"Incomplete: {gap}.\n" for part in parts for gap in part.gaps]
    frame = pd.DataFrame(rows)
    if family_of(parts[0]) == PRETRAINED:  # what they save is on the pretraining's page
        frame = frame.drop(columns=_SAVED)
    table = to_markdown(frame)
    return "\n".join([*gaps, told, table, f"{note}\n", *_limits(parts), *_larger(parts), ""])


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


def _limits(parts: Sequence[Part]) -> list[str]:
    """Return the suites' caveats as a list, each once, with the tasks that it is not of all of."""
    tasks: dict[str, list[str]] = {}
    for part in parts:
        for caveat in part.suite.caveats:
            tasks.setdefault(caveat, []).append(label_of(part))
    return [
        f"- {caveat}" if len(labels) == len(parts) else f"- {', '.join(labels)}: {caveat}"
        for caveat, labels in tasks.items()
    ]


def _larger(parts: Sequence[Part]) -> list[str]:
    """Return the published scores of the model that the small tier's is cut from, on its tasks."""
    names = [part.suite.arms[0].data for part in parts]
    found = [anchor for anchor in load_anchors(_ANCHORS) if anchor.task in names]
    if not found or parts[0].suite.arms[0].model != "minilm-l6":
        return []
    scores = ", ".join(
        f"{glue_task(a.task).title} {a.value:g}" + f" (metric {a.metric})" * ("not" in a.metric)
        for a in found
    )
    return [
        f"- Plausible? The {found[0].locator}, has {scores}, of a model of twelve layers; ours has "
        "every second one of them (model card of nreimers/MiniLM-L6-H384-uncased), and was "
        "finetuned for sentence embeddings in between. No published scores of ours were found."
    ]


def _row(part: Part) -> dict[str, Any]:
    suite = part.suite
    scores = [100 * value_of(r, suite.primary) for r in finished(part.records)[BASELINE].values()]
    verdict = judge(suite, part.records)
    return {
        "task": f"{label_of(part)} ({_SCORE[suite.primary]})",
        "rows": f"{_evaluated(part):,}",
        "n": verdict.n,
        "baseline (sd)": _spread(scores),
        "random-LTD against it": _difference(part, TREATMENT),
        "shortened baseline against it": _difference(part, SHORTENED),
        _SAVED: _saved(part),
        "margin": f"{100 * (suite.margin or 0):g}",
        "verdict": verdict.outcome,
    }


def _average_row(found: Average) -> dict[str, Any]:
    return {
        "task": f"average of {found.columns} columns",
        "rows": "",
        "n": len(found.seeds),
        "baseline (sd)": f"{found.baseline:.2f}",
        "random-LTD against it": _points(found.differences[TREATMENT]),
        "shortened baseline against it": _points(found.differences[SHORTENED]),
        _SAVED: "",
        "margin": "",
        "verdict": "",
    }


def _saved(part: Part) -> str:
    if family_of(part) == PRETRAINED or not finished(part.records).get(TREATMENT):
        return ""
    table: Any = suite_table(part.suite, part.records).set_index("arm")
    return percent(table["layer_token_saving_frac"][TREATMENT])


def _difference(part: Part, arm: str) -> str:
    found = list(point_differences(part, arm).values())
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
