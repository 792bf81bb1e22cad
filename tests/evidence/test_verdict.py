"""The rule that judges: every branch, its arithmetic, and its behaviour over many experiments."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from eval.errors import UserError
from eval.evidence.grid import finished, require_paired
from eval.evidence.intervals import interval, non_inferiority
from eval.evidence.stats import judge, outcome, paired
from tests.evidence.synthetic import (
    make_experiment,
    make_failed,
    make_record,
    make_records,
    make_suite,
    with_value,
)

TRIALS = 5_000


@pytest.mark.parametrize(
    ("n", "complete", "learned", "quality", "beats_shortened", "expected"),
    [
        (5, True, True, "non-inferior", True, "supported in direction"),
        (5, True, True, "non-inferior", False, "explained by shorter training"),
        (5, True, True, "inferior", True, "not supported"),
        (5, True, True, "inferior", False, "not supported"),
        (5, True, True, "undecided", True, "undecided"),
        (5, True, False, "non-inferior", True, "undecided"),
        (5, True, False, "inferior", True, "undecided"),
        (5, False, True, "non-inferior", True, "undecided"),
        (4, True, True, "non-inferior", True, "no evidence"),
        (1, True, True, None, False, "no evidence"),
        (0, False, False, None, False, "no evidence"),
    ],
)
def test_the_claim_is_supported_only_if_everything_holds(
    n, complete, learned, quality, beats_shortened, expected
):
    assert (
        outcome(
            n=n,
            complete=complete,
            learned=learned,
            quality=quality,
            beats_shortened=beats_shortened,
        )
        == expected
    )


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "Supported in direction at tier cpu, n = 5 seeds"),
        ({"over_shortened": 0.0}, "The saving is explained by shorter training"),
        ({"over_shortened": -0.03}, "The saving is explained by shorter training"),
        ({"quality": -0.05}, "Not supported: inferior"),
        ({"quality": -0.02}, "Undecided (tier cpu, n = 5 seeds): the interval holds"),
        ({"start": 1.23}, "Undecided (tier cpu, n = 5 seeds): the baseline gained"),
    ],
)
def test_the_sentence_says_the_verdict_with_tier_and_n(changes, begins):
    suite = make_suite()
    assert judge(suite, make_records(suite, **changes)).sentence.startswith(begins)


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (0.05, "Supported in direction"),
        (0.03, "Undecided (tier cpu, n = 5 seeds): the baseline gained 0.03"),
        (None, "Undecided (tier cpu, n = 5 seeds): no run of arm no_pretraining tells"),
    ],
)
def test_what_was_learned_is_the_lead_over_an_arm_without_the_training_if_one_is_named(lead, said):
    suite = dataclasses.replace(make_suite(margin=0.02), untrained="no_pretraining")
    records = make_records(suite, start=9.9)  # the start of the finetuning says nothing
    if lead is not None:
        records += [
            make_record(
                make_experiment("no_pretraining"),
                r.seed,
                r.measurements["bits_per_byte"].value + lead,
            )
            for r in records
            if r.experiment.arm == "baseline"
        ]
    assert judge(suite, records).sentence.startswith(said)


def test_superiority_is_reported_but_is_no_part_of_the_rule():
    suite = make_suite()
    better = judge(suite, make_records(suite, quality=0.03))
    assert better.superior
    assert "It is also better than the baseline." in better.sentence
    level = judge(suite, make_records(suite))
    assert not level.superior
    assert level.outcome == better.outcome == "supported in direction"


@pytest.mark.parametrize("n", [2, 3, 4])
def test_fewer_than_five_seeds_are_called_no_evidence(n):
    suite = make_suite(seeds=range(n))
    verdict = judge(suite, make_records(suite))
    assert verdict.outcome == "no evidence"
    assert verdict.sentence.startswith(f"No evidence (tier cpu, n = {n} seeds; 5 are needed)")
    assert not verdict.enough


def test_one_seed_has_no_interval_and_the_sentence_says_so():
    suite = make_suite(seeds=(3,))
    verdict = judge(suite, make_records(suite))
    assert verdict.quality_interval is None
    assert verdict.shortened_interval is None
    assert verdict.quality is None
    assert "One seed has no interval" in verdict.sentence
    assert "[" not in verdict.sentence
    with pytest.raises(ValueError, match="at least two"):
        interval([0.1])


def test_a_failed_run_forbids_a_supported_claim_and_is_named():
    suite = make_suite(seeds=range(6))
    records = make_records(suite)
    assert judge(suite, records).outcome == "supported in direction"
    lost = [r for r in records if (r.experiment.arm, r.seed) != ("random_ltd", 4)]
    verdict = judge(suite, [*lost, make_failed(suite.arm("random_ltd"), 4)])
    assert verdict.outcome == "undecided"
    assert verdict.seeds == (0, 1, 2, 3, 5)
    assert "random_ltd seed 4" in verdict.sentence


def test_a_failed_run_that_was_repeated_with_success_changes_nothing():
    suite = make_suite()
    records = make_records(suite)
    again = [*records, make_failed(suite.arm("random_ltd"), 2)]
    assert judge(suite, again) == judge(suite, records)


def test_a_suite_without_the_compared_arms_has_no_verdict():
    suite = make_suite()
    pilot = dataclasses.replace(suite, arms=suite.arms[:1])
    records = [r for r in make_records(suite) if r.experiment.arm == "baseline"]
    verdict = judge(pilot, records)
    assert verdict.outcome == "no evidence"
    assert verdict.sentence.startswith("No verdict (tier cpu): the suite has no random_ltd")


def test_no_records_is_an_error_with_its_remedy():
    with pytest.raises(UserError, match="reproduce first"):
        judge(make_suite(), [])


def test_the_verdict_does_not_depend_on_the_order_of_the_records():
    suite = make_suite()
    records = make_records(suite)
    shuffled = records.copy()
    random.Random(0).shuffle(shuffled)
    assert shuffled != records
    assert judge(suite, shuffled) == judge(suite, records)


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_a_positive_difference_means_that_the_arm_is_better(higher_is_better):
    suite = make_suite(seeds=(0,))
    baseline, ltd, _ = make_records(suite)
    records = [
        with_value(baseline, "bits_per_byte", 1.0),
        with_value(ltd, "bits_per_byte", 1.5 if higher_is_better else 0.5),
    ]
    found = paired(
        records,
        "random_ltd",
        "baseline",
        measurement="bits_per_byte",
        higher_is_better=higher_is_better,
    )
    assert found == {0: 0.5}


def test_an_unpaired_seed_is_an_error():
    records = make_records(make_suite())[:-2]  # the last seed lost two of its arms
    with pytest.raises(UserError, match=r"seeds \[4\] finished in only one"):
        paired(
            records,
            "random_ltd",
            "baseline",
            measurement="bits_per_byte",
            higher_is_better=False,
        )


@pytest.mark.parametrize(
    "what", ["initial_weights", "batch_order", "evaluated_text", "evaluated_images"]
)
def test_runs_that_did_not_see_the_same_are_no_pair(what):
    suite = make_suite()
    records = make_records(suite)
    odd = dataclasses.replace(records[0], hashes={**records[0].hashes, what: "other"})
    with pytest.raises(UserError, match=f"differ in {what}"):
        judge(suite, [odd, *records[1:]])


def pretrained_pair(one: str, other: str, *, other_seed: int | None = None):
    """Return two runs of seed 0 that began with these weights, of the pretrainings of two arms."""
    after = {"objective": "labels", "pretrained": make_experiment("baseline", objective="masked")}
    runs = [
        make_record(make_experiment(arm, pretrained_seed=seed, **after), 0, 1.0)
        for arm, seed in (("random_ltd", 0), ("baseline", other_seed))
    ]
    kept = {"batch_order": "b", "evaluated_text": "e"}
    return [
        dataclasses.replace(run, hashes=kept | ({"pretrained_weights": found} if found else {}))
        for run, found in zip(runs, (one, other))
    ]


def test_one_pretraining_gives_one_set_of_weights():
    require_paired(*pretrained_pair("w", "w"))
    require_paired(*pretrained_pair("w", "w", other_seed=0))
    with pytest.raises(UserError, match="differ in pretrained_weights"):
        require_paired(*pretrained_pair("w", "other"))
    require_paired(*pretrained_pair("w", "other", other_seed=1))  # a pretraining of its own
    with pytest.raises(UserError, match="does not say what it began with"):
        require_paired(*pretrained_pair("", ""))


def test_two_specifications_in_an_arm_are_refused():
    suite = make_suite()
    records = make_records(suite)
    changed = dataclasses.replace(records[0], experiment=make_experiment("baseline", revision=2))
    with pytest.raises(UserError, match="two specifications"):
        finished([changed, *records[1:]])


def test_two_finished_runs_of_a_seed_are_refused():
    records = make_records(make_suite())
    with pytest.raises(UserError, match="twice"):
        finished([*records, dataclasses.replace(records[0], key="again")])


def test_the_interval_is_the_textbook_one():
    # Differences 1..5: sd = sqrt(2.5), t(0.95, 4) = 2.131847.
    found = interval([3, 1, 2, 5, 4])
    half = 2.131847 * 2.5**0.5 / 5**0.5
    assert found.mean == 3
    assert found.low == pytest.approx(3 - half, abs=1e-6)
    assert found.high == pytest.approx(3 + half, abs=1e-6)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    draws = np.random.default_rng(11).standard_normal((TRIALS, n))
    covered = np.mean([(i := interval(row)).low <= 0 <= i.high for row in draws])
    error = (0.9 * 0.1 / len(draws)) ** 0.5
    assert abs(covered - 0.9) < 4 * error


@pytest.mark.parametrize(("n", "power"), [(3, 0.71), (5, 0.97)])
def test_a_margin_of_two_deviations_is_decided_as_often_as_the_design_says(n, power):
    draws = np.random.default_rng(12).standard_normal((TRIALS, n))
    found = np.mean([non_inferiority(interval(row), margin=2) == "non-inferior" for row in draws])
    error = (power * (1 - power) / len(draws)) ** 0.5
    assert abs(found - power) < 4 * error + 0.005  # the design rounds to percent


@pytest.mark.parametrize("margin", [0.5, 2])
def test_a_loss_as_large_as_the_margin_is_rarely_called_non_inferior(margin):
    draws = np.random.default_rng(13).standard_normal((TRIALS, 5)) - margin
    wrong = np.mean([non_inferiority(interval(row), margin) == "non-inferior" for row in draws])
    assert abs(wrong - 0.05) < 4 * (0.05 * 0.95 / len(draws)) ** 0.5
