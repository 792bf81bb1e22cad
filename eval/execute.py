"""Carry out one run from its spec to its record: load, train, measure, write."""

from __future__ import annotations

import hashlib
import resource
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from eval.bfloat16 import products
from eval.data.fetch import publish, sha256_of
from eval.errors import RunFailed, UserError
from eval.identity import kept_folder, run_key
from eval.outputs import write_curve, write_examples
from eval.paths import RESULTS
from eval.processes import agree, from_main, is_main, num_processes
from eval.provenance import now, provenance
from eval.record import Cost, Record, failed_path, record_path, write_record
from eval.spec import Experiment
from eval.starts import model_of, pretrained_sha256
from eval.tasks.of import task_of
from eval.tasks.task import Task
from eval.train import Interrupted, Journal, TrainingRun

__all__ = ["execute"]


def execute(
    experiment: Experiment,
    seed: int,
    *,
    store: Path,
    scratch: Path,
    on_step: Callable[[Journal], None],
    should_stop: Callable[[], bool],
    tensorboard: Path | None = None,
    export: Path | None = None,
) -> Record | None:
    """Run one experiment with one seed and write its record and curve into `store`.

    A run that fails is recorded as failed, with its traceback, and the error raised again; what
    the user can mend outside the run (a missing asset, a full disk) is raised without a record.
    An interrupted run leaves its checkpoint in `scratch` and no record. With `export` the trained
    model is saved into that folder, too.

    Several processes train together; the main one then measures and writes, the others return
    None. As none can tell an error of its own from the end of another, only a loss that is no
    number makes a failed record there.
    """
    key = agree("the run's key", run_key(experiment, seed), remedy="they need the same code")
    path = record_path(store, experiment, seed, key)
    if from_main(path.exists):
        raise UserError(f"{path} exists already; delete it to run again")
    begun = provenance(experiment)  # of the code that is loaded now, whatever follows it on disk
    run = partial(TrainingRun, experiment, seed, folder=scratch, tensorboard=tensorboard)
    run = partial(run, on_step=on_step, should_stop=should_stop)
    try:
        task, model = task_of(experiment, seed), model_of(experiment, seed)
        training = run(model, task, commit=begun["commit"] if store == RESULTS else None)
        with products(experiment.precision):
            done = _train_and_measure(training, task, model, key, export)
    except Exception as error:
        if _is_the_runs_own(error) and is_main() and not failed_path(path).exists():
            write_record(store, _failed(experiment, seed, key, begun))
        raise
    if done is None:
        return None
    record, examples = done
    record = replace(
        record,
        provenance={**begun, **record.provenance},
        curve=write_curve(store, record, training.journal),
        examples=None if examples is None else write_examples(store, record, examples),
    )
    write_record(store, record)
    shutil.rmtree(scratch, ignore_errors=True)
    return record


def _is_the_runs_own(error: Exception) -> bool:
    """Whether an error says something about the experiment, so that the record must say it."""
    if isinstance(error, RunFailed):
        return True
    return num_processes() == 1 and not isinstance(error, UserError | Interrupted)


def _train_and_measure(
    training: TrainingRun, task: Task, model: Any, key: str, export: Path | None
) -> tuple[Record, pd.DataFrame | None] | None:
    experiment, seed = training.experiment, training.seed
    hashes, start = _starting_hashes(model, experiment, seed), task.start(model)
    trained = training()
    if not is_main():
        return None
    if export is not None:
        task.export(trained, export)
    found = task.measure(trained)
    if experiment.keep:  # not before: a model that diverged is none to begin with
        hashes["trained_weights"] = _keep(task, trained, kept_folder(experiment, seed))
    record = Record(
        key=key,
        experiment=experiment,
        seed=seed,
        status="ok",
        provenance={"created": now(), "processes": num_processes(), **found.origin},
        cost=_cost(training, experiment, found.wall_s),
        measurements={**found.measurements, **start},
        hashes={**hashes, "batches": training.journal.batches, **task.hashes(seed)},
        curve=None,
    )
    return record, found.examples


def _cost(training: TrainingRun, experiment: Experiment, eval_wall_s: float) -> Cost:
    ltd, journal, kept = training.ltd, training.journal, experiment.computed
    flops = ltd.cost.run_flops(
        kept, num_steps=journal.step, batch=experiment.batch, length=kept.full
    )
    return Cost(
        steps=journal.step,
        # What patch dropout leaves out is read, too, though no layer sees it.
        tokens=ltd.tokens * experiment.length // kept.full,
        layer_tokens=ltd.layer_tokens,
        flops=flops,
        train_wall_s=round(journal.wall_s, 3),
        train_cpu_s=round(journal.cpu_s, 3),
        eval_wall_s=round(eval_wall_s, 3),
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kibibytes but on macOS


def _failed(experiment: Experiment, seed: int, key: str, begun: dict[str, Any]) -> Record:
    return Record(
        key=key,
        experiment=experiment,
        seed=seed,
        status="failed",
        provenance={**begun, "created": now()},
        cost=None,
        measurements={},
        hashes={},
        curve=None,
        error=traceback.format_exc(),
    )


def _starting_hashes(model: Any, experiment: Experiment, seed: int) -> dict[str, str]:
    """Return what the run begins with; only weights that are the arm's own may differ in a pair."""
    pretrained = pretrained_sha256(experiment, seed)
    if pretrained is not None:
        return {"pretrained_weights": pretrained}
    return {"initial_weights": _weights_hash(model)}


def _keep(task: Task, trained: Any, folder: Path) -> str:
    """Keep a trained model for the runs that begin with it; return its weights' sha256."""
    with publish(folder) as partial:
        task.export(trained, partial)
        return sha256_of(partial / "model.safetensors")


def _weights_hash(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
