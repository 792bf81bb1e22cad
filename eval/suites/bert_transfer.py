"""Ordinary GLUE finetuning of what each arm of `bert_pretrain` came to, as the paper does it."""

from __future__ import annotations

from dataclasses import replace

from eval.data.glue_tasks import glue_task
from eval.spec import Experiment, Optimization, Suite
from eval.suites.bert_pretrain import bert_pretrain_smoke
from eval.suites.declared import Declared
from rltd_core import KeptLength

__all__ = ["TRANSFER_SUITES", "transfer"]

_CAVEAT = (
    "Nothing is dropped here: the arms are those of bert_pretrain, and begin with its weights of "
    "the same seed. The arm without pretraining says what these are worth."
)


def transfer(
    pretraining: Suite,
    task: str,
    *,
    length: int,
    steps: int,
    optimization: Optimization,
    batch: int = 32,
    eval_every: int = 50,
) -> Suite:
    """Finetune every arm of a pretraining suite on a task, and the untrained encoder, too.

    Paper: section 5.2.
    """
    first = pretraining.arms[0]
    primary = glue_task(task).metrics[0]
    # A step at a rate of 0 leaves the weights that every arm's pretraining begins with.
    still = replace(first.optimization, peak_lr=0.0, warmup_steps=0)
    untrained = replace(first, arm="no_pretraining", steps=1, optimization=still)
    bare = Experiment(
        suite=f"bert_pretrain_{task}",
        arm="",
        tier=first.tier,
        revision=1,
        objective="labels",
        model=first.model,
        data=task,
        source=first.source,
        length=length,
        batch=batch,
        accumulation=1,
        steps=steps,
        kept=KeptLength(start=length, full=length, ramp_steps=0),
        optimization=optimization,
        precision=first.precision,
        eval_split=glue_task(task).validation[0],
        eval_windows=None,
        curve_windows=256,
        curve_every=eval_every,
        dropout=0.1,  # as BERT's, whatever the pretraining had
    )
    arms = (*pretraining.arms, untrained)
    return Suite(
        name=bare.suite,
        question=_question(task),
        arms=tuple(replace(bare, arm=arm.arm, pretrained=arm) for arm in arms),
        seeds=pretraining.seeds,
        primary=primary,
        progress=(f"start_{primary}", f"held_out_{primary}"),
        higher_is_better=True,
        margin=0.01,
        margin_reason="to be declared",
        caveats=(*pretraining.caveats, _CAVEAT),
    )


def _smoke() -> Suite:
    declared = transfer(
        bert_pretrain_smoke(),
        "sst2",
        length=16,
        steps=12,
        batch=4,
        eval_every=4,
        optimization=Optimization(peak_lr=3e-3, shape="linear", clock="steps", warmup_steps=2),
    )
    arms = tuple(replace(arm, curve_windows=8) for arm in declared.arms)
    reason = "the smoke tier shows that the path runs; its numbers mean nothing"
    return replace(declared, arms=arms, margin_reason=reason)


def _question(task: str) -> str:
    return f"Is an encoder pretrained with random-LTD worth as much on {task}?"


TRANSFER_SUITES = {"bert_pretrain_sst2": Declared(_question("sst2"), {"smoke": _smoke})}
