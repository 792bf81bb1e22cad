"""Models to time, by name, with random weights: only their shape matters for speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from eval.errors import UserError
from rltd_core import TransformerCost
from rltd_core.stack import dropping_layers, find_stack, transformer_cost

__all__ = ["SHAPES", "TIERS", "Shape", "cost_of", "shape"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A model and the batch it is timed on."""

    name: str
    length: int
    """Tokens of a sequence; an image model's own."""
    batch: int
    make: Callable[[int], nn.Module]
    """Length -> the model with random weights, in training mode."""
    images: bool = False

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        """Return one random batch for `model`, on the CPU."""
        whole = partial(torch.randint, generator=generator)
        if self.images:
            vit: Any = model
            size = (vit.patch_embed.proj.in_channels, *vit.patch_embed.img_size)
            return {
                "x": torch.randn(self.batch, *size, generator=generator),
                "labels": whole(vit.num_classes, (self.batch,)),
            }
        config: Any = model.config
        ids_BS = whole(config.vocab_size, (self.batch, self.length))
        return {"input_ids": ids_BS, "labels": ids_BS}

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the training loss of one forward."""
        if self.images:
            return nn.functional.cross_entropy(model(batch["x"]), batch["labels"])
        return model(**batch, use_cache=False).loss

    def sized(self, *, length: int | None = None, batch: int | None = None) -> Shape:
        """Return the shape with another length or batch.

        Raises: UserError for another length of an image model.
        """
        if self.images and length not in (None, self.length):
            raise UserError(f"{self.name} always has {self.length} tokens; leave length out")
        return replace(self, length=length or self.length, batch=batch or self.batch)


def _gpt2(width: int, layers: int, heads: int, vocabulary: int, length: int) -> nn.Module:
    config = GPT2Config(
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        vocab_size=vocabulary,
        n_positions=length,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).train()
    model.loss_type = "ForCausalLM"  # what transformers falls back to, with a warning
    return model


def _bert(width: int, layers: int, heads: int, vocabulary: int, length: int) -> nn.Module:
    config = BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        vocab_size=vocabulary,
        max_position_embeddings=length,
    )
    return BertForMaskedLM(config).train()


def _timm(name: str, length: int, **options: Any) -> nn.Module:
    return timm.create_model(name, **options).train()


def _text(name: str, make: Callable[..., nn.Module], *sizes: int, length: int, batch: int) -> Shape:
    return Shape(name=name, length=length, batch=batch, make=partial(make, *sizes))


_TINY_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
_SHAPES = (
    _text("tiny-gpt2", _gpt2, 32, 4, 2, 128, length=32, batch=2),
    _text("tiny-bert", _bert, 32, 4, 2, 128, length=32, batch=2),
    Shape(
        name="tiny-vit",
        length=17,
        batch=2,
        make=partial(_timm, "vit_tiny_patch16_224", num_classes=8, **_TINY_VIT),
        images=True,
    ),
    _text("gpt2-shaped", _gpt2, 384, 12, 6, 8192, length=512, batch=2),
    _text("bert-shaped", _bert, 384, 12, 6, 8192, length=256, batch=4),
    *(
        Shape(
            name=name,
            length=197,
            batch=batch,
            make=partial(_timm, "vit_small_patch16_224"),
            images=True,
        )
        for name, batch in (("vit-shaped", 16), ("vit-shaped-small-batch", 4))
    ),
    _text("gpt2", _gpt2, 768, 12, 12, 50257, length=1024, batch=8),
    _text("gpt2-medium", _gpt2, 1024, 24, 16, 50257, length=1024, batch=8),
    _text("gpt3-1.3b", _gpt2, 2048, 24, 16, 50257, length=2048, batch=4),
    _text("bert-base", _bert, 768, 12, 12, 30522, length=512, batch=16),
    _text("bert-large", _bert, 1024, 24, 16, 30522, length=512, batch=16),
    Shape(
        name="vit-base",
        length=197,
        batch=64,
        make=partial(_timm, "vit_base_patch16_224"),
        images=True,
    ),
    Shape(
        name="vit-large",
        length=197,
        batch=32,
        make=partial(_timm, "vit_large_patch16_224"),
        images=True,
    ),
)

SHAPES = {shape.name: shape for shape in _SHAPES}
TIERS = {
    "smoke": ("tiny-gpt2", "tiny-bert", "tiny-vit"),
    "cpu": ("gpt2-shaped", "bert-shaped", "vit-shaped", "vit-shaped-small-batch"),
    "gpu": ("gpt2", "gpt3-1.3b", "bert-large", "vit-base"),
}
"""What `bench step` times at each tier."""


def shape(name: str) -> Shape:
    """Return a shape: one of `SHAPES`, `timm:MODEL`, or a folder or hub name with a config.json.

    Raises: UserError for a name that is none of these.
    """
    if name in SHAPES:
        return SHAPES[name]
    if name.startswith("timm:"):
        return _timm_shape(name)
    config = _config(name)
    length = getattr(config, "max_position_embeddings", None) or 512
    return Shape(name=name, length=min(length, 512), batch=2, make=partial(_auto, config))


def cost_of(of: Shape) -> TransformerCost:
    """Return what a shape costs with all layers but first and last dropping; no memory is used."""
    with torch.device("meta"):
        model = of.make(of.length)
    stack = find_stack(model)
    return transformer_cost(model, stack, len(dropping_layers(len(stack.layers), None)))


def _config(name: str) -> Any:
    folder = Path(name).is_dir()
    try:
        if folder or "/" in name:
            return AutoConfig.from_pretrained(name, local_files_only=folder)
    except (OSError, ValueError):
        pass
    raise UserError(
        f"unknown model {name!r}: name one of {', '.join(SHAPES)}, timm:MODEL, or a folder or hub "
        "repository with a config.json"
    )


def _timm_shape(name: str) -> Shape:
    plain = name.removeprefix("timm:")
    if not timm.is_model(plain):
        raise UserError(f"timm has no model {plain!r}; timm.list_models('vit*') names them")
    with torch.device("meta"):
        model: Any = timm.create_model(plain)
    if not hasattr(model, "num_prefix_tokens"):
        raise UserError(f"timm's {plain} is no VisionTransformer")
    length = model.patch_embed.num_patches + model.num_prefix_tokens
    return Shape(name=name, length=length, batch=4, make=partial(_timm, plain), images=True)


def _auto(config: Any, length: int) -> nn.Module:
    masked = any("MaskedLM" in name for name in config.architectures or ())
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    return auto.from_config(config).train()
