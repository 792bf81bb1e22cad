"""Decoders trained from scratch: their sizes, their first weights by seed, their tokenizers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from eval.data.fetch import publish
from eval.data.text import corpus_identity, load_documents
from eval.errors import UserError
from eval.paths import cache_dir
from eval.seeding import stream

__all__ = [
    "SCRATCH",
    "Scratch",
    "byte_level_bpe",
    "first_weights",
    "initialise",
    "kept_tokenizer",
    "train_bpe",
    "trained_tokenizer",
]

END = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scratch:
    """A decoder of GPT-2's kind. Its weights come from the seed; nothing is downloaded for them."""

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
        return f"scratch:{hashlib.sha256(text.encode()).hexdigest()}"

    def config(self) -> GPT2Config:
        """Return the model's configuration: no dropout, GPT-2's initialisation."""
        return GPT2Config(
            n_layer=self.num_layers,
            n_embd=self.width,
            n_head=self.num_heads,
            n_positions=self.positions,
            vocab_size=self.vocabulary,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None if self.tokenizer is None else self.vocabulary - 1,
            eos_token_id=0 if self.tokenizer is None else self.vocabulary - 1,
        )


SCRATCH: dict[str, Scratch] = {
    s.name: s
    for s in (
        # The `smoke` tier.
        Scratch(
            name="gpt2-toy", num_layers=4, width=32, num_heads=4, positions=128, vocabulary=320
        ),
        Scratch(
            name="gpt2-4m", num_layers=8, width=192, num_heads=6, positions=256, vocabulary=4096
        ),
        Scratch(
            name="gpt2-28m",
            num_layers=12,
            width=384,
            num_heads=6,
            positions=1024,
            vocabulary=16384,
        ),
        # The paper's two sizes. Paper: section 5.1.
        Scratch(
            name="gpt3-350m",
            num_layers=24,
            width=1024,
            num_heads=16,
            positions=2048,
            vocabulary=50257,
            tokenizer="gpt2",
        ),
        Scratch(
            name="gpt3-1.3b",
            num_layers=24,
            width=2048,
            num_heads=16,
            positions=2048,
            vocabulary=50257,
            tokenizer="gpt2",
        ),
    )
}


def initialise(wanted: Scratch, seed: int) -> Any:
    """Return the model in float32 with the first weights of a seed, with the sdpa attention."""
    config = wanted.config()
    config._attn_implementation = "sdpa"
    with first_weights(seed):
        model = GPT2LMHeadModel(config).train()
    model.loss_type = "ForCausalLM"  # what it takes anyway, with a warning
    return model


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Give the models made meanwhile the first weights of a seed; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream("weights", seed).integers(2**62)))
        yield


def trained_tokenizer(wanted: Scratch, data: str, source: str) -> Path:
    """Return the folder of the tokenizer trained on a corpus's train split, made if need be."""
    return kept_tokenizer(
        f"{wanted.vocabulary} {corpus_identity(data, source)}",
        lambda: train_bpe(load_documents(data, "train", source), wanted.vocabulary, end=END),
    )


def kept_tokenizer(content: str, train: Callable[[], PreTrainedTokenizerFast]) -> Path:
    """Return the cache's folder of the tokenizer that `content` tells from others, trained once."""
    folder = cache_dir() / "tokenizers" / hashlib.sha256(content.encode()).hexdigest()[:16]
    if not (folder / "manifest.json").exists():
        with publish(folder) as partial:
            train().save_pretrained(partial)
    return folder


def train_bpe(texts: Any, vocabulary: int, *, end: str) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of exactly `vocabulary` tokens; `end` is number 0.

    Raises: UserError if the texts do not make as many.
    """
    bpe = byte_level_bpe(texts, vocabulary, special=[end])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end)


def byte_level_bpe(texts: Any, vocabulary: int, *, special: Any) -> Any:
    """Train a byte-level BPE of exactly `vocabulary` tokens, the special ones first.

    Raises: UserError if the texts do not make as many.
    """
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        texts, vocab_size=vocabulary, special_tokens=special, show_progress=False
    )
    if bpe.get_vocab_size() != vocabulary:
        raise UserError(
            f"the text makes a vocabulary of {bpe.get_vocab_size()} tokens, not of {vocabulary}; "
            "take a longer text, or a model with another vocabulary"
        )
    return bpe._tokenizer
