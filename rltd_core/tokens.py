"""Choose tokens, take them out of a sequence, and put them back.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gather_axis", "gather_tokens", "sample_kept", "scatter_tokens"]


def sample_kept(
    num_layers: int,
    batch: int,
    length: int,
    kept: int,
    *,
    generator: torch.Generator,
    valid_BS: Tensor | None = None,
    protected: int = 0,
) -> Tensor:
    """Draw `kept` of `length` positions, uniformly, independently per layer and per sample.

    The first `protected` positions are always among them. Where `valid_BS` is given (true = real
    token), padding is drawn only if a sample has fewer real tokens than `kept`.

    Shapes: returns kept_LBK, int64, ascending along K, on the generator's device.
    Paper: section 1 (uniform, new for every layer, sample and step); sorted, so that the order
        of the tokens, and with it a causal mask, keeps its meaning.
    Raises: ValueError if `kept` is outside 1..length, below `protected`, or if `valid_BS` has
        another shape than (batch, length).
    """
    _check(batch, length, kept, valid_BS, protected)
    device = generator.device
    # The `kept` smallest of `length` independent uniform scores are a uniform subset.
    score_LBS = torch.rand(num_layers, batch, length, generator=generator, device=device)
    if valid_BS is not None:
        score_LBS += 2.0 * ~valid_BS.to(device=device, dtype=torch.bool)
    score_LBS[..., :protected] = -1.0
    return score_LBS.topk(kept, dim=-1, largest=False).indices.sort(dim=-1).values


def gather_tokens(x_BSD: Tensor, kept_BK: Tensor) -> Tensor:
    """Take the kept rows of every sample. Only the indices are saved for backward.

    Shapes: x_BSD (B, S, ...), returns (B, K, ...).
    """
    # One index over all rows: `torch.gather` would save its whole input for backward.
    rows = x_BSD.flatten(0, 1).index_select(0, _rows(kept_BK, x_BSD.shape[1]))
    return rows.unflatten(0, kept_BK.shape)


def gather_axis(x: Tensor, kept_BK: Tensor, dim: int) -> Tensor:
    """Take the kept positions along axis `dim` of a layer argument, such as a mask.

    A leading axis of size 1 (one tensor shared by the batch, as with rotary tables) is expanded
    first, because each sample keeps other positions.

    Shapes: x (B or 1, ..., S, ...) with S at `dim`; returns (B, ..., K, ...).
    """
    batch, kept = kept_BK.shape
    before, after = x.shape[1:dim], x.shape[dim + 1 :]
    index = kept_BK.view(batch, *(1 for _ in before), kept, *(1 for _ in after))
    index = index.expand(batch, *before, kept, *after)
    return x.expand(batch, *x.shape[1:]).gather(dim, index)


def scatter_tokens(x_BSD: Tensor, new_BKD: Tensor, kept_BK: Tensor) -> Tensor:
    """Put the new rows at their positions; all other rows stay those of `x_BSD`.

    Out of place, and differentiable any number of times: a dropped row's gradient passes
    unchanged, a kept row's goes to `new_BKD`. Only the indices are saved for backward.

    Shapes: x_BSD (B, S, ...), new_BKD (B, K, ...), returns (B, S, ...).
    """
    # Whole rows: `Tensor.scatter` moves element by element, `index_copy` would save `new_BKD`.
    rows = _rows(kept_BK, x_BSD.shape[1])
    new = new_BKD.to(x_BSD.dtype).flatten(0, 1)
    return x_BSD.flatten(0, 1).index_put((rows,), new).view_as(x_BSD)


def _rows(kept_BK: Tensor, length: int) -> Tensor:
    """Return where the kept tokens lie among the rows of all samples."""
    first_row_B = torch.arange(len(kept_BK), device=kept_BK.device) * length
    return (kept_BK + first_row_B[:, None]).flatten()


def _check(batch: int, length: int, kept: int, valid_BS: Tensor | None, protected: int) -> None:
    if not 1 <= kept <= length:
        raise ValueError(f"kept must lie in 1..{length} (the sequence length), got {kept}")
    if not 0 <= protected <= kept:
        raise ValueError(
            f"protected must lie in 0..{kept} (the kept length), got {protected}; "
            "start the schedule above the number of protected tokens"
        )
    if valid_BS is not None and valid_BS.shape != (batch, length):
        raise ValueError(f"valid_BS must have shape {(batch, length)}, got {tuple(valid_BS.shape)}")
