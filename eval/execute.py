"""Carry out one run from its spec to its record: load, train, measure, write."""

from __future__ import annotations

import hashlib
import math
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from eval.data.windows import Windows, corpus_windows
from eval.errors import RunFailed, UserError
from eval.models import model_of, tokenizer_of
from eval.provenance import asset_hashes, provenance
from eval.record import (
    Cost,
    Measurement,
    Record,
    failed_path,
    record_path,
    write_record,
)
from eval.spec import Experiment, content_key
from eval.tasks.perplexity import WindowScores, score_windows, token_bytes
from eval.train import Interrupted, Journal, TrainingRun, batch_order

__all__ = ["execute", "run_key"]

_EVAL_BATCH = 4


@dataclass(frozen=True, slots=True)
class _Texts:
    """The windows a run trains on and is measured on."""

    train_NS: Windows
    curve_NS: np.ndarray
    test_NS: np.ndarray
    byte_lengths: np.ndarray


def run_key(experiment: Experiment, seed: int) -> str:
    """Return the identity of a run: the hash of spec, seed and assets."""
    return content_key(experiment, seed, asset_hashes(experiment))


def execute(
    experiment: Experiment,
    seed: int,
    *,
    store: Path,
    scratch: Path,
    on_step: Callable[[Journal], None],
    should_stop: Callable[[], bool],
    tensorboard: Path | None = None,
) -> Record:
    """Run one experiment with one seed and write its record and curve into `store`.

    A run that fails is recorded as failed, with its traceback, and the error raised again; what
    the user can mend outside the run (a missing asset, a full disk) is raised without a record.
    An interrupted run leaves its checkpoint in `scratch` and no record.
    """
    key = run_key(experiment, seed)
    path = record_path(store, experiment, seed, key)
    if path.exists():
        raise UserError(f"{path} exists already; delete it to run again")
    run = partial(TrainingRun, experiment, seed, folder=scratch, tensorboard=tensorboard)
    try:
        texts, model = _texts(experiment), model_of(experiment, seed)
        training = run(
            model,
            texts.train_NS,
            validate=lambda m: _score(m, texts.curve_NS, texts, experiment).nll,
            on_step=on_step,
            should_stop=should_stop,
        )
        record = _train_and_measure(training, texts, model, key)
    except Exception as error:
        expected = isinstance(error, UserError | Interrupted) and not isinstance(error, RunFailed)
        if not expected and not failed_path(path).exists():
            write_record(store, _failed(experiment, seed, key))
        raise
    record = replace(record, curve=_write_curve(store, record, training.journal))
    write_record(store, record)
    shutil.rmtree(scratch, ignore_errors=True)
    return record


def _train_and_measure(training: TrainingRun, texts: _Texts, model: Any, key: str) -> Record:
    experiment, seed = training.experiment, training.seed
    initial_weights = _weights_hash(model)
    start = _score(model, texts.curve_NS, texts, experiment)
    trained = training()
    measurements, eval_wall_s = _measure(trained, texts, experiment, start)
    return Record(
        key=key,
        experiment=experiment,
        seed=seed,
        status="ok",
        provenance=provenance(experiment),
        cost=_cost(training, experiment, eval_wall_s),
        measurements=measurements,
        hashes={
            "initial_weights": initial_weights,
            "evaluated_text": _hash(texts.test_NS),
            "batch_order": _order_hash(texts, experiment, seed),
            "batches": training.journal.batches,
        },
        curve=None,
    )


def _texts(experiment: Experiment) -> _Texts:
    tokenizer, data, source = tokenizer_of(experiment), experiment.data, experiment.source
    windows = {
        split: corpus_windows(tokenizer, data, split, source, experiment.length)
        for split in ("train", "validation", experiment.eval_split)
    }
    return _Texts(
        train_NS=windows["train"],
        curve_NS=windows["validation"][: experiment.curve_windows],
        test_NS=windows[experiment.eval_split][: experiment.eval_windows],
        byte_lengths=token_bytes(tokenizer, len(tokenizer)),
    )


def _score(model: Any, ids_NS: np.ndarray, texts: _Texts, experiment: Experiment) -> WindowScores:
    return score_windows(
        model, ids_NS, texts.byte_lengths, batch=_EVAL_BATCH, precision=experiment.precision
    )


def _measure(
    model: Any, texts: _Texts, experiment: Experiment, start: WindowScores
) -> tuple[dict[str, Measurement], float]:
    begin = time.perf_counter()
    final = _score(model, texts.test_NS, texts, experiment).measurements(experiment.eval_split)
    curve_end = _score(model, texts.curve_NS, texts, experiment).measurements("validation")
    seconds = time.perf_counter() - begin
    measurements = {
        **final,
        "start_bits_per_byte": start.measurements("validation")["bits_per_byte"],
        "validation_bits_per_byte": curve_end["bits_per_byte"],
    }
    for name, measurement in measurements.items():
        if not math.isfinite(measurement.value):
            raise RunFailed(f"{name} of the trained model is not a finite number: it diverged")
    return measurements, seconds


def _cost(training: TrainingRun, experiment: Experiment, eval_wall_s: float) -> Cost:
    ltd, journal = training.ltd, training.journal
    flops = ltd.cost.run_flops(
        experiment.kept,
        num_steps=journal.step,
        batch=experiment.batch,
        length=experiment.length,
    )
    return Cost(
        steps=journal.step,
        tokens=ltd.tokens,
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


def _write_curve(store: Path, record: Record, journal: Journal) -> str:
    name = record_path(store, record.experiment, record.seed, record.key).stem
    relative = Path("curves") / record.experiment.suite / f"{name}.csv"
    path = store / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(journal.curve).astype({"kept": "Int64"})
    frame.to_csv(path, index=False, float_format="%.6g")
    return relative.as_posix()


def _failed(experiment: Experiment, seed: int, key: str) -> Record:
    return Record(
        key=key,
        experiment=experiment,
        seed=seed,
        status="failed",
        provenance=provenance(experiment),
        cost=None,
        measurements={},
        hashes={},
        curve=None,
        error=traceback.format_exc(),
    )


def _order_hash(texts: _Texts, experiment: Experiment, seed: int) -> str:
    """Hash the order of the first epoch: the same for every arm of a seed, however long."""
    return _hash(batch_order(len(texts.train_NS), len(texts.train_NS), seed))


def _weights_hash(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
