"""Dropping equals hiding: outputs and gradients are those of the same model at full length, with
the dropped tokens masked out of attention and their rows put back after each dropping layer.

Letters: L dropping layers, B batch, S sequence, K kept, D width, V vocabulary or classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertLMHeadModel, GPT2LMHeadModel

from rltd_core import random_shared, replay
from tests.core.equivalence import Result, assert_equivalent, outputs_and_gradients
from tests.core.reference import layer_list, masked_at_full_length
from tests.core.tiny import (
    ATTENTIONS,
    BATCH,
    DECODERS,
    DROPPING,
    FAMILIES,
    HF,
    IMAGES,
    LENGTH,
    PADDINGS,
    TEXT,
    WIDTH,
    assert_same,
    attach,
    batch_for,
    leaf_for,
    padding_mask,
    predict,
    tiny_config,
    tiny_model,
    token_ids,
)


def cases() -> Iterator[tuple[str, str, str]]:
    """Give each family the paddings that it knows, and decoders a cache or none."""
    for family in FAMILIES:
        for padding in PADDINGS if family in HF else PADDINGS[:1]:
            yield family, padding, "cache" if family in DECODERS else "never-a-cache"
            if family in DECODERS:
                yield family, padding, "no-cache"


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("family", "padding", "cache"), cases())
def test_dropping_equals_hiding_the_dropped_tokens(
    family: str, padding: str, cache: str, attention: str
) -> None:
    model = tiny_model(family, attention=attention)
    options = {"use_cache": False} if cache == "no-cache" else {}
    assert_equivalent(model, leaf_for(family), padding_BS=padding_mask(padding), **options)


@pytest.mark.parametrize("layers", [(0,), (4,), (0, 1, 2, 3, 4), (1, 3)])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_for_any_choice_of_layers(family: str, layers: tuple[int, ...]) -> None:
    assert_equivalent(tiny_model(family), leaf_for(family), layers=layers)


@pytest.mark.parametrize("kept", [1, 2, LENGTH - 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_for_the_shortest_and_the_longest_kept_length(family: str, kept: int) -> None:
    assert_equivalent(tiny_model(family), leaf_for(family), kept)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_with_a_draw_shared_by_the_batch(family: str, attention: str) -> None:
    model = tiny_model(family, attention=attention)
    options = {"policy": random_shared, "protected": 1}
    kept_LBK = assert_equivalent(model, leaf_for(family), ltd_options=options)
    assert_same(kept_LBK, kept_LBK[:, :1].expand(-1, BATCH, -1))
    assert not torch.equal(kept_LBK[0], kept_LBK[1])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_with_protected_tokens(family: str, attention: str) -> None:
    protected = 1 if family in IMAGES else 3
    model, options = tiny_model(family, attention=attention), {"protected": protected}
    kept_LBK = assert_equivalent(model, leaf_for(family), ltd_options=options)
    assert (kept_LBK[..., :protected] == torch.arange(protected)).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", TEXT)
def test_it_does_with_positions_that_differ_between_samples(family: str, attention: str) -> None:
    position_ids = torch.arange(LENGTH)[None] + torch.tensor([[1], [7], [19]])
    model = tiny_model(family, attention=attention)
    # A 2-D mask of ones, so that jumps in the positions are not read as packed documents.
    ones_BS = torch.ones(BATCH, LENGTH).long()
    assert_equivalent(model, leaf_for(family), padding_BS=ones_BS, position_ids=position_ids)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_it_does_where_the_layers_read_another_sequence_too(family: str, attention: str) -> None:
    options: dict[str, Any] = {"add_cross_attention": True}
    if family == "bert":
        options["is_decoder"] = True
    model_class = {"gpt2": GPT2LMHeadModel, "bert": BertLMHeadModel}[family]
    model = model_class(tiny_config(family, attention, **options)).double().train()
    other_BTD = torch.randn(BATCH, 7, WIDTH, generator=torch.Generator().manual_seed(3))
    other_BT = torch.ones(BATCH, 7).long()
    other_BT[1, 4:] = 0
    assert_equivalent(
        model,
        leaf_for(family),
        reference_options={"causal": True},
        encoder_hidden_states=other_BTD.double(),
        encoder_attention_mask=other_BT,
    )


def relative_error(result: Result, exact: Result) -> float:
    """Return the largest error of any tensor, relative to its largest entry.

    Softmax ignores what is added to all scores of a query, so a key's bias has gradient zero.
    """
    names = [name for name in exact[1] if not name.endswith(("key.bias", "k_proj.bias"))]
    pairs = [(result[0], exact[0]), *((result[1][name], exact[1][name]) for name in names)]
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_single_precision_it_errs_no_more_than_twice_as_much_as_hiding(family: str) -> None:
    single = tiny_model(family, dtype=torch.float32)
    double = copy.deepcopy(single).double()
    x = leaf_for(family, dtype=torch.float32)
    with attach(single) as ltd:
        actual = outputs_and_gradients(single, x)
        kept_LBK = ltd.kept_LBK
    assert kept_LBK is not None
    with masked_at_full_length(single, DROPPING, kept_LBK, length=LENGTH):
        hidden = outputs_and_gradients(single, x)
    with masked_at_full_length(double, DROPPING, kept_LBK, length=LENGTH):
        exact = outputs_and_gradients(double, x.detach().double().requires_grad_())
    assert relative_error(actual, exact) <= 2 * relative_error(hidden, exact) < 1e-4


def add_long_skip(model: nn.Module) -> None:
    """Add the output of layer 1 to the input of the last layer, as U-shaped models do."""
    kept: dict[str, Tensor] = {}

    def store(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        kept["skip"] = output

    def add(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] + kept.pop("skip"), *args[1:])

    layer_list(model)[1].register_forward_hook(store)
    layer_list(model)[-1].register_forward_pre_hook(add)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_where_the_output_of_a_layer_feeds_a_long_skip_too(
    family: str, attention: str
) -> None:
    model = tiny_model(family, attention=attention)
    add_long_skip(model)
    assert_equivalent(model, leaf_for(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_not_where_the_reference_hides_other_tokens(family: str) -> None:
    model, x = tiny_model(family), leaf_for(family)
    with attach(model) as ltd:
        actual, _ = outputs_and_gradients(model, x)
        assert ltd.kept_LBK is not None
        other_LBK = ltd.kept_LBK.roll(1, dims=0)
    with masked_at_full_length(model, DROPPING, other_LBK, length=LENGTH):
        expected, _ = outputs_and_gradients(model, x)
    assert (actual - expected).abs().max() > 0.01


def layer_outputs(model: Any, x: Tensor) -> list[Tensor]:
    """Return what each layer gives, by the model's own means."""
    if not hasattr(model, "base_model"):
        parts = model.forward_intermediates(x, output_fmt="NLC", return_prefix_tokens=True)[1]
        return [torch.cat([prefix, patches], dim=1) for patches, prefix in parts]
    return model.base_model(x, output_hidden_states=True).hidden_states[1:]


@pytest.mark.parametrize("family", FAMILIES)
def test_dropped_rows_pass_a_dropping_layer_unchanged(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    states = layer_outputs(model, batch_for(family))
    assert [state.shape for state in states] == 5 * [(BATCH, LENGTH, WIDTH)]
    assert ltd.kept_LBK is not None
    for layer, kept_BK in zip(DROPPING, ltd.kept_LBK, strict=True):
        kept_BS = torch.zeros(BATCH, LENGTH, dtype=torch.bool).scatter_(1, kept_BK, True)
        assert_same(states[layer][~kept_BS], states[layer - 1][~kept_BS])
        assert (states[layer] != states[layer - 1])[kept_BS].any(dim=-1).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", DECODERS)
def test_a_token_never_changes_what_comes_before_it(family: str, attention: str) -> None:
    model = tiny_model(family, attention=attention)
    ids_BS = token_ids()
    with attach(model) as ltd:
        model(ids_BS)
        assert ltd.kept_LBK is not None
    attach(model, policy=replay(ltd.kept_LBK))
    logits_BSV = predict(model, ids_BS)
    for position in range(LENGTH):
        changed_BS = ids_BS.clone()
        changed_BS[:, position] = changed_BS[:, position] % 60 + 1
        other_BSV = predict(model, changed_BS)
        assert_same(other_BSV[:, :position], logits_BSV[:, :position])
        assert (other_BSV[:, position] != logits_BSV[:, position]).any(dim=-1).all()
