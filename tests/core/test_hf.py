"""The Trainer callback: the run of a loop by hand, resumed exactly, one message for a mistake."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import transformers
from torch import Tensor, nn
from torch.utils.data import default_collate

import tests.conftest  # noqa: F401, a spawned process imports this module without pytest
from rltd_core import KeptLength, LayerTokenLR, RandomLTD, random_per_layer
from rltd_core.hf import RandomLTDCallback
from tests.core.tiny import LENGTH, VOCAB, assert_same, tiny_model, token_ids

SCHEDULE = KeptLength(start=8, full=24, ramp_steps=6, quantum=4)
STEPS, ROWS, BATCH, PEAK, RANKS = 8, 10, 2, 0.01, 2
MODEL = pytest.mark.parametrize("kind", ["gpt2", "bert"])


def tiny(kind: str, dropout: float = 0.0) -> Any:
    """Return a model with random weights, the same at every call."""
    model = tiny_model("gpt2", width=8)
    if kind == "bert":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
            config = transformers.BertConfig(vocab_size=VOCAB, num_hidden_layers=4, **sizes)
            model = transformers.BertForSequenceClassification(config).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return model


def loss_of(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """Return the mean loss of one forward, in both loops."""
    logits = outputs.logits
    if logits.ndim == 3:
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return nn.functional.cross_entropy(logits, labels)


class Run:
    """A tiny model with all that trains it, built from scratch."""

    def __init__(
        self, kind: str = "gpt2", *, accumulate: int = 1, dropout: float = 0.0, seed: int = 5
    ) -> None:
        self.accumulate, self.draws = accumulate, list[Tensor]()
        self.model = tiny(kind, dropout)
        self.ltd = RandomLTD(self.model, SCHEDULE, seed=seed, policy=self._draw)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=PEAK)
        ranks = RANKS if dist.is_initialized() else 1
        plan = {"warmup": 2, "total": STEPS, "batch": ranks * accumulate * BATCH, "length": LENGTH}
        self.lr = LayerTokenLR(self.optimizer, self.ltd, **plan)
        ids_BS = token_ids(ROWS, LENGTH)
        labels = ids_BS if kind == "gpt2" else torch.arange(ROWS) % 2
        self.rows = [{"input_ids": i, "labels": label} for i, label in zip(ids_BS, labels)]

    def _draw(self, *shape: int, **options: Any) -> Tensor:
        self.draws.append(random_per_layer(*shape, **options))
        return self.draws[-1]

    def trainer(self, folder: Path, options: Any = None, **changes: Any) -> transformers.Trainer:
        """Return a Trainer of all this with the callback; `options` are those of the Trainer."""
        settings = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "logging_steps": 1}
        settings |= {"per_device_train_batch_size": BATCH, "max_steps": STEPS, "max_grad_norm": 0.0}
        settings |= {"gradient_accumulation_steps": self.accumulate, "save_strategy": "no"}
        given: dict[str, Any] = {
            "model": self.model,
            "args": transformers.TrainingArguments(str(folder), **settings | changes),
            "train_dataset": self.rows,
            "eval_dataset": self.rows,
            "optimizers": (self.optimizer, self.lr),
            "callbacks": [RandomLTDCallback(self.ltd)],
            "compute_loss_func": loss_of,
        }
        return transformers.Trainer(**given | (options or {}))

    def by_hand(self) -> None:
        """Train in plain torch: the rows in order, `accumulate` batches a step."""
        batches = [default_collate(self.rows[row : row + BATCH]) for row in range(0, ROWS, BATCH)]
        for first in islice(cycle(range(0, len(batches), self.accumulate)), STEPS):
            for batch in batches[first : first + self.accumulate]:
                loss_of(self.model(batch["input_ids"]), batch["labels"]).backward()
            self.optimizer.step()
            self.ltd.step()
            self.lr.step()
            self.optimizer.zero_grad()

    def layer_tokens(self, steps: int, batch: int | None = None) -> int:
        """Return the layer tokens of a run whose batches all have one size."""
        plan = {"batch": batch or self.accumulate * BATCH, "length": LENGTH}
        return self.ltd.cost.run_layer_tokens(SCHEDULE, num_steps=steps, **plan)

    def reached(self) -> dict[str, Any]:
        """Return weights, counters, draws and rate."""
        states = {"w": self.model.state_dict(), "ltd": self.ltd.state_dict()}
        return {**states, "draws": self.draws, "lr": self.optimizer.param_groups[0]["lr"]}


def with_loss(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in history if "loss" in entry]


@MODEL
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_trainer_trains_as_a_loop_by_hand(kind: str, accumulate: int, tmp_path: Path) -> None:
    ours, theirs = Run(kind, accumulate=accumulate), Run(kind, accumulate=accumulate)
    ours.by_hand()
    trainer = theirs.trainer(tmp_path, train_sampling_strategy="sequential")
    assert trainer.train().global_step == ours.ltd.steps == STEPS
    assert_same(theirs.reached(), ours.reached())
    assert len(theirs.draws) > STEPS // 2


@pytest.mark.parametrize(("kind", "accumulate"), [("gpt2", 5), ("bert", 1)])
def test_the_rate_follows_the_layer_tokens(kind: str, accumulate: int, tmp_path: Path) -> None:
    run = Run(kind, accumulate=accumulate)
    trainer = run.trainer(tmp_path)
    trainer.train()
    assert run.ltd.layer_tokens == run.layer_tokens(STEPS)
    rates = [entry["learning_rate"] for entry in with_loss(trainer.state.log_history)]
    assert rates == [PEAK * run.lr.multiplier(run.layer_tokens(step)) for step in range(STEPS)]
    assert len(set(rates)) == STEPS
    assert (trainer.lr_scheduler, run.lr.last_epoch) == (run.lr, STEPS)


def test_kept_length_and_layer_tokens_stand_beside_each_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run()
    run.trainer(tmp_path, logging_steps=2, eval_strategy="steps", save_strategy="steps").train()
    file = tmp_path / f"checkpoint-{STEPS}" / "trainer_state.json"
    history = json.loads(file.read_text())["log_history"]
    seen = [(entry["ltd_kept"], entry["ltd_layer_tokens"]) for entry in with_loss(history)]
    assert seen == [(SCHEDULE(step), run.layer_tokens(step)) for step in (2, 4, 6, 8)]
    evaluations = [entry for entry in history if "eval_loss" in entry]
    assert len(evaluations) == 4
    assert not [name for entry in evaluations for name in entry if "ltd" in name]
    assert capsys.readouterr().out.count("'ltd_layer_tokens'") == 4  # reporters after it see it


def test_evaluation_while_training_changes_nothing(tmp_path: Path) -> None:
    plain, evaluated = Run(), Run()
    for run, changes in ((plain, {}), (evaluated, {"eval_strategy": "steps", "eval_steps": 1})):
        run.trainer(tmp_path, train_sampling_strategy="sequential", **changes).train()
    assert_same(evaluated.reached(), plain.reached())


@pytest.mark.parametrize(
    ("kind", "interruption", "restore"),
    [("gpt2", 1, False), ("gpt2", 3, True), ("bert", 3, False), ("bert", 5, True)],
)
def test_a_run_resumed_from_a_moved_checkpoint_is_the_uninterrupted_run(
    kind: str, interruption: int, restore: bool, tmp_path: Path
) -> None:
    first, second = (Run(kind, accumulate=2, dropout=0.1) for _ in range(2))
    whole = first.trainer(tmp_path / "a", save_strategy="steps", save_steps=interruption)
    whole.train()
    moved = shutil.move(tmp_path / "a" / f"checkpoint-{interruption}", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "a")
    rest = second.trainer(tmp_path / "b", restore_callback_states_from_checkpoint=restore)
    rest.train(resume_from_checkpoint=str(moved))
    drawn = len(first.draws) - len(second.draws)
    assert len(first.draws) > drawn >= interruption
    assert_same(second.reached(), {**first.reached(), "draws": first.draws[drawn:]})
    assert with_loss(rest.state.log_history) == with_loss(whole.state.log_history)


def test_a_trainer_of_another_model_is_refused(tmp_path: Path) -> None:
    other = {"model": None, "model_init": lambda: tiny("gpt2"), "optimizers": (None, None)}
    with pytest.raises(ValueError, match=r"trains another model .* not model_init"):
        Run().trainer(tmp_path, other).train()


def test_a_checkpoint_without_counters_is_refused_until_they_are_loaded(tmp_path: Path) -> None:
    first, second = Run(), Run()
    first.trainer(tmp_path, save_strategy="steps").train()
    file = tmp_path / f"checkpoint-{STEPS}" / "trainer_state.json"
    state = json.loads(file.read_text())
    counters = state["stateful_callbacks"].pop("random_ltd")
    file.write_text(json.dumps(state))
    trainer = second.trainer(tmp_path, max_steps=STEPS + 1)
    with pytest.raises(ValueError, match=r"checkpoint of step 8 holds no random-LTD counters"):
        trainer.train(resume_from_checkpoint=True)
    second.ltd.load_state_dict(counters)
    trainer.train(resume_from_checkpoint=True)
    assert second.ltd.layer_tokens == second.layer_tokens(STEPS + 1)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    Run(seed=5).trainer(tmp_path, save_strategy="steps").train()
    with pytest.raises(ValueError, match="made with seed 5, this object has seed 6"):
        Run(seed=6).trainer(tmp_path).train(resume_from_checkpoint=True)


@MODEL
def test_the_stock_class_loads_the_checkpoint(kind: str, tmp_path: Path) -> None:
    run = Run(kind)
    run.trainer(tmp_path, save_strategy="steps").train()
    loaded = type(run.model).from_pretrained(tmp_path / f"checkpoint-{STEPS}")
    assert_same(loaded.state_dict(), run.model.state_dict())
    ids_BS = token_ids()
    assert_same(loaded(ids_BS).logits, run.model.eval()(ids_BS).logits)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_trains_the_same_weights(reentrant: bool, tmp_path: Path) -> None:
    plain, recomputed = Run(), Run()
    calls: list[object] = []
    recomputed.model.transformer.h[1].mlp.register_forward_pre_hook(lambda *_: calls.append(0))
    plain.trainer(tmp_path).train()
    how = {"gradient_checkpointing_kwargs": {"use_reentrant": reentrant}}
    recomputed.trainer(tmp_path, gradient_checkpointing=True, **how).train()
    assert len(calls) == 2 * STEPS
    assert_same(recomputed.reached(), plain.reached())


def test_epochs_count_like_steps_and_a_second_train_counts_on(tmp_path: Path) -> None:
    steps, epochs = Run(), Run()
    steps.trainer(tmp_path, max_steps=2 * ROWS // BATCH).train()
    trainer = epochs.trainer(tmp_path, max_steps=-1, num_train_epochs=2)
    trainer.train()
    assert_same(epochs.reached(), steps.reached())
    trainer.train()
    assert epochs.ltd.layer_tokens == epochs.layer_tokens(4 * ROWS // BATCH)


def failing_once(message: str) -> dict[str, Any]:
    """Return a loss that fails at the third call."""
    calls = count(1)

    def loss(*given: Any, **named: Any) -> Tensor:
        if next(calls) == 3:
            raise RuntimeError(message)
        return loss_of(*given, **named)

    return {"compute_loss_func": loss}


def test_a_run_that_begins_anew_with_smaller_batches_counts_anew(tmp_path: Path) -> None:
    run, changes = Run(), {"auto_find_batch_size": True, "dataloader_drop_last": True}
    trainer = run.trainer(tmp_path, failing_once("CUDA out of memory."), **changes)
    assert trainer.train().global_step == run.ltd.steps == STEPS
    assert run.ltd.layer_tokens == run.layer_tokens(STEPS, trainer.state.train_batch_size)


def test_a_run_that_broke_off_is_resumed_by_the_same_trainer(tmp_path: Path) -> None:
    whole, broken = Run(), Run()
    whole.trainer(tmp_path / "a").train()
    fault = failing_once("power cut")
    trainer = broken.trainer(tmp_path / "b", fault, save_strategy="steps", save_steps=1)
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.train()
    trainer.train(resume_from_checkpoint=True)
    assert_same(broken.draws.pop(2), whole.draws[2])  # drawn again
    assert_same(broken.reached(), whole.reached())


def train_rank(rank: int, folder: str) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="1")  # asked for, not used
    store, timeout = dist.FileStore(f"{folder}/store", RANKS), timedelta(seconds=60)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timeout)
    whole, rest = Run(), Run()
    trainer = whole.trainer(Path(folder), save_strategy="steps", save_steps=3, save_only_model=True)
    trainer.train()
    # Counters and draws alone: transformers 5.17 cannot resume optimizers in processes on CPU.
    rest.trainer(Path(folder)).train(resume_from_checkpoint=f"{folder}/checkpoint-3")
    rates = [entry["learning_rate"] for entry in with_loss(trainer.state.log_history)]
    seen = {"whole": whole.reached(), "rest": rest.reached(), "rates": rates}
    torch.save(seen, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_count_and_resume_as_one(tmp_path: Path) -> None:
    mp.spawn(train_rank, args=(str(tmp_path),), nprocs=RANKS)
    one, first, second = Run(), *(torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS))
    for seen in (first, second):
        assert seen["whole"]["ltd"] == first["rest"]["ltd"]
        assert seen["whole"]["ltd"]["layer_tokens"] == one.layer_tokens(STEPS, RANKS * BATCH)
        assert_same(seen["rest"]["draws"], seen["whole"]["draws"][3:])
    assert_same(first["whole"]["w"], second["whole"]["w"])
    draws = zip(first["whole"]["draws"], second["whole"]["draws"], strict=True)
    assert not any(torch.equal(*pair) for pair in draws)
    rates = [PEAK * one.lr.multiplier(one.layer_tokens(step)) for step in range(STEPS)]
    assert first["rates"] == rates
