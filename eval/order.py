"""The order in which a run reads its training samples: the same for all arms of a seed."""

from __future__ import annotations

import hashlib

import numpy as np
from torch.utils.data import Dataset

from eval.seeding import stream
from eval.tasks.task import Batch, Examples

__all__ = ["InOrder", "batch_order", "order_hash"]


def batch_order(num_windows: int, num_samples: int, seed: int) -> np.ndarray:
    """Return the window of every training sample: one shuffled epoch after the other.

    It depends on the seed and the data alone, so all arms of a seed see the same order, and a
    shorter run sees its beginning.
    """
    generator = stream("batches", seed)
    epochs = -(-num_samples // num_windows)
    order = np.concatenate([generator.permutation(num_windows) for _ in range(epochs)])
    return order[:num_samples].astype(np.int64, copy=False)


def order_hash(num_examples: int, seed: int) -> str:
    """Return the hash of the first epoch's order, which the arms of a seed must share."""
    return hashlib.sha256(batch_order(num_examples, num_examples, seed).tobytes()).hexdigest()


class InOrder(Dataset[Batch]):
    """The examples in the order of training, from `done` samples on, read when they are needed."""

    def __init__(self, examples: Examples, order: np.ndarray, done: int) -> None:
        self._examples, self._order, self._done = examples, order, done

    def __len__(self) -> int:
        return len(self._order) - self._done

    def __getitem__(self, number: int) -> Batch:
        place = self._done + number
        return self._examples.example(int(self._order[place]), place)
