"""Which tokens stay in which layer. A policy is a function with the signature of `sample_kept`.

Letters: L layers, B batch, S sequence, K kept.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rltd_core.tokens import sample_kept

__all__ = ["Policy", "random_per_layer", "replay"]


class Policy(Protocol):
    """Choose the kept positions of all dropping layers for one forward.

    Shapes: returns kept_LBK, int64, ascending along K.
    """

    def __call__(
        self,
        num_layers: int,
        batch: int,
        length: int,
        kept: int,
        *,
        generator: torch.Generator,
        valid_BS: Tensor | None,
        protected: int,
    ) -> Tensor: ...


random_per_layer: Policy = sample_kept
"""random-LTD: every layer and every sample draws its own uniform subset. Paper: section 1."""


def replay(kept_LBK: Tensor) -> Policy:
    """Return a policy that gives these positions at every forward, for tests and comparisons.

    Raises: ValueError at the forward whose layers, batch or kept length differ from `kept_LBK`.
    """

    def recorded(
        num_layers: int,
        batch: int,
        length: int,
        kept: int,
        *,
        generator: torch.Generator,
        valid_BS: Tensor | None,
        protected: int,
    ) -> Tensor:
        if kept_LBK.shape != (num_layers, batch, kept):
            raise ValueError(
                f"the recorded draw has shape {tuple(kept_LBK.shape)}, this forward needs "
                f"(layers, batch, kept) = {(num_layers, batch, kept)}"
            )
        return kept_LBK.to(generator.device)

    return recorded
