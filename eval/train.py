"""The one training loop, on accelerate. Arms differ by their `Experiment`, never by code."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader

from eval.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from eval.errors import RunFailed, UserError
from eval.optimization import make_optimizer, make_scheduler
from eval.order import InOrder, batch_order
from eval.processes import agree, num_processes, refuse_other_number, refuse_uneven
from eval.seeding import seed_everything
from eval.spec import Experiment
from eval.tasks.task import Batch, Trainable
from rltd_core import RandomLTD

__all__ = ["Interrupted", "Journal", "TrainingRun"]


_TRAINING_PER_SAVING = 20
"""Checkpoints of large models, which take long to write, are this much further apart."""


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved."""


@dataclass(kw_only=True, slots=True)
class Journal:
    """What a run has done so far, in plain numbers; saved with every checkpoint."""

    step: int = 0
    wall_s: float = 0.0
    """Training only: evaluations and checkpoints are not in it."""
    cpu_s: float = 0.0
    batches: str = ""
    """Hash chain over the windows of every batch consumed."""
    curve: list[dict[str, float | int | None]] = field(default_factory=list)


class TrainingRun:
    """One experiment with one seed, from its first step or its latest checkpoint to its last.

    The task gives examples, loss and validation loss. `on_step(journal)` is called after every
    optimizer step. `should_stop` is asked between steps.

    Several processes share every batch and take the same steps; the main one saves. Their global
    generators are seeded alike, so the masks of dropout and of timm's patch dropout repeat between
    them; random-LTD's draws do not.

    With `commit` a checkpoint is continued only by the code that wrote it.

    Raises: UserError if the processes do not divide the sequences of a forward.
    """

    def __init__(
        self,
        experiment: Experiment,
        seed: int,
        model: Any,
        task: Trainable,
        *,
        folder: Path,
        on_step: Callable[[Journal], None],
        should_stop: Callable[[], bool],
        checkpoint_every_s: float = 120.0,
        tensorboard: Path | None = None,
        commit: str | None = None,
    ) -> None:
        refuse_uneven(experiment, num_processes())
        seed_everything(seed)
        self.experiment, self.seed = experiment, seed
        self.journal = Journal()
        self._order = batch_order(len(task.examples), experiment.steps * experiment.batch, seed)
        self._task, self._folder = task, folder
        self._on_step, self._should_stop = on_step, should_stop
        self._checkpoint_every_s, self._commit = checkpoint_every_s, commit
        self._accelerator = Accelerator(
            mixed_precision=experiment.precision,
            gradient_accumulation_steps=experiment.accumulation,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            log_with="tensorboard" if tensorboard else None,
            project_dir=tensorboard,
        )
        if tensorboard:
            run = f"{experiment.suite}-{experiment.tier}-{experiment.arm}-seed{seed}"
            self._accelerator.init_trackers(run)
        self._tracking = tensorboard is not None
        if experiment.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        self.ltd = RandomLTD(
            model,
            experiment.kept,
            seed=seed,
            protected=experiment.protected,
            padding_aware=experiment.padding_aware,
        )
        optimizer = make_optimizer(model, experiment.optimization)
        self._lr = make_scheduler(experiment, optimizer, self.ltd)
        self._model, self._optimizer = self._accelerator.prepare(model, optimizer)

    def __call__(self) -> Any:
        """Train to the end and return the model, with random-LTD detached.

        Raises: Interrupted if `should_stop` says so in any process; RunFailed if the loss is not
            finite; UserError if the checkpoint is damaged or of other code, or not every process
            sees it.
        """
        try:
            self._train()
        except (Interrupted, RunFailed):  # every process is here
            self._end()
            raise
        return self._end()

    def _train(self) -> None:
        self._resume()
        if self.journal.step == 0 and not self.journal.curve:
            self._point()
        saved, pause = time.monotonic(), self._checkpoint_every_s
        for step_batches in self._batches():
            if self._any(self._should_stop()):
                self._save()
                raise Interrupted
            self._step(step_batches)
            if self._any(time.monotonic() - saved > pause):
                begin = time.monotonic()
                self._save()
                saved = time.monotonic()
                pause = max(pause, _TRAINING_PER_SAVING * (saved - begin)) if pause else 0

    def _end(self) -> Any:
        """Leave the other processes; return the plain model."""
        self.ltd.detach()
        self._model = self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        # DDP's wrapper must be gone before the process group: the other way round, its last
        # reference ends the group's threads while it holds Python's lock, which they may wait for.
        self._accelerator.free_memory()
        self._accelerator.end_training()
        return self._model

    def _step(self, batches: list[Batch]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        lr = float(self._lr.get_last_lr()[0])
        loss = self._forward_backward(batches)
        self._optimizer.step()
        self._optimizer.zero_grad()
        kept = min(self.ltd.kept, self.experiment.length)
        self.ltd.step()
        self._lr.step()
        journal = self.journal
        journal.wall_s += time.perf_counter() - wall
        journal.cpu_s += time.process_time() - cpu
        begin = journal.step * self.experiment.batch
        consumed = self._order[begin : begin + self.experiment.batch]
        journal.batches = hashlib.sha256(journal.batches.encode() + consumed.tobytes()).hexdigest()
        journal.step += 1
        self._point(train_loss=loss, lr=lr, kept=kept)
        self._on_step(journal)

    def _forward_backward(self, batches: list[Batch]) -> float:
        losses = []
        for batch in batches:
            with self._accelerator.accumulate(self._model):
                loss = self._task.loss(self._model, batch)
                self._accelerator.backward(loss)
                if self._accelerator.sync_gradients:
                    self._accelerator.clip_grad_norm_(
                        self._model.parameters(), self.experiment.optimization.clip
                    )
            losses.append(loss.detach())
        mean = float(torch.as_tensor(self._accelerator.gather(torch.stack(losses))).mean())
        if not math.isfinite(mean):
            raise RunFailed(
                f"the loss is {mean} at step {self.journal.step} of {self.experiment.arm}, seed "
                f"{self.seed}; lower peak_lr (a changed setting is a new experiment)"
            )
        return mean

    def _batches(self) -> Iterable[list[Batch]]:
        """Yield the remaining optimizer steps, each as the list of its forwards."""
        done = self.journal.step * self.experiment.batch
        loader = DataLoader(
            InOrder(self._task.examples, self._order, done),
            batch_size=self.experiment.batch // self.experiment.accumulation,
            generator=torch.Generator(),  # else the loader draws from the global one
            **self._loading(),
        )
        step: list[Batch] = []
        for batch in self._accelerator.prepare(loader):
            step.append(batch)
            if len(step) == self.experiment.accumulation:
                yield step
                step = []

    def _loading(self) -> dict[str, Any]:
        """Let other processes read and change the images of a GPU; what they draw is the same."""
        if self.experiment.objective != "images" or self._accelerator.device.type == "cpu":
            return {}
        workers = max(1, min(8, (os.cpu_count() or 1) // num_processes()))
        return {"num_workers": workers, "multiprocessing_context": "fork"}

    def _point(
        self, *, train_loss: float | None = None, lr: float | None = None, kept: int | None = None
    ) -> None:
        journal, experiment = self.journal, self.experiment
        last = journal.step == experiment.steps
        evaluated = journal.step % experiment.curve_every == 0 or last
        row = {
            "step": journal.step,
            "tokens": self.ltd.tokens,
            "layer_tokens": self.ltd.layer_tokens,
            "wall_s": round(journal.wall_s, 3),
            "lr": lr,
            "kept": kept,
            "train_loss": train_loss,
            "val_nll": None,
        }
        if evaluated:
            row |= self._task.validation(self._model)
        journal.curve.append(row)
        if self._tracking:
            known = {k: v for k, v in row.items() if v is not None}
            self._accelerator.log(known, step=journal.step)

    def _resume(self) -> None:
        checkpoint = latest_checkpoint(self._folder)
        name = None if checkpoint is None else checkpoint.name
        agree("the newest checkpoint", name, remedy="put out/ on a disk that all machines share")
        if checkpoint is None:
            return
        state = load_checkpoint(checkpoint, self._bare_model(), self._optimizer)
        refuse_other_number(state.get("processes"))
        self._refuse_other_code(checkpoint, state.get("commit"))
        self.journal = Journal(**state["journal"])
        self.ltd.load_state_dict(state["ltd"])
        self._lr.load_state_dict(state["lr"])

    def _refuse_other_code(self, checkpoint: Path, before: str | None) -> None:
        if None not in {before, self._commit} and before != self._commit:
            raise UserError(
                f"the checkpoint {checkpoint} is of commit {before}, this is {self._commit}, and "
                "the record could name only one: check that commit out, or remove the run's folder"
            )

    def _save(self) -> None:
        state = {
            "journal": asdict(self.journal),
            "ltd": self.ltd.state_dict(),
            "lr": self._lr.state_dict(),
            "processes": num_processes(),
            "commit": self._commit,
        }
        if self._accelerator.is_main_process:
            save_checkpoint(
                self._folder, self.journal.step, self._bare_model(), self._optimizer, state
            )
        self._accelerator.wait_for_everyone()

    def _any(self, wish: bool) -> bool:
        """Whether any process wishes it: all of them then do it, at the same step."""
        if self._accelerator.num_processes == 1:
            return wish
        wishes = torch.tensor(int(wish), device=self._accelerator.device)
        return bool(torch.as_tensor(self._accelerator.reduce(wishes, reduction="sum")))

    def _bare_model(self) -> Any:
        return self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=True)
