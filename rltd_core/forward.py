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
    addresses: dict[str | int, int] = field(default_factory=dict)
    """Where the inputs of the model and of its dropping layers lie. A recomputation is handed
    the very tensors that were saved, so it tells this forward from an older one."""
    valid_BS: Tensor | None = None
    """True for real tokens, where padding-aware sampling is on."""
    kept_LBK: Tensor | None = None
    """The draw, or None if this forward drops nothing."""
    tokens: int = 0
    layer_tokens: int = 0
    begun: bool = False
    """Whether the first layer has been reached."""
    counted: bool = False
    """Whether the forward came to its end and its tokens are among the pending ones."""
    recomputed: bool = False
    """Whether the whole model has been recomputed for this forward."""
    ambiguous: bool = False
    """Whether the forward before read the same input and may yet be recomputed."""

    def recognise(self, name: str | int, x: Tensor) -> None:
        """Remember where a module's input lies, or recognise it while recomputing.

        Raises: RuntimeError if the module is being recomputed for an older forward.
        """
        if torch.compiler.is_compiling():
            return
        address = x.data_ptr()
        other = self.addresses.setdefault(name, address) != address
        if in_backward() and (other or (self.ambiguous and name == "model")):
            raise RuntimeError(
                "activation checkpointing recomputes a layer after a newer forward has begun "
                "(or from an input that was moved), so its draw is gone; call backward() "
                "before the next training forward"
            )


def draw_generator(device: torch.device, *, seed: int, rank: int, forward: int) -> torch.Generator:
    """Return a generator keyed by (seed, rank, forward): equal keys, equal draws on one device."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{forward}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest) >> 1)


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread, as it is when recomputing."""
    return torch._C._current_graph_task_id() != -1
