"""A decoder small enough for seconds-long runs, made from nothing but a text."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from eval.scratch import train_bpe

__all__ = ["make_tiny_llama"]

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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers_logging.disable_progress_bar()
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
