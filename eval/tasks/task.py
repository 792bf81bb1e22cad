"""What the training loop and a run's record ask of a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from eval.record import Measurement

__all__ = ["Batch", "Examples", "Findings", "Task", "Trainable"]

Batch = dict[str, torch.Tensor]


class Examples(Protocol):
    """Numbered training examples."""

    def __len__(self) -> int: ...

    def example(self, number: int, place: int) -> Batch:
        """Return an example's tensors, without the batch's dimension.

        `place` counts the run's samples from its first step; what an example draws, such as masks,
        depends on it and on the run's seed alone.
        """
        ...


class Trainable(Protocol):
    """What a training run needs."""

    @property
    def examples(self) -> Examples:
        """Return what is trained on."""
        ...

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the training loss of a batch."""
        ...

    def validation(self, model: Any) -> dict[str, float]:
        """Return a point of the curve by column, the model in evaluation mode meanwhile.

        `val_nll`, the loss, and what else the task follows.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a trained model was measured to do."""

    measurements: dict[str, Measurement]
    examples: pd.DataFrame | None
    """What the model did on each example, where it is kept."""
    origin: dict[str, Any]
    """What the record's provenance says of it."""
    wall_s: float


class Task(Trainable, Protocol):
    """What a run's record needs, too."""

    def start(self, model: Any) -> dict[str, Measurement]:
        """Measure the model before its training."""
        ...

    def measure(self, model: Any) -> Findings:
        """Measure the trained model."""
        ...

    def hashes(self, seed: int) -> dict[str, str]:
        """Return what must agree between the arms of a seed."""
        ...

    def export(self, model: Any, folder: Path) -> None:
        """Save the model as any checkpoint of its kind is saved."""
        ...
