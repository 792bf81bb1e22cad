"""Zero-shot scores as bars, with intervals over seeds and a line where guessing lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from eval.evidence.arms import Arm, arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT
from eval.evidence.zero_shot import ANSWER_BITS, zero_shot_data
from eval.record import Record
from eval.spec import Suite
from eval.tasks.examples import METRICS

__all__ = ["bars_data", "plot_zero_shot"]

_SHOWN = (BASELINE, TREATMENT, SHORTENED)
"""The arms of the verdict; the table has the others."""
_NUMBERS = ("mean", "low", "high", "chance")


def bars_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return the numbers drawn."""
    data: Any = zero_shot_data(suite, records)
    return data[data["arm"].isin(_SHOWN)].reset_index(drop=True)


def plot_zero_shot(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw every task's score beside chance, and the bits that the right answers cost."""
    data: Any = bars_data(suite, records, store)
    looks = arm_looks(data["arm"].unique())
    scores, bits = data[data["measurement"].isin(METRICS)], data[data["measurement"] == ANSWER_BITS]
    scores = scores.assign(**{name: 100 * scores[name] for name in _NUMBERS if name in scores})
    chance = dict(zip(scores["task"], scores["chance"]))
    tasks = [task for task in chance if task in set(bits["task"])]
    with canvas(columns=2, height=1.2 + 0.42 * len(tasks)) as (figure, (left, right)):
        _bars(left, scores, tasks, looks)
        _bars(right, bits, tasks, looks)
        for place, task in enumerate(tasks):
            if not pd.isna(chance[task]):
                line = (chance[task], place - 0.42, place + 0.42)
                left.vlines(*line, color="#222222", linewidth=1.4)
        left.set(xlabel="score (%); black line: chance")
        right.set(xlabel="bits per byte of the right answer; less is better")
        right.set_yticklabels([])
        n = min(data["n"])
        over = f"mean over {n} seeds, 90 % Student-t interval" if n > 1 else "one seed, no interval"
        title = f"{suite.name}, tier {data['tier'].iloc[0]}, zero-shot: {over}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")
        handles = [Patch(color=look.color, label=look.label) for look in looks.values()]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return figure


def _bars(axes: Axes, data: pd.DataFrame, tasks: Sequence[str], looks: dict[str, Arm]) -> None:
    height = 0.8 / len(looks)
    for i, (arm, look) in enumerate(looks.items()):
        rows = data[data["arm"] == arm].set_index("task").reindex(list(tasks))
        places = np.arange(len(tasks)) + (i - (len(looks) - 1) / 2) * height
        axes.barh(places, rows["mean"], height=height * 0.92, color=look.color, zorder=2)
        if "low" in rows:
            axes.hlines(places, rows["low"], rows["high"], color="#222222", linewidth=1, zorder=3)
    axes.set_yticks(range(len(tasks)), [t.replace("_", " ") for t in tasks])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
