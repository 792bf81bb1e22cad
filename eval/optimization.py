"""Optimizer and learning rate of a run, from its specification."""

from __future__ import annotations

from typing import Any

import torch

from eval.spec import Experiment, Optimization
from rltd_core import ClockLR, LayerTokenLR, RandomLTD

__all__ = ["make_optimizer", "make_scheduler"]


def make_optimizer(model: Any, plan: Optimization) -> torch.optim.Optimizer:
    """Return the optimizer at the peak rate, which the learning rate then scales."""
    if plan.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=plan.peak_lr,
            momentum=plan.momentum,
            weight_decay=plan.weight_decay,
        )
    return torch.optim.AdamW(
        _decay_groups(model, plan.weight_decay),
        lr=plan.peak_lr,
        betas=(plan.beta1, plan.beta2),
    )


def make_scheduler(
    experiment: Experiment, optimizer: torch.optim.Optimizer, ltd: RandomLTD
) -> ClockLR:
    """Return the learning rate of a run: its decay on the clock that it names."""
    plan = experiment.optimization
    curve: dict[str, Any] = {"shape": plan.shape, "minimum": plan.minimum}
    steps = {"warmup": plan.warmup_steps, "total": experiment.steps}
    if plan.clock == "steps":
        return ClockLR(optimizer, lambda: ltd.steps, **steps, **curve)
    size = {"batch": experiment.batch, "length": experiment.length}
    other = plan.clock_kept
    if other is None:
        return LayerTokenLR(
            optimizer, ltd, **steps, **size, **curve, authors_form=plan.authors_form
        )

    def layer_tokens(num_steps: int) -> int:
        return ltd.cost.run_layer_tokens(other, num_steps=num_steps, **size)

    planned = {name: layer_tokens(count) for name, count in steps.items()}
    return ClockLR(optimizer, lambda: layer_tokens(ltd.steps), **planned, **curve)


def _decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters as AdamW takes them: matrices decay, vectors do not."""
    parameters = list(model.parameters())
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [(matrices, weight_decay), (vectors, 0.0)]
    return [{"params": some, "weight_decay": decay} for some, decay in groups if some]
