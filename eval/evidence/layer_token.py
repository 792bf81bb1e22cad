"""What the LayerToken learning rate changes, and how much of it the curve alone explains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.formatting import signed
from eval.evidence.grid import common
from eval.evidence.intervals import interval
from eval.evidence.series import schedule_data
from eval.evidence.stats import BASELINE, ENOUGH_SEEDS, TREATMENT, paired
from eval.record import Record
from eval.spec import Suite

__all__ = [
    "CONTRASTS",
    "STEP_LR",
    "contrast_sentence",
    "contrast_table",
    "has_contrasts",
    "layer_token_verdict",
    "plot_layer_token",
]

STEP_LR, CONTROL = "random_ltd_step_lr", "lr_control"
EQUAL, HIGHER = "random_ltd_equal_layer_tokens", "baseline_higher_peak"

_LR_COLOR, _KEPT_COLOR = "#0072b2", "#d55e00"

CONTRASTS = (
    (TREATMENT, BASELINE, "the method as published: dropping and LayerToken LR"),
    (STEP_LR, BASELINE, "dropping alone, under the baseline's learning rate"),
    (CONTROL, BASELINE, "the learning-rate curve alone: nothing is dropped"),
    (TREATMENT, STEP_LR, "what LayerToken LR changes while dropping"),
    (TREATMENT, CONTROL, "dropping alone, under LayerToken's learning rate"),
    (EQUAL, BASELINE, "random-LTD run on to the baseline's layer tokens"),
    (TREATMENT, HIGHER, "the method against a baseline with a higher peak rate"),
)
"""Arm, arm it is compared with, and what the difference is the effect of."""


def has_contrasts(records: Sequence[Record]) -> bool:
    """Whether there are runs that tell dropping and learning rate apart."""
    arms = {r.experiment.arm for r in records if r.status == "ok"}
    return {TREATMENT, BASELINE, STEP_LR, CONTROL} <= arms


def contrast_table(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return the paired differences that take the method apart; positive is better."""
    rows = []
    for arm, against, meaning in CONTRASTS:
        if differences := _differences(suite, records, arm, against):
            looks = arm_looks([arm, against])
            rows.append(
                {
                    "difference": f"{looks[arm].label} - {looks[against].label}",
                    "effect of": meaning,
                    "n": len(differences),
                    f"{suite.primary.replace('_', ' ')} [90 % interval]": _written(differences),
                }
            )
    return pd.DataFrame(rows)


def contrast_sentence(suite: Suite, records: Sequence[Record]) -> str:
    """Say what LayerToken LR changes, and how much of the gain its curve alone explains."""
    said = {
        (TREATMENT, STEP_LR): "LayerToken LR in place of LR by steps, while dropping",
        (CONTROL, BASELINE): "LayerToken's curve alone, nothing dropped",
        (STEP_LR, BASELINE): "dropping alone, with LR by steps",
        (TREATMENT, HIGHER): "the method against a baseline with a higher peak rate",
    }
    parts = [
        f"{words}: {_written(found)}"
        for (arm, against), words in said.items()
        if (found := _differences(suite, records, arm, against))
    ]
    return f"Taken apart, in {_unit(suite, records)}: {'; '.join(parts)}."


def layer_token_verdict(suite: Suite, records: Sequence[Record]) -> str:
    """Say whether LayerToken LR is better than LR by steps while dropping, and by how much."""
    found = _differences(suite, records, TREATMENT, STEP_LR)
    if not found:
        return "no evidence: no seed has finished under both learning rates"
    what = f"LayerToken LR against LR by steps, n = {len(found)}: {_written(found)}"
    if len(found) < ENOUGH_SEEDS:
        return f"no evidence (n < {ENOUGH_SEEDS}); {what}"
    low, high = interval(found.values()).low, interval(found.values()).high
    said = "supported in direction" if low > 0 else "contradicted" if high < 0 else "undecided"
    return f"{said}; {what} {_unit(suite, records)}"


def plot_layer_token(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw learning rate and kept length over the steps on one axis, as the authors do.

    Dark and thin: random-LTD; pale and wide, below it: the baseline. Paper: the LayerToken figure
    of the authors' notebook.
    """
    data = schedule_data(suite, records, store)
    with canvas(height=3.8) as (figure, (left,)):
        right = left.twinx()
        right.spines["right"].set_visible(True)
        right.grid(False)
        handles = []
        styles: dict[str, Any] = {
            BASELINE: {"linewidth": 5, "alpha": 0.3, "solid_capstyle": "butt"},
            TREATMENT: {"linewidth": 1.6},
        }
        for arm, style in styles.items():
            rows, look = data[data["arm"] == arm], arm_looks([arm])[arm]
            left.plot(rows["step"], rows["lr"], color=_LR_COLOR, **style)
            steps = {"drawstyle": "steps-pre", **style}
            right.plot(rows["step"], rows["kept"], color=_KEPT_COLOR, **steps)
            handles.append(Line2D([], [], color="#333333", label=look.label, **style))
        # A rate that decays to zero has no place on a log scale: the last hundredth is cut.
        left.set(xlabel="optimizer step", yscale="log", ylim=(max(data["lr"]) / 100, None))
        left.set_ylabel("learning rate (log scale)", color=_LR_COLOR)
        right.set_ylabel("kept length (tokens)", color=_KEPT_COLOR)
        right.set_ylim(0, None)
        title = f"{suite.name}, tier {data['tier'].iloc[0]}: what the runs used (first seed)"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _differences(
    suite: Suite, records: Sequence[Record], arm: str, against: str
) -> dict[int, float]:
    both, better = common(records, arm, against), suite.higher_is_better
    return paired(both, arm, against, measurement=suite.primary, higher_is_better=better)


def _unit(suite: Suite, records: Sequence[Record]) -> str:
    return next(r.measurements[suite.primary].unit for r in records if r.status == "ok")


def _written(differences: dict[int, float]) -> str:
    values = list(differences.values())
    return str(interval(values)) if len(values) > 1 else f"{signed(values[0])} (no interval)"
