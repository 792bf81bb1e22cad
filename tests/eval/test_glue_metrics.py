"""GLUE's metrics equal independent implementations, also at the edges of their definitions.

Letters: N examples.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.data.glue_tasks import GLUE
from eval.tasks.glue_metrics import METRICS, measure_predictions

Numbers = Sequence[float]


def counts(predicted: Numbers, labels: Numbers) -> tuple[int, int, int, int]:
    """Count true and false positives, false and true negatives."""
    pairs = list(zip(predicted, labels, strict=True))
    return tuple(pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1), (0, 0)))  # type: ignore


def accuracy(predicted: Numbers, labels: Numbers) -> float:
    return sum(p == q for p, q in zip(predicted, labels, strict=True)) / len(labels)


def f1(predicted: Numbers, labels: Numbers) -> float:
    hits, wrong, missed, _ = counts(predicted, labels)
    return 2 * hits / (2 * hits + wrong + missed) if hits else 0.0


def matthews(predicted: Numbers, labels: Numbers) -> float:
    tp, fp, fn, tn = counts(predicted, labels)
    below = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(below) if below else 0.0


def pearson(one: Numbers, other: Numbers) -> float:
    if len(set(one)) == 1 or len(set(other)) == 1:
        return 0.0
    a, b = [x - fmean(one) for x in one], [x - fmean(other) for x in other]
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def dot(one: Numbers, other: Numbers) -> float:
    return math.fsum(x * y for x, y in zip(one, other, strict=True))


def ranks(values: Numbers) -> list[float]:
    """Rank by counting: those below, and half of the ties."""
    return [sum(v < x for v in values) + (values.count(x) + 1) / 2 for x in values]


def spearman(one: Numbers, other: Numbers) -> float:
    return pearson(ranks(list(one)), ranks(list(other)))


REFERENCES: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews_correlation": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
CLASSES = ("accuracy", "f1", "matthews_correlation")
SCORES = ("pearson", "spearman")


def fixed(seed: int, num: int = 60, *, scores: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions that agree more often than not."""
    draw = random.Random(seed)
    if scores:
        labels = [draw.randrange(26) / 5 for _ in range(num)]  # STS-B's, with ties
        predicted = [round(x + draw.gauss(0, 1), 1) for x in labels]
    else:
        labels = [draw.randrange(2) for _ in range(num)]
        predicted = [x if draw.random() < 0.7 else 1 - x for x in labels]
    return np.array(predicted), np.array(labels)


@pytest.mark.parametrize("task", GLUE)
def test_every_metric_of_a_task_equals_its_definition(task: str) -> None:
    wanted = GLUE[task]
    for seed in range(5):
        predicted_N, labels_N = fixed(seed, scores=wanted.classes == 1)
        found = measure_predictions(predicted_N, labels_N, wanted.metrics, split="validation")
        assert tuple(found) == wanted.metrics
        for name in wanted.metrics:
            expected = REFERENCES[name](predicted_N.tolist(), labels_N.tolist())
            assert found[name].value == pytest.approx(expected, rel=1e-12)
            assert (found[name].n, found[name].split) == (60, "validation")


@given(st.data())
def test_any_classes_are_scored_as_defined(data: Any) -> None:
    num = data.draw(st.integers(2, 30))
    column = st.lists(st.integers(0, 1), min_size=num, max_size=num)
    predicted, labels = data.draw(column), data.draw(column)
    for name in CLASSES:
        value = METRICS[name](np.array(predicted), np.array(labels))
        assert value == pytest.approx(REFERENCES[name](predicted, labels), abs=1e-12)


@pytest.mark.parametrize("name", [*CLASSES, *SCORES])
@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("which", ["predictions", "labels", "both"])
def test_a_single_class_or_a_constant_score_is_a_number(
    name: str, constant: int, which: str
) -> None:
    varied, same = np.array([0, 1, 1, 0, 1]), np.full(5, constant)
    predicted = varied if which == "labels" else same
    labels = varied if which == "predictions" else same
    value = METRICS[name](predicted, labels)
    assert value == pytest.approx(REFERENCES[name](predicted.tolist(), labels.tolist()))
    if name not in ("accuracy", "f1"):
        assert value == 0


def test_ties_share_their_rank() -> None:
    predicted, labels = np.array([1.0, 2, 2, 4, 4, 4]), np.array([1.0, 1, 3, 3, 5, 6])
    assert METRICS["spearman"](predicted, labels) == pytest.approx(
        spearman(predicted.tolist(), labels.tolist()), rel=1e-12
    )
    shuffled = np.array([3, 0, 5, 1, 4, 2])
    assert METRICS["spearman"](predicted[shuffled], labels[shuffled]) == pytest.approx(
        METRICS["spearman"](predicted, labels), rel=1e-12
    )


def test_the_error_of_an_accuracy_is_the_binomial_one() -> None:
    predicted_N, labels_N = fixed(1, num=400, scores=False)
    found = measure_predictions(predicted_N, labels_N, ("accuracy",), split="test")["accuracy"]
    right = (predicted_N == labels_N).astype(float).tolist()
    # 200 resamples know a standard error to 1 / sqrt(400), and this is three of those.
    assert found.standard_error == pytest.approx(stdev(right) / math.sqrt(400), rel=3 / 20)
    again = measure_predictions(predicted_N, labels_N, ("accuracy",), split="test")["accuracy"]
    assert again == found


@pytest.mark.parametrize(("num", "others"), [(1, 1), (3, 4)])
def test_too_few_examples_or_lengths_that_differ_are_refused(num: int, others: int) -> None:
    with pytest.raises(ValueError, match=f"{num} predictions for {others} labels"):
        measure_predictions(np.zeros(num), np.zeros(others), ("accuracy",), split="test")
