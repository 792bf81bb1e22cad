"""Learning rates: one decay shape on three clocks, which agree while nothing is dropped."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD

from rltd_core import ClockLR, KeptLength, LayerTokenLR, RandomLTD
from rltd_core.lr import SHAPES
from tests.core.reference import simulated_layer_tokens
from tests.core.tiny import attach, tiny_model, token_ids

SHAPE = pytest.mark.parametrize("shape", SHAPES)
DECAYING = pytest.mark.parametrize("shape", ["linear", "cosine"])
RAMP = KeptLength(start=4, full=12, ramp_steps=9, quantum=4)
RAMP_IN_TOKENS = KeptLength(start=4, full=12, ramp_tokens=9 * 24, quantum=4)
DENSE = KeptLength(start=12, full=12, ramp_steps=0)
BATCH, LENGTH = 2, 12


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.reading = 0

    def __call__(self) -> int:
        return self.reading


def optimizer(*peaks: float) -> SGD:
    return SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in peaks])


def rates(clock: Clock, readings: list[int], peak: float = 0.3, **options: Any) -> list[float]:
    """Return the rate at each reading, through the optimizer."""
    clock.reading = readings[0]
    sgd = optimizer(peak)
    scheduler = ClockLR(sgd, clock, **options)
    seen = []
    for reading in [*readings[1:], readings[-1]]:
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        clock.reading = reading
        scheduler.step()
    return seen


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    total = draw(st.integers(1, 200))
    return {
        "total": total,
        "warmup": draw(st.integers(0, total)),
        "shape": draw(st.sampled_from(sorted(SHAPES))),
        "minimum": draw(st.floats(0, 1)),
    }


@given(plans(), st.integers(1, 10**7))
def test_clocks_that_run_in_proportion_give_the_same_rates_to_the_bit(
    plan: dict[str, Any], factor: int
) -> None:
    steps = list(range(plan["total"] + 5))
    scaled = {**plan, "warmup": factor * plan["warmup"], "total": factor * plan["total"]}
    on_steps = rates(Clock(), steps, **plan)
    assert rates(Clock(), [factor * step for step in steps], **scaled) == on_steps


@given(plans())
def test_the_rate_climbs_in_the_warmup_and_never_after_it(plan: dict[str, Any]) -> None:
    seen = rates(Clock(), list(range(plan["total"] + 5)), peak=1.0, **plan)
    climb, decay = seen[: plan["warmup"]], seen[plan["warmup"] :]
    assert climb == [step / plan["warmup"] for step in range(plan["warmup"])]
    assert decay == sorted(decay, reverse=True)
    assert all(plan["minimum"] <= rate <= 1 for rate in decay)


@given(plans())
def test_the_peak_follows_the_warmup_and_the_minimum_the_last_step(plan: dict[str, Any]) -> None:
    seen = rates(Clock(), list(range(plan["total"] + 5)), peak=1.0, **plan)
    if plan["warmup"] < plan["total"]:
        assert seen[plan["warmup"]] == 1.0
    left = {"constant": 1.0, "thirds": 0.01}.get(plan["shape"], 0.0)
    end = plan["minimum"] + (1.0 - plan["minimum"]) * left
    assert set(seen[plan["total"] :]) == {end}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [0, 0.5, 1, 1, 1, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2]),
        ("thirds", [0, 0.5, 1, 1, 0.28, 0.208, 0.208, 0.208]),
        ("cosine", [0, 0.5, 1, 0.6 + 0.2 * math.sqrt(2), 0.6, 0.6 - 0.2 * math.sqrt(2), 0.2, 0.2]),
    ],
)
def test_the_shapes_worked_out_by_hand(shape: str, expected: list[float]) -> None:
    seen = rates(Clock(), list(range(8)), peak=1.0, warmup=2, total=6, shape=shape, minimum=0.2)
    assert seen == pytest.approx(expected, rel=1e-15, abs=1e-15)


def test_every_parameter_group_keeps_its_own_peak() -> None:
    sgd, clock = optimizer(0.1, 0.4), Clock()
    scheduler = ClockLR(sgd, clock, warmup=0, total=4, shape="linear")
    sgd.step()
    clock.reading = 1
    scheduler.step()
    assert [group["lr"] for group in sgd.param_groups] == [0.1 * 0.75, 0.4 * 0.75]


class Training:
    """A tiny run under a learning-rate schedule of each clock."""

    def __init__(self, schedule: KeptLength, **plan: Any) -> None:
        self.model = tiny_model(layers=4, width=8)
        self.ltd = RandomLTD(self.model, schedule)
        warmup, total = plan.pop("warmup"), plan.pop("total")
        self.optimizers = [optimizer(0.3) for _ in range(3)]
        steps, tokens, layer_tokens = self.optimizers
        per_step = BATCH * LENGTH
        self.schedulers = [
            ClockLR(steps, lambda: self.ltd.steps, warmup=warmup, total=total, **plan),
            ClockLR(
                tokens,
                lambda: self.ltd.tokens,
                warmup=per_step * warmup,
                total=per_step * total,
                **plan,
            ),
            LayerTokenLR(
                layer_tokens,
                self.ltd,
                warmup=warmup,
                total=total,
                batch=BATCH,
                length=LENGTH,
                **plan,
            ),
        ]

    def step(self) -> tuple[float, ...]:
        """Take one step in two forwards, and return the rates it was taken with."""
        rates = tuple(o.param_groups[0]["lr"] for o in self.optimizers)
        with torch.no_grad():
            for _ in range(2):
                self.model(token_ids(BATCH // 2, LENGTH))
        for stepper in (*self.optimizers, self.ltd, *self.schedulers):
            stepper.step()
        return rates


@pytest.mark.parametrize("warmup", [0, 1, 5, 14])
@SHAPE
def test_the_three_clocks_agree_to_the_bit_while_nothing_is_dropped(
    shape: str, warmup: int
) -> None:
    run = Training(DENSE, warmup=warmup, total=14, shape=shape, minimum=0.1)
    for _ in range(17):
        steps, tokens, layer_tokens = run.step()
        assert steps == tokens == layer_tokens


@DECAYING
def test_warmup_and_decay_end_at_their_planned_steps_while_tokens_are_dropped(shape: str) -> None:
    run = Training(RAMP, warmup=4, total=14, shape=shape, minimum=0.1)
    seen = [run.step()[2] for _ in range(17)]
    assert seen[3] < seen[4] == 0.3
    assert seen[13] > seen[14] == seen[16] == 0.3 * 0.1
    assert seen[5:15] == sorted(seen[5:15], reverse=True)


def test_the_rate_on_layer_tokens_is_the_closed_form_over_a_simulated_count() -> None:
    run = Training(RAMP, warmup=4, total=14, shape="cosine", minimum=0.1)
    after = simulated_layer_tokens(
        RAMP, num_layers=4, num_dropping=2, shapes=14 * [(BATCH, LENGTH)]
    )
    before = [0, *after]
    for step in range(14):
        if step < 4:
            expected = 0.3 * before[step] / before[4]
        else:
            angle = math.pi * (before[step] - before[4]) / (before[14] - before[4])
            expected = 0.03 + 0.27 * math.cos(angle / 2) ** 2
        assert run.step()[2] == pytest.approx(expected, rel=1e-12)


@SHAPE
def test_a_ramp_in_tokens_gives_the_rates_of_the_same_ramp_in_steps(shape: str) -> None:
    plan: dict[str, Any] = {"warmup": 4, "total": 14, "shape": shape, "minimum": 0.1}
    in_steps, in_tokens = Training(RAMP, **plan), Training(RAMP_IN_TOKENS, **plan)
    for _ in range(17):
        assert in_tokens.step() == in_steps.step()
    assert in_tokens.ltd.layer_tokens == in_steps.ltd.layer_tokens < 17 * 4 * BATCH * LENGTH


def test_a_ramp_in_tokens_and_a_rate_on_them_follow_batches_of_any_size() -> None:
    model, sgd = tiny_model(layers=4, width=8), optimizer(1)
    ltd = RandomLTD(model, replace(RAMP_IN_TOKENS, quantum=1))
    rate = ClockLR(sgd, lambda: ltd.tokens, warmup=0, total=300, shape="linear")
    read = 0
    for batch, length in ((1, 12), (5, 7), (2, 12), (9, 12), (3, 12), (4, 12)):
        assert ltd.kept == min(12, 4 + 8 * read // 216)
        assert rate.get_last_lr() == [max(0.0, 1 - read / 300)]
        with torch.no_grad():
            model(token_ids(batch, length))
        read += batch * length
        for stepper in (sgd, ltd, rate):
            stepper.step()
    assert (ltd.tokens, ltd.kept) == (263, 12)


def test_layer_tokens_can_be_given_outright() -> None:
    ltd = RandomLTD(tiny_model(layers=4, width=8), RAMP)
    scheduler = LayerTokenLR(optimizer(1), ltd, warmup_layer_tokens=7, total_layer_tokens=70)
    assert (scheduler.warmup, scheduler.total) == (7, 70)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": 1, "total": 9, "shape": "square"}, "unknown shape 'square'; known are"),
        ({"warmup": 10, "total": 9}, "need 0 <= warmup <= total and total >= 1, got 10 and 9"),
        ({"warmup": -1, "total": 9}, "got -1 and 9"),
        ({"warmup": 0, "total": 0}, "got 0 and 0"),
        ({"warmup": 1, "total": 9, "minimum": -0.1}, r"in 0\.\.1, got -0.1"),
        ({"warmup": 1, "total": 9, "minimum": 1.1}, r"in 0\.\.1, got 1.1"),
    ],
)
def test_an_impossible_plan_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClockLR(optimizer(1), Clock(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"warmup": 1},
        {"warmup": 1, "total": 9},
        {"warmup": 1, "total": 9, "batch": 2},
        {"warmup": 1, "total": 9, "length": 12},
        {"warmup_layer_tokens": 1},
        {"total_layer_tokens": 9},
        {"warmup": 1, "total_layer_tokens": 9},
        {"warmup": 1, "total": 9, "batch": 2, "length": 12, "total_layer_tokens": 9},
        {"warmup": 1, "total": 9, "batch": 2, "length": 12, "warmup_layer_tokens": 9},
        {"warmup_layer_tokens": 1, "total_layer_tokens": 9, "total": 9},
        {"warmup_layer_tokens": 1, "total_layer_tokens": 9, "batch": 2},
        {"warmup_layer_tokens": 1, "total_layer_tokens": 9, "authors_form": True},
        {"warmup": 1, "total": 9, "batch": 2, "authors_form": True},
    ],
)
def test_half_a_plan_or_two_plans_are_refused(options: dict[str, int]) -> None:
    ltd = RandomLTD(tiny_model(layers=4, width=8), RAMP)
    with pytest.raises(ValueError, match="give either warmup, total, batch and length"):
        LayerTokenLR(optimizer(1), ltd, **options)


def test_a_forgotten_step_of_the_counter_is_an_error() -> None:
    model = tiny_model(layers=4, width=8)
    ltd = RandomLTD(model, RAMP)
    moved = optimizer(1)
    lr = LayerTokenLR(moved, ltd, warmup=1, total=9, batch=1, length=12)
    model(torch.ones(1, 12, dtype=torch.long))
    moved.step()
    with pytest.raises(RuntimeError, match=r"call ltd\.step\(\) before lr\.step\(\)"):
        lr.step()
    ltd.step()
    lr.step()


@pytest.mark.parametrize("change", [{"warmup": 21}, {"length": 65}])
def test_a_plan_beyond_its_own_steps_or_the_schedule_is_refused_in_the_users_words(
    change: dict[str, int],
) -> None:
    ltd = attach(tiny_model(width=8))
    plan = {"warmup": 2, "total": 20, "batch": 2, "length": 64, **change}
    words = ", ".join(f"{name}={plan[name]}" for name in ("warmup", "total", "length"))
    with pytest.raises(ValueError, match=f"need 0 <= warmup <= total steps .* got {words}"):
        LayerTokenLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), ltd, **plan)
