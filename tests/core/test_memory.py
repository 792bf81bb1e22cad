"""What a dropping layer saves for backward falls with the kept length.

Letters: B batch, H heads, S sequence, K kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rltd_core import KeptLength, RandomLTD
from tests.core.reference import is_causal, layer_list
from tests.core.tiny import (
    DROPPING,
    FAMILIES,
    HEADS,
    IMAGES,
    PATCH,
    images,
    predict,
    timm_model,
    tiny_config,
    tiny_model,
    token_ids,
)

BATCH, LENGTH = 4, 96
SIZE = (PATCH, PATCH * (LENGTH - 1))
KEPT = pytest.mark.parametrize("kept", [24, 48, 72])
QUADRATIC = len(DROPPING) * BATCH * HEADS * torch.float32.itemsize
"""Bytes that eager attention saves for each pair of tokens: the softmax, and nothing else."""


def long_model(family: str, attention: str) -> nn.Module:
    """Return a model in single precision for sequences so long that indices weigh little."""
    if family == "timm_vit":
        return timm_model(attention=attention, img_size=SIZE).train()
    options: dict[str, Any] = {"max_position_embeddings": LENGTH + 1}
    if family == "gpt2":
        options = {"n_positions": LENGTH}
    if family == "vit":
        options = {"image_size": SIZE}
    model = type(tiny_model(family, width=8))(tiny_config(family, attention, **options))
    return model.train()


@contextmanager
def saved_in(layers: list[nn.Module], parameters: list[Tensor]) -> Iterator[dict[int, int]]:
    """Give the bytes of each storage that is saved for backward while a layer runs."""
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    bytes_of: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(storage)  # so that no address is used twice
        if storage.data_ptr() not in known:
            bytes_of[storage.data_ptr()] = storage.nbytes()
        return tensor

    saving = saved_tensors_hooks(pack, lambda tensor: tensor)
    handles = [
        handle
        for layer in layers
        for handle in (
            layer.register_forward_pre_hook(lambda *_: saving.__enter__(), prepend=True),
            layer.register_forward_hook(lambda *_: saving.__exit__(None, None, None)),
        )
    ]
    yield bytes_of
    for handle in handles:
        handle.remove()


def saved_bytes(family: str, model: nn.Module) -> int:
    """Return the bytes that the dropping layers of one forward save for backward."""
    x = images(BATCH, size=SIZE).float() if family in IMAGES else token_ids(BATCH, LENGTH)
    # A cache would copy keys and values.
    options = {"use_cache": False} if is_causal(model) else {}
    layers = [layer_list(model)[layer] for layer in DROPPING]
    with saved_in(layers, list(model.parameters())) as bytes_of:
        predict(model, x, **options)
    return sum(bytes_of.values())


def saved_with_and_without(family: str, attention: str, kept: int) -> tuple[int, int]:
    """Return the bytes with `kept` of the tokens, and those of the plain model."""
    model = long_model(family, attention)
    full = saved_bytes(family, model)
    RandomLTD(model, KeptLength(start=kept, full=LENGTH, ramp_steps=10**9, quantum=1))
    return saved_bytes(family, model), full


@KEPT
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_bytes_fall_with_the_kept_fraction(family: str, kept: int) -> None:
    saved, full = saved_with_and_without(family, "sdpa", kept)
    assert saved == pytest.approx(full * kept / LENGTH, rel=0.05)


@KEPT
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_bytes_of_eager_attention_fall_with_its_square_where_pairs_are_saved(
    family: str, kept: int
) -> None:
    saved, full = saved_with_and_without(family, "eager", kept)
    linear = full - QUADRATIC * LENGTH**2
    assert saved == pytest.approx(linear * kept / LENGTH + QUADRATIC * kept**2, rel=0.05)
    # The square matters here: without it the saving would be understated.
    assert saved < 0.93 * full * kept / LENGTH


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_more_is_saved_where_nothing_is_dropped(family: str) -> None:
    saved, full = saved_with_and_without(family, "sdpa", LENGTH)
    assert saved == full


def test_counted_is_what_a_layer_saves_each_storage_once_and_no_parameter() -> None:
    layer = nn.Linear(5, 7)
    x = torch.randn(3, 5, requires_grad=True)
    with saved_in([layer], list(layer.parameters())) as bytes_of:
        layer(x).exp()  # the exponential saves its result, but outside of the layer
        layer(x)
    assert list(bytes_of.values()) == [3 * 5 * 4]
