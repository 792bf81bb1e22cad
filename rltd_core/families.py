"""Where each architecture keeps its layers, and which layer arguments have a token axis.

Data, not code: a new architecture is one more `Family`, in `FAMILIES` or by `register_family`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FAMILIES", "Family", "register_family"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One architecture, described by names; nothing of the host library is imported."""

    name: str
    owner: str
    """Class whose call is a forward of all layers, each once, and is handed the 2-D mask."""
    layers: str
    """Path, from the owner, of the layer list. The first argument of a layer, and what it
    returns alone or first in a tuple, are hidden states (batch, tokens, width)."""
    token_axes: Mapping[str, tuple[int, ...]]
    """Layer argument -> its token axes, counted from the end; empty for none. The first axis of
    what is cut must be the batch or 1: a 2-D mask is (batch, tokens)."""
    unbatched: frozenset[str] = frozenset()
    """Masks that may come without their leading axes, as (S, S) or (heads, S, S); the layer is
    handed four, (batch, heads or 1, K, K)."""
    withheld: frozenset[str] = frozenset()
    """Layer arguments that a dropping layer receives as None: they describe the full sequence
    and the layer computes the same without them (packed positions without a mask are refused)."""
    mask: str = "attention_mask"
    """The owner's argument that marks real tokens, for padding-aware draws."""
    cache: str = "past_key_values"
    """The owner's argument that hands it a cache; it runs the plain model then."""
    refused: frozenset[str] = field(
        default=frozenset({"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"})
    )
    """Layer arguments that cannot be cut to the kept tokens."""
    attention_output: str
    """Path, inside a layer, of the matrix behind the attention heads (for FLOPs)."""
    pooled: frozenset[str] = frozenset()
    """Parts outside the layers that compute once per sequence: Class or Class.attribute."""
    patches: str | None = None
    """Path, from the owner, of the patch embedding of an image model."""
    prefix: int | str = 0
    """Tokens before the patches: how many, or the owner's attribute that says it."""


_DECODER_WITHHELD = frozenset(
    {
        # A cache would hold only the kept tokens, and transformers makes one while training too.
        "past_key_values",
        # Positions with gaps read as packed sequences in FlashAttention's path; the position
        # itself is already in the hidden states (gpt2) or in `position_embeddings` (llama).
        "position_ids",
    }
)

_BERT_AXES = {
    "attention_mask": (-2, -1),
    "encoder_hidden_states": (),
    "encoder_attention_mask": (-2,),
}

FAMILIES: list[Family] = [
    Family(
        name="gpt2",
        owner="GPT2Model",
        layers="h",
        token_axes=_BERT_AXES,
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
    Family(
        name="bert",
        owner="BertModel",
        layers="encoder.layer",
        token_axes=_BERT_AXES,
        withheld=_DECODER_WITHHELD,
        attention_output="attention.output.dense",
        pooled=frozenset(
            {
                "BertPooler",
                "BertPreTrainingHeads.seq_relationship",
                "BertOnlyNSPHead",
                "BertForSequenceClassification.classifier",
                "BertForMultipleChoice.classifier",
            }
        ),
    ),
    Family(
        name="roberta",
        owner="RobertaModel",
        layers="encoder.layer",
        token_axes=_BERT_AXES,
        withheld=_DECODER_WITHHELD,
        attention_output="attention.output.dense",
        pooled=frozenset(
            {"RobertaPooler", "RobertaClassificationHead", "RobertaForMultipleChoice.classifier"}
        ),
    ),
    Family(
        name="vit",
        owner="ViTModel",
        layers="layers",
        token_axes={"attention_mask": (-2, -1)},
        attention_output="attention.o_proj",
        pooled=frozenset({"ViTPooler", "ViTForImageClassification.classifier"}),
        patches="embeddings.patch_embeddings",
        prefix=1,
    ),
    Family(
        name="timm_vit",
        owner="VisionTransformer",
        layers="blocks",
        token_axes={"attn_mask": (-2, -1)},
        unbatched=frozenset({"attn_mask"}),
        attention_output="attn.proj",
        pooled=frozenset({"VisionTransformer.head", "VisionTransformerDistilled.head_dist"}),
        patches="patch_embed",
        prefix="num_prefix_tokens",
    ),
]


def register_family(family: Family, *, replace: bool = False) -> None:
    """Make an architecture known to `RandomLTD`, from now on and in this process.

    With `replace` it takes the place of the families of its name or its owner.

    Raises: ValueError if its name or its owner is taken, unless it is to replace them.
    """
    taken = [f for f in FAMILIES if family.name == f.name or family.owner == f.owner]
    if taken and not replace:
        raise ValueError(
            f"family {taken[0].name!r} already describes {taken[0].owner}; to describe it anew, "
            "register with replace=True"
        )
    for known in taken:
        FAMILIES.remove(known)
    FAMILIES.append(family)
