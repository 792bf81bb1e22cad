"""The paired differences of every GLUE task in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import Arm, arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.glue.differences import FINETUNED, family_of, glue_data
from eval.evidence.part import Part

__all__ = ["plot_glue"]


def plot_glue(parts: Sequence[Part]) -> Figure:
    """Draw the arms' differences to the baseline by task, in points, beside the task's margin.

    The parts are of one family and tier.
    """
    data: Any = glue_data(parts)
    looks = arm_looks(data["arm"].unique())
    tasks = list(dict.fromkeys(data["task"]))
    with canvas(height=1.6 + 0.62 * len(tasks)) as (figure, (axes,)):
        for place, task in enumerate(tasks):
            _task(axes, place, data[data["task"] == task], looks)
        axes.axvline(0, color="#777777", linewidth=1, zorder=1)
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_ylim(len(tasks) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.set_xlabel("points against the baseline; right is better")
        many = "each seed (small), mean and 90 % Student-t interval; shaded: the margin"
        what = "finetuning" if family_of(parts[0]) == FINETUNED else "after pretraining"
        title = f"GLUE {what}, tier {parts[0].tier}: {many}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")
        handles = [Line2D([], [], color=k.color, marker="o", label=k.label) for k in looks.values()]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _task(axes: Axes, place: int, rows: Any, looks: dict[str, Arm]) -> None:
    means = rows[rows["seed"] == "mean"]
    if len(means):
        margin = means["margin"].iloc[0]
        axes.fill_betweenx([place - 0.45, place + 0.45], -margin, 0, color="#f0f0f0", linewidth=0)
    here = [arm for arm in looks if arm in set(rows["arm"])]
    for i, arm in enumerate(here):
        y = 0.04 + place + 0.7 * ((i + 0.5) / len(here) - 0.5)
        _arm(axes, y, rows[rows["arm"] == arm], looks[arm].color)


def _arm(axes: Axes, y: float, rows: pd.DataFrame, color: str) -> None:
    seeds, means = rows.query("seed != 'mean'"), rows.query("seed == 'mean'")
    axes.scatter(
        seeds["difference"], [y - 0.1] * len(seeds), s=9, color=color, alpha=0.45, linewidths=0
    )
    if len(means):
        axes.hlines(y, means["low"], means["high"], color=color, linewidth=2, zorder=3)
        axes.scatter(means["difference"], [y], s=24, color=color, zorder=4)
