"""The numbers that the figures of images draw: accuracy on the way, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.evidence.arms import arm_looks
from eval.evidence.grid import finished
from eval.evidence.paper.published import read_rows
from eval.evidence.series import MEAN, read_curve, verdict_data
from eval.evidence.stats import BASELINE, TREATMENT
from eval.paths import RESULTS
from eval.record import Record
from eval.spec import Suite

__all__ = [
    "AUTHORS",
    "THRESHOLD",
    "ReferencePoint",
    "accuracy_data",
    "authors_data",
    "cost_data",
    "recovery_data",
    "reference",
]

AUTHORS = "authors"
"""In the place of an arm: the authors' run."""
THRESHOLD = 0.8
"""The kept fraction below which the authors' model does poorly on all tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePoint:
    """An epoch of the authors' run on CIFAR-10. Paper: section 5.3."""

    id: str
    epoch: str
    epochs: str
    kept: str
    """Tokens that the middle layers keep at its end."""
    full: str
    accuracy: str
    """Of all tokens, in per cent."""
    unit: str
    locator: str
    evidence: str


def reference() -> tuple[ReferencePoint, ...]:
    """Return the authors' run, epoch by epoch."""
    return read_rows(RESULTS / "paper" / "vit_reference_run.csv", ReferencePoint)


def accuracy_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return held-out accuracy and kept length by arm, seed and step, and the seeds' means.

    Accuracy is that of all tokens, a fraction; a step that not every seed has reached has no mean.
    """
    frames, runs_by_arm = [], finished(records)
    for arm in arm_looks(arm for arm, runs in runs_by_arm.items() if runs):
        runs = runs_by_arm[arm]
        curves = {str(seed): _points(store, record) for seed, record in runs.items()}
        steps: Any = pd.concat(curves.values()).groupby("step")
        means = steps.mean()[steps.size() == len(curves)].reset_index()
        for seed, curve in (curves | {MEAN: means}).items():
            frames.append(curve.assign(arm=arm, n=len(runs), seed=seed))
    columns = ["arm", "n", "seed", "step", "run", "kept_frac", "accuracy"]
    table: Any = pd.concat(frames, ignore_index=True).filter(columns)
    table.insert(0, "tier", suite.arms[0].tier)
    return table


def recovery_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return accuracy against the kept fraction: random-LTD's mean, and the authors' run."""
    ours: Any = accuracy_data(suite, records, store).query("seed == @MEAN")
    ours = ours[ours["arm"].isin([BASELINE, TREATMENT])]
    columns = ["arm", "n", "run", "kept_frac", "accuracy"]
    found: Any = pd.concat([ours[columns], authors_data()[columns]], ignore_index=True)
    return found


def authors_data() -> pd.DataFrame:
    """Return the authors' run in the columns of ours."""
    points = [
        {
            "run": int(point.epoch) / int(point.epochs),
            "kept_frac": int(point.kept) / int(point.full),
            "accuracy": round(float(point.accuracy) / 100, 4),
        }
        for point in reference()
    ]
    return pd.DataFrame(points).assign(arm=AUTHORS, n=1)


def cost_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return what every arm saves of the baseline's FLOPs, and its difference in accuracy."""
    data = verdict_data(suite, records, store)
    costs = {r.experiment.arm: r.cost for r in records if r.cost}  # the same for all seeds
    flops = {arm: cost.flops for arm, cost in costs.items()}
    data = data[data["against"] == BASELINE].drop(columns=["against", "margin"])
    saved = [1 - flops[arm] / flops[BASELINE] for arm in data["arm"]]
    return data.assign(flop_saving_frac=saved)


def _points(store: Path, record: Record) -> pd.DataFrame:
    """Return the points of a curve; before its first step a run keeps what it begins with."""
    e = record.experiment
    curve: Any = read_curve(store, record)
    kept = curve["kept"].fillna(e.kept.start)
    if e.patch_drop:
        kept = kept * 0 + e.computed.full
    curve = curve.assign(kept_frac=kept / e.length, run=curve["step"] / e.steps)
    found = curve.dropna(subset="val_accuracy").rename(columns={"val_accuracy": "accuracy"})
    return found.filter(["step", "run", "kept_frac", "accuracy"])
