"""What random-LTD must compute, written slowly: loops over rows, and explicit attention masks.

Letters: L dropping layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rltd_core import KeptLength


def layer_list(model: nn.Module) -> nn.ModuleList:
    """Return the blocks of a gpt2 or llama language model."""
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def gather_loop(x: Tensor, kept_BK: Tensor, dim: int) -> Tensor:
    """Take rows one by one."""
    samples = []
    for b in range(len(kept_BK)):
        sample = x[b] if len(x) > 1 else x[0]
        rows = [sample.select(dim - 1, int(position)) for position in kept_BK[b]]
        samples.append(torch.stack(rows, dim=dim - 1))
    return torch.stack(samples)


def scatter_loop(x_BSD: Tensor, new_BKD: Tensor, kept_BK: Tensor) -> Tensor:
    """Put rows one by one."""
    out_BSD = x_BSD.clone()
    for b in range(len(kept_BK)):
        for k, position in enumerate(kept_BK[b]):
            out_BSD[b, int(position)] = new_BKD[b, k]
    return out_BSD


def visible_keys(kept_BK: Tensor, length: int, padding_BS: Tensor | None) -> Tensor:
    """Return which key each query of a dropping layer sees, as bool of shape (B, 1, S, S).

    Queries that are dropped, or padding, have no defined output; they see themselves, so that
    nothing becomes NaN.
    """
    batch = len(kept_BK)
    visible = torch.zeros(batch, 1, length, length, dtype=torch.bool)
    for b in range(batch):
        kept = set(kept_BK[b].tolist())
        for query in range(length):
            for key in range(query + 1):
                real = padding_BS is None or bool(padding_BS[b, key])
                visible[b, 0, query, key] = (key in kept and real) or key == query
    return visible


@contextmanager
def masked_at_full_length(
    model: nn.Module,
    layers: Sequence[int],
    kept_LBK: Tensor,
    *,
    length: int,
    padding_BS: Tensor | None = None,
) -> Iterator[None]:
    """Let `layers` compute all tokens but see only the kept ones, and undo the dropped rows."""
    handles = []
    for layer, kept_BK in zip(layers, kept_LBK, strict=True):
        block = layer_list(model)[layer]
        visible = visible_keys(kept_BK, length, padding_BS)
        is_kept = torch.zeros(len(kept_BK), length, 1, dtype=torch.bool)
        is_kept.scatter_(1, kept_BK[..., None], True)
        masked = _Masked(visible, is_kept)
        handles.append(block.register_forward_pre_hook(masked.before, with_kwargs=True))
        handles.append(block.register_forward_hook(masked.after, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Masked:
    def __init__(self, visible: Tensor, is_kept: Tensor) -> None:
        self.visible, self.is_kept = visible, is_kept

    def before(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.hidden_BSD = args[0]
        lowest = torch.finfo(self.hidden_BSD.dtype).min
        mask = torch.zeros(self.visible.shape, dtype=self.hidden_BSD.dtype)
        mask = mask.masked_fill(~self.visible, lowest)
        if "attention_mask" in kwargs:
            return args, {**kwargs, "attention_mask": mask}
        return (*args[:2], mask, *args[3:]), kwargs  # gpt2 passes its mask third

    def after(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return torch.where(self.is_kept, output, self.hidden_BSD)


def simulated_layer_tokens(
    schedule: KeptLength,
    *,
    num_layers: int,
    num_dropping: int,
    shapes: Iterable[tuple[int, int]],
) -> list[int]:
    """Return the layer tokens after each step, for the (batch, length) of every step."""
    consumed, after = 0, []
    for step, (batch, length) in enumerate(shapes):
        for layer in range(num_layers):
            drops = layer < num_dropping
            consumed += batch * (min(schedule(step), length) if drops else length)
        after.append(consumed)
    return after
