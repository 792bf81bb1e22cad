"""A language model's run: the windows it trains on, and everything it is measured on.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

import numpy as np
import torch

from eval.data.task_root import task_root
from eval.data.windows import Windows, corpus_windows
from eval.errors import RunFailed, UserError
from eval.order import order_hash
from eval.record import Measurement
from eval.spec import Experiment
from eval.starts import tokenizer_of
from eval.tasks.perplexity import WindowScores, score_windows, token_bytes
from eval.tasks.task import Batch, Findings
from eval.tasks.zero_shot import ZeroShot, zero_shot

__all__ = ["TASK_SOURCES", "LanguageTask", "WindowExamples", "prepare"]

_EVAL_BATCH = 4
TASK_SOURCES = {
    "package": ("package",),
    "local": ("package", "local"),
    "hub": ("hub",),
    "checkout": ("checkout",),
}
"""Where a run's zero-shot tasks come from, by the source of its model and data."""


class WindowExamples:
    """Windows of tokens as examples: each position but the last predicts the next."""

    def __init__(self, ids_NS: Windows) -> None:
        self._ids_NS = ids_NS

    def __len__(self) -> int:
        return len(self._ids_NS)

    def example(self, number: int, place: int) -> Batch:
        """Return a window; it draws nothing."""
        return {"input_ids": torch.from_numpy(self._ids_NS[number].astype(np.int64))}


class LanguageTask:
    """The texts of an experiment, cut into windows of its model's tokens."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment, self._tokenizer = experiment, tokenizer_of(experiment)
        windows = {split: self._windows(split) for split in _splits(experiment)}
        self.examples = WindowExamples(windows["train"])
        self._curve_NS = windows["validation"][: experiment.curve_windows]
        self._test_NS = windows[experiment.eval_split][: experiment.eval_windows]
        self._byte_lengths = token_bytes(self._tokenizer, len(self._tokenizer))

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the mean negative log-likelihood of the next tokens, in nats."""
        ids_BS = batch["input_ids"]
        return model(input_ids=ids_BS, labels=ids_BS, use_cache=False).loss

    def validation(self, model: Any) -> dict[str, float]:
        """Return the mean negative log-likelihood on the windows of the curve, in nats."""
        return {"val_nll": self._score(model, self._curve_NS).nll}

    def start(self, model: Any) -> dict[str, Measurement]:
        """Measure the untrained model on the windows of the curve."""
        found = self._score(model, self._curve_NS).measurements("validation")
        return {f"start_{name}": measurement for name, measurement in found.items()}

    def measure(self, model: Any) -> Findings:
        """Measure the trained model.

        Raises: RunFailed for a number that is not finite; UserError if a zero-shot task cannot be
            had: a record without it would stay so.
        """
        begin = time.perf_counter()
        test = self._score(model, self._test_NS).measurements(self._experiment.eval_split)
        curve = self._score(model, self._curve_NS).measurements("validation")
        measurements = test | {f"validation_{name}": found for name, found in curve.items()}
        zero = self._zero_shot(model)
        measurements |= {} if zero is None else zero.measurements()
        for name, measurement in measurements.items():
            if not math.isfinite(measurement.value):
                raise RunFailed(f"{name} of the trained model is not a finite number: it diverged")
        seconds = time.perf_counter() - begin
        return Findings(
            measurements=measurements,
            examples=None if zero is None else zero.examples,
            origin={} if zero is None else {"zero_shot": zero.origin()},
            wall_s=seconds,
        )

    def hashes(self, seed: int) -> dict[str, str]:
        """Return what must agree between the arms of a seed.

        The order of batches is that of the first epoch: the same for every arm, however long.
        """
        text = hashlib.sha256(np.ascontiguousarray(self._test_NS).tobytes()).hexdigest()
        return {"evaluated_text": text, "batch_order": order_hash(len(self.examples), seed)}

    def export(self, model: Any, folder: Any) -> None:
        """Save model and tokenizer as any Hugging Face checkpoint is saved."""
        model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def _windows(self, split: str) -> Windows:
        e = self._experiment
        return corpus_windows(self._tokenizer, e.data, split, e.source, e.length)

    def _score(self, model: Any, ids_NS: np.ndarray) -> WindowScores:
        precision = self._experiment.precision
        return score_windows(
            model, ids_NS, self._byte_lengths, batch=_EVAL_BATCH, precision=precision
        )

    def _zero_shot(self, model: Any) -> ZeroShot | None:
        e = self._experiment
        if not e.tasks:
            return None
        sources = TASK_SOURCES[e.source]
        zero = zero_shot(
            model,
            self._tokenizer,
            e.tasks,
            sources=sources,
            rows=e.task_rows,
            precision=e.precision,
        )
        if zero.missing:
            raise UserError("; ".join(map(str, zero.missing)))
        return zero


def prepare(experiment: Experiment) -> None:
    """Fetch, convert and tokenise once, before several processes want the same files.

    Raises: UserError for what cannot be had, before any run begins.
    """
    tokenizer, e = tokenizer_of(experiment), experiment
    for split in _splits(experiment):
        corpus_windows(tokenizer, e.data, split, e.source, e.length)
    _, _, missing = task_root(e.tasks, TASK_SOURCES[e.source])
    if missing:
        raise UserError("; ".join(map(str, missing)))


def _splits(experiment: Experiment) -> set[str]:
    return {"train", "validation", experiment.eval_split}
