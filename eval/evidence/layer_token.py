"""The LayerToken learning rate, drawn as the authors do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import arm_looks
from eval.evidence.canvas import canvas, second_axis
from eval.evidence.contrasts import CONTROL
from eval.evidence.series import schedule_data
from eval.evidence.stats import BASELINE, TREATMENT
from eval.record import Record
from eval.spec import Suite

__all__ = ["has_layer_token", "plot_layer_token"]

_LR_COLOR, _KEPT_COLOR = "#0072b2", "#d55e00"


def has_layer_token(records: Sequence[Record]) -> bool:
    """Whether there are runs that tell dropping and LayerToken's curve apart."""
    arms = {r.experiment.arm for r in records if r.status == "ok"}
    return {TREATMENT, BASELINE, CONTROL} <= arms


def plot_layer_token(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw learning rate and kept length over the steps on one axis, as the authors do.

    Dark and thin: random-LTD; pale and wide, below it: the baseline. Paper: the LayerToken figure
    of the authors' notebook.
    """
    data = schedule_data(suite, records, store)
    with canvas(height=3.8) as (figure, (left,)):
        right = second_axis(left)
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
