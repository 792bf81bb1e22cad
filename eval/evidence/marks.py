"""What figures of paired differences are made of: a row of seeds with its interval, the margin."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from eval.evidence.series import MEAN

__all__ = ["draw_differences", "draw_margin"]


def draw_margin(axes: Axes, margin: float, *, bottom: float) -> None:
    """Shade the tolerated losses, beside the comparisons that the margin is about."""
    axes.axvline(0, color="#777777", linewidth=1)
    axes.fill_between([-margin, 0], bottom, 0.5, color="#f0f0f0", linewidth=0, zorder=0)
    axes.vlines(-margin, bottom, 0.5, color="#777777", linewidth=1, linestyle=(0, (3, 2)))
    axes.annotate(
        f"margin {-margin:g}",
        (-margin, 1),
        xycoords=("data", "axes fraction"),
        ha="center",
        va="bottom",
        color="#555555",
        fontsize=8.5,
    )


def draw_differences(axes: Axes, y: float, rows: pd.DataFrame, color: str) -> None:
    """Draw the differences of the seeds at a height, and below them their mean and interval."""
    seeds, mean = rows[rows["seed"] != MEAN], rows[rows["seed"] == MEAN]
    heights = [y + 0.2] * len(seeds)
    axes.scatter(seeds["difference"], heights, s=18, color=color, alpha=0.55, linewidths=0)
    if len(mean):
        axes.hlines(y, mean["low"], mean["high"], color=color, linewidth=2.5)
        axes.scatter(mean["difference"], [y], s=42, color=color, zorder=3)
