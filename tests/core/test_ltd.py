"""What RandomLTD counts and draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from rltd_core import KeptLength, RandomLTD
from tests.core.reference import simulated_layer_tokens
from tests.core.tiny import (
    FAMILIES,
    IMAGES,
    attach,
    batch_for,
    images,
    padding_mask,
    predict,
    tiny_model,
    token_ids,
)

SCHEDULE = KeptLength(start=8, full=24, ramp_steps=4, quantum=4)


def small_model(family: str = "gpt2") -> nn.Module:
    return tiny_model(family, width=8)


def draws(ltd: RandomLTD, model: nn.Module, count: int = 4, family: str = "gpt2") -> list[Tensor]:
    """Return the draws of some forwards."""
    seen = []
    for _ in range(count):
        predict(model, batch_for(family))
        assert ltd.kept_LBK is not None
        seen.append(ltd.kept_LBK)
    return seen


def equal(first: list[Tensor], second: list[Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(first, second, strict=True)]


def counters(ltd: RandomLTD) -> tuple[int, ...]:
    return (ltd.tokens, ltd.layer_tokens, ltd.pending_tokens, ltd.pending_layer_tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_tokens_equal_a_simulated_counter_over_batches_of_any_shape(family: str) -> None:
    model = small_model(family)
    ltd = RandomLTD(model, SCHEDULE)
    shapes = [(3, 24), (1, 7), (2, 16), (4, 9), (3, 24), (2, 5)]
    if family in IMAGES:
        shapes = [(batch, 24) for batch, _ in shapes]
    after = simulated_layer_tokens(SCHEDULE, num_layers=5, num_dropping=3, shapes=shapes)
    for step, shape in enumerate(shapes):
        predict(model, images(shape[0]) if family in IMAGES else token_ids(*shape))
        ltd.step()
        assert ltd.layer_tokens == after[step]
        assert ltd.tokens == sum(batch * length for batch, length in shapes[: step + 1])
        assert ltd.steps == ltd.forwards == step + 1


def test_a_forward_is_pending_until_its_step() -> None:
    model = small_model()
    ltd = RandomLTD(model, SCHEDULE)
    model(token_ids(2, 24))
    assert counters(ltd) == (0, 0, 48, 2 * (2 * 24 + 3 * 8))
    ltd.step()
    assert counters(ltd) == (48, 144, 0, 0)


def test_accumulated_forwards_count_in_one_step_at_one_kept_length() -> None:
    model = small_model()
    ltd = RandomLTD(model, SCHEDULE)
    for kept in (8, 12, 16, 20, 24, 24):
        for _ in range(2):
            assert ltd.kept == kept
            model(token_ids(1, 24)).logits.sum().backward()
            assert ltd.kept_LBK is None if kept == 24 else ltd.kept_LBK.shape == (3, 1, kept)
        ltd.step()
    assert ltd.layer_tokens == 2 * sum(2 * 24 + 3 * kept for kept in (8, 12, 16, 20, 24, 24))
    assert (ltd.steps, ltd.forwards) == (6, 12)


def test_padding_counts_as_tokens() -> None:
    model = small_model()
    ltd = RandomLTD(model, SCHEDULE, padding_aware=True)
    mask_BS = torch.ones(3, 24).long()
    mask_BS[1:, 10:] = 0
    model(token_ids(), attention_mask=mask_BS)
    assert ltd.pending_tokens == 72


@pytest.mark.parametrize("family", FAMILIES)
def test_evaluation_counts_nothing(family: str) -> None:
    model = small_model(family).eval()
    ltd = RandomLTD(model, SCHEDULE)
    before = ltd.state_dict()
    predict(model, batch_for(family))
    assert ltd.state_dict() == before
    assert ltd.kept_LBK is None


def test_training_forwards_without_gradient_count() -> None:
    model = small_model()
    ltd = RandomLTD(model, SCHEDULE)
    with torch.no_grad():
        model(token_ids())
    assert ltd.pending_tokens == 72
    assert ltd.kept_LBK is not None


def test_a_step_without_forwards_advances_the_schedule_only() -> None:
    ltd = RandomLTD(small_model(), SCHEDULE)
    ltd.step()
    assert (ltd.steps, ltd.kept, ltd.layer_tokens) == (1, 12, 0)


def test_it_describes_itself() -> None:
    ltd = RandomLTD(small_model("llama"), SCHEDULE)
    ltd.step()
    assert repr(ltd) == "RandomLTD(llama, 3 of 5 layers, step 1: kept 12 of 24)"


def test_all_layers_but_the_first_and_the_last_drop_unless_others_are_named() -> None:
    assert RandomLTD(small_model(), SCHEDULE).layers == (1, 2, 3)
    assert RandomLTD(small_model(), SCHEDULE, layers=[4, 0, 4]).layers == (0, 4)


def test_the_same_seed_draws_the_same_in_every_family() -> None:
    models = {family: small_model(family) for family in FAMILIES}
    first, *others = (draws(attach(m, seed=3), m, family=f) for f, m in models.items())
    assert all(all(equal(first, other)) for other in others)


def test_different_seeds_draw_differently() -> None:
    models = [small_model(), small_model()]
    first, second = (draws(attach(m, seed=seed), m) for seed, m in enumerate(models))
    assert not any(equal(first, second))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_forward_draws_anew_also_between_steps(family: str) -> None:
    model = small_model(family)
    ltd = attach(model)
    first = draws(ltd, model, family=family)
    ltd.step()
    second = draws(ltd, model, family=family)
    seen = {tuple(draw.flatten().tolist()) for draw in first + second}
    assert len(seen) == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_and_samples_of_one_forward_draw_differently(family: str) -> None:
    model = small_model(family)
    kept_LBK = draws(attach(model), model, 1, family)[0]
    rows = {tuple(row) for row in kept_LBK.flatten(0, 1).tolist()}
    assert len(rows) == 9


def test_evaluation_between_training_forwards_does_not_change_later_draws() -> None:
    model, other = small_model(), small_model()
    ltd, other_ltd = attach(model), attach(other)
    draws(ltd, model, 1)
    draws(other_ltd, other, 1)
    with torch.no_grad():
        other.eval()(token_ids(seed=9))
        other.generate(token_ids(1, 4), max_new_tokens=2, do_sample=False, pad_token_id=0)
    assert all(equal(draws(ltd, model), draws(other_ltd, other.train())))


@pytest.mark.parametrize("family", FAMILIES)
def test_attaching_and_dropping_take_nothing_from_the_global_generators(family: str) -> None:
    model = small_model(family)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    draws(attach(model), model, family=family)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]


def test_the_global_seed_does_not_change_the_draw() -> None:
    seen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = small_model()
        seen.append(draws(attach(model), model))
    assert all(equal(*seen))


@pytest.mark.parametrize("family", ["llama", "bert", "roberta"])
def test_a_padding_mask_given_by_place_is_seen(family: str) -> None:
    body = small_model(family).base_model
    ltd = attach(body, padding_aware=True)
    mask_BS = padding_mask("right")
    assert mask_BS is not None
    body(token_ids(), mask_BS)
    assert ltd.kept_LBK is not None
    assert mask_BS.expand(3, -1, -1).gather(-1, ltd.kept_LBK).all()


def test_a_cache_given_by_place_is_seen() -> None:
    model = small_model()
    ltd = attach(model)
    model.base_model(token_ids(), DynamicCache(config=model.config))
    assert ltd.kept_LBK is None
