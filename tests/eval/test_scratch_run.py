"""A run of a model from scratch, from its spec to its record and its checkpoint folder."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval import runner
from eval.data.windows import corpus_windows
from eval.errors import UserError
from eval.execute import execute
from eval.identity import run_key
from eval.models.decoders import SCRATCH
from eval.pool import Job
from eval.record import Record, load_record, load_records, record_path
from eval.runner import run_suite
from eval.spec import Experiment
from eval.starts import model_of, tokenizer_of
from eval.tasks.language import LanguageTask, prepare
from eval.train import Interrupted, TrainingRun
from rltd_core import KeptLength
from tests.eval.experiments import arm, assert_same_weights, curve_rows, smoke_optimization, weights
from tests.eval.test_runner import with_arms

RAMP = KeptLength(start=8, full=32, ramp_steps=6)
DECAYING: dict[str, Any] = {"shape": "cosine", "warmup_steps": 2, "weight_decay": 0.1}
ON_LAYER_TOKENS = smoke_optimization(clock="layer_tokens", **DECAYING)
TOY: dict[str, Any] = {"model": "gpt2-toy", "steps": 8}
ARMS = {
    "baseline": arm("baseline", **TOY, optimization=smoke_optimization(**DECAYING)),
    "random_ltd": arm("random_ltd", **TOY, kept=RAMP, optimization=ON_LAYER_TOKENS),
    "lr_control": arm(
        "baseline",
        **TOY,
        optimization=smoke_optimization(clock="layer_tokens", clock_kept=RAMP, **DECAYING),
    ),
}


def carried_out(wanted: Experiment, folder: Path, *, seed: int = 0, **options: Any) -> Record:
    """Carry out a run into `folder / "store"`; with `stop_before` it is asked to stop there."""
    asked = iter(range(10**6))
    last = options.pop("stop_before", None)
    return execute(
        wanted,
        seed,
        store=folder / "store",
        scratch=folder / "scratch",
        on_step=lambda journal: None,
        should_stop=lambda: next(asked) == last,
        **options,
    )


def curve(folder: Path, record: Record) -> list[dict[str, str]]:
    """Return the curve but for the wall-clock, which no run repeats."""
    return [{**row, "wall_s": ""} for row in curve_rows(folder / "store", record)]


@pytest.mark.parametrize("name", ARMS)
def test_the_record_of_a_run_is_valid_and_says_what_ran(tmp_path: Path, name: str) -> None:
    record = carried_out(ARMS[name], tmp_path)
    path = record_path(tmp_path / "store", ARMS[name], 0, run_key(ARMS[name], 0))
    assert load_record(path) == record
    assert load_record(path).to_json() == path.read_text()
    assert record.provenance["assets"]["model"] == SCRATCH["gpt2-toy"].identity
    assert record.provenance["assets"]["data"].startswith("checkout:")
    assert record.cost is not None
    assert record.cost.tokens == 8 * 4 * 32
    assert (record.status, record.examples) == ("ok", None)
    measured = record.measurements
    assert measured["validation_bits_per_byte"].value < measured["start_bits_per_byte"].value


@pytest.mark.parametrize("name", ARMS)
def test_two_runs_of_a_seed_are_identical(tmp_path: Path, name: str) -> None:
    one, other = (carried_out(ARMS[name], tmp_path / which) for which in "ab")
    assert one.measurements == other.measurements
    assert one.hashes == other.hashes
    assert curve(tmp_path / "a", one) == curve(tmp_path / "b", other)


def test_arms_of_a_seed_share_weights_batches_and_text_and_seeds_share_the_text_alone(
    tmp_path: Path,
) -> None:
    records = [carried_out(wanted, tmp_path / n) for n, wanted in ARMS.items()]
    for name in ("initial_weights", "batch_order", "batches", "evaluated_text"):
        assert len({r.hashes[name] for r in records}) == 1, name
    another = carried_out(ARMS["baseline"], tmp_path / "another", seed=1)
    differing = {n for n, value in another.hashes.items() if value != records[0].hashes[n]}
    assert differing == {"initial_weights", "batch_order", "batches"}
    assert run_key(ARMS["baseline"], 1) != run_key(ARMS["baseline"], 0)


def test_the_lr_control_trains_at_the_rates_of_random_ltd_and_drops_nothing(tmp_path: Path) -> None:
    rows = {n: curve(tmp_path / n, carried_out(ARMS[n], tmp_path / n)) for n in ARMS}
    rate = {name: [row["lr"] for row in some] for name, some in rows.items()}
    assert rate["lr_control"] == rate["random_ltd"] != rate["baseline"]
    assert {row["kept"] for row in rows["lr_control"][1:]} == {"32"}
    assert rows["lr_control"][-1]["layer_tokens"] == rows["baseline"][-1]["layer_tokens"]
    assert int(rows["random_ltd"][-1]["layer_tokens"]) < int(rows["baseline"][-1]["layer_tokens"])


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("step", [0, 3, 7])
def test_a_resumed_run_equals_one_straight_through(tmp_path: Path, name: str, step: int) -> None:
    with pytest.raises(Interrupted):
        carried_out(ARMS[name], tmp_path / "stopped", stop_before=step)
    assert [p.name for p in (tmp_path / "stopped" / "scratch").iterdir()] == [f"step-{step:08d}"]
    resumed = carried_out(ARMS[name], tmp_path / "stopped")
    straight = carried_out(ARMS[name], tmp_path / "straight")
    assert resumed.measurements == straight.measurements
    assert resumed.hashes == straight.hashes
    assert curve(tmp_path / "stopped", resumed) == curve(tmp_path / "straight", straight)


def by_hand(wanted: Experiment, folder: Path) -> Any:
    """Return the model of a run that is trained without `execute`."""
    task, model = LanguageTask(wanted), model_of(wanted, 0)
    run = TrainingRun(
        wanted,
        0,
        model,
        task,
        folder=folder,
        on_step=lambda journal: None,
        should_stop=lambda: False,
    )
    return run()


def test_an_exported_model_is_a_stock_checkpoint_with_the_trained_weights(tmp_path: Path) -> None:
    wanted = ARMS["random_ltd"]
    exported, plain = tmp_path / "exported" / "model", tmp_path / "plain"
    with_export = carried_out(wanted, tmp_path, export=exported)
    assert with_export.measurements == carried_out(wanted, plain).measurements
    trained = by_hand(wanted, tmp_path / "by-hand").eval()
    loaded = AutoModelForCausalLM.from_pretrained(exported)
    assert_same_weights(weights(loaded), weights(trained))
    tokenizer, own = AutoTokenizer.from_pretrained(exported), tokenizer_of(wanted)
    text = "The licensor grants a licence; na\u00efve \u65e5\u672c\u8a9e.<|endoftext|>"
    ids = tokenizer(text)["input_ids"]
    assert ids == own(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == own.eos_token_id == loaded.config.eos_token_id
    ids_BS = torch.tensor([ids[:32]])
    with torch.no_grad():
        logits = loaded(input_ids=ids_BS).logits
        assert torch.equal(logits, trained(input_ids=ids_BS).logits)
        untrained = model_of(wanted, 0).eval()(input_ids=ids_BS).logits
    assert not torch.equal(logits, untrained)


def test_without_export_no_model_is_kept(tmp_path: Path) -> None:
    carried_out(ARMS["baseline"], tmp_path)
    assert list(tmp_path.rglob("*.safetensors")) == [
        *(tmp_path / "cache").rglob("*.safetensors")  # no run's
    ]


class InThisProcess:
    """A pool that carries its jobs out one after the other, here."""

    def __init__(self, jobs: list[Job], *, store: Path, **options: object) -> None:
        self.jobs, self.store = jobs, store

    def run(self, title: str) -> None:
        for job in self.jobs:
            execute(
                job.experiment,
                job.seed,
                store=self.store,
                scratch=job.folder,
                on_step=lambda journal: None,
                should_stop=lambda: False,
                export=job.export,
            )


@pytest.mark.parametrize("export", [True, False])
def test_a_suite_keeps_its_models_in_out_if_asked(
    out: Path, monkeypatch: pytest.MonkeyPatch, export: bool
) -> None:
    monkeypatch.setattr(runner, "Pool", InThisProcess)
    run_suite(with_arms(ARMS["baseline"]), seeds=[0, 1], store=out, export=export)
    names = {p.parent.name for p in (out / "models").rglob("model.safetensors")}
    assert names == ({"smoke-baseline-seed0", "smoke-baseline-seed1"} if export else set())
    for name in names:
        AutoModelForCausalLM.from_pretrained(out / "models" / "gpt_finetune" / name)
    assert len(load_records(out, "gpt_finetune")) == 2
    again = partial(run_suite, with_arms(ARMS["baseline"]), seeds=[0, 1], store=out, export=True)
    if export:
        assert len(again()) == 2
    else:
        with pytest.raises(UserError, match=r"these are done: .*baseline-seed1"):
            again()


def test_runs_find_tokenizer_and_tokens_prepared(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(ARMS["baseline"])
    before = {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}
    assert before
    monkeypatch.setattr(
        "eval.models.decoders.train_bpe", lambda *a, **o: pytest.fail("trained again")
    )
    task = LanguageTask(ARMS["random_ltd"])
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()} == before
    tokenizer = tokenizer_of(ARMS["baseline"])
    train = corpus_windows(tokenizer, "repository-prose", "train", "checkout", 32)
    assert len(task.examples) == len(train)
    for number, ids_S in enumerate(train):
        assert task.examples.example(number, 0)["input_ids"].tolist() == ids_S.tolist()


def test_a_folder_of_shards_holds_every_token_in_the_models_vocabulary(cache: Path) -> None:
    prepare(ARMS["baseline"])
    for folder in (cache / "tokens").iterdir():
        assert json.loads((folder / "shards.json").read_text())["shards"]
    for split in ("train", "validation", "test"):
        tokenizer = tokenizer_of(ARMS["baseline"])
        ids = corpus_windows(tokenizer, "repository-prose", split, "checkout", 32)[:]
        assert 0 < ids.max() < SCRATCH["gpt2-toy"].vocabulary
