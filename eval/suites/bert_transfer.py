"""Ordinary GLUE finetuning of what each arm of `bert_pretrain` came to, as the paper does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from eval.data.glue_tasks import glue_task
from eval.spec import Suite, Tier
from eval.suites.bert_pretrain import bert_pretrain_cpu, bert_pretrain_smoke
from eval.suites.bert_pretrain_large import ONE_SEED, bert_pretrain_gpu, bert_pretrain_paper
from eval.suites.declared import Declared
from eval.suites.finetunings import PAPER, PAPER_SEEDS, TOY, Finetuning, one_run, toy_sized

__all__ = ["CPU", "TRANSFER_SUITES", "bert_transfer_smoke", "transfer"]

_CAVEAT = (
    "Nothing is dropped here: the arms are those of bert_pretrain, and begin with its weights "
    "({}). The arm without pretraining begins with the weights that pretraining begins "
    "with, and says what that is worth. All have BERT's dropout of 0.1 here."
)

_SAME_WEIGHTS = (
    "one run an arm, as published: the seeds are those of finetuning, and a verdict is about these "
    "weights. How much another pretraining would differ is not in its interval."
)


def transfer(
    pretraining: Suite, finetuning: Finetuning, *, pretrained_seed: int | None = None
) -> Suite:
    """Finetune every arm of a pretraining suite on a task, and the untrained encoder, too.

    Each seed begins with the weights of the same one, or all with those of `pretrained_seed`.

    Paper: section 5.2.
    """
    first, task = pretraining.arms[0], finetuning.task
    which = "the same seed" if pretrained_seed is None else f"seed {pretrained_seed} for all seeds"
    # A step at a rate of 0 leaves the weights that every arm's pretraining begins with.
    still = replace(first.optimization, peak_lr=0.0, warmup_steps=0)
    untrained = replace(first, arm="no_pretraining", steps=1, optimization=still)
    begun = replace(
        one_run(f"bert_pretrain_{task}", finetuning),
        model=first.model,
        dropout=0.1,  # as BERT's, whatever the pretraining had
    )
    arms = tuple(
        replace(begun, arm=arm.arm, pretrained=arm, pretrained_seed=pretrained_seed)
        for arm in (*pretraining.arms, untrained)
    )
    return Suite(
        name=begun.suite,
        question=_question(task),
        arms=arms,
        seeds=pretraining.seeds,
        primary=finetuning.primary,
        progress=finetuning.progress,
        higher_is_better=True,
        untrained=untrained.arm,
        margin=finetuning.margin,
        margin_reason=finetuning.margin_reason,
        caveats=(
            *(f"Pretraining: {note}" for note in pretraining.caveats),
            finetuning.training,
            *finetuning.protocol,
            *finetuning.rows,
            _CAVEAT.format(which),
        ),
    )


def bert_transfer_smoke() -> Suite:
    """Run the path of `bert_pretrain_sst2` in seconds."""
    return toy_sized(transfer(bert_pretrain_smoke(), TOY))


def _cpu(task: str, about: str) -> Finetuning:
    return Finetuning(
        task=task,
        length=80,  # holds nine of ten training rows whole, under the encoders' vocabulary
        steps=300,
        about=about,
        tier="cpu",
        source="package",
        peak_lr=5e-4,
    )


def _gpu(task: str, length: int, steps: int, about: str) -> Finetuning:
    return Finetuning(
        task=task,
        length=length,
        steps=steps,
        about=about,
        tier="gpu",
        source="local",
        peak_lr=1e-4,
    )


CPU = (
    _cpu("sst2", "9,600 examples, less than two epochs of the package's 6,943 snippets of reviews"),
    _cpu("snli", "9,600 of the package's 98,890 pairs"),
)
_GPU = (
    _gpu("sst2", 64, 6219, "3 epochs of 66,344 sentences and phrases"),
    _gpu("cola", 64, 720, "3 epochs of 7,679 sentences"),
    _gpu("mrpc", 128, 310, "3 epochs of 3,301 pairs"),
    _gpu("stsb", 128, 485, "3 epochs of 5,164 pairs"),
    _gpu("rte", 128, 211, "3 epochs of 2,241 pairs"),
)


def _question(task: str) -> str:
    return f"Is an encoder pretrained with random-LTD worth as much on {glue_task(task).title}?"


def _paper(finetuning: Finetuning) -> Suite:
    """Finetune on the published seeds what the one pretraining run of each arm came to."""
    pretraining = bert_pretrain_paper()
    (seed,) = pretraining.seeds
    notes = (*(note for note in pretraining.caveats if note != ONE_SEED), _SAME_WEIGHTS)
    several = replace(pretraining, seeds=PAPER_SEEDS, caveats=notes)
    return transfer(several, finetuning, pretrained_seed=seed)


def _declare() -> dict[str, Declared]:
    found: dict[str, dict[Tier, Callable[[], Suite]]] = {"sst2": {"smoke": bert_transfer_smoke}}
    for finetuning in CPU:
        tiers = found.setdefault(finetuning.task, {})
        tiers["cpu"] = lambda f=finetuning: transfer(bert_pretrain_cpu(), f)
    for finetuning in _GPU:
        tiers = found.setdefault(finetuning.task, {})
        tiers["gpu"] = lambda f=finetuning: transfer(bert_pretrain_gpu(), f)
    for finetuning in PAPER.values():
        found.setdefault(finetuning.task, {})["paper"] = partial(_paper, finetuning)
    return {f"bert_pretrain_{t}": Declared(_question(t), tiers) for t, tiers in found.items()}


TRANSFER_SUITES = _declare()
