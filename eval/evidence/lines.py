"""What figures of curves are made of: the rows of each line, the line, and the unit of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes

from eval.evidence.arms import Arm

__all__ = ["COUNTS", "TIMES", "axis_unit", "draw_line", "grouped", "run_counts"]

COUNTS = {"": 1, " (thousands)": 1e3, " (millions)": 1e6, " (billions)": 1e9}
TIMES = {" (seconds)": 1, " (minutes)": 60, " (hours)": 3600}


def grouped(data: pd.DataFrame, *names: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Return the rows that share what these columns hold, in the table's order."""
    found: Any = data.groupby(list(names), sort=False)
    return list(found)


def run_counts(data: pd.DataFrame) -> dict[str, str]:
    """Return what the legend adds to the name of an arm: of how many runs."""
    return {arm: f" (n = {rows['n'].iloc[0]})" for (arm,), rows in grouped(data, "arm")}


def draw_line(
    axes: Axes,
    x: Any,
    y: Any,
    look: Arm,
    *,
    thin: bool = False,
    width: float = 2,
    drawstyle: Literal["default", "steps-pre"] = "default",
) -> None:
    """Draw a line of an arm; a thin one is that of a seed, below the means."""
    (line,) = axes.plot(x, y, color=look.color, linewidth=width, drawstyle=drawstyle, zorder=3)
    if thin:
        line.set(linewidth=0.7, alpha=0.35, zorder=2)
    elif look.dash:
        line.set_dashes(look.dash)


def axis_unit(values: Any, units: Mapping[str, float]) -> tuple[str, float]:
    """Return the largest unit in which the axis still counts to two, and its size."""
    largest = max(values)
    fitting = [(name, size) for name, size in units.items() if largest >= 2 * size]
    return max(fitting, key=lambda unit: unit[1], default=next(iter(units.items())))
