"""Costs of a run: they equal a counter run step by step; see test_flops for those of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltd_core import KeptLength, RandomLTD, TransformerCost
from tests.core.reference import simulated_layer_tokens
from tests.core.test_schedule import schedules
from tests.core.tiny import FAMILIES, LENGTH, batch_for, predict, tiny_model


def cost(num_layers: int, num_dropping: int) -> TransformerCost:
    return TransformerCost(
        num_layers=num_layers,
        num_dropping=num_dropping,
        block_weights=7,
        attention_width=3,
        head_weights=5,
    )


@st.composite
def costs(draw: st.DrawFn) -> TransformerCost:
    num_layers = draw(st.integers(1, 12))
    return cost(num_layers, draw(st.integers(0, num_layers)))


@given(costs(), schedules(), st.integers(0, 60), st.integers(1, 9), st.integers(1, 400))
def test_the_layer_tokens_of_a_run_equal_a_counter(
    cost: TransformerCost, schedule: KeptLength, num_steps: int, batch: int, length: int
) -> None:
    counted = simulated_layer_tokens(
        schedule,
        num_layers=cost.num_layers,
        num_dropping=cost.num_dropping,
        shapes=num_steps * [(batch, length)],
    )
    total = cost.run_layer_tokens(schedule, num_steps=num_steps, batch=batch, length=length)
    assert total == (counted[-1] if counted else 0)


@given(costs(), schedules(), st.integers(0, 60), st.integers(1, 9), st.integers(1, 400))
def test_the_flops_of_a_run_are_the_sum_over_its_steps(
    cost: TransformerCost, schedule: KeptLength, num_steps: int, batch: int, length: int
) -> None:
    total = cost.run_flops(schedule, num_steps=num_steps, batch=batch, length=length)
    assert total == sum(batch * cost.flops(schedule(s), length) for s in range(num_steps))


@given(costs(), st.integers(1, 10**6), st.integers(1, 4096))
def test_a_run_that_drops_nothing_saves_exactly_nothing(
    cost: TransformerCost, num_steps: int, length: int
) -> None:
    schedule = KeptLength(start=length, full=length, ramp_steps=0)
    assert cost.layer_token_saving(schedule, num_steps=num_steps, length=length) == 0
    assert replace(cost, num_dropping=0).flops(1, length) == cost.flops(length, length)


@given(costs(), schedules(), st.integers(1, 60), st.integers(1, 9), st.integers(1, 400))
def test_the_flop_saving_is_that_against_full_steps(
    cost: TransformerCost, schedule: KeptLength, num_steps: int, batch: int, length: int
) -> None:
    used = sum(cost.flops(schedule(step), length) for step in range(num_steps))
    saving = cost.flop_saving(schedule, num_steps=num_steps, batch=batch, length=length)
    assert saving == pytest.approx(1 - used / (num_steps * cost.flops(length, length)), abs=1e-12)


def test_the_saving_of_a_run_worked_out_by_hand() -> None:
    # 4 layers, 2 of them dropping; 8 tokens for 2 steps, then 12, then 16 of 16.
    schedule = KeptLength(start=8, full=16, ramp_steps=4, quantum=4)
    saved = 2 * (8 + 8 + 4 + 4)
    saving = cost(4, 2).layer_token_saving(schedule, num_steps=5, length=16)
    assert saving == pytest.approx(saved / (5 * 4 * 16), rel=1e-15)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layer_tokens_of_a_run_equal_those_that_random_ltd_counts(family: str) -> None:
    model = tiny_model(family, width=8)
    schedule = KeptLength(start=4, full=LENGTH, ramp_steps=6, quantum=4)
    ltd = RandomLTD(model, schedule)
    for step in range(9):
        planned = ltd.cost.run_layer_tokens(schedule, num_steps=step, batch=2, length=LENGTH)
        assert ltd.layer_tokens == planned
        predict(model, batch_for(family, 2))
        ltd.step()
