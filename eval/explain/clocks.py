"""Schedules drawn: kept lengths, learning rates on their clocks, the cost of every step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.bench.shapes import cost_of, shape
from eval.evidence.canvas import canvas, second_axis
from rltd_core import ClockLR, KeptLength, TransformerCost

__all__ = [
    "ILLUSTRATED",
    "authors_illustration",
    "learning_rates",
    "plot_illustration",
    "plot_kept_lengths",
    "plot_learning_rates",
    "plot_step_cost",
]

ILLUSTRATED = KeptLength.from_interval(start=256, full=2048, interval_tokens=50_000_000)
"""The schedule that the authors' notebook draws."""
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_POINTS = 400


def plot_kept_lengths(
    schedules: Mapping[str, KeptLength], *, num_steps: int, tokens_per_step: int | None = None
) -> Figure:
    """Draw the kept length of several schedules over a run."""
    with canvas(height=3) as (figure, (axes,)):
        widths = (4.5, *[2] * len(schedules)) if len(schedules) > 1 else (2,)
        for (label, schedule), color, width in zip(schedules.items(), _COLORS, widths):
            steps = np.unique(np.linspace(0, num_steps - 1, 2000, dtype=int))
            kept = [schedule.at_step(int(step), tokens_per_step) for step in steps]
            axes.step(steps, kept, where="post", label=label, color=color, linewidth=width)
        axes.set(xlabel="optimizer step", ylabel="kept length (tokens)", ylim=(0, None))
        axes.legend(loc="lower right")
        figure.suptitle("monotonic growth of the kept length", x=0.01, ha="left", fontsize=10)
    return figure


def learning_rates(
    cost: TransformerCost,
    schedule: KeptLength,
    *,
    num_steps: int,
    batch: int,
    length: int,
    warmup: int,
    peak: float,
    minimum: float,
    decay: str = "cosine",
) -> pd.DataFrame:
    """Return kept length and learning rate over a run, on each clock.

    `steps` (with tokens, which agrees with it at a fixed batch), `layer tokens`, and the
    authors' form of the latter. `minimum` is a fraction of the peak.
    """
    run = {"batch": batch, "length": length}
    closed = cost.run_layer_tokens
    full = cost.num_layers * warmup * batch * length
    ends = {
        "steps, tokens": (warmup, num_steps),
        "layer tokens": tuple(closed(schedule, num_steps=n, **run) for n in (warmup, num_steps)),
        "layer tokens, authors' form": (
            full,
            cost.authors_total(schedule, num_steps=num_steps, **run) - full,
        ),
    }
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
    rates = {
        name: ClockLR(
            optimizer, lambda: 0, warmup=start, total=end, shape=decay, minimum=minimum
        ).multiplier
        for name, (start, end) in ends.items()
    }
    rows = []
    for step in np.unique(np.linspace(0, num_steps, _POINTS, dtype=int)).tolist():
        consumed = closed(schedule, num_steps=step, **run)
        row = {name: peak * rates[name](consumed if "layer" in name else step) for name in rates}
        kept = schedule.at_step(step, batch * length)
        rows.append({"step": step, "kept": kept, "layer_tokens": consumed, **row})
    return pd.DataFrame(rows)


def plot_learning_rates(table: pd.DataFrame) -> Figure:
    """Draw what `learning_rates` returned."""
    names = [name for name in table if name not in ("step", "kept", "layer_tokens")]
    with canvas(columns=2) as (figure, (left, right)):
        for name, color, dash in zip(names, ("#4d4d4d", *_COLORS), ("-", "-", "--")):
            left.plot(table["step"], table[name], dash, color=color, label=name)
        lowest = table[names].iloc[-1].min() / 2  # the warmup starts at 0
        left.set(xlabel="optimizer step", ylabel="learning rate", yscale="log", ylim=(lowest, None))
        left.set_title("learning rate on each clock")
        right.plot(table["step"], table["kept"], color=_COLORS[0], drawstyle="steps-post")
        right.set(xlabel="optimizer step", ylabel="tokens", ylim=(0, None))
        right.set_title("kept length of the middle layers")
        figure.legend(loc="outside lower left", ncols=3)
    return figure


def authors_illustration() -> pd.DataFrame:
    """Return kept length and learning rates of the setting that the authors' notebook draws.

    30 B tokens, 256 to 2,048 tokens, 16 more every 0.05 B, 3e-4 to 3e-5, a tenth of warmup; layers
    of GPT-3 1.3B. Paper: the LayerToken figure of the authors' notebook.
    """
    return learning_rates(
        cost_of(shape("gpt3-1.3b")),
        ILLUSTRATED,
        num_steps=57_220,
        batch=256,
        length=2048,
        warmup=5_722,
        peak=3e-4,
        minimum=0.1,
    )


def plot_illustration(table: pd.DataFrame) -> Figure:
    """Draw `authors_illustration` as they do: both on one axis, the baseline dotted."""
    authors, full = "layer tokens, authors' form", float(table["kept"].to_numpy().max())
    with canvas(height=3.6) as (figure, (left,)):
        right = second_axis(left)
        rate, kept = _COLORS[:2]
        left.plot(table["step"], table["steps, tokens"], ":", color=rate)
        left.plot(table["step"], table["layer tokens"], color=rate, linewidth=4, alpha=0.3)
        left.plot(table["step"], table[authors], color=rate, linewidth=1.4)
        right.plot(table["step"], table["kept"], color=kept, drawstyle="steps-post")
        right.axhline(full, color=kept, linestyle=":")
        left.set(xlabel="iteration", yscale="log", ylim=(2e-5, 4e-4))
        left.set_ylabel("learning rate (log scale)", color=rate)
        right.set_ylabel("sequence length of the middle layers", color=kept)
        right.set_ylim(0, 1.08 * full)
        figure.legend(
            handles=[
                Line2D([], [], color="#333333", label="random-LTD, the authors' form"),
                Line2D([], [], color="#333333", linewidth=4, alpha=0.3, label="ours: exact sums"),
                Line2D([], [], color="#333333", linestyle=":", label="baseline"),
            ],
            loc="outside lower left",
            ncols=3,
        )
    return figure


def plot_step_cost(
    cost: TransformerCost, schedule: KeptLength, *, num_steps: int, batch: int, length: int
) -> Figure:
    """Draw the cost of every step, as a fraction of a full one, and the saving it adds up to."""
    steps = np.unique(np.linspace(0, num_steps - 1, _POINTS, dtype=int)).tolist()
    kept = [schedule.at_step(step, batch * length) for step in steps]
    run = {"num_steps": num_steps, "batch": batch, "length": length}
    lines = (
        ("layer tokens", cost.layer_tokens, cost.layer_token_saving(schedule, **run)),
        ("FLOPs", cost.flops, cost.flop_saving(schedule, **run)),
    )
    with canvas(height=3) as (figure, (axes,)):
        for (name, of, saving), color in zip(lines, _COLORS):
            share = [of(k, length) / of(length, length) for k in kept]
            label = f"{name}: {saving:.1%} of the run saved"
            axes.plot(steps, share, color=color, label=label, drawstyle="steps-post")
        axes.axhline(1, color="#999999", linewidth=1)
        axes.set(xlabel="optimizer step", ylabel="fraction of a full step", ylim=(0, 1.05))
        axes.legend(loc="lower right")
        figure.suptitle("what a step costs", x=0.01, ha="left", fontsize=10)
    return figure
