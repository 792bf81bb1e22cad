"""SQuAD's comparison of answers, which lm-eval's definition of ReCoRD needs."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from eval.tasks.squad_metrics import compute_exact, compute_f1, ensure_squad_metrics


@pytest.mark.parametrize(
    ("gold", "predicted", "exact", "f1"),
    [
        ("Paris", "paris", 1, 1.0),
        ("The City of Paris", "city of paris!", 1, 1.0),
        ("New York City", "New York", 0, 0.8),  # 2 of 2 and 2 of 3 words
        ("a cat sat", "the cat ran", 0, 0.5),
        ("cat cat", "cat", 0, 2 / 3),  # a word counts as often as it occurs in both
        ("U.S.", "US", 1, 1.0),
        ("Theatre", "atre", 0, 0.0),  # an article is a word, not the beginning of one
        ("", "", 1, 1.0),
        ("the", "", 1, 1.0),
        ("Paris", "", 0, 0.0),
    ],
)
def test_answers_are_compared_by_their_words(
    gold: str, predicted: str, exact: int, f1: float
) -> None:
    assert compute_exact(gold, predicted) == exact
    assert compute_f1(gold, predicted) == pytest.approx(f1)


def test_the_module_is_provided_where_transformers_lacks_it() -> None:
    ensure_squad_metrics()
    module = importlib.import_module("transformers.data.metrics.squad_metrics")
    assert module.compute_f1("Paris", "paris") == 1.0
    assert module.compute_exact("Paris", "London") == 0


def test_a_module_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("transformers.data.metrics")
    monkeypatch.setitem(sys.modules, "transformers.data.metrics", own)
    ensure_squad_metrics()
    assert sys.modules["transformers.data.metrics"] is own
