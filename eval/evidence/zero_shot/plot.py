"""Zero-shot scores as bars beside chance, and what the right answers cost less than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from eval.evidence.arms import Arm, arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT
from eval.evidence.zero_shot.scores import FEWER_BITS, zero_shot_data
from eval.record import Record
from eval.spec import Suite

__all__ = ["bars_data", "plot_zero_shot"]

_SHOWN = (BASELINE, TREATMENT, SHORTENED)
"""The arms of the verdict; the table has the others."""
_NUMBERS = ("mean", "low", "high")
_INK = "#222222"


def bars_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return the numbers drawn."""
    data: Any = zero_shot_data(suite, records)
    return data[data["arm"].isin(_SHOWN)].reset_index(drop=True)


def plot_zero_shot(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw every task's score beside chance, and what the right answers cost less."""
    data: Any = bars_data(suite, records, store)
    looks = arm_looks(data["arm"].unique())
    scores, bits = data[data["measurement"] != FEWER_BITS], data[data["measurement"] == FEWER_BITS]
    tasks = [task for task in dict.fromkeys(scores["task"]) if task in set(bits["task"])]
    with canvas(columns=2, height=1.4 + 0.42 * len(tasks)) as (figure, (left, right)):
        _scores(left, scores, tasks, looks)
        _differences(right, bits, tasks, looks)
        for axes in (left, right):
            axes.set_yticks(range(len(tasks)), [t.replace("_", " ") for t in tasks])
            axes.set_ylim(len(tasks) - 0.4, -0.6)
            axes.grid(False, axis="y")
            axes.grid(True, axis="x")
        right.set_yticklabels([])
        n = min(data["n"])
        over = f"mean over {n} seeds, 90 % Student-t interval" if n > 1 else "one seed, no interval"
        title = f"{suite.name}, tier {data['tier'].iloc[0]}, zero-shot: {over}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")
        handles: list[Any] = [
            Patch(color=k.color, alpha=0.55, label=k.label) for k in looks.values()
        ]
        handles += [Line2D([], [], color=_INK, linewidth=1.6, label="chance")]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return figure


def _scores(axes: Axes, data: Any, tasks: Sequence[str], looks: dict[str, Arm]) -> None:
    """Draw bars, each with its interval in the arm's full colour, and a line at chance."""
    for places, rows, look, height in _by_arm(data, tasks, looks):
        pale = {"color": look.color, "alpha": 0.55}
        axes.barh(places, 100 * rows["mean"], height=height * 0.9, zorder=2, **pale)
        _interval(axes, places, 100 * rows, look)
    highest = data.groupby("task")["mean"].max()
    chance = dict(zip(data["task"], data["chance"], strict=True))
    for place, task in enumerate(tasks):
        if highest[task] == 0:
            axes.text(0.6, place, "0 in every run", va="center", fontsize=8, color=_INK)
        if not pd.isna(chance[task]):
            line = (100 * chance[task], place - 0.42, place + 0.42)
            axes.vlines(*line, color=_INK, linewidth=1.6, zorder=5)
    axes.set(xlabel="score (%); more is better")


def _differences(axes: Axes, data: Any, tasks: Sequence[str], looks: dict[str, Arm]) -> None:
    """Draw the paired differences to the baseline."""
    compared = {arm: look for arm, look in looks.items() if arm != BASELINE}
    for places, rows, look, _ in _by_arm(data, tasks, compared):
        axes.plot(rows["mean"], places, "o", color=look.color, markersize=4.5, zorder=4)
        _interval(axes, places, rows, look)
    axes.locator_params(axis="x", nbins=6)
    axes.axvline(0, color=looks[BASELINE].color, linewidth=1.2, zorder=1)
    axes.set(
        xlabel="bits per byte saved on the right answer\nagainst the baseline; right is better"
    )


def _by_arm(
    data: Any, tasks: Sequence[str], looks: dict[str, Arm]
) -> Iterator[tuple[np.ndarray, pd.DataFrame, Arm, float]]:
    height = 0.8 / len(looks)
    for i, (arm, look) in enumerate(looks.items()):
        rows = data[data["arm"] == arm].set_index("task").reindex(list(tasks))
        places = np.arange(len(tasks)) + (i - (len(looks) - 1) / 2) * height
        yield places, rows[[name for name in _NUMBERS if name in rows]], look, height


def _interval(axes: Axes, places: np.ndarray, rows: pd.DataFrame, look: Arm) -> None:
    if "low" in rows:
        axes.hlines(places, rows["low"], rows["high"], color=look.color, linewidth=2, zorder=3)
