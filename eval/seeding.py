"""Named random streams: one seed gives every consumer its own, so none shifts another."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

__all__ = ["seed_everything", "stream"]


def stream(name: str, seed: int) -> np.random.Generator:
    """Return the NumPy generator of a named stream, e.g. `stream("batches", seed)`."""
    return np.random.default_rng(_derive(name, seed))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch. Called once, by the loop."""
    random.seed(_derive("python", seed))
    np.random.seed(_derive("numpy", seed) % 2**32)
    torch.manual_seed(_derive("torch", seed))


def _derive(name: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{name}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
