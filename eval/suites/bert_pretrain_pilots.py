"""What came before the evidence of `bert_pretrain` and of its encoders on GLUE.

On the validation split, or held-out rows, and other seeds.
"""

from __future__ import annotations

from dataclasses import replace

from eval.spec import Suite
from eval.suites.bert_pretrain import (
    BASELINE,
    CAVEATS,
    NUM_LAYERS,
    PROGRESS,
    RAMP,
    bert_pretrain_cpu,
    masked_arms,
)
from eval.suites.bert_transfer import CPU, transfer
from eval.suites.declared import Declared

__all__ = [
    "PILOT_SUITES",
    "bert_pretrain_pilot",
    "bert_pretrain_spread",
    "bert_transfer_pilot",
]

_PILOT_QUESTION = "Which learning rate serves the arms of bert_pretrain?"
_SPREAD_QUESTION = "What are the saved layer tokens of bert_pretrain worth?"
_TRANSFER_QUESTION = "Which learning rate serves the arms of bert_pretrain_sst2?"


def bert_pretrain_pilot() -> Suite:
    """Choose the peak learning rate, with the same budget for both arms.

    The fourth rate was added when the third was the best. Cost: 8 runs of about 5 minutes of one
    core.
    """
    arms = []
    found = replace(BASELINE, suite="bert_pretrain_pilot", eval_split="validation", keep=False)
    for peak_lr in (5e-4, 1e-3, 2e-3, 4e-3):
        baseline = replace(found, optimization=replace(found.optimization, peak_lr=peak_lr))
        arms += [
            replace(arm, arm=f"{arm.arm}_lr{peak_lr:g}")
            for arm in masked_arms(baseline, RAMP, num_layers=NUM_LAYERS)[:2]
        ]
    return Suite(
        name="bert_pretrain_pilot",
        question=_PILOT_QUESTION,
        arms=tuple(arms),
        seeds=(100,),
        primary="masked_nats",
        progress=PROGRESS,
        higher_is_better=False,
        caveats=CAVEATS,
    )


def bert_pretrain_spread() -> Suite:
    """Measure what the saved layer tokens are worth, at the settings of the pilot.

    Cost: 9 runs of about 5 minutes of one core.
    """
    found = replace(BASELINE, suite="bert_pretrain_spread", eval_split="validation", keep=False)
    return Suite(
        name="bert_pretrain_spread",
        question=_SPREAD_QUESTION,
        arms=masked_arms(found, RAMP, num_layers=NUM_LAYERS)[:3],
        seeds=(110, 111, 112),
        primary="masked_nats",
        progress=PROGRESS,
        higher_is_better=False,
        caveats=CAVEATS,
    )


def bert_transfer_pilot() -> Suite:
    """Choose the rate at which the encoders of `bert_pretrain` are finetuned, for its baseline.

    Cost: 3 runs of about 2 minutes of one core, after one of 5.
    """
    begun = transfer(replace(bert_pretrain_cpu(), seeds=(100,)), CPU[0])
    first = replace(begun.arms[0], suite="bert_pretrain_sst2_pilot", eval_split="held_out")
    arms = [
        replace(
            first,
            arm=f"baseline_lr{peak_lr:g}",
            optimization=replace(first.optimization, peak_lr=peak_lr),
        )
        for peak_lr in (2e-4, 5e-4, 1e-3)
    ]
    return replace(
        begun,
        name="bert_pretrain_sst2_pilot",
        question=_TRANSFER_QUESTION,
        arms=tuple(arms),
        margin=None,
    )


PILOT_SUITES = {
    "bert_pretrain_pilot": Declared(_PILOT_QUESTION, {"cpu": bert_pretrain_pilot}),
    "bert_pretrain_spread": Declared(_SPREAD_QUESTION, {"cpu": bert_pretrain_spread}),
    "bert_pretrain_sst2_pilot": Declared(_TRANSFER_QUESTION, {"cpu": bert_transfer_pilot}),
}
