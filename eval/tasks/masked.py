"""A masked-language-model run: packed windows, masked anew each time they are trained on.

Letters: B batch, N windows, S sequence.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from eval.data.windows import Windows, corpus_windows
from eval.errors import RunFailed
from eval.order import order_hash
from eval.record import Measurement
from eval.seeding import stream
from eval.spec import Experiment
from eval.starts import tokenizer_of
from eval.tasks.masking import IGNORED, Masking
from eval.tasks.task import Batch, Findings

__all__ = ["MaskedTask", "MaskedWindows"]

_EVAL_BATCH = 16


class MaskedWindows:
    """Windows of text between [CLS] and [SEP]; what is masked depends on the place and the seed."""

    def __init__(self, ids_NS: Windows, tokenizer: Any, seed: int) -> None:
        self._ids_NS, self._seed = ids_NS, seed
        self._ends = np.array([tokenizer.cls_token_id]), np.array([tokenizer.sep_token_id])
        self._masking = Masking(
            mask=tokenizer.mask_token_id,
            special=frozenset(tokenizer.all_special_ids),
            vocabulary=len(tokenizer),
        )

    def __len__(self) -> int:
        return len(self._ids_NS)

    def example(self, number: int, place: int) -> Batch:
        """Return a window, masked for this place of the run."""
        first, last = self._ends
        ids_S = np.concatenate([first, self._ids_NS[number], last]).astype(np.int64)
        generator = stream(f"masks of sample {place}", self._seed)
        seen_S, labels_S = self._masking(ids_S, generator)
        return {"input_ids": torch.from_numpy(seen_S), "labels": torch.from_numpy(labels_S)}


class MaskedTask:
    """The texts of an experiment, in windows that leave room for [CLS] and [SEP]."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self._experiment, self._tokenizer = experiment, tokenizer_of(experiment)
        self.examples = self._windows("train", seed)
        self._curve = self._fixed("validation", experiment.curve_windows)
        self._test = self._fixed(experiment.eval_split, experiment.eval_windows)

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the mean negative log-likelihood of the masked tokens, in nats."""
        return model(**batch).loss

    def validation(self, model: Any) -> dict[str, float]:
        """Return the same on the windows of the curve, whose masks are always the same."""
        return {"val_nll": self._score(model, self._curve, "validation").value}

    def start(self, model: Any) -> dict[str, Measurement]:
        """Measure the untrained model on the windows of the curve."""
        return {"start_masked_nats": self._score(model, self._curve, "validation")}

    def measure(self, model: Any) -> Findings:
        """Measure the trained model.

        Raises: RunFailed for a number that is not finite.
        """
        begin = time.perf_counter()
        found = {
            "masked_nats": self._score(model, self._test, self._experiment.eval_split),
            "validation_masked_nats": self._score(model, self._curve, "validation"),
        }
        for name, measurement in found.items():
            if not math.isfinite(measurement.value):
                raise RunFailed(f"{name} of the trained model is not a finite number: it diverged")
        seconds = time.perf_counter() - begin
        return Findings(measurements=found, examples=None, origin={}, wall_s=seconds)

    def hashes(self, seed: int) -> dict[str, str]:
        """Return what must agree between the arms of a seed."""
        digest = hashlib.sha256()
        for example in self._test:
            for tensor in example.values():
                digest.update(tensor.numpy().tobytes())
        order = order_hash(len(self.examples), seed)
        return {"evaluated_text": digest.hexdigest(), "batch_order": order}

    def export(self, model: Any, folder: Any) -> None:
        """Save model and tokenizer as any Hugging Face checkpoint is saved."""
        model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def _windows(self, split: str, seed: int) -> MaskedWindows:
        e = self._experiment
        ids_NS = corpus_windows(self._tokenizer, e.data, split, e.source, e.length - 2)
        return MaskedWindows(ids_NS, self._tokenizer, seed)

    def _fixed(self, split: str, num: int | None) -> list[Batch]:
        """Return the first windows of a split, masked once for all runs."""
        windows = self._windows(split, seed=0)
        return [windows.example(i, i) for i in range(min(num or len(windows), len(windows)))]

    @torch.no_grad()
    def _score(self, model: Any, examples: list[Batch], split: str) -> Measurement:
        """Return the mean over all masked tokens; its standard error is over the windows."""
        device, was_training = next(model.parameters()).device, model.training
        half = self._experiment.precision == "bf16"
        model.eval()
        sums, counts = [], []
        for begin in range(0, len(examples), _EVAL_BATCH):
            some = examples[begin : begin + _EVAL_BATCH]
            ids_BS, labels_BS = (
                torch.stack([each[name] for each in some]).to(device)
                for name in ("input_ids", "labels")
            )
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                logits_BSV = model(input_ids=ids_BS).logits
            nats_BS = cross_entropy(
                logits_BSV.float().transpose(1, 2),
                labels_BS,
                reduction="none",
                ignore_index=IGNORED,
            )
            sums.append(nats_BS.double().sum(1).cpu().numpy())
            counts.append((labels_BS != IGNORED).sum(1).cpu().numpy())
        model.train(was_training)
        return _ratio(np.concatenate(sums), np.concatenate(counts), split)


def _ratio(sums_N: np.ndarray, counts_N: np.ndarray, split: str) -> Measurement:
    """Return the ratio of two sums and its standard error (delta method)."""
    ratio = sums_N.sum() / counts_N.sum()
    residual_N = sums_N - ratio * counts_N
    error = residual_N.std(ddof=1) / math.sqrt(len(sums_N)) / counts_N.mean()
    return Measurement(
        value=float(ratio),
        unit="nats per masked token",
        split=split,
        n=len(sums_N),
        standard_error=float(error),
    )
