"""A finetuning run on a GLUE task: the sentences it learns from, and how it is scored.

Letters: N examples, S sequence, C classes.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, mse_loss

from eval.data.glue import Labelled, load_labelled
from eval.data.glue_tasks import glue_task
from eval.errors import RunFailed
from eval.order import order_hash
from eval.record import Measurement
from eval.spec import Experiment
from eval.starts import tokenizer_of
from eval.tasks.glue_metrics import measure_predictions
from eval.tasks.task import Batch, Findings

__all__ = ["ClassificationTask", "Encoded"]

_EVAL_BATCH = 64
HELD_OUT = "held_out"


class Encoded:
    """Sentences or pairs as tokens, cut and padded to one length, with their labels."""

    def __init__(self, tokenizer: Any, labelled: Labelled, length: int) -> None:
        pairs = [list(labelled.first)]
        if labelled.second is not None:
            pairs.append(list(labelled.second))
        encoded = tokenizer(*pairs, truncation=True, padding="max_length", max_length=length)
        self.arrays = {
            name: np.array(encoded[name], dtype=np.int32)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        self.labels_N = labelled.labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    def example(self, number: int, place: int) -> Batch:
        """Return an example; it draws nothing."""
        return self.batch(np.array(number))

    def batch(self, places: np.ndarray | slice) -> Batch:
        """Return the tensors of the examples at these places."""
        tensors = {k: torch.from_numpy(a[places].astype(np.int64)) for k, a in self.arrays.items()}
        labels = torch.as_tensor(self.labels_N[places])
        if labels.is_floating_point():
            labels = labels.float()
        return {**tensors, "labels": labels}

    def sha256(self) -> str:
        """Return the hash of tokens and labels."""
        digest = hashlib.sha256()
        for array in (*self.arrays.values(), self.labels_N):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class ClassificationTask:
    """A GLUE task, encoded for the model of an experiment.

    The curve and the start are measured on held-out training rows, what is reported on the
    evaluated split.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment, self._task = experiment, glue_task(experiment.data)
        self._tokenizer = tokenizer_of(experiment)
        self.examples = self._encoded("train")
        self._held_out = self._encoded(HELD_OUT, experiment.curve_windows)
        split = experiment.eval_split
        splits = self._task.validation if split == self._task.validation[0] else (split,)
        self._reported = {name: self._encoded(name, experiment.eval_windows) for name in splits}

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy in nats, or the mean squared error of a score."""
        return model(**batch).loss

    def validation(self, model: Any) -> dict[str, float]:
        """Return the same on the held-out examples of the curve."""
        outputs = self._predict(model, self._held_out)
        return {"val_nll": float(_losses(outputs, self._held_out.labels_N).mean())}

    def start(self, model: Any) -> dict[str, Measurement]:
        """Score the model before its training on held-out examples: its head knows nothing."""
        return _named("start_{}", self._score(model, HELD_OUT, self._held_out)[0])

    def measure(self, model: Any) -> Findings:
        """Score the trained model on the reported splits, and on the held-out examples.

        Raises: RunFailed for a number that is not finite.
        """
        begin = time.perf_counter()
        found, tables = {}, []
        for place, (split, encoded) in enumerate(self._reported.items()):
            scores, table = self._score(model, split, encoded)
            found |= scores if place == 0 else _named("{}_" + split, scores)
            tables.append(table)
        found |= _named("held_out_{}", self._score(model, HELD_OUT, self._held_out)[0])
        return Findings(
            measurements=found,
            examples=pd.concat(tables, ignore_index=True),
            origin={},
            wall_s=time.perf_counter() - begin,
        )

    def hashes(self, seed: int) -> dict[str, str]:
        """Return what must agree between the arms of a seed."""
        order = order_hash(len(self.examples), seed)
        text = "+".join(encoded.sha256() for encoded in self._reported.values())
        return {"evaluated_text": text, "batch_order": order}

    def export(self, model: Any, folder: Any) -> None:
        """Save model and tokenizer as any Hugging Face checkpoint is saved."""
        model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def _encoded(self, split: str, first: int | None = None) -> Encoded:
        e = self._experiment
        labelled = load_labelled(e.data, split, e.source)
        if first is not None:
            labelled = labelled.at(np.arange(min(first, len(labelled))))
        return Encoded(self._tokenizer, labelled, e.length)

    def _score(
        self, model: Any, split: str, encoded: Encoded
    ) -> tuple[dict[str, Measurement], pd.DataFrame]:
        outputs_NC = self._predict(model, encoded)
        if not np.isfinite(outputs_NC).all():
            raise RunFailed("the trained model's outputs are not finite numbers: it diverged")
        losses_N = _losses(outputs_NC, encoded.labels_N)
        regression = outputs_NC.shape[1] == 1
        predicted_N = outputs_NC[:, 0] if regression else outputs_NC.argmax(1)
        found = measure_predictions(predicted_N, encoded.labels_N, self._task.metrics, split=split)
        name, unit = ("squared_error", "score^2") if regression else ("cross_entropy", "nats")
        found[name] = Measurement.of_mean(losses_N, unit=unit, split=split)
        table = {"task": self._task.name, "split": split, "row": range(len(encoded))}
        answers = {"label": encoded.labels_N, "predicted": predicted_N, "loss": losses_N}
        return found, pd.DataFrame({**table, **answers})

    @torch.no_grad()
    def _predict(self, model: Any, encoded: Encoded) -> np.ndarray:
        """Return the outputs of every example, the model in evaluation mode meanwhile."""
        device, was_training = next(model.parameters()).device, model.training
        model.eval()
        outputs = []
        for begin in range(0, len(encoded), _EVAL_BATCH):
            batch = encoded.batch(slice(begin, begin + _EVAL_BATCH))
            inputs = {k: tensor.to(device) for k, tensor in batch.items() if k != "labels"}
            half = self._experiment.precision == "bf16"
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                outputs.append(model(**inputs).logits.double().cpu().numpy())
        model.train(was_training)
        return np.concatenate(outputs)


def _losses(outputs_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    outputs, labels = torch.from_numpy(outputs_NC), torch.from_numpy(labels_N)
    if outputs.shape[1] == 1:
        return mse_loss(outputs[:, 0], labels, reduction="none").numpy()
    return cross_entropy(outputs, labels, reduction="none").numpy()


def _named(pattern: str, found: dict[str, Measurement]) -> dict[str, Measurement]:
    return {pattern.format(name): measurement for name, measurement in found.items()}
