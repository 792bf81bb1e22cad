"""Masked pretraining of an encoder from scratch with random-LTD and the LayerToken learning rate.

What the pretrained encoders are worth on GLUE is asked by `bert_transfer`.
"""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import at_warmup_fraction, authors_warmup_steps, shortened_steps
from eval.suites.declared import Declared
from rltd_core import KeptLength

__all__ = [
    "PRETRAIN_SUITES",
    "bert_pretrain_gpu",
    "bert_pretrain_paper",
    "bert_pretrain_pilot",
    "bert_pretrain_smoke",
    "bert_pretrain_spread",
    "masked_arms",
]

_QUESTION = "Does masked pretraining with random-LTD reach the baseline's loss?"
_PROGRESS = ("start_masked_nats", "validation_masked_nats")
_PILOT_QUESTION = "Which learning rate serves the arms of bert_pretrain?"
_SPREAD_QUESTION = "What are the saved layer tokens of bert_pretrain worth?"
_PACKED = (
    "Texts are packed into windows between [CLS] and [SEP]; 15 % of the tokens are masked anew "
    "each time they are read. The paper's data has pairs of segments, too, and a second objective "
    "on them."
)
_CAVEATS = (
    "Model: a BERT of 1.75 M parameters (6 layers, 128 wide, 128 tokens) from scratch; the paper's "
    "is BERT-large.",
    "Data: 2 M tokens of WikiText-2 raw, under a byte-level BPE of 4,096 tokens trained on it, "
    "less than one epoch; the paper trains on about a trillion tokens of the Pile.",
    _PACKED,
)
_NUM_LAYERS = 6
# As gpt_pretrain: over 0.7 of the run from a quarter of the length, which is the paper's.
_RAMP = KeptLength(start=32, full=128, ramp_steps=700)

_BASELINE = Experiment(
    suite="bert_pretrain",
    arm="baseline",
    tier="cpu",
    revision=1,
    objective="masked",
    model="bert-2m",
    data="wikitext-2-raw",
    source="package",
    length=128,
    batch=16,
    accumulation=1,
    steps=1000,
    kept=KeptLength(start=128, full=128, ramp_steps=0),
    # Paper: section 5.2 for the optimizer; the peak is of a model this small.
    optimization=Optimization(
        peak_lr=1e-3, shape="linear", clock="steps", warmup_steps=100, weight_decay=0.01
    ),
    precision="bf16",
    eval_split="test",
    eval_windows=1024,
    curve_windows=64,
    curve_every=50,
    keep=True,
)


def masked_arms(
    baseline: Experiment, ramp: KeptLength, *, num_layers: int
) -> tuple[Experiment, ...]:
    """Return the arms; each differs from the baseline in what its name says.

    random_ltd drops and has the LayerToken learning rate; lr_control drops nothing under
    random_ltd's; shortened_baseline ends at random_ltd's layer tokens, fully decayed. The last two
    have dropout, which the authors left out of some of their runs with random-LTD.
    """
    on_layer_tokens = replace(baseline.optimization, clock="layer_tokens")
    dropping = replace(baseline, arm="random_ltd", kept=ramp, optimization=on_layer_tokens)
    short = shortened_steps(dropping, num_layers=num_layers)
    control = on_layer_tokens
    if on_layer_tokens.authors_form:
        warmup = authors_warmup_steps(dropping, num_layers=num_layers)
        control = replace(control, authors_form=False, warmup_steps=warmup)
    control = replace(control, clock_kept=ramp)
    return (
        baseline,
        dropping,
        at_warmup_fraction(replace(baseline, arm="shortened_baseline"), steps=short),
        replace(baseline, arm="lr_control", optimization=control),
        replace(baseline, arm="baseline_dropout", dropout=0.1),
        replace(dropping, arm="random_ltd_dropout", dropout=0.1),
    )


def bert_pretrain_pilot() -> Suite:
    """Choose the peak learning rate, with the same budget for both arms.

    The fourth rate was added when the third was the best. Cost: 8 runs of about 5 minutes of one
    core.
    """
    arms = []
    found = replace(_BASELINE, suite="bert_pretrain_pilot", eval_split="validation", keep=False)
    for peak_lr in (5e-4, 1e-3, 2e-3, 4e-3):
        baseline = replace(found, optimization=replace(found.optimization, peak_lr=peak_lr))
        arms += [
            replace(arm, arm=f"{arm.arm}_lr{peak_lr:g}")
            for arm in masked_arms(baseline, _RAMP, num_layers=_NUM_LAYERS)[:2]
        ]
    return Suite(
        name="bert_pretrain_pilot",
        question=_PILOT_QUESTION,
        arms=tuple(arms),
        seeds=(100,),
        primary="masked_nats",
        progress=_PROGRESS,
        higher_is_better=False,
        caveats=_CAVEATS,
    )


def bert_pretrain_spread() -> Suite:
    """Measure what the saved layer tokens are worth, at the settings of the pilot.

    Cost: 9 runs of about 5 minutes of one core.
    """
    found = replace(_BASELINE, suite="bert_pretrain_spread", eval_split="validation", keep=False)
    return Suite(
        name="bert_pretrain_spread",
        question=_SPREAD_QUESTION,
        arms=masked_arms(found, _RAMP, num_layers=_NUM_LAYERS)[:3],
        seeds=(110, 111, 112),
        primary="masked_nats",
        progress=_PROGRESS,
        higher_is_better=False,
        caveats=_CAVEATS,
    )


def bert_pretrain_gpu() -> Suite:
    """Pretrain an encoder of 29 M parameters on a hundred novels and WikiText-2.

    Cost: `./rltd plan bert_pretrain --tier gpu`. Its settings were not piloted.
    """
    baseline = replace(
        _BASELINE,
        tier="gpu",
        model="bert-29m",
        data="novels-and-wikitext-2",
        source="local",
        length=512,
        batch=64,
        steps=4000,
        kept=KeptLength(start=512, full=512, ramp_steps=0),
        optimization=replace(_BASELINE.optimization, peak_lr=5e-4, warmup_steps=400),
        curve_windows=128,
        curve_every=200,
    )
    ramp = KeptLength(start=128, full=512, ramp_steps=2800)
    return Suite(
        name="bert_pretrain",
        question=_QUESTION,
        arms=masked_arms(baseline, ramp, num_layers=12),
        seeds=(0, 1, 2, 3, 4),
        primary="masked_nats",
        progress=_PROGRESS,
        higher_is_better=False,
        margin=0.02,
        margin_reason="no pilot was run at this size",
        caveats=(
            "Model: a BERT of 29 M parameters (12 layers, 384 wide, 512 tokens) from scratch.",
            "Data: a hundred English novels and WikiText-2 raw, whole novels held out.",
            _PACKED,
        ),
    )


def bert_pretrain_paper() -> Suite:
    """Pretrain BERT-large on the Pile at the published settings.

    Paper: section 5.2; 1,049 B tokens, 31.1 % of the layer tokens saved.
    Cost: `./rltd plan bert_pretrain --tier paper`.
    """
    baseline = replace(
        _BASELINE,
        tier="paper",
        model="bert-large",
        data="pile",
        source="hub",
        length=512,
        batch=1024,
        accumulation=4,
        steps=2_000_000,
        kept=KeptLength(start=512, full=512, ramp_steps=0),
        optimization=Optimization(
            peak_lr=1e-4,
            shape="linear",
            clock="layer_tokens",  # with nothing dropped these are the authors' token counts
            warmup_steps=10_000,
            minimum=0.1,
            weight_decay=0.01,
            authors_form=True,
        ),
        curve_windows=128,
        curve_every=2000,
        checkpointing=True,
    )
    # Paper: section 4.1.
    ramp = KeptLength.from_interval(start=128, full=512, interval_tokens=38e9)
    return Suite(
        name="bert_pretrain",
        question=_QUESTION,
        arms=masked_arms(baseline, ramp, num_layers=24),
        seeds=(0,),
        primary="masked_nats",
        progress=_PROGRESS,
        higher_is_better=False,
        margin=0.02,
        margin_reason="no loss of these runs was published to take an effect size from",
        caveats=(
            "Precision: bfloat16 autocast on float32 weights; the authors trained in float16.",
            "Data: the Pile without the parts that were taken down since.",
            "Random-LTD and the baseline decay as the authors' scripts do, to the end of the run "
            "less one warmup; lr_control decays to the end of the run and warms up for as many "
            "steps as random-LTD does.",
            _PACKED,
            "One seed, as published: no verdict by the rule of the other tiers.",
        ),
    )


def bert_pretrain_smoke() -> Suite:
    """Run the path of `bert_pretrain` in seconds, on nothing but files of this repository."""
    baseline = replace(
        _BASELINE,
        tier="smoke",
        model="bert-toy",
        data="repository-prose",
        source="checkout",
        length=32,
        batch=4,
        steps=12,
        kept=KeptLength(start=32, full=32, ramp_steps=0),
        optimization=replace(_BASELINE.optimization, peak_lr=3e-3, warmup_steps=2),
        precision="no",
        eval_windows=8,
        curve_windows=8,
        curve_every=4,
    )
    return Suite(
        name="bert_pretrain",
        question=_QUESTION,
        arms=masked_arms(baseline, KeptLength(start=8, full=32, ramp_steps=8), num_layers=4),
        seeds=(0,),
        primary="masked_nats",
        progress=_PROGRESS,
        higher_is_better=False,
        margin=0.01,
        margin_reason="the smoke tier shows that the path runs; its numbers mean nothing",
        caveats=("An untrained toy model on the text of a licence: the numbers mean nothing.",),
    )


PRETRAIN_SUITES = {
    "bert_pretrain": Declared(
        _QUESTION,
        {"smoke": bert_pretrain_smoke, "gpu": bert_pretrain_gpu, "paper": bert_pretrain_paper},
    ),
    "bert_pretrain_pilot": Declared(_PILOT_QUESTION, {"cpu": bert_pretrain_pilot}),
    "bert_pretrain_spread": Declared(_SPREAD_QUESTION, {"cpu": bert_pretrain_spread}),
}
