"""Every published saving, recomputed from its settings; which ramp would give another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.bench.shapes import cost_of, shape
from eval.evidence.canvas import canvas
from eval.paths import RESULTS
from rltd_core import KeptLength, TransformerCost

__all__ = [
    "CLAIMED_SAVING",
    "claimed_ramp",
    "plot_saving_by_ramp",
    "ramp_for_saving",
    "savings",
    "shown_savings",
]

CLAIMED_SAVING = 0.333
"""Of theoretical compute, for GPT-3 1.3B. Source: abstract of arXiv 2211.11586."""
_GPT3 = {"num_layers": 24, "num_dropping": 22}


def savings(path: Path = RESULTS / "paper" / "savings.csv") -> pd.DataFrame:
    """Return one row a setting: published figure, ours from the settings, and the FLOPs' saving.

    The baseline has as many steps, unless the row names how many.

    Ours follows the authors' definition (layer tokens; section 4.1); the FLOPs count attention
    and head of the named model, too.
    """
    rows = []
    for row in pd.read_csv(path).to_dict("records"):
        cost = cost_of(shape(row["shape"]))
        assert (cost.num_layers, cost.num_dropping) == (row["num_layers"], row["num_dropping"])
        run = {"num_steps": row["steps"], "batch": row["batch"], "length": row["full"]}
        schedule, full = (
            _schedule(row),
            KeptLength(start=row["full"], full=row["full"], ramp_steps=0),
        )
        longer = pd.notna(row["baseline_steps"])
        baseline = run | ({"num_steps": int(row["baseline_steps"])} if longer else {})
        layer_tokens = cost.run_layer_tokens(schedule, **run)
        saving = 1 - layer_tokens / cost.run_layer_tokens(full, **baseline)
        ours = {
            "saving": saving,
            "layer tokens": layer_tokens,
            "effective tokens": cost.run_effective_tokens(schedule, **run),
        }
        rows.append(
            {
                "setting": row["setting"],
                "quantity": row["quantity"],
                "published": row["published"],
                "ours": ours.get(row["quantity"]),
                "ramp_of_the_run_frac": row["ramp"] / _length_of_run(row),
                "layer_token_saving_frac": saving,
                "flop_saving_frac": 1
                - cost.run_flops(schedule, **run) / cost.run_flops(full, **baseline),
                "equal_steps": not longer,
                "where": f"{row['locator']} ({row['evidence']})",
            }
        )
    return pd.DataFrame(rows)


def shown_savings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with figures written out, for reading."""
    shown = table.drop(columns="equal_steps")
    for name in ("published", "ours"):
        shown[name] = [_written(row[name], row["quantity"]) for row in table.to_dict("records")]
    return shown


def ramp_for_saving(
    saving: float, *, num_layers: int, num_dropping: int, start: int, full: int
) -> float:
    """Return the fraction of a run over which a straight ramp saves this much.

    Raises: ValueError if no ramp within the run does.
    """
    fraction = 2 * saving * num_layers / (num_dropping * (1 - start / full))
    if fraction > 1:
        raise ValueError(f"a ramp over the whole run saves less than {saving:.1%}")
    return fraction


def claimed_ramp() -> float:
    """Return the fraction of the run that a ramp from 128 to 2,048 takes for the claimed saving."""
    return ramp_for_saving(CLAIMED_SAVING, **_GPT3, start=128, full=2048)


def plot_saving_by_ramp(table: pd.DataFrame) -> Figure:
    """Draw the saving of GPT-3 1.3B against where the ramp ends, with the authors' scripts.

    `table` is what `savings` returned.
    """
    cost = TransformerCost(**_GPT3, block_weights=0, attention_width=0, head_weights=0)
    fractions = np.linspace(0.02, 1, 50)
    line = [
        cost.layer_token_saving(
            KeptLength(start=128, full=2048, ramp_steps=round(f * 10_000), quantum=16),
            num_steps=10_000,
            length=2048,
        )
        for f in fractions
    ]
    with canvas(height=3.2) as (figure, (axes,)):
        axes.plot(
            fractions,
            line,
            color="#0072b2",
            label="128 to 2,048 tokens, 22 of 24 layers; dots: the authors' scripts",
        )
        for i, ((end, saving), names) in enumerate(sorted(_scripts(table).items())):
            axes.plot(end, saving, "o", color="#d55e00", ms=5)
            side = (8, -4, "left", "top") if i % 2 else (-8, -1, "right", "bottom")
            axes.annotate(
                "; ".join(names), (end, saving), side[:2], textcoords="offset points",
                ha=side[2], va=side[3], fontsize=8, color="#555555",
            )  # fmt: skip
        axes.axhline(CLAIMED_SAVING, color="#4d4d4d", linewidth=1, linestyle="--")
        axes.annotate(
            f"claimed: {CLAIMED_SAVING:.1%}; a ramp over {claimed_ramp():.0%} of the run gives it",
            (0.02, CLAIMED_SAVING), (0, 4), textcoords="offset points", fontsize=8.5,
        )  # fmt: skip
        axes.set(xlabel="end of the ramp, as a fraction of the run", ylabel="layer tokens saved")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.legend(loc="lower right")
        figure.suptitle("which ramp saves a third", x=0.01, ha="left", fontsize=10)
    return figure


def _scripts(table: pd.DataFrame) -> dict[tuple[float, float], list[str]]:
    """Return the authors' GPT-3 scripts by (end of the ramp, saving), rounded to a point."""
    points: dict[tuple[float, float], list[str]] = {}
    for row in table.to_dict("records"):
        if row["setting"].startswith("GPT-3") and row["equal_steps"]:
            name = row["setting"].removeprefix("GPT-3 ").partition(" tokens")[0]
            point = (row["ramp_of_the_run_frac"], row["layer_token_saving_frac"])
            points.setdefault((round(point[0], 3), round(point[1], 3)), []).append(name)
    return points


def _length_of_run(row: dict) -> int:
    return row["steps"] * (row["batch"] * row["full"] if row["unit"] == "tokens" else 1)


def _schedule(row: dict) -> KeptLength:
    common = {"start": row["start"], "full": row["full"], "quantum": row["quantum"]}
    ramp = {f"ramp_{row['unit']}": row["ramp"]}
    return KeptLength(**common, **ramp, rounding=row["rounding"])


def _written(value: float, quantity: str) -> str:
    if pd.isna(value):
        return ""
    return f"{100 * value:.6g} %" if quantity == "saving" else f"{int(value):,}"
