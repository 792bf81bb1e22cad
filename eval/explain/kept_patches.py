"""Images with the patches that each layer computes, as a run draws them.

Letters: L layers, S sequence, H height, W width, C colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eval.data.augmentations import before_normalisation
from eval.data.images import load_pictures
from eval.evidence.canvas import canvas
from eval.explain.kept_map import COMPUTED, computed_tokens
from eval.models.vision import without_weights
from eval.models.vits import image_size, vit
from eval.spec import Experiment
from rltd_core import KeptLength, RandomLTD

__all__ = ["drawn_tokens", "plot_kept_patches", "shown_pictures"]

_PAPER = 0.88
"""How far a patch that is not computed fades into the paper."""


def shown_pictures(experiment: Experiment, numbers: Sequence[int]) -> list[np.ndarray]:
    """Return held-out pictures as (H, W, C) in 0..1: what the model sees, not normalised."""
    pictures = load_pictures(experiment.data, "held_out", experiment.source)
    transform = before_normalisation(experiment.augmentation or "none", image_size(experiment))
    seen = (transform(pictures.picture(number)) for number in numbers)
    return [picture.permute(1, 2, 0).double().numpy() for picture in seen]


def drawn_tokens(experiment: Experiment, kept: Sequence[int], *, seed: int) -> list[np.ndarray]:
    """Return one real draw of a run's model for each kept length, as (L, S) bool.

    Each is what random-LTD hands to the layers of the model in a forward of one picture.
    """
    model = without_weights(experiment).train()
    size, found = image_size(experiment), []
    for count in kept:
        # The length of the first steps: the schedule never goes on.
        schedule = KeptLength(start=count, full=experiment.length, ramp_steps=2)
        with RandomLTD(model, schedule, seed=seed, protected=experiment.protected) as ltd:
            model(torch.zeros(1, 3, size, size))
            found.append(computed_tokens(ltd, experiment.length))
    return found


def plot_kept_patches(
    experiment: Experiment, pictures: Sequence[np.ndarray], drawn: Sequence[np.ndarray]
) -> Figure:
    """Draw a picture a row: what every layer computes of it, and how often each patch is.

    A layer sees the patches in colour; the others pass it. The square above an image is the class
    token: filled where the layer computes it. The last column is dark where more layers compute.
    """
    num_layers = vit(experiment.model).num_layers
    rows, height = len(pictures), 0.75 + 1.22 * len(pictures)
    with canvas(rows=rows, columns=num_layers + 1, height=height) as (figure, panels):
        grid = np.array(panels).reshape(rows, num_layers + 1)
        for row, (picture, computed_LS) in enumerate(zip(pictures, drawn)):
            for layer in range(num_layers):
                _layer(grid[row, layer], picture, computed_LS[layer])
            _times(grid[row, -1], computed_LS)
            middle = computed_LS[1:-1].sum() // (num_layers - 2)
            grid[row, 0].set_ylabel(f"{middle} of {experiment.length}\ntokens kept", fontsize=9)
        for layer in range(num_layers):
            grid[0, layer].set_title(f"layer {layer + 1}", loc="center", pad=12)
        grid[0, -1].set_title(f"layers that\ncompute it\n(2 to {num_layers})", loc="center")
        title = "what each layer computes of an image: in colour; the square is the class token"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")
    return figure


def _layer(axes: Axes, picture: np.ndarray, computed_S: np.ndarray) -> None:
    mask = _upscaled(_patches(computed_S), len(picture))[..., None]
    axes.imshow(np.where(mask, picture, (1 - _PAPER) * picture + _PAPER), interpolation="nearest")
    _bare(axes)
    side = len(picture) / 9
    color = COMPUTED if computed_S[0] else "none"
    edge = {"edgecolor": COMPUTED, "linewidth": 0.9, "clip_on": False}
    axes.add_patch(Rectangle((-0.5, -1.35 * side), side, side, facecolor=color, **edge))


def _times(axes: Axes, computed_LS: np.ndarray) -> None:
    times = _patches(computed_LS.sum(axis=0))
    axes.imshow(times, cmap="Blues", vmin=1, vmax=len(computed_LS), interpolation="nearest")
    _bare(axes)


def _patches(tokens_S: np.ndarray) -> np.ndarray:
    """Return what belongs to the patches, as they lie in the image; the class token is first."""
    side = round((len(tokens_S) - 1) ** 0.5)
    return tokens_S[1:].reshape(side, side)


def _upscaled(patches: np.ndarray, pixels: int) -> np.ndarray:
    times = pixels // len(patches)
    return patches.repeat(times, axis=0).repeat(times, axis=1)


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
