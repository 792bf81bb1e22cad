"""A training run under DeepSpeed's wrapper and scheduler, and the same run under ours.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rltd_core import RandomLTD, register_family, replay
from rltd_core.families import FAMILIES
from tests.core.tiny import assert_same
from tests.deepspeed.oracle import MODEL, Engine, SmallModel, config, small_model

BATCH, MICRO_BATCHES, LENGTH, LAYERS = 3, 2, 20, 5


@pytest.fixture(autouse=True)
def small_family() -> Iterator[None]:
    register_family(MODEL)
    yield
    FAMILIES.remove(MODEL)


def causal_mask() -> Tensor:
    allowed_SS = torch.ones(LENGTH, LENGTH).tril().bool()
    return torch.zeros(1, 1, LENGTH, LENGTH).double().masked_fill(~allowed_SS, -1e9)


def padding_mask() -> Tensor:
    """Return an encoder's mask: sample b ends 4 * b tokens early, and no two rows are alike."""
    mask = torch.rand(BATCH, 1, LENGTH, LENGTH, dtype=torch.float64)
    for b in range(BATCH):
        mask[b, :, :, LENGTH - 4 * b :] = -1e9
    return mask


class Ours:
    """A model of the same weights with our random-LTD, which keeps what DeepSpeed drew."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.model = small_model(LAYERS)
        self.drawn_LBK = torch.empty(0)
        self.ltd = RandomLTD.from_deepspeed(self.model, configuration, policy=self.policy)

    def policy(self, *shape: int, **options: Any) -> Tensor:
        return replay(self.drawn_LBK.long())(*shape, **options)


def forward_backward(model: nn.Module, x_BSD: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and the gradient of the input; the weights' gradients add up."""
    x_BSD = x_BSD.clone().requires_grad_()
    out_BSD = model(x_BSD, mask)
    (out_BSD * torch.linspace(-1, 1, out_BSD.numel()).view_as(out_BSD)).sum().backward()
    assert x_BSD.grad is not None
    return out_BSD.detach(), x_BSD.grad


def weights(model: nn.Module, *, gradients: bool) -> list[Tensor]:
    values = [p.grad if gradients else p.detach() for p in model.parameters()]
    return [value.clone() for value in values if value is not None]


def compare_step(engine: Engine, ours: Ours, step: int, mask: Tensor) -> None:
    """Take one optimizer step in two micro-batches with each, and compare all that there is."""
    for _ in range(MICRO_BATCHES):
        x_BSD = torch.randn(BATCH, LENGTH, 8, dtype=torch.float64)
        engine.random_ltd_scheduler.update_seq(step)  # as its engine does in every forward
        theirs = forward_backward(engine.module, x_BSD, mask)
        assert ours.ltd.kept == engine.random_ltd_scheduler.get_current_seq()
        if ours.ltd.kept < LENGTH:
            ours.drawn_LBK = engine.state["sample_idx"]
        assert_same(forward_backward(ours.model, x_BSD, mask), theirs)
        assert (ours.ltd.kept_LBK is not None) == (ours.ltd.kept < LENGTH)
    for gradients in (True, False):
        assert_same(
            weights(ours.model, gradients=gradients), weights(engine.module, gradients=gradients)
        )
    for model in (ours.model, engine.module):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        optimizer.step()
        optimizer.zero_grad()
    ours.ltd.step()
    assert ours.ltd.layer_tokens == engine.state["consumed_layer_tokens"]


@pytest.mark.parametrize(
    ("minimum", "steps", "quantum", "ids"),
    [(8, 12, 4, (1, 2, 3)), (5, 9, 3, (1, 3)), (6, 7, 1, (0, 1, 2, 3, 4)), (10, 5, 8, (2,))],
)
@pytest.mark.parametrize("model_type", ["decoder", "encoder"])
def test_a_whole_ramp_is_the_same_to_the_bit(
    model_type: str, minimum: int, steps: int, quantum: int, ids: tuple[int, ...]
) -> None:
    configuration = config(minimum, LENGTH, steps, quantum, ids=ids, model_type=model_type)
    batch = BATCH * MICRO_BATCHES
    engine, ours = Engine(small_model(LAYERS), configuration, batch=batch), Ours(configuration)
    mask = causal_mask() if model_type == "decoder" else padding_mask()
    kept = []
    for step in range(2 * steps):
        compare_step(engine, ours, step, mask)
        kept.append(engine.random_ltd_scheduler.get_current_seq())
    assert kept[0] < LENGTH == kept[-1]
    assert ours.ltd.forwards == 2 * steps * MICRO_BATCHES


def test_dropping_changes_the_result_so_that_the_comparison_means_something() -> None:
    engine = Engine(small_model(LAYERS), config(8, LENGTH, 9, 4), batch=BATCH)
    engine.random_ltd_scheduler.update_seq(0)
    x_BSD = torch.randn(BATCH, LENGTH, 8, dtype=torch.float64)
    dropped, _ = forward_backward(engine.module, x_BSD, causal_mask())
    plain, _ = forward_backward(small_model(LAYERS), x_BSD, causal_mask())
    assert not torch.allclose(dropped, plain)


def test_in_evaluation_both_are_the_plain_model() -> None:
    configuration = config(8, LENGTH, 9, 4)
    engine, ours = Engine(small_model(LAYERS), configuration, batch=BATCH), Ours(configuration)
    x_BSD = torch.randn(BATCH, LENGTH, 8, dtype=torch.float64)
    plain: SmallModel = small_model(LAYERS)
    results = [
        forward_backward(model.eval(), x_BSD, causal_mask())
        for model in (plain, engine.module, ours.model)
    ]
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])
