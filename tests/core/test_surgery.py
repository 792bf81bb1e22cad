"""Dropping equals hiding: outputs and gradients are those of the same model at full length, with
the dropped tokens masked out of attention and their rows put back after each dropping layer.

Letters: L dropping layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rltd_core import replay
from tests.core.reference import layer_list, masked_at_full_length
from tests.core.tiny import (
    ATTENTIONS,
    BATCH,
    DROPPING,
    FAMILIES,
    LENGTH,
    PADDINGS,
    assert_same,
    attach,
    embeddings,
    padding_mask,
    parameter_gradients,
    tiny_model,
    token_ids,
)

Result = tuple[Tensor, dict[str, Tensor]]


def outputs_and_gradients(
    model: nn.Module, x_BSD: Tensor, padding_BS: Tensor | None = None, **options: Any
) -> Result:
    """Return the logits of the real tokens, and all gradients of a loss over them."""
    labels_BS = token_ids(*x_BSD.shape[:2], seed=2)
    if padding_BS is not None:
        labels_BS = labels_BS.masked_fill(padding_BS == 0, -100)
        # The first real token behind left padding would be predicted from padding.
        labels_BS[:, 1:].masked_fill_(padding_BS[:, :-1] == 0, -100)
        options["attention_mask"] = padding_BS
    x_BSD.grad = None
    output = model(inputs_embeds=x_BSD, labels=labels_BS, **options)
    output.loss.backward()
    gradients = parameter_gradients(model)
    assert x_BSD.grad is not None
    gradients["inputs_embeds"] = x_BSD.grad.clone()
    logits = output.logits.detach()
    return (logits if padding_BS is None else logits[padding_BS.bool()]), gradients


def assert_equivalent(
    model: nn.Module,
    kept: int = 10,
    padding_BS: Tensor | None = None,
    *,
    layers: Sequence[int] = DROPPING,
    ltd_options: dict[str, Any] | None = None,
    **options: Any,
) -> Tensor:
    """Compare with the reference, and return the draw that both used."""
    x_BSD = embeddings()
    with attach(model, kept, layers=layers, **(ltd_options or {})) as ltd:
        actual = outputs_and_gradients(model, x_BSD, padding_BS, **options)
        kept_LBK = ltd.kept_LBK
    assert kept_LBK is not None
    assert kept_LBK.shape == (len(layers), BATCH, kept)
    reference = masked_at_full_length(model, layers, kept_LBK, length=LENGTH, padding_BS=padding_BS)
    with reference:
        expected = outputs_and_gradients(model, x_BSD, padding_BS, **options)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    return kept_LBK


@pytest.mark.parametrize("cache", [{}, {"use_cache": False}], ids=["cache", "no-cache"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_equals_hiding_the_dropped_tokens(
    family: str, attention: str, padding: str, cache: dict[str, bool]
) -> None:
    model = tiny_model(family, attention=attention)
    assert_equivalent(model, padding_BS=padding_mask(padding), **cache)


@pytest.mark.parametrize("layers", [(0,), (4,), (0, 1, 2, 3, 4), (1, 3)])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_for_any_choice_of_layers(family: str, layers: tuple[int, ...]) -> None:
    assert_equivalent(tiny_model(family), layers=layers)


@pytest.mark.parametrize("kept", [1, 2, LENGTH - 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_for_the_shortest_and_the_longest_kept_length(family: str, kept: int) -> None:
    assert_equivalent(tiny_model(family), kept)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_with_padding_aware_sampling(family: str, padding: str) -> None:
    padding_BS = padding_mask(padding)
    assert padding_BS is not None
    options = {"padding_aware": True}
    kept_LBK = assert_equivalent(tiny_model(family), 12, padding_BS, ltd_options=options)
    real_LBK = padding_BS.expand(len(DROPPING), -1, -1).gather(-1, kept_LBK)
    assert real_LBK.all()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_with_protected_tokens(family: str) -> None:
    kept_LBK = assert_equivalent(tiny_model(family), ltd_options={"protected": 3})
    assert (kept_LBK[..., :3] == torch.arange(3)).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_with_positions_that_differ_between_samples(family: str, attention: str) -> None:
    position_ids = torch.arange(LENGTH)[None] + torch.tensor([[0], [7], [19]])
    model = tiny_model(family, attention=attention)
    # A 2-D mask of ones, so that jumps in the positions are not read as packed documents.
    assert_equivalent(model, padding_BS=torch.ones(BATCH, LENGTH).long(), position_ids=position_ids)


def relative_error(result: Result, exact: Result) -> float:
    """Return the largest error of any tensor, relative to its largest entry."""
    pairs = [(result[0], exact[0]), *((result[1][name], exact[1][name]) for name in exact[1])]
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_single_precision_it_errs_no_more_than_twice_as_much_as_hiding(family: str) -> None:
    single = tiny_model(family, dtype=torch.float32)
    double = copy.deepcopy(single).double()
    x_BSD = embeddings(dtype=torch.float32)
    with attach(single) as ltd:
        actual = outputs_and_gradients(single, x_BSD)
        kept_LBK = ltd.kept_LBK
    assert kept_LBK is not None
    with masked_at_full_length(single, DROPPING, kept_LBK, length=LENGTH):
        hidden = outputs_and_gradients(single, x_BSD)
    with masked_at_full_length(double, DROPPING, kept_LBK, length=LENGTH):
        exact = outputs_and_gradients(double, x_BSD.detach().double().requires_grad_())
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


@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_where_the_output_of_a_layer_feeds_a_long_skip_too(family: str) -> None:
    model = tiny_model(family)
    add_long_skip(model)
    assert_equivalent(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_not_where_the_reference_hides_other_tokens(family: str) -> None:
    model, x_BSD = tiny_model(family), embeddings()
    with attach(model) as ltd:
        actual, _ = outputs_and_gradients(model, x_BSD)
        assert ltd.kept_LBK is not None
        other_LBK = ltd.kept_LBK.roll(1, dims=0)
    with masked_at_full_length(model, DROPPING, other_LBK, length=LENGTH):
        expected, _ = outputs_and_gradients(model, x_BSD)
    assert (actual - expected).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_dropped_rows_pass_a_dropping_layer_unchanged(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    # Entry i is the input of layer i.
    states = model(token_ids(), output_hidden_states=True).hidden_states
    assert ltd.kept_LBK is not None
    for layer, kept_BK in zip(DROPPING, ltd.kept_LBK, strict=True):
        kept_BS = torch.zeros(BATCH, LENGTH, dtype=torch.bool).scatter_(1, kept_BK, True)
        assert_same(states[layer + 1][~kept_BS], states[layer][~kept_BS])
        assert (states[layer + 1] != states[layer])[kept_BS].any(dim=-1).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_never_changes_what_comes_before_it(family: str, attention: str) -> None:
    model = tiny_model(family, attention=attention)
    ids_BS = token_ids()
    with attach(model) as ltd:
        model(ids_BS)
        assert ltd.kept_LBK is not None
    attach(model, policy=replay(ltd.kept_LBK))
    logits_BSV = model(ids_BS).logits
    for position in range(LENGTH):
        changed_BS = ids_BS.clone()
        changed_BS[:, position] = changed_BS[:, position] % 60 + 1
        other_BSV = model(changed_BS).logits
        assert_same(other_BSV[:, :position], logits_BSV[:, :position])
        assert (other_BSV[:, position] != logits_BSV[:, position]).any(dim=-1).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_of_different_lengths_run_through_one_attached_model(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    for length, drops in ((12, True), (10, False), (7, False), (24, True), (11, True)):
        logits = model(token_ids(2, length), labels=token_ids(2, length)).logits
        assert logits.shape[:2] == (2, length)
        assert (ltd.kept_LBK is not None) == drops
    assert ltd.pending_layer_tokens == 2 * (2 * 64 + 3 * (10 + 10 + 7 + 10 + 10))
