"""The paper's layer diagrams, drawn from what real policies left in a real forward.

Letters: L layers, S sequence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import GPT2Config, GPT2LMHeadModel

from eval.evidence.canvas import canvas
from eval.explain.kept_map import COMPUTED, PASSED, computed_tokens
from rltd_core import KeptLength, RandomLTD, random_per_layer, random_per_sample

__all__ = ["layer_diagram_data", "layer_maps", "plot_layer_diagrams"]

_LAYERS, _LENGTH, _KEPT = 12, 24, 12
_PANELS = {
    "baseline": "baseline: every layer\ncomputes every token",
    "one_set": "token dropping before it:\none set for half of the layers",
    "random_ltd": "random-LTD: every middle\nlayer draws its own set",
}


def layer_maps() -> dict[str, np.ndarray]:
    """Return whether each layer computed each token, as (L, S) bool, by way of dropping.

    Real forwards of a small untrained GPT-2 of 12 layers, half of the tokens kept. `one_set` is
    the paper's picture of token dropping before it: a half of the layers, then all but the last
    on one group of tokens, the other group going straight to the last. Paper: Figures 1 and B.1.
    """
    half = _LAYERS // 2
    ways = {
        "one_set": {"policy": random_per_sample, "layers": range(half - 1, _LAYERS - 1)},
        "random_ltd": {"policy": random_per_layer},
    }
    maps = {"baseline": np.ones((_LAYERS, _LENGTH), dtype=bool)}
    return maps | {name: _forward(options) for name, options in ways.items()}


def layer_diagram_data(maps: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return what is drawn: a row for every token of every layer."""
    rows = [
        {"way": name, "layer": layer, "token": token, "computed": int(computed_LS[layer, token])}
        for name, computed_LS in maps.items()
        for layer in range(computed_LS.shape[0])
        for token in range(computed_LS.shape[1])
    ]
    return pd.DataFrame(rows)


def plot_layer_diagrams(maps: Mapping[str, np.ndarray]) -> Figure:
    """Draw layers from the bottom up, a square a token: filled where the layer computed it."""
    with canvas(columns=len(maps), height=3.9, sharey=True) as (figure, panels):
        for axes, (name, computed_LS) in zip(panels, maps.items()):
            _draw_panel(axes, computed_LS)
            axes.set_title(_PANELS[name])
            share = computed_LS.mean()
            axes.set_xlabel(f"tokens: {100 * share:.0f} % computed")
        panels[0].set_ylabel("layer")
        panels[0].set_yticks([0, _LAYERS - 1], ["first", "last"])
        figure.suptitle(
            "filled: computed by the layer; pale: passed it unchanged", x=0.01, ha="left",
            fontsize=10,
        )  # fmt: skip
    return figure


def _draw_panel(axes: Axes, computed_LS: np.ndarray) -> None:
    for where, color in ((computed_LS, COMPUTED), (~computed_LS, PASSED)):
        layer, token = np.nonzero(where)
        axes.plot(token, layer, "s", ms=5, color=color, markeredgewidth=0)
    axes.grid(False)
    axes.set(xticks=[], xlim=(-0.8, computed_LS.shape[1] - 0.2))
    axes.spines[["left", "bottom"]].set_visible(False)


def _forward(options: dict) -> np.ndarray:
    config = GPT2Config(
        n_layer=_LAYERS, n_embd=16, n_head=2, n_positions=_LENGTH, vocab_size=32,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    schedule = KeptLength(start=_KEPT, full=_LENGTH, ramp_steps=100, quantum=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).train()
    with RandomLTD(model, schedule, seed=0, **options) as ltd:
        model(input_ids=torch.arange(_LENGTH)[None] % 32)
        return computed_tokens(ltd, _LENGTH)
