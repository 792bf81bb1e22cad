"""The layer list of a concrete model, found by its family, and what is read off it."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from rltd_core.compute import TransformerCost
from rltd_core.families import FAMILIES, Family

__all__ = ["Stack", "dropping_layers", "find_stack", "fixed_length", "transformer_cost", "whole"]


@dataclass(frozen=True, slots=True)
class Stack:
    """A family's layer list found in a concrete model."""

    family: Family
    owner: nn.Module
    layers: nn.ModuleList | nn.Sequential


def find_stack(model: nn.Module) -> Stack:
    """Find the one layer list of a known family in `model`.

    Subclasses count as their family, so wrapped classes (FSDP2 and the like) are found; a family
    of the subclass itself comes before that of its parent.

    Raises: ValueError if there is none, or more than one (attach to the part you mean).
    """
    found = [stack for module in model.modules() if (stack := _stack_of(module)) is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        owners = ", ".join(f"{f.owner}.{f.layers} ({f.name})" for f in FAMILIES)
        raise ValueError(
            f"{type(model).__name__} has no layer list of a known family; known are {owners}. "
            f"{_elsewhere(model)}Describe yours as a Family and hand it to register_family"
        )
    names = ", ".join(type(s.owner).__name__ for s in found)
    raise ValueError(
        f"{type(model).__name__} holds several layer lists ({names}): pass one of them"
    )


def fixed_length(stack: Stack) -> int | None:
    """Return the only length the model takes, in tokens, or None if lengths may vary."""
    family, owner = stack.family, stack.owner
    if family.patches is None:
        return None
    patches = owner.get_submodule(family.patches)
    number = getattr(patches, "num_patches", None)
    if number is None or not getattr(patches, "strict_img_size", True):
        return None
    if "interpolate_pos_encoding" in inspect.signature(owner.forward).parameters:
        return None  # positions are stretched to other sizes if a call asks for it
    return number + _prefix(stack)


def transformer_cost(model: nn.Module, stack: Stack, num_dropping: int) -> TransformerCost:
    """Read off the model what `TransformerCost` counts: matrices inside and outside the blocks.

    Raises: ValueError if the layers have no matrix where the family looks for it.
    """
    family, block = stack.family, stack.layers[0]
    try:
        projection = block.get_submodule(family.attention_output)
        weight = block.get_parameter(f"{family.attention_output}.weight")
    except AttributeError:
        raise ValueError(
            f"{type(block).__name__} has no {family.attention_output}, where family "
            f"{family.name!r} expects the attention's output matrix; register a Family for it"
        ) from None
    inside = {id(m) for layer in stack.layers for m in layer.modules()}
    pooled = _pooled(model, family)
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and id(m) not in inside]
    patches = stack.owner.get_submodule(family.patches).modules() if family.patches else ()
    return TransformerCost(
        num_layers=len(stack.layers),
        num_dropping=num_dropping,
        block_weights=sum(p.numel() for p in block.parameters() if p.ndim == 2),
        # nn.Linear keeps (out, in) and says so; transformers' Conv1D keeps (in, out).
        attention_width=int(getattr(projection, "in_features", weight.shape[0])),
        head_weights=sum(m.weight.numel() for m in heads if id(m) not in pooled),
        pooled_weights=sum(m.weight.numel() for m in heads if id(m) in pooled),
        patch_weights=sum(m.weight.numel() for m in patches if isinstance(m, nn.Conv2d)),
        prefix=_prefix(stack),
    )


def dropping_layers(num_layers: int, chosen: Iterable[int] | None) -> tuple[int, ...]:
    """Return the numbers of the dropping layers: the chosen ones, or all but first and last.

    Raises: ValueError for fewer than 3 layers and none chosen, or for layers that do not exist.
    """
    if chosen is None:
        if num_layers < 3:
            raise ValueError(
                f"random-LTD keeps the first and the last layer full, so it needs at least 3 "
                f"layers; this model has {num_layers}"
            )
        return tuple(range(1, num_layers - 1))
    layers = tuple(sorted({whole(layer, "layers must be numbers of layers") for layer in chosen}))
    if not layers or layers[0] < 0 or layers[-1] >= num_layers:
        raise ValueError(f"layers must name some of 0..{num_layers - 1}, got {list(layers)}")
    return layers


def whole(value: Any, what: str) -> int:
    """Return an integer of any type, such as NumPy's, as an int.

    Raises: TypeError for anything else.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} (int), got {value!r}") from None


def _class_names(module: nn.Module) -> list[str]:
    return [c.__name__ for c in type(module).__mro__]


def _stack_of(module: nn.Module) -> Stack | None:
    names = _class_names(module)
    for family in sorted(
        (f for f in FAMILIES if f.owner in names), key=lambda f: names.index(f.owner)
    ):
        if (layers := _layers(module, family)) is not None:
            return Stack(family, module, layers)
    return None


def _layers(owner: nn.Module, family: Family) -> nn.ModuleList | nn.Sequential | None:
    # Another library's class of the same name need not have these layers.
    try:
        layers = owner.get_submodule(family.layers)
    except AttributeError:
        return None
    return layers if isinstance(layers, nn.ModuleList | nn.Sequential) else None


def _elsewhere(model: nn.Module) -> str:
    """Say of classes that families describe that their layers are not where these say."""
    found = [
        f"Family {f.name!r} names {f.owner}, but here {f.layers} of it is no nn.ModuleList or "
        "nn.Sequential. "
        for f in FAMILIES
        if any(f.owner in _class_names(module) for module in model.modules())
    ]
    return "".join(found)


def _prefix(stack: Stack) -> int:
    family, owner = stack.family, stack.owner
    if isinstance(family.prefix, int):
        return family.prefix
    if not hasattr(owner, family.prefix):
        raise ValueError(
            f"this {type(owner).__name__} has no {family.prefix}, where family {family.name!r} "
            "expects the number of tokens before the patches; it is another library's class: "
            "register a Family for it with replace=True"
        )
    return int(getattr(owner, family.prefix))


def _pooled(model: nn.Module, family: Family) -> set[int]:
    found: set[int] = set()
    for module in model.modules():
        for entry in family.pooled:
            owner, _, attribute = entry.partition(".")
            part = getattr(module, attribute, None) if attribute else module
            if owner in _class_names(module) and isinstance(part, nn.Module):
                found |= {id(m) for m in part.modules()}
    return found
