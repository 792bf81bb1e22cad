"""Seconds-long runs of the smoke suite, whole or stopped at a chosen step.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eval.data.text import load_split
from eval.data.windows import Windows, token_windows
from eval.execute import execute
from eval.models.named import load_causal_model, load_tokenizer
from eval.record import Record
from eval.spec import Experiment, Optimization
from eval.suites import suite
from eval.tasks.language import WindowExamples
from eval.tasks.perplexity import score_windows, token_bytes
from eval.train import Journal, TrainingRun
from rltd_core import KeptLength

ARMS = ("baseline", "random_ltd", "shortened_baseline")


class Stopped(Exception):
    """The test ended the run here, as a crash would."""


def arm(name: str = "random_ltd", **changes: Any) -> Experiment:
    """Return an arm of the smoke suite with some fields changed."""
    return replace(suite("gpt_finetune", "smoke").arm(name), **changes)


def smoke_optimization(**changes: Any) -> Optimization:
    """Return the optimization of the smoke suite with some fields changed."""
    return replace(arm().optimization, **changes)


def short(length: int = 32) -> dict[str, Any]:
    """Return the fields that make an experiment a few steps long and nothing more."""
    return {"steps": 2, "kept": KeptLength(start=length, full=length, ramp_steps=0)}


def whole_run(experiment: Experiment, folder: Path, *, seed: int = 0) -> Record:
    """Carry out a run into `folder / "store"`, in this process."""
    record = execute(
        experiment,
        seed,
        store=folder / "store",
        scratch=folder / "scratch",
        on_step=lambda journal: None,
        should_stop=lambda: False,
    )
    assert record is not None  # another process has it, where there are several
    return record


def windows(split: str = "train", length: int = 32) -> Windows:
    """Return the windows of a split of the repository's prose."""
    tokenizer = load_tokenizer("tiny-llama", "checkout")
    return token_windows(tokenizer, load_split("repository-prose", split, "checkout"), length)


def validation_loss(model: Any) -> float:
    """Return the model's loss on four windows, in nats per token."""
    tokenizer = load_tokenizer("tiny-llama", "checkout")
    byte_lengths = token_bytes(tokenizer, len(tokenizer))
    return score_windows(
        model, windows("validation")[:4], byte_lengths, batch=4, precision="no"
    ).nll


class Prose:
    """The repository's prose, for the training loop alone."""

    def __init__(self, length: int) -> None:
        self.examples = WindowExamples(windows(length=length))

    def loss(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean negative log-likelihood."""
        ids_BS = batch["input_ids"]
        return model(input_ids=ids_BS, labels=ids_BS, use_cache=False).loss

    def validation(self, model: Any) -> dict[str, float]:
        """Return the loss on four windows."""
        return {"val_nll": validation_loss(model)}


def training(
    experiment: Experiment,
    folder: Path,
    *,
    seed: int = 0,
    stop_before: int | None = None,
    crash_after: int | None = None,
    checkpoint_every_s: float = 120.0,
    dropout: float = 0.0,
    commit: str | None = None,
) -> TrainingRun:
    """Make a run that is asked to stop before a step, or crashes after one, or goes to its end."""

    def crash(journal: Journal) -> None:
        if journal.step == crash_after:
            raise Stopped

    model = load_causal_model("tiny-llama", "checkout")
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout
    run = TrainingRun(
        experiment,
        seed,
        model,
        Prose(experiment.length),
        folder=folder,
        on_step=crash,
        should_stop=lambda: run.journal.step == stop_before,
        checkpoint_every_s=checkpoint_every_s,
        commit=commit,
    )
    return run


def column(journal: Journal, name: str) -> list[float | int | None]:
    """Return a column of the curve."""
    return [row[name] for row in journal.curve]


def train_losses(journal: Journal) -> list[float | int | None]:
    """Return the training losses, one a step."""
    return column(journal, "train_loss")[1:]


def curve_rows(store: Path, record: Record) -> list[dict[str, str]]:
    """Return the curve that a run left in a store, as it is written."""
    assert record.curve is not None
    with gzip.open(store / record.curve, "rt", newline="") as file:
        return list(csv.DictReader(file))


def without_clock(journal: Journal) -> list[dict[str, float | int | None]]:
    """Return the curve but for the wall-clock, which no run repeats."""
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in journal.curve]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of all weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Assert equality to the last bit."""
    torch.testing.assert_close(one, other, rtol=0, atol=0)
