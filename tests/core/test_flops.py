"""The FLOPs that are read off a model are those that torch counts, to the last one."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from timm.models.deit import VisionTransformerDistilled
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.core.tiny import (
    DROPPING,
    HEADS,
    IMAGE,
    LAYERS,
    LENGTH,
    PATCH,
    VOCAB,
    WIDTH,
    attach,
    images,
    timm_model,
    tiny_config,
    token_ids,
)

TEXT_MODELS = {
    "gpt2": ("Model", "LMHeadModel", "ForTokenClassification", "ForSequenceClassification"),
    "llama": ("Model", "ForCausalLM", "ForTokenClassification", "ForSequenceClassification"),
    "bert": (
        "Model",
        "ForMaskedLM",
        "ForPreTraining",
        "ForNextSentencePrediction",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForQuestionAnswering",
    ),
    "roberta": (
        "Model",
        "ForMaskedLM",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForQuestionAnswering",
    ),
}
PREFIX = {"gpt2": "GPT2", "llama": "Llama", "bert": "Bert", "roberta": "Roberta"}
NAMES = [(family, PREFIX[family] + head) for family, heads in TEXT_MODELS.items() for head in heads]
TIMM: dict[str, dict[str, Any]] = {
    "class-token": {"global_pool": "token"},
    "average": {"global_pool": "avg"},
    "average-of-patches-alone": {"global_pool": "avg", "class_token": False},
    "registers": {"global_pool": "token", "reg_tokens": 4},
    "no-head": {"global_pool": "token", "num_classes": 0},
}
KEPT = pytest.mark.parametrize(("kept", "batch"), [(1, 2), (10, 1), (10, 3), (40, 2)])


def counted_flops(model: nn.Module, *inputs: Tensor, **options: Any) -> int:
    """Count forward and backward, without the rotary angles, which are a product in name only."""
    with FlopCounterMode(display=False, depth=None) as counter:
        output = model(*inputs, **options)
        parts = output.to_tuple() if hasattr(output, "to_tuple") else (output,)
        sum(part.sum() for part in parts if isinstance(part, Tensor)).backward()
    by_module = counter.get_flop_counts()
    rotary = (sum(v.values()) for k, v in by_module.items() if k.endswith(".rotary_emb"))
    return counter.get_total_flops() - sum(rotary)


def assert_counted(model: nn.Module, x: Tensor, length: int, kept: int, **options: Any) -> None:
    """Compare what was read off the model with what one of its steps takes."""
    ltd = attach(model.double().train(), kept)
    assert (ltd.cost.num_layers, ltd.cost.num_dropping) == (LAYERS, len(DROPPING))
    assert len(x) * ltd.cost.flops(kept, length) == counted_flops(model, x, **options)
    assert ltd.pending_layer_tokens == len(x) * ltd.cost.layer_tokens(kept, length)


@KEPT
@pytest.mark.parametrize(("family", "name"), NAMES)
def test_flops_of_text_models_equal_those_that_torch_counts(
    family: str, name: str, kept: int, batch: int
) -> None:
    model = getattr(transformers, name)(tiny_config(family, "eager", use_cache=False))
    assert_counted(model, token_ids(batch, LENGTH), LENGTH, kept)


@KEPT
@pytest.mark.parametrize("name", ["ViTModel", "ViTForImageClassification"])
def test_flops_of_transformers_image_models_equal_those_that_torch_counts(
    name: str, kept: int, batch: int
) -> None:
    model = getattr(transformers, name)(tiny_config("vit", "eager"))
    assert_counted(model, images(batch), LENGTH, kept)


@KEPT
@pytest.mark.parametrize("pooling", TIMM)
def test_flops_of_timm_models_equal_those_that_torch_counts(
    pooling: str, kept: int, batch: int
) -> None:
    model = timm_model(attention="eager", **TIMM[pooling])
    length = LENGTH - 1 + model.num_prefix_tokens
    assert_counted(model, images(batch), length, kept)


@KEPT
def test_flops_of_a_distilled_image_model_equal_those_that_torch_counts(
    kept: int, batch: int
) -> None:
    shape: dict[str, Any] = {"img_size": IMAGE, "patch_size": PATCH, "num_classes": VOCAB}
    shape |= {"embed_dim": WIDTH, "depth": LAYERS, "num_heads": HEADS}
    model = VisionTransformerDistilled(**shape)
    for block in model.blocks:
        block.attn.fused_attn = False
    assert_counted(model, images(batch), LENGTH + 1, kept)


@KEPT
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_flops_of_multiple_choice_are_those_of_its_sequences(
    family: str, kept: int, batch: int
) -> None:
    name = f"{PREFIX[family]}ForMultipleChoice"
    model = getattr(transformers, name)(tiny_config(family, "eager")).double().train()
    ltd = attach(model, kept)
    choices = token_ids(3 * batch, LENGTH).view(batch, 3, LENGTH)
    assert 3 * batch * ltd.cost.flops(kept, LENGTH) == counted_flops(model, choices)


def test_dropping_takes_fewer_flops_than_computing_all() -> None:
    model = timm_model(attention="eager", global_pool="token").double()
    full = counted_flops(model, images())
    attach(model, 10)
    assert counted_flops(model, images()) < 0.7 * full
