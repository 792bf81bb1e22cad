"""Policies: random-LTD's own draw, and replaying given positions."""

from __future__ import annotations

import pytest
import torch

from rltd_core import random_per_layer, replay, sample_kept
from rltd_core.policies import Policy


def choose(policy: Policy, *, layers: int = 2, batch: int = 3, kept: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return policy(layers, batch, 8, kept, generator=generator, valid_BS=None, protected=0)


def test_random_per_layer_is_the_uniform_draw() -> None:
    expected = sample_kept(2, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(random_per_layer), expected)


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
