"""Two runs on the same rows: McNemar's test and the bootstrap, against slow ones and simulation."""

from __future__ import annotations

import dataclasses
import re
from math import comb
from pathlib import Path
from statistics import fmean, variance

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import UserError
from eval.evidence.intervals import interval
from eval.evidence.rows.answers import PairedAnswers, paired_answers
from eval.evidence.rows.page import compared_in, rows_markdown
from eval.evidence.rows.pairs import (
    PairedRows,
    compare,
    mcnemar,
    rows_variance,
    seeds_and_rows_interval,
)
from eval.evidence.rows.scores import accuracy
from eval.record import Measurement, Record
from tests.evidence.synthetic import make_record, make_records, make_suite

NUM_ROWS = 40
ARMS = {"baseline": 0, "random_ltd": 1, "shortened_baseline": 2}
SUITE = dataclasses.replace(
    make_suite(seeds=(0, 1, 2)),
    primary="accuracy",
    progress=("start_accuracy", "held_out_accuracy"),
)


def answers(arm: str, seed: int) -> pd.DataFrame:
    """Return made-up answers; the rows lie in another order in every file."""
    rng = np.random.default_rng([ARMS[arm], seed])
    labels = np.arange(NUM_ROWS) % 2
    predicted = np.where(rng.random(NUM_ROWS) < 0.7, labels, 1 - labels)
    rows = {"split": "test", "row": range(NUM_ROWS), "label": labels, "predicted": predicted}
    held_out = pd.DataFrame({"split": "held_out", "row": [0], "label": [0], "predicted": [1]})
    return pd.concat([pd.DataFrame(rows), held_out]).sample(frac=1, random_state=seed + ARMS[arm])


def answered(store: Path, record: Record) -> Record:
    path = f"examples/{record.key}.csv.gz"
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    answers(record.experiment.arm, record.seed).to_csv(store / path, index=False)
    scored = Measurement(value=0.7, unit="fraction", split="test", n=NUM_ROWS, standard_error=0.1)
    found = record.measurements | {"accuracy": scored}
    return dataclasses.replace(record, examples=path, measurements=found)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    return [answered(tmp_path, r) for r in make_records(SUITE)]


def right(arm: str, seed: int) -> list[bool]:
    """Return by row whether the arm is right, the slow way."""
    found = answers(arm, seed)
    rows = found[found["split"] == "test"].set_index("row").sort_index()
    return [rows["label"][n] == rows["predicted"][n] for n in range(NUM_ROWS)]


def test_the_rows_that_one_of_a_pair_has_right_are_counted(
    records: list[Record], tmp_path: Path
) -> None:
    answered = paired_answers(records, tmp_path, "random_ltd", "baseline")
    found = [compare(each, accuracy) for each in answered]
    assert [pair.seed for pair in found] == [0, 1, 2]
    for pair in found:
        ours, theirs = right("random_ltd", pair.seed), right("baseline", pair.seed)
        first = sum(a and not b for a, b in zip(ours, theirs, strict=True))
        second = sum(b and not a for a, b in zip(ours, theirs, strict=True))
        assert pair.right_alone == (first, second)
        found = pair.difference
        assert found.mean == pytest.approx((sum(ours) - sum(theirs)) / NUM_ROWS)
        assert found.low <= found.mean <= found.high
        assert (found.n, found.confidence) == (NUM_ROWS, 0.90)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_sum_of_the_binomial_terms_that_are_as_rare(one: int, other: int) -> None:
    n = one + other
    terms = [comb(n, k) for k in range(n + 1)]
    as_rare = sum(term for term in terms if term <= terms[one])
    assert mcnemar(one, other) == pytest.approx(as_rare / 2**n, rel=1e-9)
    assert mcnemar(one, other) == pytest.approx(mcnemar(other, one), rel=1e-12)


def test_mcnemar_rejects_a_true_null_no_oftener_than_it_says() -> None:
    rng = np.random.default_rng(0)
    decided = rng.binomial(872, 0.08, size=2000)
    splits = [(int(k), int(n - k)) for n, k in zip(decided, rng.binomial(decided, 0.5))]
    p = np.array([mcnemar(*split) for split in splits])
    assert 0.02 < (p <= 0.05).mean() < 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def compared(differences_N: np.ndarray, seed: int = 0) -> PairedRows:
    """Compare two runs of which the first alone is right where it says 1, the second where -1."""
    first, second = (
        pd.DataFrame({"row": range(len(differences_N)), "label": 1, "predicted": right.astype(int)})
        for right in (differences_N > 0, differences_N < 0)
    )
    return compare(PairedAnswers(seed=seed, first=first, second=second), accuracy)


def test_the_interval_over_rows_covers_the_true_difference() -> None:
    """872 rows, of which a tenth are decided by one of the runs alone: as on SST-2."""
    rng, true, covered = np.random.default_rng(1), 0.02, 0
    for _ in range(400):
        draws = rng.choice([1.0, -1.0, 0.0], p=[0.06, 0.04, 0.90], size=872)
        found = compared(draws).difference
        covered += found.low <= true <= found.high
    error = (0.9 * 0.1 / 400) ** 0.5
    assert abs(covered / 400 - 0.90) < 3 * error


def test_the_interval_is_the_percentiles_of_means_of_drawn_rows() -> None:
    draws = np.random.default_rng(2).choice([1.0, -1.0, 0.0], p=[0.1, 0.1, 0.8], size=300)
    slow = np.random.default_rng(3)
    means = [slow.choice(draws, size=300).mean() for _ in range(4000)]
    expected = np.percentile(means, [5, 95])
    # Both are estimates from thousands of draws: the percentiles' own error is below 0.002.
    found = compared(draws).difference
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.005)
    assert compared(draws).difference == found
    same = compared(np.full(5, 1.0)).difference
    assert (same.low, same.mean, same.high) == (1.0, 1.0, 1.0)


def test_the_page_has_a_row_for_each_seed_of_both_comparisons(
    records: list[Record], tmp_path: Path
) -> None:
    text = rows_markdown(SUITE, records, tmp_path)
    by_seed, together = text.split("If other seeds and other rows")
    assert by_seed.count("| random-LTD - baseline ") == 3
    assert by_seed.count("| random-LTD - shortened baseline ") == 3
    seeds, rows = re.findall(r"random-LTD - baseline +\| 3 +\| (.+\]) +\| (.+\])", together)[0]
    assert seeds.split(" ")[0] == rows.split(" ")[0]  # one mean, two widths
    assert seeds != rows
    assert rows_markdown(SUITE, records, tmp_path) == text


def test_the_interval_over_seeds_and_rows_covers_what_both_would_change() -> None:
    """Five seeds, 277 rows: as on RTE. Each row and each seed has its own effect."""
    rng, true, covered, narrow = np.random.default_rng(4), -0.01, 0, 0
    for _ in range(2000):
        seeds_S1 = rng.normal(0, 0.01, size=(5, 1))
        rows_N = rng.choice([0.7, -0.7], size=277)
        effect_SN = true + seeds_S1 + rows_N
        d_SN = np.sign(effect_SN) * (rng.random((5, 277)) < abs(effect_SN))
        over_rows = d_SN.mean(axis=0).var(ddof=1) / 277
        found = seeds_and_rows_interval(list(d_SN.mean(axis=1)), over_rows)
        over_seeds = interval(d_SN.mean(axis=1))
        covered += found.low <= true <= found.high
        narrow += over_seeds.low <= true <= over_seeds.high
    assert covered / 2000 > 0.90
    assert narrow / 2000 < 0.85  # what the interval over seeds alone leaves out


def test_the_variance_over_rows_is_the_formulas_and_that_of_the_draws() -> None:
    d_SN = np.random.default_rng(5).choice([1.0, -1.0, 0.0], p=[0.1, 0.1, 0.8], size=(3, 200))
    pairs = [compared(d_N, seed) for seed, d_N in enumerate(d_SN)]
    means = [fmean(d_SN[:, n]) for n in range(200)]
    assert rows_variance(pairs) == pytest.approx(variance(means) / 200, rel=1e-9)
    drawn = [dataclasses.replace(pair, differences_N=None) for pair in pairs]
    tolerance = 4 * (2 / 2000) ** 0.5  # four standard errors of a variance of 2,000 draws
    assert rows_variance(drawn) == pytest.approx(rows_variance(pairs), rel=tolerance)


def test_the_interval_over_seeds_and_rows_is_the_seeds_one_where_rows_do_not_differ() -> None:
    found, expected = seeds_and_rows_interval([1.0, 0.0, 0.5], 0.0), interval([1.0, 0.0, 0.5])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ValueError, match="two differences"):
        seeds_and_rows_interval([1.0], 0.1)


def test_runs_without_right_and_wrong_answers_have_none(tmp_path: Path) -> None:
    scored = make_records(SUITE)
    assert compared_in(SUITE, scored) is None
    assert rows_markdown(SUITE, scored, tmp_path) == ""
    one = answered(tmp_path, make_record(SUITE.arms[0], 0, 1.0))
    assert rows_markdown(SUITE, [one], tmp_path) == ""
    assert compared_in(make_suite(), [one]) is None  # whose primary measurement is a text's


def test_answers_that_are_gone_or_of_other_rows_are_an_error(
    records: list[Record], tmp_path: Path
) -> None:
    path = tmp_path / str(records[0].examples)
    rest = pd.read_csv(path)
    rest[rest["row"] != 3].to_csv(path, index=False)
    with pytest.raises(UserError, match="seed 0 of random_ltd and baseline answered other rows"):
        rows_markdown(SUITE, records, tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="are missing; restore it from git"):
        rows_markdown(SUITE, records, tmp_path)
