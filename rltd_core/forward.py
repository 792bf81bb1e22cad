"""One training forward: the draw it made, kept so that a recomputed layer repeats it.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["TrainingForward", "draw_generator", "in_backward"]


@dataclass(slots=True)
class TrainingForward:
    """What the layers of one forward share."""

    number: int
    """Counted from 1 over the life of the RandomLTD object; part of the draw's key."""
    valid_BS: Tensor | None = None
    """True for real tokens, where padding-aware sampling is on."""
    begun: bool = False
    """Whether the first layer has been reached, and with it the batch been counted."""
    kept_LBK: Tensor | None = None
    """The draw, or None if this forward drops nothing."""
    addresses: dict[int, int] = field(default_factory=dict)
    """Per dropping layer, where its input lies: tells a recomputation of this forward, which is
    handed the same saved input, from one of an older forward."""

    def kept_BK(self, ordinal: int, hidden_BSD: Tensor) -> Tensor | None:
        """Return what dropping layer `ordinal` keeps, the same at every recomputation.

        Raises: RuntimeError if the layer is being recomputed for an older forward.
        """
        if not torch.compiler.is_compiling():
            address = hidden_BSD.data_ptr()
            if self.addresses.setdefault(ordinal, address) != address and in_backward():
                raise RuntimeError(
                    "activation checkpointing recomputes a layer after a newer forward has begun "
                    "(or from an input that was moved), so its draw is gone; call backward() "
                    "before the next training forward"
                )
        return None if self.kept_LBK is None else self.kept_LBK[ordinal]


def draw_generator(device: torch.device, *, seed: int, rank: int, forward: int) -> torch.Generator:
    """Return a generator keyed by (seed, rank, forward): equal keys, equal draws on one device."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{forward}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest) >> 1)


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread, as it is when recomputing."""
    return torch._C._current_graph_task_id() != -1
