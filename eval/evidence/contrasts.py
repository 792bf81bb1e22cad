"""Arms taken apart: what each part of the method changes, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eval.evidence.arms import difference_label
from eval.evidence.formatting import signed, words
from eval.evidence.grid import common
from eval.evidence.intervals import interval
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT, paired
from eval.record import Record
from eval.spec import Suite

__all__ = [
    "CLASS_TOKEN",
    "CLS",
    "CONSTANT",
    "CONTRASTS",
    "CONTROL",
    "PADDING",
    "STEP_LR",
    "UNTRAINED",
    "contrast_sentence",
    "contrast_table",
    "differences",
    "has_contrasts",
    "unit_of",
    "written",
]

STEP_LR, CONTROL = "random_ltd_step_lr", "lr_control"
EQUAL = "random_ltd_equal_layer_tokens"
FULL_HIGHER, HIGHER = "baseline_higher_peak", "random_ltd_higher_peak"
PADDING, CLS = "random_ltd_padding_aware", "random_ltd_cls"
FULL_DROPOUT, DROPOUT = "baseline_dropout", "random_ltd_dropout"
UNTRAINED = "no_pretraining"
CLASS_TOKEN, CONSTANT = "random_ltd_class_token", "random_ltd_constant"
PATCH_DROP = "patch_drop"

CONTRASTS = (
    (TREATMENT, BASELINE, "the method as a whole"),
    (STEP_LR, BASELINE, "dropping alone, under the baseline's learning rate"),
    (CONTROL, BASELINE, "the learning-rate curve alone: nothing is dropped"),
    (TREATMENT, STEP_LR, "what LayerToken LR changes while dropping"),
    (TREATMENT, CONTROL, "dropping alone, under LayerToken's learning rate"),
    (EQUAL, BASELINE, "random-LTD run on to the baseline's layer tokens"),
    (TREATMENT, FULL_HIGHER, "the method against a baseline with a higher peak rate"),
    (HIGHER, FULL_HIGHER, "the method, both with the higher peak rate"),
    (HIGHER, TREATMENT, "a higher peak rate, with random-LTD"),
    (PADDING, TREATMENT, "leaving padding out of the draw while real tokens last"),
    (PADDING, SHORTENED, "dropping padding first, in place of shorter training"),
    (CLS, TREATMENT, "never dropping [CLS]"),
    (CLASS_TOKEN, TREATMENT, "never dropping the class token"),
    (TREATMENT, CONSTANT, "a kept length that grows, in place of a constant one"),
    (TREATMENT, PATCH_DROP, "random-LTD in place of patch dropout"),
    (DROPOUT, FULL_DROPOUT, "the method, both with dropout"),
    (FULL_DROPOUT, BASELINE, "dropout, nothing dropped by random-LTD"),
    (DROPOUT, TREATMENT, "dropout, with random-LTD"),
    (BASELINE, UNTRAINED, "pretraining at all"),
    (TREATMENT, UNTRAINED, "pretraining with random-LTD at all"),
)
"""Arm, arm it is compared with, and what the difference is the effect of."""
_IN_SHORT = {
    (TREATMENT, STEP_LR): "LayerToken LR in place of LR by steps, while dropping",
    (CONTROL, BASELINE): "LayerToken's curve alone, nothing dropped",
    (STEP_LR, BASELINE): "dropping alone, with LR by steps",
    (TREATMENT, FULL_HIGHER): "the method against a baseline with a higher peak rate",
    (HIGHER, FULL_HIGHER): "the method, both with the higher peak rate",
    (PADDING, TREATMENT): "leaving padding out of the draw",
    (CLS, TREATMENT): "never dropping [CLS]",
    (CLASS_TOKEN, TREATMENT): "never dropping the class token",
    (TREATMENT, CONSTANT): "a kept length that grows, in place of a constant one",
    (TREATMENT, PATCH_DROP): "random-LTD in place of patch dropout",
    (DROPOUT, FULL_DROPOUT): "the method, both with dropout",
    (BASELINE, UNTRAINED): "pretraining at all",
    (TREATMENT, UNTRAINED): "pretraining with random-LTD at all",
}


def has_contrasts(records: Sequence[Record]) -> bool:
    """Whether there are runs that tell more than the verdict's three arms do."""
    arms = {r.experiment.arm for r in records if r.status == "ok"}
    told = {(TREATMENT, BASELINE)}
    return any({one, other} <= arms for one, other, _ in CONTRASTS if (one, other) not in told)


def contrast_table(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return the paired differences that take the method apart; positive is better."""
    rows = []
    for arm, against, meaning in CONTRASTS:
        if found := differences(suite, records, arm, against):
            rows.append(
                {
                    "difference": difference_label(arm, against),
                    "effect of": meaning,
                    "n": len(found),
                    f"{suite.primary.replace('_', ' ')} [90 % interval]": written(found),
                }
            )
    return pd.DataFrame(rows)


def contrast_sentence(suite: Suite, records: Sequence[Record]) -> str:
    """Say in a line what the parts of the method change, and how much the LR curve explains."""
    parts = [
        f"{words}: {written(found)}"
        for (arm, against), words in _IN_SHORT.items()
        if (found := differences(suite, records, arm, against))
    ]
    return f"Taken apart, in {unit_of(suite, records)}: {'; '.join(parts)}."


def differences(
    suite: Suite, records: Sequence[Record], arm: str, against: str
) -> dict[int, float]:
    """Return the oriented differences between two arms, on the seeds that finished in both."""
    both, better = common(records, arm, against), suite.higher_is_better
    return paired(both, arm, against, measurement=suite.primary, higher_is_better=better)


def unit_of(suite: Suite, records: Sequence[Record]) -> str:
    """Return the unit of the primary measurement, or its name where it has none."""
    unit = next(r.measurements[suite.primary].unit for r in records if r.status == "ok")
    return words(suite.primary) if unit == "fraction" else unit


def written(found: dict[int, float]) -> str:
    """Return mean and interval, or the one difference there is."""
    values = list(found.values())
    return str(interval(values)) if len(values) > 1 else f"{signed(values[0])} (no interval)"
