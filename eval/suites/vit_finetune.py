"""Finetuning a vision transformer on images with random-LTD.

No package carries weights of a vision transformer, so at the small tiers the suite's own is
pretrained first (`vit_pretrain`), on other classes than it is finetuned on.
"""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import layer_tokens, three_arms
from eval.vits import vit
from rltd_core import KeptLength

__all__ = ["image_arms", "scaled_ramp", "vit_finetune_smoke", "vit_pretrain_smoke"]

_FULL, _START, _QUANTUM, _FRACTION = 197, 32, 16, 3910 / 5474
"""The authors' ramp: from 32 tokens to all 197 by 16, in 3,910 of 5,474 steps.

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
    """Return the arms; all but the baseline have random-LTD's layer tokens, or just under.

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
    kept = (budget // a_token - 2 * length) // (num_layers - 2)
    # A ramp whose first rise lies behind the end of the run.
    never = KeptLength(start=kept, full=length, ramp_steps=2 * dropping.steps, quantum=length)
    return replace(dropping, arm="random_ltd_constant", kept=never)


def _patch_drop(baseline: Experiment, dropping: Experiment, num_layers: int) -> Experiment:
    """Return the arm that drops patches at one rate before all layers."""
    budget = layer_tokens(dropping, num_layers=num_layers)
    entering = budget // (dropping.batch * dropping.steps * num_layers)
    # timm keeps the whole patches of the rest: half a patch more leaves no doubt of how many.
    rate = 1 - (entering - 1 + 0.5) / (baseline.length - 1)
    return replace(baseline, arm="patch_drop", patch_drop=rate)


_TOY = Experiment(
    suite="vit_pretrain",
    arm="baseline",
    tier="smoke",
    revision=1,
    objective="images",
    model="vit-toy",
    data="digits_first",
    source="checkout",
    augmentation="none",
    length=17,
    batch=8,
    accumulation=1,
    steps=12,
    kept=KeptLength(start=17, full=17, ramp_steps=0),
    optimization=Optimization(peak_lr=1e-3, shape="constant", clock="steps", warmup_steps=0),
    precision="no",
    eval_split="test",
    eval_windows=32,
    curve_windows=16,
    curve_every=4,
    keep=True,
)


def vit_pretrain_smoke() -> Suite:
    """Train the toy that `vit_finetune` begins with at the `smoke` tier."""
    return Suite(
        name="vit_pretrain",
        question="What does the finetuning of images begin with?",
        arms=(_TOY,),
        seeds=(0,),
        primary="accuracy",
        progress=("start_accuracy", "held_out_accuracy"),
        higher_is_better=True,
        caveats=("A toy on 8 x 8 digits: the numbers mean nothing.",),
    )


def vit_finetune_smoke() -> Suite:
    """Run the path of `vit_finetune` in seconds, on scikit-learn's digits."""
    baseline = replace(
        _TOY,
        suite="vit_finetune",
        data="digits_last",
        keep=False,
        pretrained=_TOY,
        pretrained_seed=0,
    )
    return Suite(
        name="vit_finetune",
        question="Does a vision transformer finetuned with random-LTD reach the same accuracy?",
        arms=image_arms(baseline, scaled_ramp(baseline.length, baseline.steps)),
        seeds=(0,),
        primary="accuracy",
        progress=("start_accuracy", "held_out_accuracy"),
        higher_is_better=True,
        margin=0.01,
        margin_reason="the smoke tier shows that the path runs; its numbers mean nothing",
        caveats=("A toy on 8 x 8 digits: the numbers mean nothing.",),
    )
