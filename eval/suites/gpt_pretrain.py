"""GPT pretraining from scratch, with the LayerToken learning rate: the paper's headline.

The pilot chose the settings, the spread suite says what the margin must be, both on seeds and a
split that the evidence does not use; both came before the evidence was declared.
"""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Optimization, Suite
from rltd_core import KeptLength

__all__ = ["gpt_pretrain_pilot"]

_CAVEATS = (
    "Model: a GPT-2 of 4.4 M parameters (8 layers, 192 wide, 256 tokens) from scratch; the paper's "
    "has 1.3 B.",
    "Data: 0.8 M tokens of WikiText-2 raw under a byte-level BPE of 4,096 tokens trained on it, "
    "less than one epoch; the paper trains on 300 B tokens of the Pile.",
)
_PROGRESS = ("start_bits_per_byte", "validation_bits_per_byte")

_BASELINE = Experiment(
    suite="gpt_pretrain",
    arm="baseline",
    tier="cpu",
    revision=1,
    model="gpt2-4m",
    data="wikitext-2-raw",
    source="package",
    length=256,
    batch=8,
    accumulation=1,
    steps=400,
    kept=KeptLength(start=256, full=256, ramp_steps=0),
    # The authors' optimizer. Paper: section 5.1; warmup of a tenth as in their illustration.
    optimization=Optimization(
        peak_lr=2e-3,
        shape="cosine",
        clock="steps",
        warmup_steps=40,
        beta2=0.95,
        weight_decay=0.1,
    ),
    precision="bf16",
    eval_split="test",
    eval_windows=512,
    curve_windows=32,
    curve_every=20,
)
_RAMP_STEPS = 280
"""0.7 of the run, as in the authors' run over 300 B tokens. Paper: section 4.3."""


def gpt_pretrain_pilot() -> Suite:
    """Choose peak learning rate and first kept length, with the same budget for every arm.

    The authors start at a sixteenth of the length (128 of 2,048); a quarter is tried, too.
    Cost: 9 runs of about 4 minutes of one core. Expected: a quarter beats a sixteenth.
    """
    arms = []
    for peak_lr in (1e-3, 2e-3, 4e-3):
        base = replace(
            _BASELINE,
            suite="gpt_pretrain_pilot",
            eval_split="validation",
            eval_windows=256,
            optimization=replace(_BASELINE.optimization, peak_lr=peak_lr),
        )
        arms.append(replace(base, arm=f"baseline_lr{peak_lr:g}"))
        layer_tokens = replace(base.optimization, clock="layer_tokens")
        for start in (16, 64):
            kept = KeptLength(start=start, full=256, ramp_steps=_RAMP_STEPS)
            arm = f"random_ltd_start{start}_lr{peak_lr:g}"
            arms.append(replace(base, arm=arm, kept=kept, optimization=layer_tokens))
    return Suite(
        name="gpt_pretrain_pilot",
        question="Which learning rate and first kept length serve the arms of gpt_pretrain?",
        arms=tuple(arms),
        seeds=(100,),
        primary="bits_per_byte",
        progress=_PROGRESS,
        higher_is_better=False,
        caveats=_CAVEATS,
    )
