"""Runs that begin with the trained weights of another run: which weights, whose, and from where."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM

from eval.__main__ import parser
from eval.data.text import corpus_identity
from eval.errors import RunFailed, UserError
from eval.execute import execute
from eval.identity import asset_hashes, trained_folder
from eval.paths import RESULTS
from eval.pool import Job
from eval.record import failed_path, load_record, load_records, record_path
from eval.runner import run_suite
from eval.spec import Experiment
from eval.starts import is_trained, model_of, tokenizer_of
from eval.suites import suite
from eval.tasks.masked import MaskedTask
from eval.tasks.of import task_of
from tests.eval.experiments import assert_same_weights, weights, whole_run

PRETRAINING = suite("bert_pretrain", "smoke")
FINETUNING = suite("bert_pretrain_sst2", "smoke")
FIRST, SECOND = PRETRAINING.arm("random_ltd"), FINETUNING.arm("random_ltd")
HEAD = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} | {
    "classifier.weight",
    "classifier.bias",
}
"""What a classifier has and masked pretraining does not."""


def encoder(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of the encoder by itself."""
    return {k: v for k, v in weights(model).items() if k.startswith("bert.") and k not in HEAD}


def kept_model(experiment: Experiment, seed: int = 0) -> BertForMaskedLM:
    return BertForMaskedLM.from_pretrained(trained_folder(experiment, seed))


def test_a_kept_model_is_the_trained_one_and_the_record_names_its_sha256(
    cache: Path, tmp_path: Path
) -> None:
    record = whole_run(FIRST, tmp_path)
    folder = trained_folder(FIRST, 0)
    assert folder.is_relative_to(cache)
    content = (folder / "model.safetensors").read_bytes()
    assert record.hashes["trained_weights"] == hashlib.sha256(content).hexdigest()
    again = task_of(FIRST, 0).measure(kept_model(FIRST).train())
    assert again.measurements.items() <= record.measurements.items()
    tokens = AutoTokenizer.from_pretrained(folder)("permission is granted")["input_ids"]
    assert tokenizer_of(SECOND)("permission is granted")["input_ids"] == tokens


def test_a_model_that_is_not_to_be_kept_is_not(cache: Path, tmp_path: Path) -> None:
    record = whole_run(replace(FIRST, keep=False), tmp_path)
    assert "trained_weights" not in record.hashes
    assert not (cache / "trained").exists()


def test_a_run_that_failed_leaves_no_model_to_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(self: MaskedTask, model: Any) -> None:
        raise RunFailed("masked_nats of the trained model is not a finite number: it diverged")

    monkeypatch.setattr(MaskedTask, "measure", diverged)
    with pytest.raises(RunFailed):
        whole_run(FIRST, tmp_path)
    assert not is_trained(FIRST, 0)


@pytest.mark.parametrize("name", ["baseline", "random_ltd", "random_ltd_dropout"])
def test_a_classifier_begins_with_the_pretrained_encoder_to_the_last_bit(
    name: str, cache: Path, tmp_path: Path
) -> None:
    first, second = PRETRAINING.arm(name), FINETUNING.arm(name)
    pretrained = whole_run(first, tmp_path / "first")
    kept = encoder(kept_model(first))
    model = model_of(second, 0)
    assert encoder(model).keys() == weights(model).keys() - HEAD
    assert_same_weights(encoder(model), kept)
    untrained = encoder(model_of(first, 0))
    assert kept.keys() == untrained.keys()
    # Of the 64 positions a window of 32 tokens uses half; biases of keys have no gradient.
    moved = {name for name in kept if not torch.equal(kept[name], untrained[name])}
    assert {name for name in kept if name.endswith("weight")} <= moved
    start = task_of(second, 0).start(model)
    finetuned = whole_run(second, tmp_path / "second")
    assert finetuned.hashes["pretrained_weights"] == pretrained.hashes["trained_weights"]
    assert "initial_weights" not in finetuned.hashes
    assert start.items() <= finetuned.measurements.items()
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.1


def test_each_seed_begins_with_its_own_weights(cache: Path, tmp_path: Path) -> None:
    zero = whole_run(FIRST, tmp_path, seed=0).hashes["trained_weights"]
    with pytest.raises(UserError, match="seed 1, which are not in the cache"):
        model_of(SECOND, 1)
    one = whole_run(FIRST, tmp_path, seed=1).hashes["trained_weights"]
    assert zero != one
    for seed, expected in ((0, zero), (1, one)):
        assert_same_weights(encoder(model_of(SECOND, seed)), encoder(kept_model(FIRST, seed)))
        assert whole_run(SECOND, tmp_path, seed=seed).hashes["pretrained_weights"] == expected


def test_all_seeds_may_begin_with_the_weights_of_one(cache: Path, tmp_path: Path) -> None:
    shared = replace(SECOND, pretrained_seed=0)
    zero = whole_run(FIRST, tmp_path, seed=0).hashes["trained_weights"]
    models = [model_of(shared, seed) for seed in (1, 2)]
    for seed, model in zip((1, 2), models, strict=True):
        assert_same_weights(encoder(model), encoder(kept_model(FIRST, 0)))
        assert whole_run(shared, tmp_path, seed=seed).hashes["pretrained_weights"] == zero
    heads = [model.classifier.weight for model in models]
    assert not torch.equal(*heads)


def test_without_the_weights_the_error_names_a_command_that_trains_them(cache: Path) -> None:
    with pytest.raises(UserError, match="begins with the weights of bert_pretrain") as caught:
        model_of(SECOND, 0)
    command = re.search(r"\./rltd (run [\w\- ]+?) trains them first", str(caught.value))
    assert command is not None
    options = parser().parse_args(command[1].split())
    assert suite(options.suite, options.tier).arm("random_ltd") == SECOND


def test_what_was_pretrained_on_is_part_of_the_key(cache: Path) -> None:
    hashes = asset_hashes(SECOND)
    assert hashes["pretraining_data"] == corpus_identity(FIRST.data, FIRST.source)
    assert hashes["pretraining_data"] != hashes["data"]
    assert "pretraining_data" not in asset_hashes(FIRST)


def test_without_pretraining_a_run_begins_with_the_weights_that_pretraining_begins_with(
    cache: Path, tmp_path: Path
) -> None:
    still = FINETUNING.arm("no_pretraining").pretrained
    assert still is not None
    baseline = PRETRAINING.arm("baseline")
    record, other = whole_run(still, tmp_path), whole_run(baseline, tmp_path)
    assert record.hashes["initial_weights"] == other.hashes["initial_weights"]
    assert_same_weights(weights(kept_model(still)), weights(model_of(baseline, 0)))
    finetuned = model_of(FINETUNING.arm("no_pretraining"), 0)
    assert_same_weights(encoder(finetuned), encoder(model_of(baseline, 0)))


class InThisProcess:
    """Stands in for the pool: one run after the other, and a list of what was run."""

    ran: list[tuple[str, list[tuple[str, str, int]], Path]]

    def __init__(self, jobs: Sequence[Job], *, store: Path, **options: Any) -> None:
        self._jobs, self._store = jobs, store

    def run(self, title: str) -> None:
        """Carry out the jobs; one that fails does not stop the others."""
        failed = []
        runs = [(job.experiment.suite, job.experiment.arm, job.seed) for job in self._jobs]
        self.ran.append((title, runs, self._store))
        for job in self._jobs:
            try:
                execute(
                    job.experiment,
                    job.seed,
                    store=self._store,
                    scratch=job.folder,
                    on_step=lambda journal: None,
                    should_stop=lambda: False,
                )
            except UserError as error:
                failed.append(str(error))
        if failed:
            raise UserError("; ".join(failed))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[tuple[str, str, int]], Path]]:
    """Run the jobs of suites in this process, and say which were run."""
    monkeypatch.setattr(InThisProcess, "ran", [], raising=False)
    monkeypatch.setattr("eval.runner.Pool", InThisProcess)
    return InThisProcess.ran


def test_what_is_missing_is_trained_first_and_once_for_all_that_share_it(
    ran: Any, out: Path
) -> None:
    committed = sorted((RESULTS / "runs").rglob("*"))
    declared = replace(FINETUNING, arms=(SECOND, replace(SECOND, arm="twin", dropout=0.0)))
    records = run_suite(declared, seeds=[0, 1], store=out)
    (title, first, store), (_, then, second_store) = ran
    assert title == "pretraining"
    assert sorted(first) == [("bert_pretrain", "random_ltd", seed) for seed in (0, 1)]
    assert sorted(then) == [
        ("bert_pretrain_sst2", arm, seed) for arm in ("random_ltd", "twin") for seed in (0, 1)
    ]
    begun = {(r.seed, r.hashes["pretrained_weights"]) for r in records}
    trained = load_records(store, "bert_pretrain")
    assert begun == {(r.seed, r.hashes["trained_weights"]) for r in trained}
    assert len(begun) == 2
    assert (second_store, store) == (out, out / "pretraining")
    assert [p.name for p in (out / "runs").iterdir()] == ["bert_pretrain_sst2"]
    assert sorted((RESULTS / "runs").rglob("*")) == committed


def test_weights_that_all_seeds_share_are_trained_once(ran: Any, out: Path) -> None:
    shared = replace(FINETUNING, arms=(replace(SECOND, pretrained_seed=0),))
    records = run_suite(shared, seeds=[1, 2], store=out)
    assert [runs for title, runs, _ in ran if title == "pretraining"] == [
        [("bert_pretrain", "random_ltd", 0)]
    ]
    assert len({r.hashes["pretrained_weights"] for r in records}) == 1


def test_a_pretraining_that_fails_stops_only_what_begins_with_it(ran: Any, out: Path) -> None:
    diverging = replace(FIRST, optimization=replace(FIRST.optimization, peak_lr=1e30))
    lost = replace(SECOND, arm="lost", pretrained=diverging)
    with pytest.raises(UserError, match=r"what begins with these could not run: the loss is"):
        run_suite(replace(FINETUNING, arms=(lost, SECOND)), seeds=[0], store=out)
    assert ran[1][1] == [("bert_pretrain_sst2", "random_ltd", 0)]
    assert [r.experiment for r in load_records(out, "bert_pretrain_sst2")] == [SECOND]
    with pytest.raises(UserError, match="could not run"):
        run_suite(replace(FINETUNING, arms=(lost,)), seeds=[0], store=out)


def test_weights_in_the_cache_are_not_trained_again(ran: Any, out: Path) -> None:
    whole_run(FIRST, out / "elsewhere")
    run_suite(replace(FINETUNING, arms=(SECOND,)), seeds=[0], store=out)
    assert [title for title, _, _ in ran] == ["bert_pretrain_sst2"]


def test_finished_runs_need_no_weights(ran: Any, out: Path, cache: Path) -> None:
    declared = replace(FINETUNING, arms=(SECOND,))
    (record,) = run_suite(declared, seeds=[0], store=out)
    shutil.rmtree(cache / "trained")
    assert run_suite(declared, seeds=[0], store=out) == [record]
    assert len(ran) == 2


def test_an_emptied_cache_is_filled_again_whatever_became_of_the_run_before(
    ran: Any, out: Path, cache: Path
) -> None:
    twin = replace(SECOND, arm="twin")
    one, other = (replace(FINETUNING, arms=(arm,)) for arm in (SECOND, twin))
    (before,) = run_suite(one, seeds=[0], store=out)
    (first,) = load_records(out / "pretraining", "bert_pretrain")
    path = record_path(out / "pretraining", FIRST, 0, first.key)
    shutil.copy(path, failed_path(path))
    shutil.rmtree(cache / "trained")
    (after,) = run_suite(other, seeds=[0], store=out)
    assert [title for title, _, _ in ran[2:]] == ["pretraining", "bert_pretrain_sst2"]
    assert after.hashes == before.hashes
    assert after.measurements == before.measurements
    assert load_record(path).hashes == first.hashes
    assert not failed_path(path).exists()
