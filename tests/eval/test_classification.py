"""A run on labelled text: what it reads, learns and reports, against the plainest computation.

Letters: N examples, S sequence, C classes.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from eval.data.glue import Labelled, load_labelled
from eval.errors import RunFailed, UserError
from eval.execute import execute
from eval.model_eval.command import checkpoint_folder
from eval.record import Record
from eval.spec import Experiment
from eval.starts import model_of, tokenizer_of
from eval.suites import suite
from eval.tasks.classification import ClassificationTask, Encoded
from eval.tasks.of import task_of

SUITE = suite("bert_glue_sst2", "smoke")
ARMS = {experiment.arm: experiment for experiment in SUITE.arms}
BASELINE = ARMS["baseline"]


@pytest.fixture
def task(cache: Path) -> ClassificationTask:
    """Return the smoke tier's task."""
    made = task_of(BASELINE, 0)
    assert isinstance(made, ClassificationTask)
    return made


def carried_out(experiment: Experiment, folder: Path, **options: Any) -> Record:
    record = execute(
        experiment,
        0,
        store=folder / "store",
        scratch=folder / "scratch",
        on_step=lambda journal: None,
        should_stop=lambda: False,
        **options,
    )
    assert record is not None
    return record


def one_by_one(model: Any, experiment: Experiment, split: str) -> tuple[list[int], list[float]]:
    """Return classes and losses of a split, each sentence alone and without padding."""
    found, tokenizer = load_labelled("sst2", split, "checkout"), tokenizer_of(experiment)
    classes, losses = [], []
    for text, label in zip(found.first, found.labels_N.tolist(), strict=True):
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=experiment.length)
        with torch.no_grad():
            logits = model(**inputs).logits[0].double().tolist()
        total = math.log(sum(math.exp(x) for x in logits))
        classes.append(int(np.argmax(logits)))
        losses.append(total - logits[label])
    return classes, losses


def perturbed(model: Any) -> Any:
    """Move the weights, and the bias to where half of the sentences are of each class."""
    generator = torch.Generator().manual_seed(0)
    texts = list(load_labelled("sst2", "validation", "checkout").first)
    inputs = tokenizer_of(BASELINE)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        logits_NC = model.eval()(**inputs).logits
        model.classifier.bias[0] += (logits_NC[:, 1] - logits_NC[:, 0]).median()
    return model


def test_what_is_reported_equals_each_sentence_by_itself(task: ClassificationTask) -> None:
    model = perturbed(model_of(BASELINE, 0))
    found = task.measure(model)
    classes, losses = one_by_one(model.eval(), BASELINE, "validation")
    labels = load_labelled("sst2", "validation", "checkout").labels_N.tolist()
    assert found.examples is not None
    assert list(found.examples["predicted"]) == classes
    assert len(set(classes)) == 2
    # Padding is masked with finite numbers, so the same sums differ in their last bits (float32).
    assert list(found.examples["loss"]) == pytest.approx(losses, rel=1e-4)
    right = fmean(p == q for p, q in zip(classes, labels, strict=True))
    assert found.measurements["accuracy"].value == right
    assert found.measurements["cross_entropy"].value == pytest.approx(fmean(losses), rel=1e-4)
    assert found.measurements["accuracy"].n == len(labels)


def test_the_start_is_that_of_the_held_out_sentences(task: ClassificationTask) -> None:
    model = perturbed(model_of(BASELINE, 0))
    classes, losses = one_by_one(model.eval(), BASELINE, "held_out")
    labels = load_labelled("sst2", "held_out", "checkout").labels_N.tolist()
    start = task.start(model)
    assert set(start) == {"start_accuracy", "start_cross_entropy"}
    assert start["start_accuracy"].value == fmean(
        p == q for p, q in zip(classes, labels, strict=True)
    )
    assert task.validation(model)["val_nll"] == pytest.approx(fmean(losses), rel=1e-4)
    assert task.measure(model).measurements["held_out_accuracy"] == start["start_accuracy"]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_scored_in_evaluation_mode_which_is_put_back(
    task: ClassificationTask, training: bool
) -> None:
    model = model_of(replace(BASELINE, dropout=0.5), 0).train(training)
    first = task.measure(model)
    assert all(module.training is training for module in model.modules())
    again = task.measure(model)
    assert first.examples is not None
    assert again.examples is not None
    pd.testing.assert_frame_equal(first.examples, again.examples, check_exact=True)


def test_sentences_are_cut_and_padded_to_the_length(cache: Path) -> None:
    tokenizer = tokenizer_of(BASELINE)
    pairs = Labelled(
        first=("permission is granted", "a", "the work " * 30),
        second=("to any person", "b", "under this licence " * 30),
        labels_N=np.array([0.0, 2.6, 5.0]),
    )
    encoded = Encoded(tokenizer, pairs, 16)
    for n in range(3):
        example = encoded.example(n, place=7)
        real = int(example["attention_mask"].sum())
        alone = tokenizer(pairs.first[n], pairs.second[n], truncation=True, max_length=16)  # type: ignore[index]
        assert example["input_ids"][:real].tolist() == alone["input_ids"]
        assert example["token_type_ids"][:real].tolist() == alone["token_type_ids"]
        assert set(example["input_ids"][real:].tolist()) <= {tokenizer.pad_token_id}
        assert example["input_ids"].shape == (16,)
    scores = [float(encoded.example(n, 0)["labels"]) for n in range(3)]
    assert scores == [0.0, pytest.approx(2.6), 5]
    assert encoded.example(0, 0)["labels"].dtype == torch.float32
    assert real == 16


def test_a_score_is_learned_by_squared_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [
        {"sentence1": f"number {n}", "sentence2": "number 3", "label": n / 2} for n in range(11)
    ]
    for split in ("train", "validation"):
        named = [{**row, "sentence1": f"{split} {row['sentence1']}"} for row in rows]
        lines = "".join(json.dumps(row) + "\n" for row in named)
        (tmp_path / f"stsb-{split}.jsonl").write_text(lines)
    monkeypatch.setattr("eval.data.glue_files._SMOKE", tmp_path)
    experiment = replace(BASELINE, data="stsb", curve_windows=1)
    task = ClassificationTask(experiment)
    model = model_of(experiment, 0).eval()
    batch = task.examples.batch(slice(0, 5))
    with torch.no_grad():
        scores = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[:, 0].tolist()
        loss = float(task.loss(model, batch))
    labels = batch["labels"].tolist()
    squares = [(p - q) ** 2 for p, q in zip(scores, labels, strict=True)]
    assert loss == pytest.approx(fmean(squares), rel=1e-5)


@pytest.mark.parametrize("name", ARMS)
def test_a_run_is_repeated_and_arms_begin_alike(tmp_path: Path, cache: Path, name: str) -> None:
    first, second = (carried_out(ARMS[name], tmp_path / place) for place in "ab")
    assert first.measurements == second.measurements
    assert first.hashes == second.hashes
    baseline = carried_out(BASELINE, tmp_path / "c")
    for what in ("initial_weights", "batch_order", "evaluated_text"):
        assert first.hashes[what] == baseline.hashes[what]
    assert (first.examples is None) is False
    table = pd.read_csv(tmp_path / "a" / "store" / str(first.examples))
    assert list(table["split"].unique()) == ["validation"]
    assert len(table) == 8


def test_heads_differ_between_seeds_and_the_encoder_does_not(cache: Path) -> None:
    one, other = (model_of(BASELINE, seed).state_dict() for seed in (0, 1))
    same = {name for name in one if torch.equal(one[name], other[name])}
    assert one.keys() - same == {"classifier.weight"}


@pytest.mark.parametrize("dropout", [None, 0.0, 0.3])
def test_dropout_is_the_checkpoints_own_unless_given(cache: Path, dropout: float | None) -> None:
    model = model_of(replace(BASELINE, dropout=dropout), 0)
    expected = 0.1 if dropout is None else dropout
    assert model.config.hidden_dropout_prob == expected
    assert model.config.attention_probs_dropout_prob == expected
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {expected}


def test_protected_and_padding_aware_reach_random_ltd(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval import train

    given: list[tuple[Any, Any]] = []

    class Seen(train.RandomLTD):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            given.append((options["protected"], options["padding_aware"]))
            super().__init__(*arguments, **options)

    monkeypatch.setattr(train, "RandomLTD", Seen)
    arms = [ARMS["random_ltd"], replace(ARMS["random_ltd"], protected=1, padding_aware=True)]
    for number, arm in enumerate(arms):
        carried_out(arm, tmp_path / str(number))
    assert given == [(0, False), (1, True)]


def test_an_exported_model_is_a_stock_checkpoint(tmp_path: Path, cache: Path) -> None:
    record = carried_out(BASELINE, tmp_path, export=tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    classes, _ = one_by_one(model, BASELINE, "validation")
    table = pd.read_csv(tmp_path / "store" / str(record.examples))
    assert list(table["predicted"]) == classes
    assert AutoTokenizer.from_pretrained(tmp_path / "model").vocab_size == model.config.vocab_size


def test_a_model_that_diverged_is_a_failed_run(task: ClassificationTask) -> None:
    model = model_of(BASELINE, 0)
    with torch.no_grad():
        model.classifier.bias.fill_(math.inf)
    with pytest.raises(RunFailed, match="not finite"):
        task.measure(model)


def test_an_encoder_is_not_scored_as_a_decoder(tmp_path: Path, cache: Path) -> None:
    carried_out(BASELINE, tmp_path, export=tmp_path / "model")
    with pytest.raises(UserError, match="is an encoder: it gives a text no likelihood"):
        checkpoint_folder(str(tmp_path / "model"))
