"""Policies: random-LTD's own draw, one shared by the batch, and replaying given positions."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from rltd_core import (
    random_per_layer,
    random_per_sample,
    random_shared,
    replay,
    sample_kept,
)
from rltd_core.policies import Policy


def choose(policy: Policy, *, layers: int = 2, batch: int = 3, kept: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return policy(layers, batch, 8, kept, generator=generator, valid_BS=None, protected=0)


def test_random_per_layer_is_the_uniform_draw() -> None:
    expected = sample_kept(2, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(random_per_layer), expected)


def test_a_draw_per_sample_is_one_uniform_draw_for_all_layers() -> None:
    one_1BK = sample_kept(1, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    kept_LBK = choose(random_per_sample)
    assert torch.equal(kept_LBK, one_1BK.expand(2, 3, 4))
    assert not torch.equal(kept_LBK[:, 0], kept_LBK[:, 1])
    assert (kept_LBK.dtype, kept_LBK.shape) == (torch.int64, (2, 3, 4))


def test_a_draw_per_sample_minds_padding_and_protected_tokens() -> None:
    valid_BS = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]]).bool()
    options = {"generator": torch.Generator().manual_seed(0), "valid_BS": valid_BS}
    kept_LBK = random_per_sample(3, 2, 8, 4, **options, protected=1)
    assert (kept_LBK[..., 0] == 0).all()
    assert (kept_LBK[:, 0, 1:] >= 2).all()
    assert (kept_LBK[:, 1] < 5).all()


def test_a_shared_draw_is_one_uniform_draw_a_layer_for_all_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    one_L1K = sample_kept(2, 1, 8, 4, generator=generator)
    kept_LBK = choose(random_shared)
    assert torch.equal(kept_LBK, one_L1K.expand(2, 3, 4))
    assert not torch.equal(kept_LBK[0], kept_LBK[1])
    assert (kept_LBK.dtype, kept_LBK.shape) == (torch.int64, (2, 3, 4))


def test_all_subsets_are_equally_likely_to_be_shared() -> None:
    generator = torch.Generator().manual_seed(1)
    options = {"generator": generator, "valid_BS": None, "protected": 1}
    kept_LBK = random_shared(20_000, 2, 6, 3, **options)
    assert (kept_LBK[..., 0] == 0).all()
    pairs = [tuple(pair) for pair in kept_LBK[:, 0, 1:].tolist()]
    subsets = itertools.combinations(range(1, 6), 2)
    assert chisquare([pairs.count(subset) for subset in subsets]).pvalue > 0.001


def test_a_shared_draw_refuses_to_mind_padding() -> None:
    options = {"generator": torch.Generator(), "valid_BS": torch.ones(3, 8), "protected": 0}
    with pytest.raises(ValueError, match="shared by the batch cannot be padding-aware"):
        random_shared(2, 3, 8, 4, **options)


def test_a_shared_draw_refuses_more_protected_than_kept_tokens() -> None:
    options = {"generator": torch.Generator(), "valid_BS": None, "protected": 5}
    with pytest.raises(ValueError, match=r"protected must lie in 0\.\.4"):
        random_shared(2, 3, 8, 4, **options)


def test_replay_returns_the_recorded_positions_at_every_forward() -> None:
    recorded_LBK = torch.tensor([0, 2, 5, 7]).expand(2, 3, 4)
    policy = replay(recorded_LBK)
    assert torch.equal(choose(policy), recorded_LBK)
    assert torch.equal(choose(policy), recorded_LBK)


@pytest.mark.parametrize("change", [{"layers": 3}, {"batch": 2}, {"kept": 5}])
def test_replay_refuses_a_forward_of_another_shape(change: dict[str, int]) -> None:
    policy = replay(torch.tensor([0, 2, 5, 7]).expand(2, 3, 4))
    with pytest.raises(ValueError, match=r"recorded draw has shape \(2, 3, 4\), this forward"):
        choose(policy, **change)
