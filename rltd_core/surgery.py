"""Cut a layer's input to the kept tokens and widen its output again, by hooks at its boundary.

The layer itself is untouched: parameters, class and state-dict keys stay the model's own.
Letters: B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rltd_core.families import Family
from rltd_core.tokens import gather_axis, gather_tokens, scatter_tokens

__all__ = ["DroppingLayer", "by_name", "hidden_states", "places"]


def by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name, whether they were given by place or by name."""
    return {**dict(zip(places(module), args)), **kwargs}


def hidden_states(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the hidden states among a layer call's arguments: its first."""
    return args[0] if args else kwargs[places(layer)[0]]


def places(layer: nn.Module) -> list[str]:
    """Return the names of the arguments that may be given by place."""
    found = inspect.signature(layer.forward).parameters.values()
    return [p.name for p in found if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]


class DroppingLayer:
    """One layer that computes only the tokens `choose` keeps; the rest pass it unchanged.

    `choose(hidden_BSD)` returns kept_BK, or None to run the layer as it is. It is asked again if
    activation checkpointing runs the layer a second time, and must then answer the same.

    Paper: section 1 (gather, layer, combine).
    Raises: ValueError, when the layer runs, for an argument that cannot be cut or whose token
        axis is not known; it names the argument.
    """

    def __init__(
        self, layer: nn.Module, family: Family, choose: Callable[[Tensor], Tensor | None]
    ) -> None:
        self._family = family
        self._names = places(layer)
        self._choose = choose
        self._cut: tuple[Tensor, Tensor] | None = None
        # Ours is the first forward hook, so that every later one sees the full-length output.
        self._handles: list[RemovableHandle] = [
            layer.register_forward_pre_hook(self._before, with_kwargs=True),
            layer.register_forward_hook(self._after, prepend=True),
            layer.register_forward_hook(self._forget, always_call=True),
        ]

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._cut = None

    def _before(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        hidden_BSD = hidden_states(layer, args, kwargs)
        kept_BK = self._choose(hidden_BSD)
        self._cut = None
        if kept_BK is None:
            return None
        if len(hidden_BSD) == 1:
            _refuse_packed(layer, by_name(layer, args, kwargs))
        if len(args) > len(self._names):
            raise ValueError(
                f"{type(layer).__name__} is handed {len(args)} arguments by place and names only "
                f"{len(self._names)}; hand it the others by name"
            )
        short = [self._shorten(n, a, kept_BK, hidden_BSD) for n, a in zip(self._names, args)]
        named = {n: self._shorten(n, a, kept_BK, hidden_BSD) for n, a in kwargs.items()}
        self._cut = (hidden_BSD, kept_BK)
        return tuple(short), named

    def _after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self._cut is None:
            return None
        (hidden_BSD, kept_BK), self._cut = self._cut, None
        if isinstance(output, Tensor):
            return scatter_tokens(hidden_BSD, output, kept_BK)
        if isinstance(output, tuple) and output and isinstance(output[0], Tensor):
            return (scatter_tokens(hidden_BSD, output[0], kept_BK), *output[1:])
        raise TypeError(
            f"{type(layer).__name__} returned {type(output).__name__}; a dropping layer must "
            "return its hidden states, alone or first in a tuple"
        )

    def _forget(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._cut = None  # a layer that failed would hold the graph of all before it

    def _shorten(self, name: str, value: Any, kept_BK: Tensor, hidden_BSD: Tensor) -> Any:
        if value is None or name in self._family.withheld:
            return None
        if name in self._family.refused:
            raise ValueError(
                f"layer argument {name!r} describes packed sequences at their full length and "
                "cannot be cut to the kept tokens; train without packing, or with a block mask"
            )
        if name == self._names[0]:
            return gather_tokens(value, kept_BK)
        if isinstance(value, tuple | list):
            parts = [self._shorten(name, v, kept_BK, hidden_BSD) for v in value]
            if all(a is b for a, b in zip(parts, value)):
                return value  # the very list: the layer may add to it
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if name in self._family.token_axes:
            if name in self._family.unbatched and isinstance(value, Tensor):
                value = value[(None,) * (4 - value.ndim)]  # (batch, heads, query, key)
            return _cut_axes(name, value, self._family.token_axes[name], kept_BK, hidden_BSD)
        _refuse_undescribed(name, value, hidden_BSD.shape[1], self._family)
        return value


def _cut_axes(
    name: str, value: Any, axes: tuple[int, ...], kept_BK: Tensor, hidden_BSD: Tensor
) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(
            f"layer argument {name!r} is a {type(value).__name__}, which cannot be cut to the "
            "kept tokens; use the sdpa or eager attention implementation"
        )
    batch, length = hidden_BSD.shape[:2]
    dims = [value.ndim + axis for axis in axes]
    if dims and (max(dims) < 1 or value.shape[0] not in {1, batch}):
        raise ValueError(
            f"layer argument {name!r} has shape {tuple(value.shape)}; to be cut, its first axis "
            f"must be the batch ({batch}) or 1, with the tokens behind it"
        )
    # Axis 0 is the batch (of a 2-D mask); an axis of size 1 is broadcast: neither is cut.
    dims = [dim for dim in dims if dim > 0 and value.shape[dim] != 1]
    for dim in dims:
        if value.shape[dim] != length:
            raise ValueError(
                f"layer argument {name!r} has shape {tuple(value.shape)}, expected {length} "
                f"(the sequence length) or 1 along axis {dim}"
            )
    for dim in dims:
        value = gather_axis(value, kept_BK, dim)
    return value


def _refuse_packed(layer: nn.Module, named: dict[str, Any]) -> None:
    """Refuse documents packed into one row that nothing but their positions tells apart.

    FlashAttention's path reads them off `position_ids` where there is no mask; a dropping layer is
    handed neither.
    """
    positions, mask = named.get("position_ids"), named.get("attention_mask")
    if mask is not None or not isinstance(positions, Tensor) or not _reads_positions(layer):
        return
    if not torch.compiler.is_compiling() and bool((positions.diff() <= 0).any()):
        raise ValueError(
            "the layer argument 'position_ids' starts anew within the row, and no mask says where "
            "a document ends: the kept tokens would attend to other documents; train without "
            "packing, or with a block mask (attention implementation sdpa or eager)"
        )


def _reads_positions(layer: nn.Module) -> bool:
    configs = (getattr(module, "config", None) for module in layer.modules())
    return any("flash" in str(getattr(c, "_attn_implementation", "")) for c in configs)


def _refuse_undescribed(name: str, value: Any, length: int, family: Family) -> None:
    """Refuse what may count tokens: also where its size tells nothing, or only at some lengths."""
    if isinstance(value, Tensor) and (value.ndim > 1 or length in value.shape):
        raise ValueError(
            f"layer argument {name!r} has shape {tuple(value.shape)}, but family {family.name!r} "
            "does not say which of its axes count tokens; add it to the family's token_axes (with "
            "() if none does)"
        )
