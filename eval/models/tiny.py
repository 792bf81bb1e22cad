"""A decoder and an encoder small enough for seconds-long runs, made from nothing but a text."""

from __future__ import annotations

import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from eval.models.decoders import train_bpe

__all__ = ["make_tiny_bert", "make_tiny_llama"]

_VOCABULARY = 320


def make_tiny_llama(text: str, folder: Path) -> None:
    """Write an untrained 5-layer Llama and a byte-level BPE tokenizer trained on `text`."""
    tokenizer = train_bpe([text], _VOCABULARY, end="<|end|>")
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    _save(LlamaForCausalLM, config, folder)
    tokenizer.save_pretrained(folder)


def make_tiny_bert(text: str, folder: Path) -> None:
    """Write an untrained 5-layer BERT and a lower-case WordPiece tokenizer with words of `text`."""
    config = BertConfig(
        vocab_size=_VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    _save(BertModel, config, folder)
    vocabulary = {piece: number for number, piece in enumerate(_word_pieces(text))}
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)


def _word_pieces(text: str) -> list[str]:
    """Return special tokens, characters and the most frequent words.

    The trainer of `tokenizers` numbers WordPiece's pieces differently every time.
    """
    words = Counter(re.findall("[a-z]{2,}", text.lower()))
    frequent = sorted(words, key=lambda word: (-words[word], word))
    single = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    inside = [f"##{character}" for character in single]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *single, *inside, *frequent]
    return pieces[:_VOCABULARY]


def _save(kind: Any, config: Any, folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers_logging.disable_progress_bar()
        kind(config).save_pretrained(folder)
