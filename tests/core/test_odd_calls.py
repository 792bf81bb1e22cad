"""Calls out of the ordinary: layers that fail, evaluation in between, packed rows, odd types."""

from __future__ import annotations

import gc
import json
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask

from rltd_core import (
    KeptLength,
    LayerTokenLR,
    RandomLTD,
    random_per_layer,
    register_family,
    surgery,
)
from rltd_core.families import FAMILIES as KNOWN
from rltd_core.stack import find_stack
from tests.core.tiny import (
    BATCH,
    LENGTH,
    assert_same,
    attach,
    batch_for,
    images,
    predict,
    tiny_model,
    token_ids,
)


def fail(*_: Any) -> None:
    raise torch.OutOfMemoryError("on purpose")


@pytest.mark.parametrize("family", ["gpt2", "timm_vit"])
def test_a_layer_that_fails_holds_nothing_of_the_forward(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    layers, held = find_stack(model).layers, []
    layers[0].register_forward_hook(lambda m, a, out: held.append(weakref.ref(first(out))))
    failing = layers[2].register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        predict(model, batch_for(family))
    gc.collect()
    assert [x() for x in held] == [None]
    failing.remove()
    predict(model, batch_for(family)).sum().backward()
    assert ltd.kept_LBK is not None


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("trained", [False, True])
def test_an_evaluation_under_checkpointing_is_recomputed_as_the_plain_model(trained: bool) -> None:
    model, plain = tiny_model("timm_vit"), tiny_model("timm_vit")
    ltd = attach(model)
    for each in (model, plain):
        each.set_grad_checkpointing(True)
    if trained:
        predict(model, images()).sum().backward()
        model.zero_grad()
    inputs = [images().requires_grad_() for _ in range(2)]
    for each, x in zip((model, plain), inputs):
        each.eval()(x).sum().backward()  # a gradient of the input, as for a saliency map
    assert_same(inputs[0].grad, inputs[1].grad)
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert_same(a.grad, b.grad)
    model.train()
    predict(model, images()).sum().backward()
    assert ltd.forwards == 1 + trained


def test_an_evaluation_between_a_forward_and_its_backward_changes_neither() -> None:
    model, alone = tiny_model("timm_vit"), tiny_model("timm_vit")
    for each in (model, alone):
        attach(each)
        each.set_grad_checkpointing(True)
    loss = predict(model, images()).sum()
    predict(alone, images()).sum().backward()
    between = model.eval()(images(seed=1)).sum()
    model.train()
    loss.backward()
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        assert_same(a.grad, b.grad)
    between.backward()


def test_after_ctrl_c_a_part_of_the_model_is_a_forward_of_its_own() -> None:
    model = tiny_model("timm_vit")
    ltd = attach(model)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    stop = model.blocks[2].register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model(images())
    stop.remove()
    draws = []
    for _ in range(3):
        model.forward_features(images())
        draws.append(ltd.kept_LBK)
    assert ltd.forwards == 4
    assert ltd.pending_tokens == 3 * BATCH * LENGTH  # the interrupted one came to no end
    assert not torch.equal(draws[0], draws[1])


@pytest.fixture
def packed_by_positions() -> str:
    """Make an attention that is handed no mask of packed rows, as FlashAttention's is."""
    name = "mask_free"
    AttentionInterface.register(name, sdpa_attention_forward)
    AttentionMaskInterface.register(name, flash_attention_mask)
    return name


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_packed_rows_that_positions_alone_tell_apart_are_refused(
    family: str, packed_by_positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(family)
    model.set_attn_implementation(packed_by_positions)
    assert not surgery._reads_positions(find_stack(model).layers[1])
    monkeypatch.setattr(model.config, "_attn_implementation_internal", "flash_attention_2")
    assert surgery._reads_positions(find_stack(model).layers[1])
    monkeypatch.undo()
    monkeypatch.setattr(surgery, "_reads_positions", lambda layer: True)
    attach(model)
    ids = token_ids()[:1]
    packed = torch.cat([torch.arange(10), torch.arange(LENGTH - 10)])[None]
    with pytest.raises(ValueError, match="'position_ids' starts anew within the row"):
        model(input_ids=ids, position_ids=packed)
    model(input_ids=ids, position_ids=torch.arange(LENGTH)[None])
    model(input_ids=token_ids()[:2], position_ids=packed.expand(2, -1))  # not read in batches
    monkeypatch.undo()  # another attention goes by its mask alone
    model(input_ids=ids, position_ids=packed)


def one_for_all(layers: int, batch: int, length: int, kept: int, **options: Any) -> Tensor:
    return random_per_layer(layers, 1, length, kept, generator=options["generator"])


def too_few(layers: int, batch: int, length: int, kept: int, **options: Any) -> Tensor:
    return random_per_layer(layers, batch, length, kept - 1, generator=options["generator"])


def as_int32(layers: int, batch: int, length: int, kept: int, **options: Any) -> Tensor:
    return random_per_layer(layers, batch, length, kept, generator=options["generator"]).int()


@pytest.mark.parametrize("policy", [one_for_all, too_few, as_int32])
def test_a_draw_of_another_shape_or_kind_is_refused_by_the_policys_name(
    policy: Callable[..., Tensor],
) -> None:
    model = tiny_model()
    attach(model, policy=policy)
    with pytest.raises(ValueError, match=rf"the policy {policy.__name__} returned positions of"):
        predict(model, batch_for("gpt2"))


def test_a_step_that_counted_nothing_is_told_once() -> None:
    model = tiny_model()
    ltd = attach(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    rate = LayerTokenLR(optimizer, ltd, warmup=0, total=9, batch=BATCH, length=LENGTH)
    predict(model, batch_for("gpt2"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ltd.step()
    ltd.detach()
    predict(model, batch_for("gpt2"))
    optimizer.step()
    with pytest.warns(UserWarning, match="a LayerToken learning rate stands still"):
        ltd.step()
    rate.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ltd.step()


@pytest.fixture
def families() -> Iterator[None]:
    """Leave the known families as they were."""
    before = list(KNOWN)
    yield
    KNOWN[:] = before


@pytest.mark.usefixtures("families")
def test_a_family_of_a_subclass_comes_before_that_of_its_parent() -> None:
    model = tiny_model("llama")
    body = model.model
    body.__class__ = type("MyLlamaModel", (type(body),), {})
    (llama,) = (f for f in KNOWN if f.name == "llama")
    assert find_stack(model).family is llama
    mine = replace(llama, name="mine", owner="MyLlamaModel")
    register_family(mine)
    assert find_stack(model).family is mine
    attach(model)
    predict(model, batch_for("llama"))


def test_a_class_of_the_same_name_without_what_the_family_names_is_told_how_to_go_on() -> None:
    model = tiny_model("timm_vit")
    other = type("VisionTransformer", (nn.Module,), {})()
    other.blocks, other.patch_embed = model.blocks, model.patch_embed
    assert not isinstance(other, VisionTransformer)
    with pytest.raises(ValueError, match=r"has no num_prefix_tokens.* replace=True"):
        attach(other)


def test_integers_of_numpy_are_integers() -> None:
    model = tiny_model()
    chosen = np.arange(1, 4)
    ltd = RandomLTD(
        model, KeptLength(start=8, full=LENGTH, ramp_steps=4), seed=np.int64(3), layers=chosen
    )
    predict(model, batch_for("gpt2"))
    ltd.step()
    assert json.loads(json.dumps(ltd.state_dict()))["seed"] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [({"layers": [1.0]}, "numbers of layers"), ({"seed": 0.5}, "seed must be an integer")],
)
def test_what_is_no_integer_is_refused_and_leaves_the_model_free(
    options: dict[str, Any], said: str
) -> None:
    model = tiny_model()
    with pytest.raises(TypeError, match=said):
        attach(model, **options)
    attach(model)
