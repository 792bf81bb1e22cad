"""Which tokens stay in which layer. A policy is a function with the signature of `sample_kept`.

Letters: L layers, B batch, S sequence, K kept.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rltd_core.tokens import sample_kept

__all__ = ["Policy", "random_per_layer", "random_per_sample", "random_shared", "replay"]


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


def random_per_sample(
    num_layers: int,
    batch: int,
    length: int,
    kept: int,
    *,
    generator: torch.Generator,
    valid_BS: Tensor | None = None,
    protected: int = 0,
) -> Tensor:
    """Let every sample draw one uniform subset, which all dropping layers share.

    The other tokens go straight from the first dropping layer to what follows the last one, as in
    TREAD (arXiv 2501.04765), and as in Figure B.1 of the paper for token dropping before it.

    Raises: ValueError for what `sample_kept` refuses.
    """
    options = {"generator": generator, "valid_BS": valid_BS, "protected": protected}
    one_1BK = sample_kept(1, batch, length, kept, **options)
    return one_1BK.expand(num_layers, -1, -1)


def random_shared(
    num_layers: int,
    batch: int,
    length: int,
    kept: int,
    *,
    generator: torch.Generator,
    valid_BS: Tensor | None = None,
    protected: int = 0,
) -> Tensor:
    """Let every layer draw one uniform subset, which all samples of the batch share.

    Raises: ValueError where the draw should mind padding, which differs between samples.
    """
    if valid_BS is not None:
        raise ValueError(
            "a draw shared by the batch cannot be padding-aware: padding differs between samples; "
            "use random_per_layer, or padding_aware=False"
        )
    one_L1K = sample_kept(num_layers, 1, length, kept, generator=generator, protected=protected)
    return one_L1K.expand(-1, batch, -1)


def replay(kept_LBK: Tensor) -> Policy:
    """Return a policy that gives these positions at every forward, for tests and comparisons.

    Raises: ValueError at the forward whose layers, batch or kept length differ from `kept_LBK`, or
        that is too short for it.
    """
    last = int(kept_LBK.max())

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
        if last >= length:
            raise ValueError(
                f"the recorded draw keeps position {last}, this forward has {length} tokens"
            )
        return kept_LBK.to(generator.device)

    return recorded
