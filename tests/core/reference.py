"""What random-LTD must compute, written slowly: loops over rows, and explicit attention masks.

Letters: L dropping layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rltd_core import KeptLength

_PATHS = {
    "GPT2": "h",
    "Llama": "layers",
    "Bert": "encoder.layer",
    "Roberta": "encoder.layer",
    "ViT": "layers",
}
_MASKS = ("attention_mask", "attn_mask", "mask")


def layer_list(model: Any) -> nn.ModuleList:
    """Return the blocks of a tiny model, or of its body."""
    body = getattr(model, "base_model", model)
    known = (path for name, path in _PATHS.items() if type(body).__name__.startswith(name))
    return body.get_submodule(next(known, "blocks"))


def is_causal(model: nn.Module) -> bool:
    """Whether a token sees only what comes before it."""
    return type(model).__name__.startswith(("GPT2", "Llama"))


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


def visible_keys(
    kept_BK: Tensor, length: int, padding_BS: Tensor | None, *, causal: bool
) -> Tensor:
    """Return which key each query of a dropping layer sees, as bool of shape (B, 1, S, S).

    Queries that are dropped, or padding, have no defined output; they see themselves, so that
    nothing becomes NaN.
    """
    batch = len(kept_BK)
    visible = torch.zeros(batch, 1, length, length, dtype=torch.bool)
    for b in range(batch):
        kept = set(kept_BK[b].tolist())
        for query in range(length):
            for key in range(query + 1 if causal else length):
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
    bias: Tensor | None = None,
    causal: bool | None = None,
) -> Iterator[None]:
    """Let `layers` compute all tokens but see only the kept ones, and undo the dropped rows.

    `bias` is what the model itself adds to the attention scores, if it is told to.
    """
    causal = is_causal(model) if causal is None else causal
    handles = []
    for layer, kept_BK in zip(layers, kept_LBK, strict=True):
        block = layer_list(model)[layer]
        visible = visible_keys(kept_BK, length, padding_BS, causal=causal)
        is_kept = torch.zeros(len(kept_BK), length, 1, dtype=torch.bool)
        is_kept.scatter_(1, kept_BK[..., None], True)
        masked = _Masked(block, visible, is_kept, bias)
        handles.append(block.register_forward_pre_hook(masked.before, with_kwargs=True))
        handles.append(block.register_forward_hook(masked.after, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Masked:
    def __init__(
        self, block: nn.Module, visible: Tensor, is_kept: Tensor, bias: Tensor | None
    ) -> None:
        self.visible, self.is_kept, self.bias = visible, is_kept, bias
        names = list(inspect.signature(block.forward).parameters)
        self.name = next(name for name in _MASKS if name in names)
        self.place = names.index(self.name)

    def before(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.hidden_BSD = args[0]
        lowest = torch.finfo(self.hidden_BSD.dtype).min
        mask = torch.zeros(self.visible.shape, dtype=self.hidden_BSD.dtype)
        mask = mask.masked_fill(~self.visible, lowest)
        if self.bias is not None:
            mask = mask + self.bias
        if "is_causal" in kwargs:
            kwargs = {**kwargs, "is_causal": False}  # the mask says it, and it alone may
        if len(args) > self.place:
            return (*args[: self.place], mask, *args[self.place + 1 :]), kwargs
        return args, {**kwargs, self.name: mask}

    def after(self, block: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (self.after(block, args, output[0]), *output[1:])
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
