"""bfloat16 on processors without instructions for it, where PyTorch multiplies in a plain loop."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = ["InFloat32", "has_bfloat16", "products"]

_aten = torch.ops.aten
_ATTENTION = _aten._scaled_dot_product_flash_attention_for_cpu.default
_PRODUCTS = {
    _aten.mm.default,
    _aten.addmm.default,
    _aten.bmm.default,
    _aten.baddbmm.default,
    _ATTENTION,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}


def has_bfloat16() -> bool:
    """Whether bfloat16 is multiplied by instructions: on a GPU, or by those of this processor."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.cuda.is_available() or (supported is not None and supported())


def products(precision: str) -> AbstractContextManager[Any]:
    """Return the context to train and measure in: `InFloat32` where instructions are missing."""
    return InFloat32() if precision == "bf16" and not has_bfloat16() else nullcontext()


class InFloat32(TorchDispatchMode):
    """Multiply bfloat16 matrices in float32, and round each product once, forward and backward.

    That is what the instructions do: they sum in float32, in which a product of two bfloat16
    numbers is exact. Attention's weights, which PyTorch's bfloat16 kernel rounds before it
    multiplies the values by them, stay float32.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _PRODUCTS or args[1].dtype != torch.bfloat16:
            return func(*args, **kwargs)
        found = func(*tree_map(_raised, args), **tree_map(_raised, kwargs))
        if func is _ATTENTION:  # the second is float32 in any case: the backward needs it
            return _rounded(found[0]), found[1]
        return tree_map(_rounded, found)


def _raised(value: Any) -> Any:
    is_half = isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
    return value.float() if is_half else value


def _rounded(value: torch.Tensor) -> torch.Tensor:
    return value.bfloat16()
