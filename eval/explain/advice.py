"""Whether token dropping pays for a model: measured ratios, ceilings, a planned run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.bench.ratios import predicted_saving, ratios
from eval.bench.shapes import cost_of, shape
from eval.bench.step import AGAIN, ATTACHED, DROPPING, Timing
from eval.evidence.canvas import canvas
from rltd_core import KeptLength, TransformerCost

__all__ = ["advice", "ceilings", "plan_table", "plot_ceilings", "plot_step_ratios"]

_COLORS = ("#0072b2", "#d55e00", "#009e73")
_KNOWN = ("gpt2", "gpt2-medium", "gpt3-1.3b", "bert-base", "bert-large", "vit-base", "vit-large")
_WORTH = 0.02
"""Predicted savings below this fraction of the time are called not worth it."""


def plot_step_ratios(timings: Sequence[Timing]) -> Figure:
    """Draw measured step-time ratios over the kept fraction, beside FLOPs and layer tokens."""
    with canvas(columns=len(timings), height=3.4, sharey=True) as (figure, panels):
        for axes, timing in zip(panels, timings):
            _draw_ratios(axes, timing)
            axes.set_title(f"{timing.shape}, {timing.batch} x {timing.length}")
            axes.set(xlabel="kept fraction of the tokens", xlim=(0, 1.04))
        panels[0].set(ylabel="cost of a step, relative to full", ylim=(0, None))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def plan_table(timing: Timing, schedule: KeptLength, *, num_steps: int) -> pd.DataFrame:
    """Return what a planned run would save: on paper, in FLOPs, and as measured here."""
    run = {"num_steps": num_steps, "batch": timing.batch, "length": timing.length}
    tokens = timing.cost.layer_token_saving(schedule, **run)
    flops = timing.cost.flop_saving(schedule, **run)
    time = predicted_saving(timing, schedule, num_steps=num_steps)
    (again,) = [r for r in ratios([timing]).to_dict("records") if r["arm"] == AGAIN]
    saved = {
        "layer tokens (the paper's measure)": tokens,
        "FLOPs": flops,
        "time, as measured here": time,
        "time of the baseline against itself (noise)": 1 - again["step_ratio"],
    }
    return pd.DataFrame({"saving of": list(saved), "saved_frac": list(saved.values())})


def advice(table: pd.DataFrame) -> str:
    """Return in one sentence what `plan_table` says."""
    tokens, flops, time, _ = table["saved_frac"]
    if time < _WORTH:
        return (
            f"Does not pay here: {tokens:.1%} fewer layer tokens save {time:.1%} of the time. "
            "Model, batch or sequence is too small for the overhead, or the head too large."
        )
    return (
        f"Saves about {time:.1%} of the time for {tokens:.1%} fewer layer tokens "
        f"({flops:.1%} of the FLOPs); whether the quality holds is another question."
    )


def ceilings(names: Sequence[str] = _KNOWN) -> pd.DataFrame:
    """Return, for known models, how much of a layer-token saving FLOPs can save at most.

    At a ramp from an eighth of the length over 70 % of the run.
    """
    rows = []
    for name in names:
        of = shape(name)
        cost, length = cost_of(of), of.length
        tokens, flops = _savings(cost, length)
        rows.append(
            {
                "model": name,
                "length": length,
                "layers": cost.num_layers,
                "head's share of the FLOPs": f"{_head_share(cost, length):.1%}",
                "layer tokens saved": f"{tokens:.1%}",
                "FLOPs saved": f"{flops:.1%}",
                "ceiling": f"{flops / tokens:.2f}",
            }
        )
    return pd.DataFrame(rows)


def plot_ceilings() -> Figure:
    """Draw the ceiling over model width, vocabulary, length and depth."""
    widths, lengths = (128, 256, 512, 1024, 2048, 4096), (32, 64, 128, 256, 512, 1024, 2048)
    with canvas(columns=2, height=3.2) as (figure, (left, right)):
        for vocabulary, color in zip((8_000, 50_000, 150_000), _COLORS):
            label = f"{vocabulary // 1000}k vocabulary, 12 layers"
            line = [_ceiling(width, 12, vocabulary, 1024) for width in widths]
            left.plot(widths, line, "o-", color=color, ms=3.5, label=label)
        for layers, color in zip((4, 12, 24), _COLORS):
            saved = [_savings(_decoder(768, layers, 50_000), length)[1] for length in lengths]
            right.plot(
                lengths, saved, "o-", color=color, ms=3.5, label=f"{layers} layers, 768 wide"
            )
        left.set(xscale="log", xlabel="model width", ylabel="fraction", ylim=(0, 1.1))
        right.set_ylim(0, 0.4)
        left.set_title("FLOPs' saving / layer tokens' saving, length 1,024")
        right.set(xscale="log", xlabel="sequence length (tokens)")
        right.set_title("FLOPs saved, 50k vocabulary")
        for axes, ticks in ((left, widths), (right, lengths)):
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.legend(loc="lower right" if axes is left else "center right")
    return figure


def _draw_ratios(axes: Axes, timing: Timing) -> None:
    rows = [
        row for row in ratios([timing]).to_dict("records") if row["arm"] in (ATTACHED, DROPPING)
    ]
    rows.sort(key=lambda row: row["kept"])
    fractions = [row["kept"] / timing.length for row in rows]
    for name, color in (("layer_token_ratio", "#999999"), ("flop_ratio", _COLORS[1])):
        label = name.replace("_ratio", "s").replace("flops", "FLOPs").replace("_", " ")
        axes.plot(fractions, [row[name] for row in rows], color=color, label=label)
    means = [row["step_ratio"] for row in rows]
    below = [row["step_ratio"] - _or(row["step_low"], row["step_ratio"]) for row in rows]
    above = [_or(row["step_high"], row["step_ratio"]) - row["step_ratio"] for row in rows]
    axes.errorbar(
        fractions, means, (below, above), fmt="o", color=_COLORS[0], ms=5, capsize=3,
        label="time of a step (90 % interval)",
    )  # fmt: skip


def _or(value: float, instead: float) -> float:
    return instead if pd.isna(value) else value


def _decoder(width: int, layers: int, vocabulary: int) -> TransformerCost:
    return TransformerCost(
        num_layers=layers,
        num_dropping=layers - 2,
        block_weights=12 * width**2,
        attention_width=width,
        head_weights=width * vocabulary,
    )


def _savings(cost: TransformerCost, length: int) -> tuple[float, float]:
    schedule = KeptLength(start=max(1, length // 8), full=length, ramp_steps=700, quantum=1)
    run = {"num_steps": 1000, "length": length}
    return cost.layer_token_saving(schedule, **run), cost.flop_saving(schedule, **run)


def _ceiling(width: int, layers: int, vocabulary: int, length: int) -> float:
    tokens, flops = _savings(_decoder(width, layers, vocabulary), length)
    return flops / tokens


def _head_share(cost: TransformerCost, length: int) -> float:
    return 6 * cost.head_weights * length / cost.flops(length, length)
