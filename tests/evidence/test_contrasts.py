"""The method taken apart: paired differences of arms, which add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd
import pytest

from eval.evidence.arms import ARMS
from eval.evidence.contrasts import (
    CONTRASTS,
    STEP_LR,
    contrast_sentence,
    contrast_table,
    has_contrasts,
)
from eval.evidence.intervals import interval
from eval.record import Record
from eval.spec import Suite
from tests.evidence.synthetic import make_experiment, make_failed, make_record, make_suite

BETTER = {
    "baseline": 0.0,
    "random_ltd": 0.030,
    "shortened_baseline": -0.050,
    "lr_control": 0.020,
    STEP_LR: -0.015,
    "random_ltd_equal_layer_tokens": 0.060,
    "baseline_higher_peak": 0.010,
    "random_ltd_higher_peak": 0.035,
    "random_ltd_padding_aware": 0.045,
    "random_ltd_cls": 0.025,
    "random_ltd_class_token": 0.028,
    "random_ltd_constant": 0.012,
    "patch_drop": -0.020,
    "baseline_dropout": -0.040,
    "random_ltd_dropout": -0.005,
    "no_pretraining": -0.200,
}
"""By how many bits per byte each arm is better than the baseline, by construction."""
COLUMN = "bits per byte [90 % interval]"
SEEDS = (0, 1, 2, 3, 4)


def evidence(seeds: Sequence[int] = SEEDS) -> tuple[Suite, list[Record]]:
    """Return the arms; what a seed shares is far larger than what tells the arms apart."""
    arms = tuple(make_experiment(arm) for arm in BETTER)
    suite = dataclasses.replace(make_suite(seeds=seeds), arms=arms)
    records = [
        make_record(arm, seed, 1.2 + 0.1 * seed - BETTER[arm.arm] + 0.001 * ((seed * i) % 3))
        for i, arm in enumerate(arms)
        for seed in seeds
    ]
    return suite, records


def of(records: Sequence[Record], arm: str) -> dict[int, float]:
    return {
        r.seed: r.measurements["bits_per_byte"].value for r in records if r.experiment.arm == arm
    }


def differences(records: Sequence[Record], arm: str, against: str) -> list[float]:
    """Return by seed how many bits the arm needs less than the other one."""
    ours, theirs = of(records, arm), of(records, against)
    return [theirs[seed] - ours[seed] for seed in ours if seed in theirs]


def test_each_row_is_a_paired_difference_of_two_arms() -> None:
    suite, records = evidence()
    table = contrast_table(suite, records)
    assert list(table.columns) == ["difference", "effect of", "n", COLUMN]
    assert len(table) == len(CONTRASTS) == 20
    for row, (arm, against, meaning) in zip(table.to_dict("records"), CONTRASTS, strict=True):
        assert row["difference"] == f"{ARMS[arm].label} - {ARMS[against].label}"
        assert row["effect of"] == meaning
        assert (row["n"], row[COLUMN]) == (5, str(interval(differences(records, arm, against))))


def test_what_is_better_by_construction_has_a_positive_sign() -> None:
    suite, records = evidence()
    cells = contrast_table(suite, records)[COLUMN]
    for cell, (arm, against, _) in zip(cells, CONTRASTS, strict=True):
        better = BETTER[arm] > BETTER[against]
        assert cell.startswith("+" if better else "-")
        low, high = cell.partition("[")[2].rstrip("]").split(", ")
        assert float(high) - float(low) < 0.005  # paired: the seeds alone spread over 0.4
        assert (float(low) > 0) == better
        assert (float(high) > 0) == better


def test_higher_is_better_turns_every_sign() -> None:
    suite, records = evidence()
    turned = contrast_table(dataclasses.replace(suite, higher_is_better=True), records)[COLUMN]
    signs = [cell[0] for cell in contrast_table(suite, records)[COLUMN]]
    assert [{"+": "-", "-": "+"}[cell[0]] for cell in turned] == signs


def test_the_two_ways_to_take_the_method_apart_add_up() -> None:
    suite, records = evidence()
    cells = contrast_table(suite, records)[COLUMN]
    means = {
        (arm, against): float(cell.split()[0])
        for cell, (arm, against, _) in zip(cells, CONTRASTS, strict=True)
    }
    whole = means["random_ltd", "baseline"]
    for part in (STEP_LR, "lr_control"):
        # Each cell is rounded to four digits.
        together = means[part, "baseline"] + means["random_ltd", part]
        assert together == pytest.approx(whole, abs=1.5e-4)


def test_only_seeds_of_both_arms_are_compared() -> None:
    suite, records = evidence()
    lost = [r for r in records if (r.experiment.arm, r.seed) != ("lr_control", 1)]
    table = contrast_table(suite, [*lost, make_failed(suite.arm("lr_control"), 1)])
    assert list(table["n"]) == [4 if "lr_control" in pair else 5 for *pair, _ in CONTRASTS]
    for cell, (arm, against, _) in zip(table[COLUMN], CONTRASTS, strict=True):
        assert cell == str(interval(differences(lost, arm, against)))


def test_the_sentence_says_what_the_rate_and_its_curve_change() -> None:
    suite, records = evidence()
    said = contrast_sentence(suite, records)
    assert said.startswith("Taken apart, in bits/byte: LayerToken LR in place of LR by steps")
    for arm, against in (
        ("random_ltd", STEP_LR),
        ("lr_control", "baseline"),
        (STEP_LR, "baseline"),
        ("random_ltd_padding_aware", "random_ltd"),
        ("random_ltd_cls", "random_ltd"),
        ("random_ltd_class_token", "random_ltd"),
        ("random_ltd", "random_ltd_constant"),
        ("random_ltd", "patch_drop"),
        ("random_ltd_dropout", "baseline_dropout"),
        ("baseline", "no_pretraining"),
    ):
        assert f": {interval(differences(records, arm, against))}" in said


def test_one_seed_has_no_interval() -> None:
    suite, records = evidence(seeds=(2,))
    cells = contrast_table(suite, records)[COLUMN]
    assert cells[0] == f"{differences(records, 'random_ltd', 'baseline')[0]:+.4f} (no interval)"
    assert all(cell.endswith(" (no interval)") for cell in cells)


def test_arms_without_a_run_have_no_row() -> None:
    suite, records = evidence()
    kept = [r for r in records if r.experiment.arm != "random_ltd_equal_layer_tokens"]
    assert has_contrasts(kept)
    assert len(contrast_table(suite, kept)) == 19


def test_the_three_arms_of_the_verdict_leave_nothing_to_take_apart() -> None:
    suite, records = evidence()
    verdict = ("baseline", "random_ltd", "shortened_baseline")
    three = [r for r in records if r.experiment.arm in verdict]
    assert not has_contrasts(three)
    assert not has_contrasts([*three, make_failed(suite.arm("random_ltd_cls"), 0)])
    for arm in BETTER.keys() - set(verdict):
        assert has_contrasts([*three, *(r for r in records if r.experiment.arm == arm)])


def test_the_table_does_not_depend_on_the_order_of_the_records() -> None:
    suite, records = evidence()
    pd.testing.assert_frame_equal(
        contrast_table(suite, records[::-1]), contrast_table(suite, records)
    )
