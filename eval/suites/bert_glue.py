"""Finetuning a pretrained encoder on GLUE tasks with random-LTD: one suite a task.

The pilots chose each task's learning rate, for the baseline, and the ramp of all on SST-2, with
seeds and rows that the evidence does not use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from eval.data.glue_tasks import glue_task
from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import at_warmup_fraction, shortened_steps
from rltd_core import KeptLength

__all__ = [
    "FINETUNINGS",
    "Finetuning",
    "bert_glue_pilot",
]

_RAMP, _START = 0.5, 0.25
"""The ramp as a fraction of the run, its first kept length as one of the full length."""
_NUM_LAYERS = 6
_PILOT_LRS = (5e-5, 1e-4, 2e-4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finetuning:
    """How one task is learned at the `cpu` tier: batches of 32, as the paper's."""

    task: str
    source: Literal["package", "local"]
    length: int
    """The least multiple of 8 that holds 99 % of the training rows, at most the paper's 128."""
    steps: int
    steps_are: str
    peak_lr: float = 1e-4
    margin: float = 0.01
    padding: bool = False
    """With the arms that treat padding and [CLS] otherwise."""


# Paper: section 5.2 for 3 epochs of batches of 32 and the maximum of 128 tokens.
FINETUNINGS: dict[str, Finetuning] = {
    "sst2": Finetuning(
        task="sst2",
        source="package",
        length=56,
        steps=633,
        steps_are="3 epochs of the package's 6,749 sentences",
        padding=True,
    ),
    "snli": Finetuning(
        task="snli",
        source="package",
        length=56,
        steps=400,
        steps_are="12,800 of the package's 98,890 pairs",
        padding=True,
    ),
    "cola": Finetuning(
        task="cola", source="local", length=32, steps=720, steps_are="3 epochs of 7,679 sentences"
    ),
    "mrpc": Finetuning(
        task="mrpc", source="local", length=88, steps=310, steps_are="3 epochs of 3,302 pairs"
    ),
    "stsb": Finetuning(
        task="stsb", source="local", length=80, steps=485, steps_are="3 epochs of 5,169 pairs"
    ),
    "rte": Finetuning(
        task="rte", source="local", length=128, steps=211, steps_are="3 epochs of 2,241 pairs"
    ),
    "sst2_full": Finetuning(
        task="sst2",
        source="local",
        length=56,
        steps=2074,
        steps_are="1 epoch of 66,344 sentences and phrases",
    ),
}


def bert_glue_pilot(name: str) -> Suite:
    """Choose the baseline's learning rate for a task, on held-out training rows.

    On SST-2 the ramp, too, and what the saved layer tokens are worth.
    """
    finetuning = FINETUNINGS[name]
    found = replace(_baseline(name, finetuning), suite=f"bert_glue_{name}_pilot")
    found = replace(found, eval_split="held_out")
    arms = [_at_lr(found, peak_lr) for peak_lr in _PILOT_LRS]
    if name == "sst2":
        ramps = [(0.3, 1e-4), (0.5, 1e-4), (0.7, 1e-4), (0.5, 5e-5), (0.5, 2e-4)]
        dropping = [_dropping(found, fraction) for fraction, _ in ramps]
        arms += [_at_lr(arm, peak_lr) for arm, (_, peak_lr) in zip(dropping, ramps)]
        arms.append(_at_lr(_shortened(found, dropping[1]), 1e-4))
    return Suite(
        name=f"bert_glue_{name}_pilot",
        question=f"Which settings serve the arms of bert_glue_{name}?",
        arms=tuple(arms),
        seeds=(100,),
        primary=_primary(finetuning),
        progress=_progress(finetuning),
        higher_is_better=True,
        caveats=_caveats(finetuning),
    )


def _baseline(name: str, finetuning: Finetuning) -> Experiment:
    steps, length = finetuning.steps, finetuning.length
    return Experiment(
        suite=f"bert_glue_{name}",
        arm="baseline",
        tier="cpu",
        revision=1,
        objective="labels",
        model="minilm-l6",
        model_source="package",
        data=finetuning.task,
        source=finetuning.source,
        length=length,
        batch=32,
        accumulation=1,
        steps=steps,
        kept=KeptLength(start=length, full=length, ramp_steps=0),
        optimization=Optimization(
            peak_lr=finetuning.peak_lr,
            shape="linear",
            clock="steps",
            warmup_steps=round(0.1 * steps),
            weight_decay=0.1,
        ),
        precision="bf16",
        eval_split=glue_task(finetuning.task).validation[0],
        eval_windows=None,
        curve_windows=256,
        curve_every=max(1, steps // 12),
    )


def _at_lr(arm: Experiment, peak_lr: float) -> Experiment:
    optimization = replace(arm.optimization, peak_lr=peak_lr)
    return replace(arm, arm=f"{arm.arm}_lr{peak_lr:g}", optimization=optimization)


def _dropping(baseline: Experiment, fraction: float) -> Experiment:
    ramp = KeptLength(
        start=round(_START * baseline.length),
        full=baseline.length,
        ramp_steps=round(fraction * baseline.steps),
    )
    arm = "random_ltd" if fraction == _RAMP else f"random_ltd_ramp{fraction:g}"
    return replace(baseline, arm=arm, kept=ramp)


def _shortened(baseline: Experiment, dropping: Experiment) -> Experiment:
    steps = shortened_steps(dropping, num_layers=_NUM_LAYERS)
    return at_warmup_fraction(replace(baseline, arm="shortened_baseline"), steps=steps)


def _primary(finetuning: Finetuning) -> str:
    return glue_task(finetuning.task).metrics[0]


def _progress(finetuning: Finetuning) -> tuple[str, str]:
    primary = _primary(finetuning)
    return f"start_{primary}", f"held_out_{primary}"


def _caveats(finetuning: Finetuning) -> tuple[str, ...]:
    return (
        "Model: MiniLM-L6 (6 layers, 384 wide, 22.7 M parameters), here the sentence-embedding "
        "finetune all-MiniLM-L6-v2; the paper finetunes BERT-large.",
        f"Training: {finetuning.steps_are}, batches of 32.",
    )
