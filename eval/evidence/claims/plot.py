"""The figure of all verdicts: every suite's differences in units of its margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, SHORTENED, judge

__all__ = ["claims_data", "plot_claims"]

_COMPARED = ((BASELINE, 0.16), (SHORTENED, -0.16))
"""The arms that random-LTD is compared with, and how far off the row's middle each is drawn."""


def claims_data(parts: Sequence[Part]) -> pd.DataFrame:
    """Return random-LTD's differences to both arms it is judged against, in units of the margin."""
    rows = []
    for part in parts:
        margin = part.suite.margin
        if margin is None or not part.has_runs:
            continue
        verdict = judge(part.suite, part.records)
        found = (verdict.quality_interval, verdict.shortened_interval)
        rows += [
            {
                "suite": part.suite.name,
                "tier": part.tier,
                "against": against,
                "n": verdict.n,
                "margins": of.mean / margin,
                "low": of.low / margin,
                "high": of.high / margin,
                "verdict": verdict.outcome,
            }
            for (against, _), of in zip(_COMPARED, found)
            if of is not None
        ]
    return pd.DataFrame(rows)


def plot_claims(parts: Sequence[Part]) -> Figure:
    """Draw what `claims_data` returns: a row a suite, the margin and zero as lines."""
    rows = claims_data(parts).to_dict("records")
    names = list(dict.fromkeys((row["suite"], row["tier"], row["n"]) for row in rows))
    with canvas(height=1.5 + 0.46 * len(names)) as (figure, (axes,)):
        axes.axvspan(-1, 0, color="#f0f0f0", zorder=0)
        axes.axvline(0, color="#333333", linewidth=1)
        axes.axvline(-1, color="#333333", linewidth=1, linestyle=(0, (4, 2)))
        for place, (suite, tier, _) in enumerate(names):
            _draw_row(axes, -place, [r for r in rows if (r["suite"], r["tier"]) == (suite, tier)])
        axes.set_yticks(
            [-place for place in range(len(names))],
            [f"{suite}\n{tier}, n = {n}" for suite, tier, n in names],
            fontsize=8,
        )
        axes.set_ylim(-len(names) + 0.5, 0.5)
        axes.grid(False, axis="y")
        axes.set_xlabel("random-LTD minus the other arm, in margins; positive is better")
        axes.annotate("margin", (-1, 1), (2, 2), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=8)  # fmt: skip
        figure.suptitle(
            "every verdict at a glance: means and 90 % intervals over seeds",
            x=0.01, ha="left", fontsize=10,
        )  # fmt: skip
        figure.legend(handles=_legend(), loc="outside lower left", ncols=2)
    return figure


def _draw_row(axes: Axes, place: float, rows: Sequence[dict[Any, Any]]) -> None:
    offsets, looks = dict(_COMPARED), arm_looks(arm for arm, _ in _COMPARED)
    for row in rows:
        y, color = place + offsets[row["against"]], looks[row["against"]].color
        axes.plot([row["low"], row["high"]], [y, y], color=color, linewidth=2)
        axes.plot(row["margins"], y, "o", color=color, ms=5)
    axes.annotate(
        rows[0]["verdict"], (1.01, place), xycoords=("axes fraction", "data"),
        va="center", fontsize=8, annotation_clip=False,
    )  # fmt: skip


def _legend() -> list[Line2D]:
    looks = arm_looks(arm for arm, _ in _COMPARED)
    return [
        Line2D([], [], color=look.color, marker="o", ms=5, label=f"against the {look.label}")
        for look in looks.values()
    ]
