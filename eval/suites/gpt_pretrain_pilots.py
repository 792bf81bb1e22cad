"""What came before the evidence of `gpt_pretrain`, on the validation split and other seeds."""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Suite
from eval.suites.gpt_pretrain import (
    BASELINE,
    CAVEATS,
    NUM_LAYERS,
    PROGRESS,
    RAMP,
    pretraining_arms,
)

__all__ = ["gpt_pretrain_pilot", "gpt_pretrain_spread", "gpt_pretrain_spread_2"]

_FIRST = replace(
    BASELINE,
    revision=1,
    optimization=replace(BASELINE.optimization, peak_lr=2e-3, warmup_steps=40),
    eval_split="validation",
    eval_windows=256,
)
"""The settings of revision 1, on the split of the pilots."""


def gpt_pretrain_pilot() -> Suite:
    """Choose peak learning rate and first kept length, with the same budget for every arm.

    The authors start at a sixteenth of the length (128 of 2,048); a quarter is tried, too.
    Cost: 9 runs of about 4 minutes of one core. Expected: a quarter beats a sixteenth.
    """
    arms = []
    for peak_lr in (1e-3, 2e-3, 4e-3):
        base = replace(
            _FIRST,
            suite="gpt_pretrain_pilot",
            optimization=replace(_FIRST.optimization, peak_lr=peak_lr),
        )
        arms.append(replace(base, arm=f"baseline_lr{peak_lr:g}"))
        layer_tokens = replace(base.optimization, clock="layer_tokens")
        for start in (16, 64):
            kept = replace(RAMP, start=start)
            arm = f"random_ltd_start{start}_lr{peak_lr:g}"
            arms.append(replace(base, arm=arm, kept=kept, optimization=layer_tokens))
    return Suite(
        name="gpt_pretrain_pilot",
        question="Which learning rate and first kept length serve the arms of gpt_pretrain?",
        arms=tuple(arms),
        seeds=(100,),
        primary="bits_per_byte",
        progress=PROGRESS,
        higher_is_better=False,
        caveats=CAVEATS,
    )


def gpt_pretrain_spread() -> Suite:
    """Measure, at the settings of revision 1, what the saved layer tokens are worth.

    Cost: 6 runs of about 4 minutes of one core.
    """
    return _spread(replace(_FIRST, suite="gpt_pretrain_spread"), seeds=(101, 102))


def gpt_pretrain_spread_2() -> Suite:
    """Measure, at the settings of revision 2, what the saved layer tokens are worth.

    What the shortened baseline loses is the effect that the margin of `gpt_pretrain` comes from.
    Cost: 9 runs of about 4 minutes of one core.
    """
    baseline = replace(
        BASELINE, suite="gpt_pretrain_spread_2", eval_split="validation", eval_windows=256
    )
    return _spread(baseline, seeds=(110, 111, 112))


def _spread(baseline: Experiment, *, seeds: tuple[int, ...]) -> Suite:
    chosen = ("baseline", "random_ltd", "shortened_baseline")
    arms = pretraining_arms(baseline, RAMP, num_layers=NUM_LAYERS)
    return Suite(
        name=baseline.suite,
        question="What are the saved layer tokens of gpt_pretrain worth, and how much do paired "
        "differences vary?",
        arms=tuple(arm for arm in arms if arm.arm in chosen),
        seeds=seeds,
        primary="bits_per_byte",
        progress=PROGRESS,
        higher_is_better=False,
        caveats=CAVEATS,
    )
