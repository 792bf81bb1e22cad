"""Figures of images: accuracy while the kept length grows, beside the authors', and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from eval.data.images import image_set
from eval.evidence.arms import Arm, arm_looks
from eval.evidence.canvas import canvas, write_legend, write_title
from eval.evidence.images.series import (
    AUTHORS,
    THRESHOLD,
    accuracy_data,
    cost_data,
    recovery_data,
)
from eval.evidence.lines import draw_line, grouped, run_counts
from eval.evidence.marks import draw_differences, draw_margin
from eval.evidence.series import MEAN
from eval.evidence.stats import BASELINE, TREATMENT
from eval.record import Record
from eval.spec import Suite

__all__ = ["plot_accuracy", "plot_cost", "plot_recovery"]

_AUTHORS = Arm(label="the authors' random-LTD", color="#111111", dash=(1.2, 1.2))


def plot_accuracy(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw held-out accuracy over the steps, above the tokens that each arm keeps.

    What the new head is worth at the start is cut off: beside it the arms look the same.
    """
    data = accuracy_data(suite, records, store)
    looks, means = arm_looks(data["arm"].unique()), data.loc[data["seed"] == MEAN, :]
    with canvas(rows=2, height=5.2, heights=(2.2, 1), sharex=True) as (figure, (above, below)):
        for (arm,), curve in grouped(means, "arm"):
            draw_line(above, curve["step"], curve["accuracy"], looks[arm], width=1.6)
            draw_line(below, curve["step"], curve["kept_frac"], looks[arm], width=1.6)
        later = means["accuracy"][means["step"] > 0]
        above.set_ylim(min(later) - 0.02, max(later) + 0.02)
        above.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        above.set_ylabel("held-out accuracy\n(all tokens)")
        below.set(xlabel="optimizer step", ylabel="computed in the\nmiddle layers", ylim=(0, 1.05))
        for axes in (above, below):
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        write_title(figure, suite, data, many="mean over seeds")
        write_legend(figure, looks, run_counts(data))
    return figure


def plot_recovery(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw our accuracy over the authors', against the kept fraction and against the run."""
    data = recovery_data(suite, records, store)
    looks = arm_looks([BASELINE, TREATMENT]) | {AUTHORS: _AUTHORS}
    with canvas(columns=2, sharey=True, height=3.8) as (figure, (left, right)):
        for (arm,), rows in grouped(data, "arm"):
            if arm != BASELINE:
                _marked(left, rows["kept_frac"], rows["accuracy"], looks[arm])
            _marked(right, rows["run"], rows["accuracy"], looks[arm])
        left.axvline(THRESHOLD, color="#999999", linewidth=1, linestyle=(0, (3, 2)))
        left.set(xlabel="kept length / length", ylabel="accuracy, all tokens", ylim=(0, 1.02))
        left.set_title("while the kept length grows")
        right.set(xlabel="part of the run that is done")
        right.set_title("over the run")
        for axis in (left.xaxis, right.xaxis, left.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        ours = f"mean over seeds ({image_set(suite.arms[0].data).classes} classes)"
        write_title(figure, suite, data, many=f"{ours}, and the authors' run (10 classes)")
        write_legend(figure, looks, run_counts(data))
    return figure


def plot_cost(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw every arm's accuracy, paired with the baseline's, beside the FLOPs that it saves."""
    data = cost_data(suite, records, store)
    looks, groups = arm_looks(data["arm"].unique()), grouped(data, "arm")
    with canvas(height=1.4 + 0.5 * len(groups)) as (figure, (axes,)):
        if suite.margin is not None:
            draw_margin(axes, suite.margin, bottom=0.5 - len(groups))
        labels = []
        for place, ((arm,), rows) in enumerate(groups):
            draw_differences(axes, -place, rows, looks[arm].color)
            saved, n = rows["flop_saving_frac"].iloc[0], rows["n"].iloc[0]
            labels.append(f"{looks[arm].label} (n = {n})\n{100 * saved:.1f} % of FLOPs saved")
        axes.set_yticks([-place for place in range(len(groups))], labels)
        axes.set_ylim(0.5 - len(groups), 0.5)
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("accuracy against the baseline (fraction); right is better")
        write_title(figure, suite, data, many="each seed (small), mean and 90 % Student-t interval")
    return figure


def _marked(axes: Axes, x: Any, y: Any, look: Arm) -> None:
    (line,) = axes.plot(x, y, color=look.color, marker="o", markersize=4, linewidth=1.6)
    if look.dash:
        line.set_dashes(look.dash)
