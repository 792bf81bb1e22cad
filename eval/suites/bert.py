"""BERT suites: finetuning a pretrained encoder on GLUE tasks with random-LTD."""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import three_arms
from rltd_core import KeptLength

__all__ = ["GLUE_QUESTION", "PRETRAIN_QUESTION", "bert_glue_smoke", "bert_pretrain_smoke"]

GLUE_QUESTION = "Does finetuning on {} with random-LTD reach the baseline's score?"
PRETRAIN_QUESTION = "Does masked pretraining with random-LTD reach the baseline's loss?"

_BASELINE = Experiment(
    suite="bert_glue_sst2",
    arm="baseline",
    tier="cpu",
    revision=1,
    objective="labels",
    model="minilm-l6",
    data="sst2",
    source="package",
    length=64,
    batch=32,
    accumulation=1,
    steps=240,
    kept=KeptLength(start=64, full=64, ramp_steps=0),
    optimization=Optimization(peak_lr=1e-4, shape="linear", clock="steps", warmup_steps=24),
    precision="bf16",
    eval_split="validation",
    eval_windows=None,
    curve_windows=512,
    curve_every=40,
)


def bert_glue_smoke() -> Suite:
    """Run the path of `bert_glue_sst2` in seconds, on hand-written sentences."""
    baseline = replace(
        _BASELINE,
        tier="smoke",
        model="tiny-bert",
        source="checkout",
        length=16,
        batch=4,
        steps=12,
        kept=KeptLength(start=16, full=16, ramp_steps=0),
        optimization=replace(_BASELINE.optimization, peak_lr=3e-3, warmup_steps=2),
        precision="no",
        curve_windows=8,
        curve_every=4,
    )
    arms = three_arms(baseline, KeptLength(start=4, full=16, ramp_steps=8), num_layers=5)
    return Suite(
        name="bert_glue_sst2",
        question=GLUE_QUESTION.format("SST-2"),
        arms=arms,
        seeds=(0,),
        primary="accuracy",
        progress=("start_accuracy", "held_out_accuracy"),
        higher_is_better=True,
        margin=0.01,
        margin_reason="the smoke tier shows that the path runs; its numbers mean nothing",
        caveats=("An untrained toy model on hand-written sentences: the numbers mean nothing.",),
    )


def bert_pretrain_smoke() -> Suite:
    """Run the path of `bert_pretrain` in seconds, on nothing but files of this repository."""
    baseline = Experiment(
        suite="bert_pretrain",
        arm="baseline",
        tier="smoke",
        revision=1,
        objective="masked",
        model="bert-toy",
        data="repository-prose",
        source="checkout",
        length=32,
        batch=4,
        accumulation=1,
        steps=12,
        kept=KeptLength(start=32, full=32, ramp_steps=0),
        optimization=Optimization(peak_lr=3e-3, shape="linear", clock="steps", warmup_steps=2),
        precision="no",
        eval_split="test",
        eval_windows=8,
        curve_windows=8,
        curve_every=4,
    )
    arms = three_arms(baseline, KeptLength(start=8, full=32, ramp_steps=8), num_layers=4)
    return Suite(
        name="bert_pretrain",
        question=PRETRAIN_QUESTION,
        arms=arms,
        seeds=(0,),
        primary="masked_nats",
        progress=("start_masked_nats", "validation_masked_nats"),
        higher_is_better=False,
        margin=0.01,
        margin_reason="the smoke tier shows that the path runs; its numbers mean nothing",
        caveats=("An untrained toy model on the text of a licence: the numbers mean nothing.",),
    )
