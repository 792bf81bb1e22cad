"""Dynamic masking is BERT's rule, drawn anew at each place of a run and the same for all arms.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from eval.data.windows import corpus_windows
from eval.starts import model_of, tokenizer_of
from eval.suites import suite
from eval.tasks.masked import MaskedTask
from eval.tasks.masking import IGNORED, Masking

RULE = Masking(mask=3, special=frozenset({0, 1, 2, 3}), vocabulary=50)
SUITE = suite("bert_pretrain", "smoke")
ARMS = {experiment.arm: experiment for experiment in SUITE.arms}


def drawn(ids: list[int], seed: int) -> tuple[list[int], list[int]]:
    seen_S, labels_S = RULE(np.array(ids), np.random.default_rng(seed))
    return seen_S.tolist(), labels_S.tolist()


@given(st.lists(st.integers(4, 49), min_size=1, max_size=40), st.integers(0, 2**32))
def test_a_masked_window_differs_only_where_it_is_asked_for(words: list[int], seed: int) -> None:
    ids = [1, *words, 2, 0, 0]
    seen, labels = drawn(ids, seed)
    asked = [place for place, label in enumerate(labels) if label != IGNORED]
    assert len(asked) == max(1, round(0.15 * len(words)))
    for place, token in enumerate(ids):
        if place in asked:
            assert labels[place] == token
            assert token >= 4
        else:
            assert seen[place] == token
    assert drawn(ids, seed) == (seen, labels)


def test_most_are_hidden_some_replaced_and_some_shown() -> None:
    words = list(range(4, 50)) * 3
    hidden = shown = other = 0
    for seed in range(400):
        seen, labels = drawn(words, seed)
        for token, label in zip(seen, labels, strict=True):
            if label != IGNORED:
                hidden, shown = hidden + (token == 3), shown + (token == label)
                other += token not in (3, label)
    total = hidden + shown + other
    assert total == 400 * round(0.15 * len(words))
    # A random token is the mask or the shown one itself once in fifty draws each.
    for count, part in ((hidden, 0.8 + 0.1 / 50), (shown, 0.1 + 0.1 / 50), (other, 0.1 * 48 / 50)):
        assert count / total == pytest.approx(part, abs=4 * math.sqrt(part * (1 - part) / total))


def test_every_ordinary_place_is_chosen_equally_often() -> None:
    words = list(range(4, 24))
    chosen = np.zeros(20)
    for seed in range(2000):
        chosen += np.array(drawn(words, seed)[1]) != IGNORED
    assert chosen.sum() == 2000 * 3
    assert np.abs(chosen / 2000 - 0.15).max() < 4 * math.sqrt(0.15 * 0.85 / 2000)


def test_a_window_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing but special tokens"):
        drawn([1, 2, 0], 0)


@pytest.fixture
def task(cache: Any) -> MaskedTask:
    """Return the smoke tier's task."""
    return MaskedTask(ARMS["baseline"], seed=5)


def test_masks_depend_on_place_and_seed_and_on_nothing_else(task: MaskedTask) -> None:
    first, again = (task.examples.example(0, 7) for _ in range(2))
    assert torch.equal(first["input_ids"], again["input_ids"])
    elsewhere = task.examples.example(0, 8)
    assert not torch.equal(first["labels"], elsewhere["labels"])
    other = MaskedTask(ARMS["random_ltd"], seed=6).examples.example(0, 7)
    assert not torch.equal(first["labels"], other["labels"])
    same = MaskedTask(ARMS["random_ltd"], seed=5).examples.example(0, 7)
    assert torch.equal(first["labels"], same["labels"])


def test_a_window_is_the_text_between_cls_and_sep(task: MaskedTask) -> None:
    experiment = ARMS["baseline"]
    tokenizer = tokenizer_of(experiment)
    ids_NS = corpus_windows(tokenizer, experiment.data, "train", experiment.source, 30)
    for number in (0, len(task.examples) - 1):
        example = task.examples.example(number, 3)
        ids, labels = example["input_ids"].tolist(), example["labels"].tolist()
        whole = [t if label == IGNORED else label for t, label in zip(ids, labels, strict=True)]
        assert whole == [tokenizer.cls_token_id, *ids_NS[number], tokenizer.sep_token_id]
    assert len(task.examples) == len(ids_NS)


def test_the_loss_is_that_of_the_masked_tokens_alone(task: MaskedTask) -> None:
    model = model_of(ARMS["baseline"], 0).eval()
    total, count = 0.0, 0
    for window in task._curve:
        with torch.no_grad():
            logits_SV = model(input_ids=window["input_ids"][None]).logits[0].double()
        for place, label in enumerate(window["labels"].tolist()):
            if label != IGNORED:
                total += float(cross_entropy(logits_SV[place], torch.tensor(label)))
                count += 1
    assert task.validation(model)["val_nll"] == pytest.approx(total / count, rel=1e-5)
    found = task.start(model)["start_masked_nats"]
    assert (found.value, found.n) == (task.validation(model)["val_nll"], len(task._curve))
    batch = {k: torch.stack([w[k] for w in task._curve]) for k in ("input_ids", "labels")}
    assert float(task.loss(model, batch).detach()) == pytest.approx(total / count, rel=1e-5)


def test_the_tokenizer_wraps_texts_and_pairs_as_bert_does(cache: Any) -> None:
    tokenizer = tokenizer_of(ARMS["baseline"])
    one, pair = tokenizer("the work"), tokenizer("the work", "any person")
    words = tokenizer("any person", add_special_tokens=False)["input_ids"]
    assert one["input_ids"][0] == tokenizer.cls_token_id
    assert one["input_ids"][-1] == tokenizer.sep_token_id
    assert pair["input_ids"] == [*one["input_ids"], *words, tokenizer.sep_token_id]
    num = len(one["input_ids"])
    assert pair["token_type_ids"] == [0] * num + [1] * (len(words) + 1)
    assert tokenizer.decode(words) == "any person"
    assert len(tokenizer) == 320
