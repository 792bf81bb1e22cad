"""Sentences about a suite's runs: how large they are, how long they took, what they can tell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from eval.data.glue_tasks import glue_task
from eval.evidence.arms import arm_looks
from eval.evidence.formatting import number, percent
from eval.evidence.grid import saves_itself
from eval.evidence.power import power, seeds_needed
from eval.evidence.stats import BASELINE, TREATMENT, judge
from eval.record import Record
from eval.spec import Suite

__all__ = ["loss_name", "power_sentence", "size_sentence", "time_sentence"]

_SHAPES = {
    "constant": "constant",
    "linear": "linear decay",
    "cosine": "cosine decay",
    "thirds": "a tenth of it after each third",
}
_MEASURED_ON = {
    "language": "windows",
    "masked": "windows",
    "labels": "rows",
    "images": "images",
}


def size_sentence(suite: Suite) -> str:
    """Say how large the runs are, from the baseline's and random-LTD's specifications.

    A pilot, which has no margin, tries several rates: all are named.
    """
    e = suite.arms[0]
    pilot = suite.margin is None
    tried = suite.arms if pilot else suite.arms[:1]
    rates = " or ".join(f"{lr:g}" for lr in sorted({a.optimization.peak_lr for a in tried}))
    ramped = [a.kept for a in suite.arms if a.kept.ramp and (pilot or a.arm == TREATMENT)]
    ramps = sorted(set(ramped), key=lambda k: (k.ramp, k.start))
    kept = " or ".join(f"{k.start} to {k.full} over {k.ramp} {k.unit}" for k in ramps)
    dropped = f"; random-LTD keeps {kept}" if kept else ""
    padded = ", padding included" if e.objective == "labels" else ""
    precision = {"no": "float32", "bf16": "bfloat16 autocast on float32 weights"}[e.precision]
    return (
        f"Size: {e.steps} steps of {e.batch} x {e.length} tokens{padded}, {precision}, "
        f"learning rate {rates} after {e.optimization.warmup_steps} warmup "
        f"steps, then {_SHAPES[e.optimization.shape]}{dropped}; measured on "
        f"{e.eval_windows or 'all'} {_MEASURED_ON[e.objective]} of the {e.eval_split} split."
    )


def loss_name(suite: Suite) -> str:
    """Name the loss of the suite's curves, with its unit."""
    e = suite.arms[0]
    if e.objective == "labels":
        squared = glue_task(e.data).classes == 1
        return "held-out squared error" if squared else "held-out cross-entropy (nats)"
    if e.objective == "images":
        return "held-out cross-entropy (nats)"
    if e.objective == "masked":
        return "validation loss\n(nats per masked token)"  # in two lines, or it does not fit
    return "validation loss (nats per token)"


def time_sentence(tier: str, records: Sequence[Record]) -> str:
    """Say how long the arms trained, in CPU time, which counts what runs side by side apart.

    Nothing of runs that differ in what they begin with alone.
    """
    if not saves_itself(records):
        return ""
    seconds: dict[str, dict[int, float]] = {}
    for record in records:
        if record.cost is not None:
            seconds.setdefault(record.experiment.arm, {})[record.seed] = record.cost.train_cpu_s
    full = seconds.pop(BASELINE, {})
    ratios = {
        arm: [seeds[seed] / full[seed] for seed in seeds if seed in full]
        for arm, seeds in seconds.items()
    }
    saved = [
        f"{look.label} {percent(1 - median(ratios[arm]))}"
        for arm, look in arm_looks(seconds).items()
        if ratios[arm]
    ]
    if not saved:
        return ""
    return (
        f"CPU time of training saved against the baseline at tier {tier} (paired by "
        f"seed, medians; runs shared the machine, so descriptive only): {', '.join(saved)}.\n"
    )


def power_sentence(suite: Suite, records: Sequence[Record]) -> str:
    """Say how often as many seeds find non-inferiority where nothing is lost, and how many would.

    Nothing without a margin, or where the differences between the seeds do not tell.
    """
    found = judge(suite, records).quality_interval if suite.margin is not None else None
    if suite.margin is None or found is None or found.sd == 0:
        return ""
    often = 100 * power(found.n, suite.margin, found.sd, found.confidence)
    often = f"{often:.0f}" if often < 99.5 else "more than 99"
    needed = seeds_needed(suite.margin, found.sd, confidence=found.confidence)
    more = f"; for 90 of 100, about {needed:,} seeds are needed" if needed > found.n else ""
    return (
        f"Power: if the differences to the baseline spread as they do here (standard deviation "
        f"{number(found.sd)}), {found.n} seeds find a true difference of zero non-inferior at the "
        f"margin of {suite.margin:g} in {often} of 100 experiments{more}. "
        f"The standard deviation is itself an estimate from {found.n} seeds, and a rough one.\n"
    )
