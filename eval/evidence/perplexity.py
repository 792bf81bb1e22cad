"""The perplexity of finetuning on its way, and the authors' numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.evidence.arms import arm_looks
from eval.evidence.canvas import canvas, write_legend, write_title
from eval.evidence.lines import COUNTS, axis_unit, draw_line, grouped, run_counts
from eval.evidence.paper.published import AUTHORS_TIER, load_reported
from eval.evidence.series import MEAN, curve_data
from eval.record import Record
from eval.spec import Suite

__all__ = ["has_perplexity", "perplexity_data", "plot_perplexity"]

_MEASUREMENT = "perplexity"
_COLUMNS = ("tier", "model", "data", "arm", "n", "seed", "step", "layer_tokens", _MEASUREMENT)


def has_perplexity(suite: Suite) -> bool:
    """Whether perplexity is what a suite is about: its own measure, or that of the authors."""
    about = suite.primary == _MEASUREMENT or not _published(suite).empty
    return suite.margin is not None and about


def perplexity_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return validation perplexity by arm, seed and step, the seeds' means, and the authors' ends.

    The perplexity of a mean is the mean of the seeds' perplexities, as in the tables. Four decimals
    are kept: more differ between processors, and the curves have no more.
    """
    e = suite.arms[0]
    ours: Any = curve_data(suite, records, store).assign(model=e.model, data=e.data)
    ours[_MEASUREMENT] = [math.exp(nll) for nll in ours["val_nll"]]
    seeds = ours[ours["seed"] != MEAN]
    means = seeds.groupby(["arm", "step"])[_MEASUREMENT].mean()
    of_means = ours.loc[ours["seed"] == MEAN, ["arm", "step"]]
    ours.loc[of_means.index, _MEASUREMENT] = list(means[pd.MultiIndex.from_frame(of_means)])
    table = pd.concat([ours, _published(suite)], ignore_index=True).filter(_COLUMNS)
    counts = dict.fromkeys(("n", "step", "layer_tokens"), "Int64")
    return table.astype(counts).round({_MEASUREMENT: 4})


def plot_perplexity(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw validation perplexity against layer tokens, the second half of them again, larger.

    The authors' numbers, of another model and text, are written, not drawn.
    """
    data: Any = perplexity_data(suite, records, store)
    theirs, ours = data[data["tier"] == AUTHORS_TIER], data[data["tier"] != AUTHORS_TIER]
    looks = arm_looks(ours["arm"].unique())
    unit, size = axis_unit(ours["layer_tokens"], COUNTS)
    with canvas(columns=2) as (figure, (whole, end)):
        for (arm, seed), curve in grouped(ours, "arm", "seed"):
            for axes in (whole, end):
                tokens = curve["layer_tokens"] / size
                draw_line(axes, tokens, curve[_MEASUREMENT], looks[arm], thin=seed != MEAN)
        whole.set(xlabel=f"layer tokens{unit}", ylabel="validation perplexity (per token)")
        whole.set_title(f"{ours['model'].iloc[0]} on {ours['data'].iloc[0]}")
        end.set(xlabel=f"layer tokens{unit}")
        end.set_title("the second half, larger")
        _enlarge(end, ours, size)
        _name_published(whole, theirs)
        write_title(figure, suite, ours, many="mean over seeds (thick) and each seed (thin)")
        write_legend(figure, looks, run_counts(ours))
    return figure


def _published(suite: Suite) -> pd.DataFrame:
    rows = [
        {
            "tier": AUTHORS_TIER,
            "model": r.model,
            "data": r.data,
            "arm": r.arm,
            _MEASUREMENT: r.value,
        }
        for r in load_reported()
        if r.suite == suite.name and r.measurement == _MEASUREMENT
    ]
    return pd.DataFrame(rows)


def _enlarge(axes: Axes, ours: pd.DataFrame, size: float) -> None:
    last = max(ours["layer_tokens"])
    later = ours[ours["layer_tokens"] >= last / 2][_MEASUREMENT]
    room = 0.05 * (max(later) - min(later))
    axes.set(xlim=(last / 2 / size, 1.02 * last / size))
    axes.set_ylim(min(later) - room, max(later) + room)


def _name_published(axes: Axes, theirs: pd.DataFrame) -> None:
    if theirs.empty:
        return
    looks = arm_looks(theirs["arm"])
    said = ", ".join(f"{looks[a].label} {p:g}" for a, p in zip(theirs["arm"], theirs[_MEASUREMENT]))
    model, data = theirs["model"].iloc[0], theirs["data"].iloc[0]
    axes.annotate(
        f"The authors' {model} on {data},\nnot on this axis:\n{said}",
        (1, 1),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=8.5,
        color="#555555",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )
