"""A run on labelled images: what it learns from, and how it is scored.

Letters: N examples, K classes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from eval.data.augmentations import drawing, transforms_of
from eval.data.images import load_pictures
from eval.data.pictures import Pictures
from eval.errors import RunFailed
from eval.models.vision import save_vit
from eval.models.vits import image_size
from eval.order import order_hash
from eval.record import Measurement
from eval.spec import Experiment
from eval.tasks.task import Batch, Findings

__all__ = ["AugmentedExamples", "ImageTask"]

_EVAL_BATCH = 128


class AugmentedExamples:
    """Training images, changed anew in every epoch, but the same for all arms of a seed."""

    def __init__(self, pictures: Pictures, transform: Any, seed: int) -> None:
        self._pictures, self._transform, self._seed = pictures, transform, seed

    def __len__(self) -> int:
        return len(self._pictures)

    def example(self, number: int, place: int) -> Batch:
        """Return an image and its class; the epoch is that of its place in the run."""
        with drawing(self._seed, place // len(self), number):
            image = self._transform(self._pictures.picture(number))
        return {"images": image, "labels": torch.tensor(self._pictures.labels_N[number])}


class ImageTask:
    """Classification of images.

    The curve and the start are measured on held-out training images, what is reported on the
    evaluated split.
    """

    def __init__(self, experiment: Experiment, seed: int) -> None:
        e = experiment
        assert e.augmentation is not None
        self._experiment = e
        training, self._transform = transforms_of(e.augmentation, image_size(e))
        pictures = load_pictures(e.data, "train", e.source)
        self.examples = AugmentedExamples(pictures, training, seed)
        self._held_out = self._first("held_out", e.curve_windows)
        self._reported = self._first(e.eval_split, e.eval_windows)

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy in nats."""
        return cross_entropy(model(batch["images"]).float(), batch["labels"])

    def validation(self, model: Any) -> dict[str, float]:
        """Return the same and the accuracy on the held-out images of the curve, whole ones."""
        outputs_NK = self._predict(model, self._held_out)
        right_N, losses_N = _marks(outputs_NK, self._held_out.labels_N)
        return {"val_nll": float(losses_N.mean()), "val_accuracy": float(right_N.mean())}

    def start(self, model: Any) -> dict[str, Measurement]:
        """Score the model before its training on held-out images."""
        found = self._score(model, "held_out", self._held_out)[0]
        return {f"start_{name}": measurement for name, measurement in found.items()}

    def measure(self, model: Any) -> Findings:
        """Score the trained model on the reported split, and on the held-out images.

        Raises: RunFailed for a number that is not finite.
        """
        begin = time.perf_counter()
        found, examples = self._score(model, self._experiment.eval_split, self._reported)
        held_out = self._score(model, "held_out", self._held_out)[0]
        return Findings(
            measurements=found | {f"held_out_{name}": m for name, m in held_out.items()},
            examples=examples,
            origin={},
            wall_s=time.perf_counter() - begin,
        )

    def hashes(self, seed: int) -> dict[str, str]:
        """Return what must agree between the arms of a seed."""
        order = order_hash(len(self.examples), seed)
        return {"evaluated_images": self._reported.sha256(), "batch_order": order}

    def export(self, model: Any, folder: Path) -> None:
        """Save the model as timm's checkpoints are."""
        save_vit(model, folder)

    def _first(self, split: str, count: int | None) -> Pictures:
        found = load_pictures(self._experiment.data, split, self._experiment.source)
        return found if count is None else found.at(np.arange(min(count, len(found))))

    def _score(
        self, model: Any, split: str, pictures: Pictures
    ) -> tuple[dict[str, Measurement], pd.DataFrame]:
        outputs_NK = self._predict(model, pictures)
        if not np.isfinite(outputs_NK).all():
            raise RunFailed("the trained model's outputs are not finite numbers: it diverged")
        right_N, losses_N = _marks(outputs_NK, pictures.labels_N)
        found = {
            "accuracy": Measurement.of_mean(right_N.astype(float), unit="fraction", split=split),
            "cross_entropy": Measurement.of_mean(losses_N, unit="nats", split=split),
        }
        answers = {"label": pictures.labels_N, "predicted": outputs_NK.argmax(1), "loss": losses_N}
        return found, pd.DataFrame({"split": split, "row": pictures.rows_N, **answers})

    @torch.no_grad()
    def _predict(self, model: Any, pictures: Pictures) -> np.ndarray:
        """Return the outputs for every image, the model in evaluation mode meanwhile."""
        device, was_training = next(model.parameters()).device, model.training
        model.eval()
        outputs = []
        for begin in range(0, len(pictures), _EVAL_BATCH):
            numbers = range(begin, min(begin + _EVAL_BATCH, len(pictures)))
            images = torch.stack([self._transform(pictures.picture(n)) for n in numbers])
            half = self._experiment.precision == "bf16"
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                outputs.append(model(images.to(device)).double().cpu().numpy())
        model.train(was_training)
        return np.concatenate(outputs)


def _marks(outputs_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which answers are right, and the cross-entropies in nats."""
    outputs, labels = torch.from_numpy(outputs_NK), torch.from_numpy(labels_N)
    losses = cross_entropy(outputs, labels, reduction="none")
    return (outputs.argmax(1) == labels).numpy(), losses.numpy()
