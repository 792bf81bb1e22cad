"""GPT pretraining from scratch, with the LayerToken learning rate: the paper's headline.

The pilot chose the settings of revision 1, whose first seed came out unstable; those of revision 2
were chosen in unrecorded trials (the log tells it). Pilots and spread suites use seeds and a split
that the evidence does not use, and came before what they were for.
"""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import (
    at_warmup_fraction,
    layer_tokens,
    shortened_steps,
    steps_within_layer_tokens,
)
from rltd_core import KeptLength

__all__ = [
    "BASELINE",
    "CAVEATS",
    "NUM_LAYERS",
    "PROGRESS",
    "RAMP",
    "gpt_pretrain_cpu",
    "gpt_pretrain_gpu",
    "gpt_pretrain_smoke",
    "pretraining_arms",
]

_QUESTION = "Does pretraining with random-LTD reach the baseline's loss with fewer layer tokens?"
CAVEATS = (
    "Model: a GPT-2 of 4.4 M parameters (8 layers, 192 wide, 256 tokens) from scratch; the paper's "
    "has 1.3 B.",
    "Judged: the loss on the test text, at the saving in the table. The paper's zero-shot average, "
    "its 33.3 % and its time are not what the verdict is about.",
    "Data: 0.8 M tokens of WikiText-2 raw under a byte-level BPE of 4,096 tokens trained on it, "
    "less than one epoch; the paper trains on 300 B tokens of the Pile.",
)
_ZERO_SHOT_CAVEAT = (
    "Zero-shot: the ten of the paper's 19 tasks whose rows come in a package, the first 200 rows "
    "of each (COPA has 100); models of this size are near chance on most, so the bits of the right "
    "answer are what is compared."
)
_PEAK_CAVEAT = (
    "One peak rate, 1.4e-3, for all arms but *higher peak LR* (2e-3), chosen where dropping is "
    "stable: at 2e-3 after 40 warmup steps (revision 1, seed 0, the same test split) random-LTD "
    "fell behind by 0.060, and the settings were changed. That arm was declared when the others "
    "had finished."
)
PROGRESS = ("start_bits_per_byte", "validation_bits_per_byte")

BASELINE = Experiment(
    suite="gpt_pretrain",
    arm="baseline",
    tier="cpu",
    revision=2,
    model="gpt2-4m",
    data="wikitext-2-raw",
    source="package",
    length=256,
    batch=8,
    accumulation=1,
    steps=400,
    kept=KeptLength(start=256, full=256, ramp_steps=0),
    # The authors' optimizer. Paper: section 5.1. Revision 1 warmed up for a tenth of the run, to
    # 2e-3, and some of its runs fell behind for good in the first hundred steps.
    optimization=Optimization(
        peak_lr=1.4e-3,
        shape="cosine",
        clock="steps",
        warmup_steps=80,
        beta2=0.95,
        weight_decay=0.1,
    ),
    precision="bf16",
    eval_split="test",
    eval_windows=512,
    curve_windows=32,
    curve_every=20,
)
NUM_LAYERS = 8
_TASKS = (
    *("hellaswag", "lambada_openai", "winogrande", "piqa", "arc_challenge", "arc_easy"),
    *("openbookqa", "boolq", "copa", "rte"),
)
# Over 0.7 of the run, as in the authors' run over 300 B tokens (paper: section 4.3), from a quarter
# of the length. The authors start at a sixteenth; in the pilot, one seed, that did worse at peak
# rates of 2e-3 and 4e-3, and better at 1e-3.
RAMP = KeptLength(start=64, full=256, ramp_steps=280)


def gpt_pretrain_cpu() -> Suite:
    """Pretrain a small decoder on WikiText-2: random-LTD with LayerToken LR, taken apart.

    Paper: section 5.1 (GPT-3 1.3B on the Pile, zero-shot 42.5 with a third less layer tokens).
    Cost: 35 runs of about 5 minutes of one core. Expected from the pilots: random-LTD beats the
    baseline, the shortened baseline loses to it; how much of that is the learning rate is open.

    The last arm was declared when the others had finished: the peak rate is one at which dropping
    is stable, and the baseline may bear more. Expected: better than the baseline by about 0.01, as
    on seed 0 of revision 1, and still worse than random-LTD. The log says what came out.
    """
    baseline = replace(BASELINE, tasks=_TASKS, task_rows=200)
    higher = replace(baseline.optimization, peak_lr=2e-3)
    return Suite(
        name="gpt_pretrain",
        question=_QUESTION,
        arms=(
            *pretraining_arms(baseline, RAMP, num_layers=NUM_LAYERS),
            replace(baseline, arm="baseline_higher_peak", optimization=higher),
        ),
        seeds=(0, 1, 2, 3, 4),
        primary="bits_per_byte",
        progress=PROGRESS,
        higher_is_better=False,
        margin=0.02,
        margin_reason="less than half of what the saved layer tokens are worth: without them the "
        "baseline lost 0.0383, 0.0462 and 0.0425 bits per byte (gpt_pretrain_spread_2, seeds 110 "
        "to 112), 0.0423 on average; four standard deviations of random-LTD's paired differences "
        "there (+0.0223, +0.0323 and +0.0272)",
        caveats=(*CAVEATS, _ZERO_SHOT_CAVEAT, _PEAK_CAVEAT),
    )


def gpt_pretrain_gpu() -> Suite:
    """Pretrain a decoder of 28 M parameters on a hundred novels and WikiText-2.

    Cost: `./rltd plan gpt_pretrain --tier gpu`. Settings are the `cpu` tier's, but for the peak
    rate, which is lower as for larger models, and the authors' minimum of 0.005 of it; they were
    not piloted.
    """
    baseline = replace(
        BASELINE,
        tier="gpu",
        model="gpt2-28m",
        data="novels-and-wikitext-2",
        source="local",
        length=1024,
        batch=64,
        steps=800,
        kept=KeptLength(start=1024, full=1024, ramp_steps=0),
        optimization=replace(BASELINE.optimization, peak_lr=1e-3, warmup_steps=80, minimum=0.005),
        eval_windows=1024,
        curve_windows=64,
        curve_every=50,
        tasks=(*_TASKS, "wikitext"),
    )
    return Suite(
        name="gpt_pretrain",
        question=_QUESTION,
        arms=pretraining_arms(
            baseline, KeptLength(start=128, full=1024, ramp_steps=560), num_layers=12
        ),
        seeds=(0, 1, 2, 3, 4),
        primary="bits_per_byte",
        progress=PROGRESS,
        higher_is_better=False,
        margin=0.02,
        margin_reason="that of the `cpu` tier: no pilot was run at this size",
        caveats=(
            "Model: a GPT-2 of 28 M parameters (12 layers, 384 wide, 1,024 tokens) from scratch.",
            "Data: 52 M tokens, under three epochs of a hundred English novels and WikiText-2 raw, "
            "whole novels held out.",
            "Zero-shot: the ten of the paper's 19 tasks whose rows come in a package, and all of "
            "them; the bits of the right answer are what is compared.",
        ),
    )


def gpt_pretrain_smoke() -> Suite:
    """Run the path of `gpt_pretrain` in seconds, on nothing but files of this repository."""
    baseline = replace(
        BASELINE,
        tier="smoke",
        model="gpt2-toy",
        data="repository-prose",
        source="checkout",
        length=32,
        batch=4,
        steps=12,
        kept=KeptLength(start=32, full=32, ramp_steps=0),
        optimization=replace(BASELINE.optimization, peak_lr=3e-3, warmup_steps=2),
        precision="no",
        eval_windows=8,
        curve_windows=8,
        curve_every=4,
        tasks=("copa", "lambada_openai"),
        task_rows=4,
    )
    return Suite(
        name="gpt_pretrain",
        question=_QUESTION,
        arms=pretraining_arms(baseline, KeptLength(start=8, full=32, ramp_steps=8), num_layers=4),
        seeds=(0,),
        primary="bits_per_byte",
        progress=PROGRESS,
        higher_is_better=False,
        margin=0.01,
        margin_reason="the smoke tier shows that the path runs; its numbers mean nothing",
        caveats=("A toy model on the text of a licence: the numbers mean nothing.",),
    )


def pretraining_arms(
    baseline: Experiment, ramp: KeptLength, *, num_layers: int
) -> tuple[Experiment, ...]:
    """Return the six arms; each differs from the baseline in what its name says.

    random_ltd drops and has the LayerToken learning rate; random_ltd_step_lr drops under the
    baseline's; lr_control drops nothing under random_ltd's; shortened_baseline ends at random_ltd's
    layer tokens, fully decayed; random_ltd_equal_layer_tokens goes on to the baseline's.
    """
    plan = baseline.optimization
    on_layer_tokens = replace(plan, clock="layer_tokens")
    dropping = replace(baseline, arm="random_ltd", kept=ramp, optimization=on_layer_tokens)
    budget = layer_tokens(baseline, num_layers=num_layers)
    more = steps_within_layer_tokens(dropping, budget, num_layers=num_layers)
    short = shortened_steps(dropping, num_layers=num_layers)
    return (
        baseline,
        dropping,
        replace(dropping, arm="random_ltd_step_lr", optimization=plan),
        at_warmup_fraction(replace(baseline, arm="shortened_baseline"), steps=short),
        replace(baseline, arm="lr_control", optimization=replace(on_layer_tokens, clock_kept=ramp)),
        replace(dropping, arm="random_ltd_equal_layer_tokens", steps=more),
    )
