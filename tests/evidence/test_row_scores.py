"""Correlations and zero-shot bits on drawn rows, against what GLUE's own code says of each draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.evidence.grid import value_of
from eval.evidence.part import part_of
from eval.evidence.rows.answers import PairedAnswers, paired_answers
from eval.evidence.rows.page import compared_in, rows_markdown
from eval.evidence.rows.pairs import compare
from eval.evidence.rows.scores import SCORES, answer_bits
from eval.evidence.zero_shot.scores import ANSWER_BITS, zero_shot_table
from eval.paths import RESULTS
from eval.record import Record, load_records
from eval.seeding import stream
from eval.suites import suite as declared_suite
from eval.tasks.examples import measure
from eval.tasks.glue_metrics import METRICS
from tests.evidence.zero_shot_records import CHOSEN, TASKS, evidence

CORRELATIONS = ["matthews_correlation", "spearman"]
EACH_TASK = 25


def table(predicted_N: np.ndarray, labels_N: np.ndarray) -> pd.DataFrame:
    rows = range(len(labels_N))
    return pd.DataFrame({"row": rows, "label": labels_N, "predicted": predicted_N})


def predictions(name: str, rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Return made-up answers: two classes, or scores with ties."""
    labels_N = rng.integers(0, 2 if name == "matthews_correlation" else 6, n)
    if name == "spearman":
        return table(np.round(labels_N + 1.5 * rng.standard_normal(n)), labels_N)
    return table(np.where(rng.random(n) < 0.7, labels_N, 1 - labels_N), labels_N)


def glue_score(name: str, answers: pd.DataFrame, rows: np.ndarray) -> float:
    drawn = answers.iloc[rows]
    return METRICS[name](drawn["predicted"].to_numpy(), drawn["label"].to_numpy())


@given(st.data(), st.sampled_from(list(SCORES)), st.integers(2, 12))
def test_a_score_of_counted_rows_is_glues_of_the_drawn_rows(data, name: str, n: int) -> None:
    values = st.integers(0, 5 if name == "spearman" else 1)
    predicted, labels = (data.draw(st.lists(values, min_size=n, max_size=n)) for _ in range(2))
    answers = table(np.array(predicted), np.array(labels))
    draws = [data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)) for _ in range(3)]
    counts_RN = np.array([np.bincount(rows, minlength=n) for rows in draws], float)
    slow = [glue_score(name, answers, np.array(rows)) for rows in draws]
    assert SCORES[name](answers, counts_RN) == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_the_difference_is_bootstrapped_over_the_rows_of_both_runs(name: str) -> None:
    rng, n = np.random.default_rng(0), 60
    first = predictions(name, rng, n)
    second = first.assign(predicted=rng.permutation(first["predicted"]))
    found = compare(PairedAnswers(seed=0, first=first, second=second), SCORES[name])
    rows_RN = stream("bootstrap over rows", 0).integers(n, size=(2000, n))
    slow = [glue_score(name, first, rows) - glue_score(name, second, rows) for rows in rows_RN[:50]]
    assert found.drawn_R[:50] == pytest.approx(slow, abs=1e-12)
    difference, every = found.difference, np.arange(n)
    expected = glue_score(name, first, every) - glue_score(name, second, every)
    assert difference.mean == pytest.approx(expected, abs=1e-12)
    inside = (found.drawn_R >= difference.low) & (found.drawn_R <= difference.high)
    assert inside.mean() == pytest.approx(0.90, abs=0.005)
    assert (difference.n, found.right_alone) == (n, None)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_the_interval_covers_the_true_difference_of_two_correlations(name: str) -> None:
    def drawn(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        first = predictions(name, rng, n)
        noise = predictions(name, rng, n)["predicted"]
        return first, first.assign(predicted=noise.where(rng.random(n) < 0.2, first["predicted"]))

    rng = np.random.default_rng(6)
    many = np.arange(400_000)
    first, second = drawn(rng, len(many))
    true = glue_score(name, first, many) - glue_score(name, second, many)
    covered = 0
    for _ in range(200):
        first, second = drawn(rng, 120)
        found = compare(PairedAnswers(seed=0, first=first, second=second), SCORES[name])
        covered += found.difference.low <= true <= found.difference.high
    assert abs(covered / 200 - 0.90) < 3 * (0.9 * 0.1 / 200) ** 0.5


def zero_shot_answers(record: Record) -> pd.DataFrame:
    """Return made-up answers to the rows of every task, and to a text that is scored whole."""
    rng = np.random.default_rng([record.seed, len(record.experiment.arm)])
    rows = len(TASKS) * EACH_TASK
    return pd.DataFrame(
        {
            "task": np.repeat(TASKS, EACH_TASK),
            "doc_id": list(range(EACH_TASK)) * len(TASKS),
            "acc": 1.0,
            "answer_nats": rng.gamma(20.0, size=rows),
            "answer_bytes": np.tile(range(10, 10 + EACH_TASK), len(TASKS)),
        }
    ).sample(frac=1, random_state=record.seed)


def kept(record: Record, store: Path) -> Record:
    """Return the record with its answers in a file, and with what they measure."""
    answers: Any = zero_shot_answers(record)
    path = f"examples/{record.key}.csv"
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    answers.to_csv(store / path, index=False)
    found = {f"{task}/{ANSWER_BITS}": bits_of(answers[answers["task"] == task]) for task in CHOSEN}
    changed = {
        name: dataclasses.replace(record.measurements[name], value=bits)
        for name, bits in found.items()
    }
    return dataclasses.replace(record, examples=path, measurements=record.measurements | changed)


def bits_of(answers: pd.DataFrame) -> float:
    return measure(answers, split="test")[ANSWER_BITS].value


def test_zero_shot_rows_are_drawn_within_each_task(tmp_path: Path) -> None:
    suite, records = evidence(seeds=(0, 1))
    records = [kept(record, tmp_path) for record in records]
    of = compared_in(suite, records)
    assert of is not None
    assert (of.score, of.tasks) == (answer_bits, CHOSEN)  # without the text that is scored whole
    (answers, _) = paired_answers(records, tmp_path, "random_ltd", "baseline")
    found = compare(answers, of.score, of.tasks)
    assert found.difference.n == 3 * EACH_TASK

    def mean_of_tasks(choose: Callable[[int], np.ndarray]) -> float:
        return fmean(
            bits_of(answers.second.query("task == @task").iloc[choose(i)])
            - bits_of(answers.first.query("task == @task").iloc[choose(i)])
            for i, task in enumerate(CHOSEN)
        )

    assert found.difference.mean == pytest.approx(mean_of_tasks(lambda _: np.arange(EACH_TASK)))
    rows = [
        stream("bootstrap over rows", i).integers(EACH_TASK, size=(2000, EACH_TASK))
        for i in range(3)
    ]
    slow = [mean_of_tasks(lambda i, r=r: rows[i][r]) for r in range(20)]
    assert found.drawn_R[:20] == pytest.approx(slow)


def test_the_page_shows_the_mean_of_tasks_without_mcnemar(tmp_path: Path) -> None:
    suite, records = evidence(seeds=(0, 1, 2))
    records = [kept(record, tmp_path) for record in records]
    text = rows_markdown(suite, records, tmp_path)
    by_seed, together = text.split("If other seeds and other rows")
    assert "mean of 3 tasks [90 % bootstrap over rows]" in by_seed
    assert "McNemar" not in text
    assert by_seed.count("| random-LTD - baseline ") == 3
    assert by_seed.count("| random-LTD - shortened baseline ") == 3
    assert rows_markdown(suite, records, tmp_path) == text
    assert zero_shot_table(suite, records)["random-LTD"].iloc[-1] in together


@pytest.mark.parametrize("name", ["bert_glue_cola", "bert_glue_stsb", "gpt_pretrain"])
def test_committed_answers_give_what_the_committed_records_measured(name: str) -> None:
    part = part_of(declared_suite(name, "cpu"), load_records(RESULTS, name))
    of = compared_in(part.suite, part.records)
    assert of is not None
    by_cell = {(r.experiment.arm, r.seed): r for r in part.records if r.status == "ok"}
    names = [f"{task}/{ANSWER_BITS}" for task in of.tasks] or [part.suite.primary]
    sign = -1 if of.tasks else 1
    pairs = list(paired_answers(part.records, RESULTS, "random_ltd", "baseline"))
    assert [answers.seed for answers in pairs] == list(part.suite.seeds)
    for answers in pairs:
        ours, theirs = (by_cell[arm, answers.seed] for arm in ("random_ltd", "baseline"))
        expected = sign * fmean(value_of(ours, n) - value_of(theirs, n) for n in names)
        found = compare(answers, of.score, of.tasks).difference
        assert found.mean == pytest.approx(expected, abs=1e-6)
