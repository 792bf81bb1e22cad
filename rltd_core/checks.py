"""What RandomLTD asks of its arguments and of the model, each with a clear error."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rltd_core.forward import Forwards
from rltd_core.schedule import KeptLength
from rltd_core.stack import Stack, fixed_length

__all__ = [
    "check_arguments",
    "real_tokens",
    "refuse_other_shape",
    "refuse_second_attachment",
    "refuse_short_schedule",
    "refuse_without_mask",
]


def check_arguments(model: object, schedule: object, policy: object, protected: object) -> None:
    """Refuse arguments of another type than RandomLTD takes."""
    for value, wanted, what in (
        (model, nn.Module, "model must be a torch.nn.Module"),
        (schedule, KeptLength, "schedule must be a KeptLength"),
        (protected, int, "protected must be a number of tokens (int)"),
    ):
        if not isinstance(value, wanted):
            raise TypeError(f"{what}, got {value!r:.80}")
    if not callable(policy):
        raise TypeError(f"policy must be a function, see rltd_core.policies; got {policy!r}")
    if isinstance(protected, int) and protected < 0:
        raise ValueError(f"protected must not be negative, got {protected}")


def real_tokens(mask: Tensor | None) -> Tensor | None:
    """Return the model's 2-D attention mask, true for real tokens; refuse any other."""
    if mask is not None and mask.ndim != 2:
        raise ValueError(
            f"padding_aware reads the model's 2-D attention_mask, got one of {mask.ndim} axes"
        )
    return mask


def refuse_short_schedule(schedule: KeptLength, stack: Stack) -> None:
    """Refuse a schedule that ends below the only length of an image model."""
    length = fixed_length(stack)
    if length is not None and schedule.full < length:
        raise ValueError(
            f"full is {schedule.full}, but this {type(stack.owner).__name__} always has {length} "
            "tokens: it would never train at full length; raise `full`"
        )


def refuse_other_shape(
    kept_LBK: Tensor, expected: tuple[int, int, int], policy: Callable[..., Tensor]
) -> None:
    """Refuse a policy's draw that is not one of whole numbers for every layer and sample."""
    if tuple(kept_LBK.shape) != expected or kept_LBK.dtype != torch.int64:
        name = getattr(policy, "__name__", repr(policy))
        raise ValueError(
            f"the policy {name} returned positions of shape {tuple(kept_LBK.shape)} and "
            f"{kept_LBK.dtype}; (layers, batch, kept) is {expected}, int64 (a draw shared by the "
            "batch is expanded)"
        )


def refuse_second_attachment(owner: nn.Module) -> None:
    """Refuse a model that already drops, one that was copied while attached included."""
    for hook in owner._forward_pre_hooks.values():
        if isinstance(getattr(hook, "__self__", None), Forwards):
            raise ValueError(
                f"random-LTD is already attached to this {type(owner).__name__}; call detach() "
                "on the first RandomLTD before you make another (and copy a model before you "
                "attach to it: a copy keeps the hooks)"
            )


def refuse_without_mask(owner: nn.Module) -> None:
    """Refuse padding-aware sampling for a model that is told of no padding."""
    if "attention_mask" not in inspect.signature(owner.forward).parameters:
        raise ValueError(
            f"padding_aware reads the attention_mask that {type(owner).__name__} is called with, "
            "but it takes none; leave it out"
        )
