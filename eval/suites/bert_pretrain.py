"""Masked pretraining of an encoder with random-LTD, and GLUE finetuning of what comes out."""

from __future__ import annotations

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import three_arms
from rltd_core import KeptLength

__all__ = ["PRETRAIN_QUESTION", "bert_pretrain_smoke"]

PRETRAIN_QUESTION = "Does masked pretraining with random-LTD reach the baseline's loss?"


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
