"""Padding never reaches a real token, whichever tokens are drawn.

Letters: L dropping layers, B batch, S sequence, K kept, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rltd_core import random_shared
from tests.core.equivalence import assert_equivalent
from tests.core.tiny import (
    ATTENTIONS,
    BATCH,
    DROPPING,
    HF,
    LENGTH,
    TEXT,
    VOCAB,
    assert_same,
    attach,
    leaf_for,
    padding_mask,
    parameter_gradients,
    predict,
    tiny_model,
    token_ids,
)

SIDES = ("right", "left")
AWARE = pytest.mark.parametrize("aware", [False, True], ids=["blind", "aware"])


def mask_of(side: str) -> Tensor:
    mask_BS = padding_mask(side)
    assert mask_BS is not None
    return mask_BS


def trained_on(
    family: str, attention: str, ids_BS: Tensor, mask_BS: Tensor, *, kept: int, aware: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return all logits, and the parameters' gradients of a loss over the real tokens."""
    model = tiny_model(family, attention=attention)
    ltd = attach(model, kept, padding_aware=aware)
    position_ids = (mask_BS.cumsum(1) - 1).clamp(min=0) + (family == "roberta")
    logits_BSV = predict(model, ids_BS, attention_mask=mask_BS, position_ids=position_ids)
    assert ltd.kept_LBK is not None
    real_BS = mask_BS.bool()
    cross_entropy(logits_BSV[real_BS], token_ids(seed=2)[real_BS]).backward()
    return logits_BSV.detach(), parameter_gradients(model)


@AWARE
@pytest.mark.parametrize("kept", [1, 4, 16])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", TEXT)
def test_what_stands_in_the_padding_changes_no_bit_of_what_is_real(
    family: str, attention: str, side: str, kept: int, aware: bool
) -> None:
    mask_BS, ids_BS = mask_of(side), token_ids()
    other_BS = torch.where(mask_BS.bool(), ids_BS, ids_BS % (VOCAB - 1) + 1)
    options: dict[str, Any] = {"kept": kept, "aware": aware}
    logits_BSV, gradients = trained_on(family, attention, ids_BS, mask_BS, **options)
    changed_BSV, same_gradients = trained_on(family, attention, other_BS, mask_BS, **options)
    real_BS = mask_BS.bool()
    assert_same(changed_BSV[real_BS], logits_BSV[real_BS])
    assert (changed_BSV[~real_BS] != logits_BSV[~real_BS]).any(dim=-1).all()
    assert_same(same_gradients, gradients)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", HF)
def test_dropping_equals_hiding_where_a_layer_may_keep_padding_alone(
    family: str, attention: str, side: str
) -> None:
    mask_BS = mask_of(side)
    model = tiny_model(family, attention=attention)
    kept_LBK = assert_equivalent(model, leaf_for(family), 1, mask_BS, ltd_options={"seed": 9})
    real_LBK = mask_BS.expand(len(DROPPING), -1, -1).gather(-1, kept_LBK)
    assert 0 < real_LBK.sum() < real_LBK.numel()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", HF)
def test_dropping_equals_hiding_with_padding_aware_sampling(
    family: str, attention: str, side: str
) -> None:
    mask_BS, options = mask_of(side), {"padding_aware": True}
    model = tiny_model(family, attention=attention)
    kept_LBK = assert_equivalent(model, leaf_for(family), 12, mask_BS, ltd_options=options)
    assert mask_BS.expand(len(DROPPING), -1, -1).gather(-1, kept_LBK).all()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("family", HF)
def test_padding_aware_sampling_keeps_padding_only_where_real_tokens_run_out(
    family: str, side: str
) -> None:
    mask_BS, options = mask_of(side), {"padding_aware": True}
    kept_LBK = assert_equivalent(
        tiny_model(family), leaf_for(family), 17, mask_BS, ltd_options=options
    )
    real_LB = mask_BS.expand(len(DROPPING), -1, -1).gather(-1, kept_LBK).sum(-1)
    assert_same(real_LB, mask_BS.sum(-1).clamp(max=17).expand(len(DROPPING), -1))


@pytest.mark.parametrize("family", TEXT)
def test_padding_aware_sampling_without_a_mask_is_the_plain_draw(family: str) -> None:
    draws = []
    for aware in (False, True):
        model = tiny_model(family)
        ltd = attach(model, padding_aware=aware)
        predict(model, token_ids())
        draws.append(ltd.kept_LBK)
    assert_same(draws[0], draws[1])


@pytest.mark.parametrize("family", HF)
def test_a_shared_draw_that_should_mind_padding_is_refused(family: str) -> None:
    model, x = tiny_model(family), leaf_for(family)
    ltd = attach(model, policy=random_shared, padding_aware=True)
    with pytest.raises(ValueError, match="shared by the batch cannot be padding-aware"):
        predict(model, x, attention_mask=mask_of("right"))
    assert ltd.pending_tokens == 0
    predict(model, x)
    assert ltd.kept_LBK is not None


@pytest.mark.parametrize("family", HF)
def test_a_mask_of_more_axes_cannot_say_what_is_padding(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model, padding_aware=True)
    mask = torch.ones(BATCH, 1, LENGTH, LENGTH).bool()
    with pytest.raises(ValueError, match="reads the model's 2-D attention_mask, got one of 4 axes"):
        predict(model, leaf_for(family), attention_mask=mask)
    assert ltd.pending_tokens == 0


def losses_of_batches(model: nn.Module, mask: bool) -> list[float]:
    """Train on batches padded to different lengths, and return their losses."""
    losses = []
    for length in (12, 10, 7, 24, 11):
        mask_BS = torch.ones(2, length).long()
        mask_BS[1, 5:] = 0
        ids_BS = token_ids(2, length)
        logits_BSV = predict(model, ids_BS, attention_mask=mask_BS if mask else None)
        assert logits_BSV.shape[:2] == (2, length)
        loss = cross_entropy(logits_BSV[0], ids_BS[0])
        loss.backward()
        losses.append(loss.item())
    return losses


@AWARE
@pytest.mark.parametrize("mask", [False, True], ids=["no-mask", "mask"])
@pytest.mark.parametrize("family", TEXT)
def test_batches_of_different_lengths_run_through_one_attached_model(
    family: str, mask: bool, aware: bool
) -> None:
    plain = losses_of_batches(tiny_model(family), mask)
    model = tiny_model(family)
    ltd = attach(model, 10, padding_aware=aware)
    losses = losses_of_batches(model, mask)
    drops = [True, False, False, True, True]
    assert [a != b for a, b in zip(losses, plain, strict=True)] == drops
    assert ltd.pending_tokens == 2 * 64
    assert ltd.pending_layer_tokens == 2 * (2 * 64 + 3 * (10 + 10 + 7 + 10 + 10))
    assert ltd.forwards == 5
