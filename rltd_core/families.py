"""Where each architecture keeps its layers, and which layer arguments have a token axis.

Data, not code: a new architecture is one more `Family` in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from rltd_core.compute import TransformerCost

__all__ = ["FAMILIES", "Family", "Stack", "find_stack", "transformer_cost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One architecture, described by names; nothing of the host library is imported."""

    name: str
    owner: str
    """Class that owns the layer list; its call marks the start of a forward."""
    layers: str
    """Attribute of the owner that holds the layer list."""
    token_axes: Mapping[str, tuple[int, ...]]
    """Layer argument -> its token axes, counted from the end; empty for none."""
    withheld: frozenset[str] = frozenset()
    """Layer arguments that a dropping layer receives as None: they describe the full sequence
    and the layer computes the same without them."""
    refused: frozenset[str] = field(
        default=frozenset({"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"})
    )
    """Layer arguments that cannot be cut to the kept tokens."""
    attention_output: str
    """Path, inside a layer, of the matrix behind the attention heads (for FLOPs)."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A family's layer list found in a concrete model."""

    family: Family
    owner: nn.Module
    layers: nn.ModuleList


_DECODER_WITHHELD = frozenset(
    {
        # A cache would hold only the kept tokens, and transformers makes one while training too.
        "past_key_values",
        # Positions with gaps read as packed sequences in FlashAttention's path; the position
        # itself is already in the hidden states (gpt2) or in `position_embeddings` (llama).
        "position_ids",
    }
)

FAMILIES: tuple[Family, ...] = (
    Family(
        name="gpt2",
        owner="GPT2Model",
        layers="h",
        token_axes={
            "attention_mask": (-2, -1),
            "encoder_hidden_states": (),
            "encoder_attention_mask": (-2,),
        },
        withheld=_DECODER_WITHHELD,
        attention_output="attn.c_proj",
    ),
    Family(
        name="llama",
        owner="LlamaModel",
        layers="layers",
        token_axes={"attention_mask": (-2, -1), "position_embeddings": (-2,)},
        withheld=_DECODER_WITHHELD,
        attention_output="self_attn.o_proj",
    ),
)


def find_stack(model: nn.Module) -> Stack:
    """Find the one layer list of a known family in `model`.

    Subclasses count as their family, so wrapped classes (FSDP2 and the like) are found.

    Raises: ValueError if there is none, or more than one (attach to the part you mean).
    """
    found = [
        Stack(family, module, getattr(module, family.layers))
        for module in model.modules()
        for family in FAMILIES
        if family.owner in (c.__name__ for c in type(module).__mro__)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        owners = ", ".join(f"{f.owner} ({f.name})" for f in FAMILIES)
        raise ValueError(
            f"{type(model).__name__} has no layer list of a known family; known are {owners}. "
            "Describe yours as a Family and add it to rltd_core.families.FAMILIES"
        )
    names = ", ".join(type(s.owner).__name__ for s in found)
    raise ValueError(
        f"{type(model).__name__} holds several layer lists ({names}): pass one of them"
    )


def transformer_cost(model: nn.Module, stack: Stack, num_dropping: int) -> TransformerCost:
    """Read off the model what `TransformerCost` counts: matrices inside and outside the blocks."""
    block = stack.layers[0]
    inside = {id(m) for layer in stack.layers for m in layer.modules()}
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and id(m) not in inside]
    projection = block.get_submodule(stack.family.attention_output)
    weight = block.get_parameter(f"{stack.family.attention_output}.weight")
    # nn.Linear keeps (out, in) and says so; transformers' Conv1D keeps (in, out).
    heads_width = int(getattr(projection, "in_features", weight.shape[0]))
    return TransformerCost(
        num_layers=len(stack.layers),
        num_dropping=num_dropping,
        block_weights=sum(p.numel() for p in block.parameters() if p.ndim == 2),
        attention_width=heads_width,
        head_weights=sum(m.weight.numel() for m in heads),
    )
