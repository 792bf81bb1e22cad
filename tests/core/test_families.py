"""Finding the layer list of a model, and reading its size."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from rltd_core import KeptLength, RandomLTD
from rltd_core.families import FAMILIES as KNOWN
from rltd_core.stack import find_stack, transformer_cost
from tests.core.reference import layer_list
from tests.core.tiny import (
    FAMILIES,
    HF,
    IMAGES,
    LAYERS,
    LENGTH,
    PATCH,
    VOCAB,
    WIDTH,
    batch_for,
    predict,
    tiny_model,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layer_list_is_found_through_the_language_model_and_in_its_body(family: str) -> None:
    model = tiny_model(family)
    owner = getattr(model, "base_model", model)
    for part in (model, owner, nn.Sequential(model)):
        stack = find_stack(part)
        assert stack.family.name == family
        assert stack.owner is owner
        assert stack.layers is layer_list(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_subclass_of_a_known_class_is_of_its_family(family: str) -> None:
    model = tiny_model(family)
    body: Any = getattr(model, "base_model", model)
    body.__class__ = type(f"Wrapped{type(body).__name__}", (type(body),), {})
    assert find_stack(model).family.name == family


def test_an_unknown_model_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match="Linear has no layer list of a known family") as error:
        RandomLTD(nn.Linear(2, 2), KeptLength(start=1, full=8, ramp_steps=1))
    assert all(family.owner in str(error.value) for family in KNOWN)


def test_two_layer_lists_in_one_model_are_refused() -> None:
    both = nn.ModuleList([tiny_model("bert"), tiny_model("timm_vit")])
    with pytest.raises(ValueError, match=r"several layer lists \(BertModel, VisionTransformer\)"):
        find_stack(both)


def test_the_weights_of_gpt2_are_counted_as_its_paper_would() -> None:
    model = tiny_model("gpt2")
    cost = transformer_cost(model, find_stack(model), 3)
    assert cost.block_weights == 12 * WIDTH**2  # 4 in the attention, 8 in the MLP
    assert cost.attention_width == WIDTH
    assert cost.head_weights == VOCAB * WIDTH
    assert (cost.num_layers, cost.num_dropping) == (LAYERS, 3)


def test_the_weights_of_llama_are_counted_with_its_fewer_key_heads() -> None:
    model = tiny_model("llama")
    cost = transformer_cost(model, find_stack(model), 3)
    assert cost.block_weights == (1 + 0.5 + 0.5 + 1 + 3 * 3) * WIDTH**2
    assert cost.attention_width == WIDTH
    assert cost.head_weights == VOCAB * WIDTH


@pytest.mark.parametrize("family", HF)
def test_a_body_without_a_head_has_no_head_to_count(family: str) -> None:
    body = tiny_model(family).base_model
    cost = transformer_cost(body, find_stack(body), 3)
    assert (cost.head_weights, cost.pooled_weights) == (0, 0)


@pytest.mark.parametrize("family", IMAGES)
def test_the_weights_of_an_image_model_are_counted_with_its_patches(family: str) -> None:
    model = tiny_model(family)
    cost = transformer_cost(model, find_stack(model), 3)
    mlp = {"vit": 2 * 3, "timm_vit": 2 * 4}[family]
    assert cost.block_weights == (4 + mlp) * WIDTH**2
    assert cost.attention_width == WIDTH
    assert (cost.head_weights, cost.pooled_weights) == (0, VOCAB * WIDTH)
    assert (cost.patch_weights, cost.prefix) == (3 * PATCH**2 * WIDTH, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_argument_a_family_names_is_one_the_layer_takes(family: str) -> None:
    model = tiny_model(family)
    described = find_stack(model).family
    received: set[str] = set()

    def record(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = list(inspect.signature(layer.forward).parameters)
        received.update(names[: len(args)], kwargs)

    layer_list(model)[1].register_forward_pre_hook(record, with_kwargs=True)
    mask = torch.zeros(LENGTH, LENGTH).double()
    predict(model, batch_for(family), **({"attn_mask": mask} if family == "timm_vit" else {}))
    assert set(described.token_axes) <= received
    assert described.withheld <= received
