"""The arms that images are learned with: what is dropped, and where, at equal layer tokens."""

from __future__ import annotations

from dataclasses import replace

from eval.models.vits import vit
from eval.spec import Experiment
from eval.suites.budget import layer_tokens, three_arms
from rltd_core import KeptLength

__all__ = ["image_arms", "scaled_ramp"]

_FULL, _START, _QUANTUM, _FRACTION = 197, 32, 8, 3910 / 5474
"""The authors' ramp: from 32 tokens to all 197 by 8, in 3,910 of 5,474 steps.

Paper: section 5.3.
"""


def scaled_ramp(length: int, steps: int) -> KeptLength:
    """Return the authors' ramp, scaled to another length and another run."""
    return KeptLength(
        start=round(_START / _FULL * length),
        full=length,
        ramp_steps=round(_FRACTION * steps),
        quantum=max(1, round(_QUANTUM / _FULL * length)),
    )


def image_arms(baseline: Experiment, ramp: KeptLength) -> tuple[Experiment, ...]:
    """Return the arms; all but the baseline have random-LTD's layer tokens, or just over.

    Rounded in favour of what random-LTD is compared with, as the shortened baseline is.

    random_ltd drops as the paper does, random_ltd_class_token never the class token,
    random_ltd_constant at one kept length throughout; patch_drop leaves patches out before all
    layers, by timm; shortened_baseline is the baseline that ends early.
    """
    num_layers = vit(baseline.model).num_layers
    _, dropping, short = three_arms(baseline, ramp, num_layers=num_layers)
    return (
        baseline,
        dropping,
        short,
        replace(dropping, arm="random_ltd_class_token", protected=1),
        _constant(dropping, num_layers),
        _patch_drop(baseline, dropping, num_layers),
    )


def _constant(dropping: Experiment, num_layers: int) -> Experiment:
    """Return the arm that keeps one number of tokens at every step."""
    budget, length = layer_tokens(dropping, num_layers=num_layers), dropping.length
    a_token = dropping.batch * dropping.steps
    kept = -(-(budget - 2 * length * a_token) // ((num_layers - 2) * a_token))
    # A ramp whose first rise lies behind the end of the run.
    never = KeptLength(start=kept, full=length, ramp_steps=2 * dropping.steps, quantum=length)
    return replace(dropping, arm="random_ltd_constant", kept=never)


def _patch_drop(baseline: Experiment, dropping: Experiment, num_layers: int) -> Experiment:
    """Return the arm that drops patches at one rate before all layers."""
    budget = layer_tokens(dropping, num_layers=num_layers)
    entering = -(-budget // (dropping.batch * dropping.steps * num_layers))
    # timm keeps the whole patches of the rest: half a patch more leaves no doubt of how many.
    rate = 1 - (entering - 1 + 0.5) / (baseline.length - 1)
    return replace(baseline, arm="patch_drop", patch_drop=rate)
