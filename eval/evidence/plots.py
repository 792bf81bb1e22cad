"""Figures of the evidence: pure functions of the records, drawn from the numbers they publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from eval.errors import UserError
from eval.evidence.arms import ARMS, Arm, arm_looks
from eval.evidence.canvas import canvas, save, write_legend, write_title
from eval.evidence.formatting import measured
from eval.evidence.lines import COUNTS, TIMES, axis_unit, draw_line, grouped, run_counts
from eval.evidence.marks import draw_differences, draw_margin
from eval.evidence.sentences import loss_name
from eval.evidence.series import MEAN, curve_data, schedule_data, verdict_data
from eval.evidence.stats import BASELINE
from eval.record import Record
from eval.spec import Suite, on_cpu

__all__ = [
    "ARMS",
    "curve_data",
    "plot_curves",
    "plot_schedule",
    "plot_verdict",
    "save",
    "schedule_data",
    "verdict_data",
]

_ARMS_WITH_SEEDS = 6
"""With more arms than these the seeds of all could not be told apart."""


def plot_curves(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw validation loss against layer tokens and against time."""
    data, looks = curve_data(suite, records, store), _looks(records)
    tokens_unit, tokens = axis_unit(data["layer_tokens"], COUNTS)
    time_unit, seconds = axis_unit(data[data["seed"] == MEAN]["time_s"], TIMES)
    each_seed = len(set(data["arm"])) <= _ARMS_WITH_SEEDS
    with canvas(columns=2, sharey=True) as (figure, (left, right)):
        for (arm, seed), curve in grouped(data, "arm", "seed"):
            loss, thin = curve["val_nll"], seed != MEAN
            if each_seed or not thin:
                draw_line(left, curve["layer_tokens"] / tokens, loss, looks[arm], thin=thin)
            if not thin:
                draw_line(right, curve["time_s"] / seconds, loss, looks[arm])
        left.set(xlabel=f"layer tokens{tokens_unit}", ylabel=loss_name(suite))
        left.set_ylim(*_loss_limits(data))
        whose = "of a core" if on_cpu(suite.arms[0].tier) else "of a GPU"
        right.set(xlabel=f"training time {whose}{time_unit}")
        left.set_title("against compute")
        right.set_title("against time (median seed), descriptive only")
        many = "mean over seeds (thick) and each seed (thin)" if each_seed else "mean over seeds"
        write_title(figure, suite, data, many=many)
        write_legend(figure, looks, run_counts(data))
    return figure


def plot_schedule(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw what the runs really used: kept length and learning rate over the steps."""
    data, looks = schedule_data(suite, records, store), _looks(records)
    groups = grouped(data, "arm")
    with canvas(columns=2) as (figure, (left, right)):
        for i, ((arm,), curve) in enumerate(groups):
            width = 4.5 if i == 0 and len(groups) > 1 else 2  # seen where others lie on it
            draw_line(
                left, curve["step"], curve["kept"], looks[arm], width=width, drawstyle="steps-pre"
            )
            draw_line(right, curve["step"], curve["lr"], looks[arm], width=width)
        left.set(xlabel="optimizer step", ylabel="tokens", ylim=(0, None))
        right.set(xlabel="optimizer step", ylabel="learning rate", ylim=(0, None))
        right.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        left.set_title("kept length in the middle layers")
        right.set_title("learning rate")
        write_title(figure, suite, data, many="what the runs used (first seed of each arm)")
        write_legend(figure, looks, {arm: "" for (arm,), _ in groups})
    return figure


def plot_verdict(suite: Suite, records: Sequence[Record], store: Path) -> Figure:
    """Draw the paired differences of each seed and their interval against the margin.

    Raises: UserError if no two arms share a finished seed.
    """
    data, looks = verdict_data(suite, records, store), _looks(records)
    groups = grouped(data, "arm", "against")
    if not groups:
        raise UserError(f"no two arms of {suite.name} share a finished seed: nothing to compare")
    with canvas(height=1.4 + 0.5 * len(groups)) as (figure, (axes,)):
        to_baseline = sum(against == BASELINE for (_, against), _ in groups)
        if suite.margin is not None:
            draw_margin(axes, suite.margin, bottom=0.5 - to_baseline)
        for i, ((arm, _), rows) in enumerate(groups):
            draw_differences(axes, -i, rows, looks[arm].color)
        axes.set_yticks(
            [-i for i in range(len(groups))], [_pair(looks, names, rows) for names, rows in groups]
        )
        axes.set_ylim(0.5 - len(groups), 0.5)
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        what = measured(suite.primary, str(data["unit"].iloc[0]))
        axes.set_xlabel(f"paired difference in {what}; right is better")
        write_title(figure, suite, data, many="each seed (small), mean and 90 % Student-t interval")
    return figure


def _loss_limits(data: pd.DataFrame) -> tuple[float | None, float | None]:
    """Cut the first fall of a model from scratch, beside which the arms could not be told apart."""
    later = data[data["layer_tokens"] > max(data["layer_tokens"]) / 10]
    lowest, highest = min(data["val_nll"]), max(data["val_nll"])
    if later.empty or highest - lowest < 2 * (max(later["val_nll"]) - lowest):
        return None, None
    span = max(later["val_nll"]) - lowest
    return lowest - 0.05 * span, max(later["val_nll"])


def _pair(looks: dict[str, Arm], names: tuple[str, ...], rows: pd.DataFrame) -> str:
    arm, against = (looks[name].label for name in names)
    n = rows["n"].iloc[0]
    return f"{arm} against\n{against} (n = {n}{', no interval' if n == 1 else ''})"


def _looks(records: Sequence[Record]) -> dict[str, Arm]:
    return arm_looks(record.experiment.arm for record in records)
