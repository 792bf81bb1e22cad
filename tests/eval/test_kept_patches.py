"""Images with the patches that layers compute: real draws, in their places."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from eval.explain.kept_patches import drawn_tokens, plot_kept_patches, shown_pictures
from eval.models.vision import without_weights
from eval.suites import suite

ARMS = suite("vit_finetune", "smoke")
DROPPING = ARMS.arm("random_ltd")


@pytest.mark.parametrize("arm", ["random_ltd", "random_ltd_class_token"])
def test_a_draw_has_the_kept_tokens_of_every_middle_layer(arm: str) -> None:
    kept = [3, 8, 16]
    for count, computed_LS in zip(kept, drawn_tokens(ARMS.arm(arm), kept, seed=0), strict=True):
        assert computed_LS.shape == (4, 17)
        assert computed_LS[[0, -1]].all()
        assert (computed_LS[1:-1].sum(axis=1) == count).all()
        if arm == "random_ltd_class_token":
            assert computed_LS[:, 0].all()
    layers = drawn_tokens(DROPPING, [8], seed=0)[0][1:-1]
    assert (layers[0] != layers[1]).any()


def test_a_seed_repeats_its_draw() -> None:
    one, other = (drawn_tokens(DROPPING, [8], seed=seed)[0] for seed in (0, 0))
    assert (one == other).all()
    assert (one != drawn_tokens(DROPPING, [8], seed=1)[0]).any()


def test_patches_lie_where_the_model_cuts_them() -> None:
    """Light the pixels of one patch: the model's own embedding of it differs, and it is drawn."""
    model = without_weights(DROPPING).eval()
    for token in (1, 4, 5, 16):
        computed_LS = np.zeros((4, 17), dtype=bool)
        computed_LS[:, token] = True
        figure = plot_kept_patches(DROPPING, [np.zeros((8, 8, 3))], [computed_LS])
        shown = np.asarray(figure.axes[1].get_images()[0].get_array())
        lit = torch.from_numpy(1.0 * (shown == 0)).float().permute(2, 0, 1)[None]
        with torch.no_grad():
            differs = (model.patch_embed(lit) - model.patch_embed(0 * lit)).abs().sum(dim=-1)[0]
        assert differs.nonzero().flatten().tolist() == [token - 1]
        plt.close(figure)


def test_the_figure_shows_every_layer_of_every_picture_and_lies_on_its_paper() -> None:
    pictures = shown_pictures(DROPPING, [0, 1])
    assert all(p.shape == (8, 8, 3) and p.min() >= 0 and p.max() <= 1 for p in pictures)
    drawn = drawn_tokens(DROPPING, [3, 8], seed=0)
    figure = plot_kept_patches(DROPPING, pictures, drawn)
    assert len(figure.axes) == 2 * 5
    for row, count in enumerate((3, 8)):
        assert f"{count} of 17" in figure.axes[5 * row].get_ylabel()
        times = np.asarray(figure.axes[5 * row + 4].get_images()[0].get_array())
        assert (times.ravel() == drawn[row].sum(axis=0)[1:]).all()
    figure.savefig(io.BytesIO())
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.1
    assert box.y0 > -0.1
    assert box.x1 < width + 0.1
    assert box.y1 < height + 0.1
    plt.close(figure)
