"""Models and batches small enough to compute exactly: five layers, float64, no dropout.

Letters: B batch, S sequence, D width, V vocabulary or classes, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    ViTConfig,
    ViTForImageClassification,
)

from rltd_core import KeptLength, RandomLTD

VOCAB, WIDTH, LAYERS, BATCH, LENGTH = 61, 32, 5, 3, 24
DROPPING = (1, 2, 3)
FAMILIES = ("gpt2", "llama", "bert", "roberta", "vit", "timm_vit")
DECODERS, ENCODERS, IMAGES = FAMILIES[:2], FAMILIES[2:4], FAMILIES[4:]
TEXT, HF = FAMILIES[:4], FAMILIES[:5]
ATTENTIONS = ("sdpa", "eager")
PADDINGS = ("none", "right", "left")
HEADS, PATCH = 4, 2
IMAGE = (PATCH, PATCH * (LENGTH - 1))
"""A strip of patches, so that with the class token an image is as long as a text."""


def tiny_model(
    family: str = "gpt2",
    *,
    attention: str = "sdpa",
    layers: int = LAYERS,
    width: int = WIDTH,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> nn.Module:
    """Return a model with random weights, in training mode; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "timm_vit":
            model = timm_model(attention=attention, layers=layers, width=width)
        else:
            model_class, _ = _CLASSES[family]
            model = model_class(tiny_config(family, attention, layers, width))
    return model.to(dtype).train()


def timm_model(
    *, attention: str = "sdpa", layers: int = LAYERS, width: int = WIDTH, **options: Any
) -> VisionTransformer:
    """Return timm's model, which classifies every token unless told how to pool."""
    shape: dict[str, Any] = {"img_size": IMAGE, "patch_size": PATCH, "num_classes": VOCAB}
    shape |= {"embed_dim": width, "depth": layers, "num_heads": HEADS, "global_pool": ""}
    model = VisionTransformer(**shape | options)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    for block in model.blocks if attention == "eager" else ():
        block.attn.fused_attn = False
    return model


def tiny_config(
    family: str, attention: str = "sdpa", layers: int = LAYERS, width: int = WIDTH, **options: Any
) -> Any:
    """Return the configuration of a tiny model of transformers."""
    _, config_class = _CLASSES[family]
    # Weights large enough that attention is far from uniform and every path matters.
    shape: dict[str, Any] = {"initializer_range": 0.3, "attn_implementation": attention}
    if family == "gpt2":
        shape |= {"n_layer": layers, "n_embd": width, "n_head": HEADS, "n_positions": 64}
        shape |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    else:
        shape |= {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": HEADS}
        shape |= {"intermediate_size": 3 * width}
    if family == "llama":
        shape |= {"num_key_value_heads": 2, "max_position_embeddings": 64}
    elif family in ENCODERS:
        # Roberta counts positions from behind the padding id.
        shape |= {"max_position_embeddings": 64 + (family == "roberta")}
        shape |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    elif family == "vit":
        shape |= {"image_size": IMAGE, "patch_size": PATCH, "num_labels": VOCAB}
    if family in TEXT:
        shape |= {"vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
    return config_class(**shape | options)


def attach(model: nn.Module, kept: int = 10, **options: Any) -> RandomLTD:
    """Attach a schedule that stays at `kept` for long."""
    schedule = KeptLength(start=kept, full=64, ramp_steps=10**9, quantum=1)
    return RandomLTD(model, schedule, **options)


def token_ids(batch: int = BATCH, length: int = LENGTH, *, seed: int = 0) -> Tensor:
    """Return random token ids without the padding id, of shape (B, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCAB, (batch, length), generator=generator)


def images(
    batch: int = BATCH, *, seed: int = 0, dtype: torch.dtype = torch.float64, size: Any = IMAGE
) -> Tensor:
    """Return random images, of shape (B, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *size, generator=generator, dtype=torch.float64).to(dtype)


def batch_for(family: str, batch: int = BATCH, *, seed: int = 0) -> Tensor:
    """Return what the family is trained on: token ids or images, LENGTH tokens either way."""
    return images(batch, seed=seed) if family in IMAGES else token_ids(batch, seed=seed)


def leaf_for(family: str, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return a leaf of random input embeddings (B, S, D), or of images."""
    if family in IMAGES:
        return images(seed=1, dtype=dtype).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    x_BSD = torch.randn(BATCH, LENGTH, WIDTH, generator=generator, dtype=torch.float64)
    return x_BSD.to(dtype).requires_grad_()


def predict(model: Any, x: Tensor, **options: Any) -> Tensor:
    """Return logits_BSV at every token, from token ids, input embeddings or images."""
    if isinstance(model, VisionTransformer):
        return model(x, **options)
    if x.ndim == 4:
        return model.classifier(model.vit(x, **options).last_hidden_state)
    name = "inputs_embeds" if x.is_floating_point() else "input_ids"
    return model(**{name: x}, **options).logits


def padding_mask(side: str, batch: int = BATCH, length: int = LENGTH) -> Tensor | None:
    """Return a 2-D mask, 1 for real tokens: each sample shorter by five, the first not at all."""
    if side == "none":
        return None
    real = torch.tensor([length - 5 * row for row in range(batch)])[:, None]
    position = torch.arange(length)[None, :]
    mask_BS = position < real if side == "right" else position >= length - real
    return mask_BS.long()


def parameter_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every gradient there is, by name, and clear them."""
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return gradients


def assert_same(actual: object, expected: object) -> None:
    """Assert equality of tensors, or of containers of them, to the last bit."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


_CLASSES: dict[str, tuple[Any, Any]] = {
    "gpt2": (GPT2LMHeadModel, GPT2Config),
    "llama": (LlamaForCausalLM, LlamaConfig),
    "bert": (BertForMaskedLM, BertConfig),
    "roberta": (RobertaForMaskedLM, RobertaConfig),
    "vit": (ViTForImageClassification, ViTConfig),
}
