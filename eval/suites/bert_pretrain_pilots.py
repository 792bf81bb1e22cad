"""What came before the evidence of `bert_pretrain` and of its encoders on GLUE.

On the validation split, or held-out rows, and other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.spec import Experiment, Suite
from eval.suites.bert_pretrain import (
    BASELINE,
    CAVEATS,
    NUM_LAYERS,
    PACKED,
    PROGRESS,
    RAMP,
    bert_pretrain_cpu,
    masked_arms,
)
from eval.suites.bert_transfer import CPU, transfer
from eval.suites.declared import Declared
from rltd_core import KeptLength

__all__ = [
    "PILOT_SUITES",
    "bert_pretrain_pilot",
    "bert_pretrain_pilot_2",
    "bert_pretrain_pilot_3",
    "bert_pretrain_spread",
    "bert_pretrain_spread_3",
    "bert_transfer_pilot",
]

_PILOT_QUESTION = "Which learning rate serves the arms of bert_pretrain?"
_SPREAD_QUESTION = "What are the saved layer tokens of bert_pretrain worth?"
_TRANSFER_QUESTION = "Which learning rate serves the arms of bert_pretrain_sst2?"
_THIRD = replace(BASELINE, eval_split="validation", keep=False)
_SECOND = replace(
    _THIRD,
    revision=2,
    steps=1000,
    optimization=replace(BASELINE.optimization, peak_lr=2e-3, warmup_steps=200),
    curve_every=50,
)
"""The settings of revision 2."""
_FIRST = replace(
    _SECOND,
    revision=1,
    model="bert-2m",
    optimization=replace(BASELINE.optimization, peak_lr=2e-3, warmup_steps=100),
    precision="bf16",
)
"""The settings of revision 1."""
_EARLIER_RAMP = replace(RAMP, ramp_steps=700)
_FIRST_CAVEATS = (
    "Model: a BERT of 1.75 M parameters (6 layers, 128 wide, 128 tokens) from scratch.",
    "Data: 2 M tokens of WikiText-2 raw, under a byte-level BPE of 4,096 tokens trained on it.",
    PACKED,
)
_SECOND_CAVEATS = (
    "Model: a BERT of 1.35 M parameters (6 layers, 128 wide, 128 tokens) from scratch.",
    "Data: 2 M tokens of WikiText-2 raw, under a byte-level BPE of 1,024 tokens trained on it.",
    PACKED,
)


def bert_pretrain_pilot() -> Suite:
    """Choose the peak learning rate of revision 1, with the same budget for both arms.

    The fourth rate was added when the third was the best. Cost: 8 runs of about 5 minutes of one
    core.
    """
    baseline = replace(_FIRST, suite="bert_pretrain_pilot")
    return _pilot(baseline, _EARLIER_RAMP, (5e-4, 1e-3, 2e-3, 4e-3), _FIRST_CAVEATS)


def bert_pretrain_pilot_2() -> Suite:
    """Choose the peak learning rate of revision 2, with a smaller vocabulary and a longer warmup.

    Cost: 6 runs of about 5 minutes of one core.
    """
    baseline = replace(_SECOND, suite="bert_pretrain_pilot_2")
    return _pilot(baseline, _EARLIER_RAMP, (1e-3, 2e-3, 4e-3), _SECOND_CAVEATS)


def bert_pretrain_pilot_3() -> Suite:
    """Choose the peak learning rate of revision 3, whose runs are shorter.

    The fourth rate was added when the third was the best. Cost: 8 runs of about 2 minutes of one
    core.
    """
    baseline = replace(_THIRD, suite="bert_pretrain_pilot_3")
    return _pilot(baseline, RAMP, (1e-3, 1.4e-3, 2e-3, 2.8e-3), CAVEATS)


def bert_pretrain_spread() -> Suite:
    """Measure what the saved layer tokens are worth, at the settings of revision 1.

    Cost: 9 runs of about 5 minutes of one core.
    """
    baseline = replace(_FIRST, suite="bert_pretrain_spread")
    return _spread(baseline, _EARLIER_RAMP, (110, 111, 112), _FIRST_CAVEATS)


def bert_pretrain_spread_3() -> Suite:
    """Measure what the saved layer tokens are worth, at the settings of revision 3.

    Cost: 9 runs of about 2 minutes of one core.
    """
    baseline = replace(_THIRD, suite="bert_pretrain_spread_3")
    return _spread(baseline, RAMP, (130, 131, 132), CAVEATS)


def _pilot(
    found: Experiment, ramp: KeptLength, rates: Sequence[float], caveats: tuple[str, ...]
) -> Suite:
    arms = []
    for peak_lr in rates:
        baseline = replace(found, optimization=replace(found.optimization, peak_lr=peak_lr))
        arms += [
            replace(arm, arm=f"{arm.arm}_lr{peak_lr:g}")
            for arm in masked_arms(baseline, ramp, num_layers=NUM_LAYERS)[:2]
        ]
    return _before(found.suite, _PILOT_QUESTION, tuple(arms), (100,), caveats)


def _spread(
    found: Experiment, ramp: KeptLength, seeds: tuple[int, ...], caveats: tuple[str, ...]
) -> Suite:
    arms = masked_arms(found, ramp, num_layers=NUM_LAYERS)[:3]
    return _before(found.suite, _SPREAD_QUESTION, arms, seeds, caveats)


def _before(
    name: str,
    question: str,
    arms: tuple[Experiment, ...],
    seeds: tuple[int, ...],
    caveats: tuple[str, ...],
) -> Suite:
    return Suite(
        name=name,
        question=question,
        arms=arms,
        seeds=seeds,
        primary="masked_nats",
        progress=PROGRESS,
        higher_is_better=False,
        caveats=caveats,
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
    "bert_pretrain_pilot_2": Declared(_PILOT_QUESTION, {"cpu": bert_pretrain_pilot_2}),
    "bert_pretrain_pilot_3": Declared(_PILOT_QUESTION, {"cpu": bert_pretrain_pilot_3}),
    "bert_pretrain_spread_3": Declared(_SPREAD_QUESTION, {"cpu": bert_pretrain_spread_3}),
    "bert_pretrain_sst2_pilot": Declared(_TRANSFER_QUESTION, {"cpu": bert_transfer_pilot}),
}
