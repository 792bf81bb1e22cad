"""Encoders trained from scratch: their sizes, their first weights by seed, their tokenizers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from eval.data.text import corpus_identity, load_documents
from eval.models.decoders import byte_level_bpe, first_weights, kept_tokenizer

__all__ = [
    "SCRATCH_ENCODERS",
    "ScratchEncoder",
    "initialise_encoder",
    "train_encoder_bpe",
    "trained_encoder_tokenizer",
]

_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScratchEncoder:
    """An encoder of BERT's kind. Its weights come from the seed; nothing is downloaded for them."""

    name: str
    num_layers: int
    width: int
    num_heads: int
    positions: int
    """Longest sequence."""
    vocabulary: int
    tokenizer: str | None = None
    """A pretrained model whose tokenizer it uses; None: byte-level BPE trained on the corpus."""

    @property
    def identity(self) -> str:
        """Return what stands for the model in a run's key."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"scratch-encoder:{hashlib.sha256(text.encode()).hexdigest()}"

    def config(self, dropout: float) -> BertConfig:
        """Return the model's configuration, with BERT's initialisation."""
        return BertConfig(
            num_hidden_layers=self.num_layers,
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_attention_heads=self.num_heads,
            max_position_embeddings=self.positions,
            vocab_size=self.vocabulary,
            pad_token_id=0,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )


SCRATCH_ENCODERS: dict[str, ScratchEncoder] = {
    s.name: s
    for s in (
        # The `smoke` tier.
        ScratchEncoder(
            name="bert-toy", num_layers=4, width=32, num_heads=4, positions=64, vocabulary=320
        ),
        ScratchEncoder(
            name="bert-2m", num_layers=6, width=128, num_heads=4, positions=128, vocabulary=4096
        ),
        ScratchEncoder(
            name="bert-1m", num_layers=6, width=128, num_heads=4, positions=128, vocabulary=1024
        ),
        ScratchEncoder(
            name="bert-29m", num_layers=12, width=384, num_heads=6, positions=512, vocabulary=16384
        ),
        # The paper's. Paper: section 5.2.
        ScratchEncoder(
            name="bert-large",
            num_layers=24,
            width=1024,
            num_heads=16,
            positions=512,
            vocabulary=30522,
            tokenizer="bert-large-uncased",
        ),
    )
}


def initialise_encoder(wanted: ScratchEncoder, seed: int, dropout: float) -> Any:
    """Return the model in float32 with the first weights of a seed, with the sdpa attention."""
    config = wanted.config(dropout)
    config._attn_implementation = "sdpa"
    with first_weights(seed):
        return BertForMaskedLM(config).train()


def trained_encoder_tokenizer(wanted: ScratchEncoder, data: str, source: str) -> Path:
    """Return the folder of the tokenizer trained on a corpus' training split, made if need be."""
    return kept_tokenizer(
        f"{wanted.vocabulary} of {corpus_identity(data, source)} for encoders",
        lambda: train_encoder_bpe(load_documents(data, "train", source), wanted.vocabulary),
    )


def train_encoder_bpe(texts: Any, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer that wraps texts and pairs as BERT does.

    Raises: UserError if the texts do not make as many tokens.
    """
    special = list(_SPECIAL)
    bpe = byte_level_bpe(texts, vocabulary, special=special)
    bpe.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, special.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
