"""The power of n seeds: against simulation, the design's own numbers, and what must hold of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.evidence.intervals import interval, non_inferiority
from eval.evidence.pages import suite_page
from eval.evidence.part import part_of
from eval.evidence.power import power, seeds_needed
from eval.evidence.sentences import power_sentence
from eval.evidence.stats import judge
from tests.evidence.synthetic import make_record, make_records, make_suite, with_value

TRIALS = 4000


@pytest.mark.parametrize("confidence", [0.90, 0.95])
@pytest.mark.parametrize(("n", "margin"), [(2, 3.0), (3, 2.0), (5, 1.0), (5, 2.0), (12, 0.5)])
def test_it_is_how_often_the_verdicts_rule_says_so(n: int, margin: float, confidence: float):
    draws = np.random.default_rng([n, 21]).standard_normal((TRIALS, n))
    said = [non_inferiority(interval(row, confidence), margin) == "non-inferior" for row in draws]
    expected = power(n, margin, 1.0, confidence)
    assert abs(np.mean(said) - expected) < 4 * (expected * (1 - expected) / TRIALS) ** 0.5


@pytest.mark.parametrize(("n", "percent"), [(3, 71), (5, 97)])
def test_it_gives_the_designs_numbers(n: int, percent: int):
    assert round(100 * power(n, margin=0.02, sd=0.01)) == percent


@given(st.integers(2, 200), st.floats(0.01, 5), st.floats(0.5, 0.99))
def test_it_grows_with_seeds_and_begins_at_the_level(n: int, ratio: float, confidence: float):
    here, more = (power(k, ratio, 1.0, confidence) for k in (n, n + 1))
    assert (1 - confidence) / 2 - 1e-9 <= here <= more + 1e-9 <= 1 + 1e-9
    assert here <= power(n, 1.1 * ratio, 1.0, confidence) + 1e-9
    assert here == pytest.approx(power(n, 7 * ratio, 7.0, confidence))


@given(st.floats(0.05, 10), st.floats(0.05, 0.99))
def test_the_seeds_needed_are_the_fewest(ratio: float, wanted: float):
    n = seeds_needed(ratio, 1.0, wanted)
    assert power(n, ratio, 1.0) >= wanted
    assert n == 2 or power(n - 1, ratio, 1.0) < wanted


def test_without_spread_two_seeds_are_enough():
    assert power(2, 0.01, 0.0) == 1.0
    assert seeds_needed(0.01, 0.0) == 2
    assert [power(2, 0.01, sd) for sd in (1e-6, 1e-17, 1e-300)] == [1.0] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 1},
        {"margin": 0.0},
        {"margin": -0.1},
        {"margin": float("inf")},
        {"sd": -1.0},
        {"sd": float("nan")},
        {"confidence": 0.0},
        {"confidence": 1.0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]):
    asked = {"n": 5, "margin": 0.02, "sd": 0.01, "confidence": 0.9} | wrong
    with pytest.raises(ValueError, match="needs"):
        power(**asked)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wanted", [0.0, 1.0])
def test_a_power_that_no_number_of_seeds_has_is_refused(wanted: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        seeds_needed(0.02, 0.01, wanted)


@pytest.mark.parametrize(("noise", "more"), [(0.03, True), (0.006, False)])
def test_the_page_tells_the_power_of_the_verdicts_own_interval(noise: float, more: bool):
    suite = make_suite(margin=0.01)
    records = make_records(suite, noise=noise)
    found = judge(suite, records).quality_interval
    assert found is not None
    said = power_sentence(suite, records)
    assert f"standard deviation {found.sd:.4f}), 5 seeds find" in said
    assert f"in {100 * power(5, 0.01, found.sd):.0f} of 100 experiments" in said
    needed = seeds_needed(0.01, found.sd)
    assert (needed > 5) == more
    assert (f"; for 90 of 100, about {needed} seeds are needed. " in said) == more
    assert said in suite_page([part_of(suite, records)], {"cpu": ""})


def test_nothing_is_told_without_margin_spread_or_a_second_seed():
    suite = make_suite()
    records = make_records(suite)
    assert power_sentence(dataclasses.replace(suite, margin=None), records) == ""
    assert power_sentence(suite, [r for r in records if r.seed == 0]) == ""
    assert power_sentence(suite, [with_value(r, "bits_per_byte", 1.0) for r in records]) == ""
    assert power_sentence(suite, [make_record(suite.arms[0], 0, 1.0)]) == ""
    certain = make_records(suite, noise=1e-5)
    assert "in more than 99 of 100 experiments" in power_sentence(suite, certain)
