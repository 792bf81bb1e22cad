"""What RandomLTD asks of its arguments and of the model, each with a clear error."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rltd_core.forward import Forwards
from rltd_core.schedule import KeptLength
from rltd_core.stack import Stack, fixed_length, whole
from rltd_core.surgery import places

__all__ = [
    "check_arguments",
    "real_tokens",
    "refuse_other_layout",
    "refuse_other_positions",
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
    ):
        if not isinstance(value, wanted):
            raise TypeError(f"{what}, got {value!r:.80}")
    if not callable(policy):
        raise TypeError(f"policy must be a function, see rltd_core.policies; got {policy!r}")
    if (protected := whole(protected, "protected must be a number of tokens")) < 0:
        raise ValueError(f"protected must not be negative, got {protected}")
    if isinstance(schedule, KeptLength) and schedule.start < protected:
        raise ValueError(
            f"protected tokens are always kept, so the schedule must start at {protected} or more "
            f"of them, not at {schedule.start}"
        )


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


def refuse_other_layout(stack: Stack) -> None:
    """Refuse layers whose arguments have no names, or that are not batch-first."""
    for layer in stack.layers:
        kind = type(layer).__name__
        if not places(layer):
            raise ValueError(
                f"the layers are wrapped in {kind}, which takes *args, so that their arguments "
                "have no names: attach random-LTD before you wrap them"
            )
        of_torch = isinstance(layer, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer)
        if of_torch and not layer.self_attn.batch_first:
            raise ValueError(
                f"this {kind} takes (tokens, batch, width), and layers must be batch-first: make "
                "it with batch_first=True"
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


def refuse_other_positions(kept_LBK: Tensor, length: int, policy: Callable[..., Tensor]) -> None:
    """Refuse positions outside the sequence, which lie in another sample, or not ascending."""
    inside = (kept_LBK >= 0) & (kept_LBK < length)
    if not bool(inside.all() & (kept_LBK.diff(dim=-1) > 0).all()):
        name = getattr(policy, "__name__", repr(policy))
        raise ValueError(
            f"the policy {name} returned positions that do not ascend within 0..{length - 1} in "
            "every layer and sample"
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


def refuse_without_mask(stack: Stack) -> None:
    """Refuse padding-aware sampling for a model that is told of no padding."""
    mask, family, owner = stack.family.mask, stack.family.name, type(stack.owner).__name__
    if mask not in inspect.signature(stack.owner.forward).parameters:
        raise ValueError(
            f"padding_aware reads the {mask} that {owner} is called with, but it takes none; leave "
            f"padding_aware out, or name the argument as `mask` of the family {family!r}"
        )
