"""Pictures of the draw: which token is computed in which layer.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.stats import binom
from torch import Tensor

from eval.evidence.canvas import canvas
from rltd_core import RandomLTD

__all__ = ["computed_tokens", "plot_kept_map", "plot_one_layer", "plot_times_computed"]

COMPUTED, PASSED = "#0072b2", "#e9eef2"
_MAP = ListedColormap([PASSED, COMPUTED])


def computed_tokens(ltd: RandomLTD, length: int, sample: int = 0) -> np.ndarray:
    """Return whether each layer computed each token in the latest forward, as (layers, S) bool.

    Raises: ValueError if that forward dropped nothing.
    """
    if ltd.kept_LBK is None:
        raise ValueError("the latest forward dropped nothing: there is no draw to show")
    computed = np.ones((ltd.cost.num_layers, length), dtype=bool)
    for layer, kept_BK in zip(ltd.layers, ltd.kept_LBK.cpu().numpy()):
        computed[layer] = np.isin(np.arange(length), kept_BK[sample])
    return computed


def plot_one_layer(before_SD: Tensor, kept_K: Tensor, after_SD: Tensor) -> Figure:
    """Draw the hidden states before a layer, the short sequence it sees, and those after it."""
    states = [x.detach().numpy().T for x in (before_SD, before_SD[kept_K], after_SD)]
    largest = max(abs(x).max() for x in states)
    titles = ("before: all tokens", "what the layer computes", "after: put back")
    with canvas(columns=3, height=2.4) as (figure, panels):
        for axes, values, title in zip(panels, states, titles):
            axes.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
            axes.set_title(title)
            axes.set(xlabel="token", yticks=[])
            axes.grid(False)
        panels[0].set_ylabel("hidden width")
        panels[1].set_xticks(range(len(kept_K)), [str(int(k)) for k in kept_K])
        for axes in (panels[0], panels[2]):
            axes.set_xticks(range(len(before_SD)))
        for position in sorted(set(range(len(before_SD))) - set(kept_K.tolist())):
            panels[2].axvspan(position - 0.5, position + 0.5, fill=False, edgecolor="#333333")
        figure.suptitle(
            "one layer: framed tokens passed it unchanged", x=0.01, ha="left", fontsize=10
        )
    return figure


def plot_kept_map(computed_LS: np.ndarray, words: Sequence[str] | None = None) -> Figure:
    """Draw a real draw, layer by token: dark where the layer computed the token."""
    layers, length = computed_LS.shape
    with canvas(height=1.3 + 0.14 * max(layers, 6)) as (figure, (axes,)):
        mesh = axes.pcolormesh(computed_LS, cmap=_MAP, vmin=0, vmax=1)
        mesh.set(edgecolor="white", linewidth=0.6 if length <= 128 else 0.0)
        axes.set(ylabel="layer", ylim=(layers, 0))
        axes.grid(False)
        axes.set_yticks(
            [i + 0.5 for i in range(0, layers, max(1, layers // 6))],
            [str(i) for i in range(0, layers, max(1, layers // 6))],
        )
        _name_tokens(axes, length, words)
        share = computed_LS.mean()
        figure.suptitle(
            f"{length} tokens in {layers} layers: {share:.0%} of the layer tokens are computed "
            "(dark), the rest pass their layer",
            x=0.01,
            ha="left",
            fontsize=10,
        )
    return figure


def plot_times_computed(computed_LS: np.ndarray, num_dropping: int, kept: int) -> Figure:
    """Draw how many of the dropping layers compute a token, beside the binomial it follows."""
    layers, length = computed_LS.shape
    times = computed_LS.sum(axis=0) - (layers - num_dropping)
    counts = np.arange(num_dropping + 1)
    expected = length * binom.pmf(counts, num_dropping, kept / length)
    with canvas(height=2.8) as (figure, (axes,)):
        found = np.bincount(times, minlength=num_dropping + 1)
        axes.bar(counts, found, color=COMPUTED, width=0.7, label="this draw")
        axes.plot(counts, expected, "o", color="#d55e00", ms=4, label="expected (binomial)")
        axes.set(xlabel=f"dropping layers, of {num_dropping}, that compute the token")
        axes.set_ylabel("tokens")
        axes.legend(loc="upper left")
        never = length * (1 - kept / length) ** num_dropping
        figure.suptitle(
            f"how often a token is computed: {never:.2g} of {length} are expected to miss every "
            "dropping layer",
            x=0.01,
            ha="left",
            fontsize=10,
        )
    return figure


def _name_tokens(axes: Axes, length: int, words: Sequence[str] | None) -> None:
    if words is None:
        axes.set_xlabel("token")
        return
    axes.set_xticks([i + 0.5 for i in range(length)], words, rotation=90, fontsize=7)
    axes.tick_params(axis="x", length=0)
