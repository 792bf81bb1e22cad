"""Image models: masks and lengths of their own, and layers that a method runs, not the call.

Letters: B batch, H heads, S sequence, D width, V classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import set_reentrant_ckpt, use_reentrant_ckpt
from timm.models.vision_transformer import ParallelScalingBlock, ParallelThingsBlock
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from rltd_core import KeptLength, RandomLTD
from tests.core.equivalence import assert_equivalent, outputs_and_gradients
from tests.core.tiny import (
    ATTENTIONS,
    BATCH,
    ENCODERS,
    HEADS,
    IMAGE,
    LENGTH,
    PATCH,
    VOCAB,
    assert_same,
    attach,
    batch_for,
    images,
    leaf_for,
    predict,
    timm_model,
    tiny_config,
    tiny_model,
)

SHAPES = {
    "S-S": (LENGTH, LENGTH),
    "H-S-S": (HEADS, LENGTH, LENGTH),
    "1-S-S": (1, LENGTH, LENGTH),
    "1-1-S-S": (1, 1, LENGTH, LENGTH),
    "1-H-S-S": (1, HEADS, LENGTH, LENGTH),
    "B-1-S-S": (None, 1, LENGTH, LENGTH),
    "B-H-S-S": (None, HEADS, LENGTH, LENGTH),
    "B-1-1-S": (None, 1, 1, LENGTH),
}
CASES = [(shape, BATCH) for shape in SHAPES]
CASES += [("S-S", LENGTH), ("H-S-S", HEADS), ("1-S-S", 1), ("B-1-S-S", LENGTH)]
"""Also with as many samples as tokens, or as heads, where a shape alone does not tell the axes."""


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("shape", "batch"), CASES)
def test_a_mask_of_timm_is_cut_whatever_leading_axes_it_has(
    shape: str, batch: int, attention: str
) -> None:
    model = tiny_model("timm_vit", attention=attention)
    generator = torch.Generator().manual_seed(5)
    axes = [batch if axis is None else axis for axis in SHAPES[shape]]
    bias = nn.Parameter(torch.randn(axes, generator=generator, dtype=torch.float64))
    # A parameter of the model, so that its gradient is compared too.
    model.register_parameter("position_bias", bias)
    x = images(batch).requires_grad_()
    assert_equivalent(model, x, 5, attn_mask=bias, reference_options={"bias": bias})


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("shape", [(LENGTH, LENGTH), (HEADS, LENGTH, LENGTH)])
def test_a_mask_of_timm_may_be_boolean(shape: tuple[int, ...], attention: str) -> None:
    visible = torch.rand(shape, generator=torch.Generator().manual_seed(6)) < 0.4
    visible |= torch.eye(LENGTH).bool()
    bias = torch.zeros(shape).double().masked_fill(~visible, -torch.inf)
    model = tiny_model("timm_vit", attention=attention)
    options = {"bias": bias}
    assert_equivalent(model, leaf_for("timm_vit"), attn_mask=visible, reference_options=options)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_timm_may_be_told_to_be_causal(attention: str) -> None:
    model, options = tiny_model("timm_vit", attention=attention), {"causal": True}
    assert_equivalent(model, leaf_for("timm_vit"), is_causal=True, reference_options=options)


def test_a_mask_of_another_length_is_refused() -> None:
    model = tiny_model("timm_vit")
    attach(model, layers=[0])
    with pytest.raises(ValueError, match=r"'attn_mask' has shape \(1, 1, 9, 9\), expected 24"):
        predict(model, images(), attn_mask=torch.zeros(9, 9).double())


def features(model: Any, x: Tensor, **options: Any) -> Tensor:
    return model.head(model.forward_features(x, **options))


def intermediates(model: Any, x: Tensor, **options: Any) -> Tensor:
    return model.head(model.forward_intermediates(x, **options)[0])


def last_layers(model: Any, x: Tensor, **options: Any) -> Tensor:
    [(patches_BSD, prefix_BSD)] = model.get_intermediate_layers(
        x, return_prefix_tokens=True, norm=True, **options
    )
    return model.head(torch.cat([prefix_BSD, patches_BSD], dim=1))


PARTS = pytest.mark.parametrize("part", [features, intermediates, last_layers])


@PARTS
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_layers_run_by_a_method_of_timm_drop_and_count_as_in_a_forward(
    part: Callable[..., Tensor], attention: str
) -> None:
    model, x = tiny_model("timm_vit", attention=attention), leaf_for("timm_vit")
    assert_equivalent(model, x, run=part)
    ltd, other = attach(model), tiny_model("timm_vit", attention=attention)
    by_call = attach(other)
    for forward in range(1, 4):
        assert_same(outputs_and_gradients(model, x, run=part), outputs_and_gradients(other, x))
        assert_same(ltd.kept_LBK, by_call.kept_LBK)
        assert ltd.state_dict() == by_call.state_dict()
        assert ltd.forwards == forward
        assert ltd.pending_layer_tokens == forward * BATCH * (2 * LENGTH + 3 * 10)


@pytest.mark.parametrize("reentrant", [False, True], ids=["plain", "reentrant"])
@PARTS
def test_checkpointing_changes_nothing_where_a_method_runs_the_layers(
    part: Callable[..., Tensor], reentrant: bool
) -> None:
    results, states, before = [], [], use_reentrant_ckpt()
    for checkpoints in (False, True):
        model, x = tiny_model("timm_vit"), leaf_for("timm_vit")
        model.set_grad_checkpointing(checkpoints)
        set_reentrant_ckpt(reentrant)
        ltd = attach(model)
        results.append([outputs_and_gradients(model, x, run=part) for _ in range(3)])
        states.append(ltd.state_dict())
    set_reentrant_ckpt(before)
    assert_same(results[1], results[0])
    assert states[1] == states[0]


@PARTS
def test_calls_and_methods_may_take_turns(part: Callable[..., Tensor]) -> None:
    model, x = tiny_model("timm_vit"), leaf_for("timm_vit")
    ltd, seen = attach(model), set()
    for run in (part, predict, part, part, predict):
        run(model, x)
        assert ltd.kept_LBK is not None
        seen.add(tuple(ltd.kept_LBK.flatten().tolist()))
    assert (len(seen), ltd.forwards, ltd.pending_tokens) == (5, 5, 5 * BATCH * LENGTH)


@PARTS
def test_in_evaluation_a_method_of_timm_is_the_plain_one(part: Callable[..., Tensor]) -> None:
    model, x = tiny_model("timm_vit").eval(), leaf_for("timm_vit")
    plain = outputs_and_gradients(model, x, run=part)
    ltd = attach(model)
    assert_same(outputs_and_gradients(model, x, run=part), plain)
    assert (ltd.forwards, ltd.pending_tokens, ltd.kept_LBK) == (0, 0, None)


def encoder_alone(model: Any, x_BSD: Tensor) -> Tensor:
    """Predict from the layers of a text encoder, without its embeddings."""
    head = model.cls if hasattr(model, "cls") else model.lm_head
    return head(model.base_model.encoder(x_BSD, None).last_hidden_state)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_part_of_a_text_encoder_that_runs_the_layers_is_a_forward_too(family: str) -> None:
    model, x_BSD = tiny_model(family), leaf_for(family)
    assert_equivalent(model, x_BSD, run=encoder_alone)
    ltd = attach(model)
    for forward in (1, 2):
        encoder_alone(model, x_BSD)
        assert ltd.forwards == forward
        assert ltd.pending_layer_tokens == forward * BATCH * (2 * LENGTH + 3 * 10)


@pytest.mark.parametrize(("prefix", "options"), [(5, {"reg_tokens": 4}), (0, {})])
def test_all_tokens_before_the_patches_can_be_protected(
    prefix: int, options: dict[str, int]
) -> None:
    model = timm_model(class_token=prefix > 0, **options).double().train()
    assert model.num_prefix_tokens == prefix
    kept_LBK = assert_equivalent(
        model,
        leaf_for("timm_vit"),
        ltd_options={"protected": prefix},
        reference_options={"length": LENGTH - 1 + prefix},
    )
    assert (kept_LBK[..., :prefix] == torch.arange(prefix)).all()


def test_a_full_length_below_the_only_one_of_an_image_model_is_refused() -> None:
    model = tiny_model("timm_vit")
    before = [dict(m._forward_pre_hooks) for m in model.modules()]
    with pytest.raises(ValueError, match=r"full is 23, but this \w+ always has 24 tokens: it .*"):
        RandomLTD(model, KeptLength(start=4, full=LENGTH - 1, ramp_steps=9))
    assert [dict(m._forward_pre_hooks) for m in model.modules()] == before
    ltd = RandomLTD(model, KeptLength(start=4, full=LENGTH, ramp_steps=9))
    predict(model, images())
    assert ltd.pending_tokens == BATCH * LENGTH


def test_a_model_that_stretches_its_positions_takes_smaller_images() -> None:
    config = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model = ViTModel(ViTConfig(**config, num_hidden_layers=4, image_size=8, patch_size=2)).train()
    ltd = RandomLTD(model, KeptLength(start=4, full=10, ramp_steps=9))
    model(torch.zeros(BATCH, 3, 6, 6), interpolate_pos_encoding=True)  # 3 x 3 patches
    assert ltd.pending_tokens == BATCH * 10
    with pytest.raises(ValueError, match="this batch is 17 tokens long"):
        model(torch.zeros(BATCH, 3, 8, 8))


@pytest.mark.parametrize(("reg_tokens", "length"), [(0, 24), (4, 28)])
def test_the_only_length_counts_the_tokens_before_the_patches(reg_tokens: int, length: int) -> None:
    model = timm_model(reg_tokens=reg_tokens)
    with pytest.raises(ValueError, match=f"always has {length} tokens"):
        RandomLTD(model, KeptLength(start=4, full=length - 1, ramp_steps=9))
    RandomLTD(model, KeptLength(start=4, full=length, ramp_steps=9))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_images_of_different_sizes_run_through_one_attached_model(attention: str) -> None:
    model = timm_model(attention=attention, dynamic_img_size=True).double().train()
    schedule = KeptLength(start=6, full=16, ramp_steps=10**9, quantum=1)
    ltd, layer_tokens = RandomLTD(model, schedule), 0
    for patches in (15, 8, 5, 4, 12):
        x = images(size=(PATCH, PATCH * patches))
        assert predict(model, x).shape[:2] == (BATCH, patches + 1)
        assert (ltd.kept_LBK is not None) == (patches > 5)
        layer_tokens += BATCH * (2 * (patches + 1) + 3 * min(6, patches + 1))
        assert ltd.pending_layer_tokens == layer_tokens
    with pytest.raises(ValueError, match="batch is 17 tokens long, but the schedule is full at 16"):
        predict(model, images(size=(PATCH, PATCH * 16)))
    ltd.detach()
    assert_equivalent(model, images(size=IMAGE).requires_grad_())


@pytest.mark.parametrize("block", [ParallelThingsBlock, ParallelScalingBlock])
def test_a_layer_without_the_attention_of_its_family_is_refused(block: type[nn.Module]) -> None:
    model = timm_model(block_fn=block)
    with pytest.raises(ValueError, match=f"{block.__name__} has no attn.proj, where family 'timm_"):
        attach(model)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


POOLING: dict[str, Callable[[], nn.Module]] = {
    "transformers": lambda: ViTForImageClassification(tiny_config("vit")),
    "class-token": lambda: timm_model(global_pool="token"),
    "average": lambda: timm_model(global_pool="avg"),
    "attention": lambda: timm_model(global_pool="map"),
}


@pytest.mark.parametrize("pooling", POOLING)
def test_a_classification_of_whole_images_is_that_of_hiding(pooling: str) -> None:
    def classify(model: Any, x: Tensor) -> Tensor:
        output = model(x)
        logits_BV = output if isinstance(output, Tensor) else output.logits
        assert logits_BV.shape == (BATCH, VOCAB)
        return logits_BV[:, None]

    model, options = POOLING[pooling]().double().train(), {"protected": 1}
    assert_equivalent(model, leaf_for("vit"), run=classify, ltd_options=options)


def test_padding_aware_sampling_is_refused_where_the_model_takes_no_padding() -> None:
    with pytest.raises(ValueError, match=r"VisionTransformer is called with, but it takes none"):
        attach(tiny_model("timm_vit"), padding_aware=True)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_padding_aware_sampling_is_refused_where_a_part_is_run(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model, padding_aware=True)
    with pytest.raises(ValueError, match="itself, not one of its methods"):
        encoder_alone(model, leaf_for(family))
    assert ltd.pending_tokens == 0
    predict(model, batch_for(family))
    assert ltd.pending_tokens == BATCH * LENGTH
