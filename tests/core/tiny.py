"""Models and batches small enough to compute exactly: five layers, float64, no dropout.

Letters: B batch, S sequence, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from rltd_core import KeptLength, RandomLTD

VOCAB, WIDTH, LAYERS, BATCH, LENGTH = 61, 32, 5, 3, 24
DROPPING = (1, 2, 3)
FAMILIES = ("gpt2", "llama")
ATTENTIONS = ("sdpa", "eager")
PADDINGS = ("none", "right", "left")


def tiny_model(
    family: str = "gpt2",
    *,
    attention: str = "sdpa",
    layers: int = LAYERS,
    width: int = WIDTH,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> torch.nn.Module:
    """Return a model with random weights, in training mode; the global generator is kept."""
    shared: dict[str, Any] = {
        "vocab_size": VOCAB,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": None,
        "attn_implementation": attention,
        # Large enough that attention is far from uniform and every path matters.
        "initializer_range": 0.3,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "gpt2":
            dropout = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
            config = GPT2Config(
                n_layer=layers, n_embd=width, n_head=4, n_positions=64, **dropout, **shared
            )
            model = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                num_hidden_layers=layers,
                hidden_size=width,
                intermediate_size=3 * width,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                **shared,
            )
            model = LlamaForCausalLM(config)
    return model.to(dtype).train()


def attach(model: torch.nn.Module, kept: int = 10, **options: Any) -> RandomLTD:
    """Attach a schedule that stays at `kept` for long."""
    schedule = KeptLength(start=kept, full=64, ramp_steps=10**9, quantum=1)
    return RandomLTD(model, schedule, **options)


def token_ids(batch: int = BATCH, length: int = LENGTH, *, seed: int = 0) -> Tensor:
    """Return random token ids without the padding id, of shape (B, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCAB, (batch, length), generator=generator)


def embeddings(
    batch: int = BATCH, length: int = LENGTH, *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Return a leaf of random input embeddings, of shape (B, S, D)."""
    generator = torch.Generator().manual_seed(1)
    x_BSD = torch.randn(batch, length, WIDTH, generator=generator, dtype=torch.float64)
    return x_BSD.to(dtype).requires_grad_()


def padding_mask(side: str, batch: int = BATCH, length: int = LENGTH) -> Tensor | None:
    """Return a 2-D mask, 1 for real tokens: each sample shorter by five, the first not at all."""
    if side == "none":
        return None
    real = torch.tensor([length - 5 * row for row in range(batch)])[:, None]
    position = torch.arange(length)[None, :]
    mask_BS = position < real if side == "right" else position >= length - real
    return mask_BS.long()


def parameter_gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of every gradient there is, by name, and clear them."""
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return gradients


def assert_same(actual: object, expected: object) -> None:
    """Assert equality of tensors, or of containers of them, to the last bit."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
