"""The four roundings, in steps and in tokens: each is its source's formula at every position."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltd_core import KeptLength
from rltd_core.schedule import Rounding

ROUNDINGS: tuple[Rounding, ...] = ("exact", "interval", "deepspeed", "deepspeed-clamped")
ROUNDING = pytest.mark.parametrize("rounding", ROUNDINGS)


def kept_lengths(schedule: KeptLength, num_positions: int) -> list[int]:
    return [schedule(position) for position in range(num_positions)]


def ramps(rounding: Rounding) -> st.SearchStrategy[KeptLength]:
    """Draw schedules of one rounding, with a ramp in steps or in tokens."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> KeptLength:
        quantum = draw(st.integers(1, 20))
        # DeepSpeed would keep nothing at first from a start below the quantum.
        start = draw(st.integers(quantum if rounding == "deepspeed" else 1, 90))
        unit = draw(st.sampled_from(["ramp_steps", "ramp_tokens"]))
        ramp: dict[str, Any] = {unit: draw(st.one_of(st.integers(0, 3), st.integers(0, 70)))}
        full = start + draw(st.one_of(st.just(0), st.integers(0, 60)))
        return KeptLength(start=start, full=full, quantum=quantum, rounding=rounding, **ramp)

    return draw_one()


def slow_exact(schedule: KeptLength, position: int) -> int:
    """The largest multiple of the quantum, or the start, that is not above the straight line."""
    if position >= schedule.ramp:
        return schedule.full
    line = schedule.start + Fraction((schedule.full - schedule.start) * position, schedule.ramp)
    steps = [k for k in range(1, schedule.full + 1) if k % schedule.quantum == 0 and k <= line]
    return max([schedule.start, *steps])


def slow_interval(schedule: KeptLength, position: int) -> int:
    """One quantum more for every interval that has passed. Source: paper.md 2.1, token-indexed."""
    if schedule.start == schedule.full or schedule.ramp == 0:
        return schedule.full
    interval = Fraction(schedule.ramp * schedule.quantum, schedule.full - schedule.start)
    kept, passed = schedule.start, interval
    while passed <= position:
        kept, passed = kept + schedule.quantum, passed + interval
    return min(kept, schedule.full)


def slow_deepspeed(schedule: KeptLength, positions: int) -> Iterator[int]:
    """DeepSpeed's scheduler with its state. Source: peers.md (a), Schedule, and PR 8529."""
    current, at_least = schedule.start, 0  # its `current_value` begins at min_value
    if schedule.rounding == "deepspeed-clamped":
        at_least = -(-schedule.start // schedule.quantum) * schedule.quantum
    for step in range(positions):
        if current < schedule.full:
            grown = float(step) / schedule.ramp * (schedule.full - schedule.start)
            current = math.floor(grown + schedule.start)
            current -= current % schedule.quantum
            current = min(max(current, at_least), schedule.full)
        yield current


def slow_lengths(schedule: KeptLength, positions: int) -> list[int]:
    if schedule.ramp == 0:
        return positions * [schedule.full]
    if schedule.rounding == "exact":
        return [slow_exact(schedule, position) for position in range(positions)]
    if schedule.rounding == "interval":
        return [slow_interval(schedule, position) for position in range(positions)]
    return list(slow_deepspeed(schedule, positions))


@ROUNDING
@given(st.data())
def test_every_rounding_is_its_formula_at_every_position(
    rounding: Rounding, data: st.DataObject
) -> None:
    schedule = data.draw(ramps(rounding))
    assert kept_lengths(schedule, 150) == slow_lengths(schedule, 150)


@ROUNDING
@given(st.data())
def test_every_rounding_starts_at_its_own_start_and_never_falls(
    rounding: Rounding, data: st.DataObject
) -> None:
    schedule = data.draw(ramps(rounding).filter(lambda s: s.ramp > 0 and s.start < s.full))
    below = schedule.start % schedule.quantum
    starts = dict.fromkeys(ROUNDINGS, schedule.start)
    starts["deepspeed"] = schedule.start - below
    starts["deepspeed-clamped"] += -schedule.start % schedule.quantum
    lengths = kept_lengths(schedule, 300)
    assert lengths[0] == min(starts[rounding], schedule.full)
    assert lengths == sorted(lengths)
    assert lengths[-1] <= schedule.full


@ROUNDING
@given(st.data())
def test_every_rounding_is_full_once_the_line_has_passed_its_last_increment(
    rounding: Rounding, data: st.DataObject
) -> None:
    schedule = data.draw(ramps(rounding))
    way = schedule.full - schedule.start
    from_start = -(-way // schedule.quantum) * schedule.quantum
    to_multiple = way + -schedule.full % schedule.quantum
    last = {"exact": way, "interval": from_start}.get(rounding, to_multiple)
    reached = -(-last * schedule.ramp // way) if way else 0
    # Floating point may put DeepSpeed's line one position off.
    late = reached + int(rounding.startswith("deepspeed"))
    assert {schedule(late + more) for more in (0, 1, 9, 10**6)} == {schedule.full}


@ROUNDING
@given(st.data(), st.integers(0, 120), st.integers(1, 9))
def test_segments_of_every_rounding_and_unit_are_those_of_a_simulation(
    rounding: Rounding, data: st.DataObject, num_steps: int, tokens_per_step: int
) -> None:
    schedule = data.draw(ramps(rounding))
    size = tokens_per_step if schedule.unit == "tokens" else 1
    lengths = [schedule(step * size) for step in range(num_steps)]
    simulated = [(kept, len(list(steps))) for kept, steps in groupby(lengths)]
    assert list(schedule.segments(num_steps, tokens_per_step)) == simulated
    assert [schedule.at_step(s, tokens_per_step) for s in range(num_steps)] == lengths


@ROUNDING
@given(st.data(), st.integers(1, 10**6))
def test_a_ramp_in_tokens_is_the_ramp_in_steps_of_that_many_tokens(
    rounding: Rounding, data: st.DataObject, tokens_per_step: int
) -> None:
    drawn = data.draw(ramps(rounding))
    shared: dict[str, Any] = {"start": drawn.start, "full": drawn.full, "quantum": drawn.quantum}
    shared["rounding"] = rounding
    steps = KeptLength(ramp_steps=drawn.ramp, **shared)
    tokens = KeptLength(ramp_tokens=drawn.ramp * tokens_per_step, **shared)
    assert (steps.unit, tokens.unit) == ("steps", "tokens")
    for step in range(150):
        assert tokens.at_step(step, tokens_per_step) == steps.at_step(step) == steps(step)


@ROUNDING
def test_segments_of_a_huge_run_in_tokens_take_no_time(rounding: Rounding) -> None:
    schedule = KeptLength(start=128, full=2048, ramp_tokens=10**14, quantum=16, rounding=rounding)
    segments = list(schedule.segments(10**12, 1024))
    assert sum(steps for _, steps in segments) == 10**12
    assert [kept for kept, _ in segments] == list(range(128, 2049, 16))


@given(st.integers(1, 90), st.integers(1, 60), st.integers(1, 20), st.integers(1, 50))
def test_an_interval_ramp_adds_a_quantum_every_so_many_tokens(
    start: int, way: int, quantum: int, interval: int
) -> None:
    options = {"start": start, "full": start + way, "quantum": quantum}
    if way * interval % quantum:
        with pytest.raises(ValueError, match=f"must be a multiple of the quantum {quantum}"):
            KeptLength.from_interval(interval_tokens=interval, **options)
        return
    schedule = KeptLength.from_interval(interval_tokens=interval, **options)
    assert schedule.ramp_tokens == way / quantum * interval
    for tokens in range(0, 300, 7):
        kept = min(tokens // interval * quantum + start, start + way)
        assert schedule(tokens) == kept


def test_197_tokens_are_reached_late_in_deepspeeds_arithmetic() -> None:
    # paper.md 2.1: 192 at step T = 3910, and 197 only when the line passes 200.
    for rounding in ("deepspeed", "deepspeed-clamped"):
        schedule = KeptLength(start=32, full=197, ramp_steps=3910, quantum=8, rounding=rounding)
        assert [schedule(s) for s in (0, 3909, 3910, 3981, 3982)] == [32, 192, 192, 192, 197]


def test_deepspeeds_line_is_in_floating_point() -> None:
    # 29/100 * 100 is 28.999999999999996: its floor is a token below that of whole numbers.
    ramp: dict[str, Any] = {"start": 1, "full": 101, "ramp_steps": 100, "quantum": 1}
    theirs = KeptLength(rounding="deepspeed", **ramp)
    late = [s for s in range(120) if theirs(s) != KeptLength(**ramp)(s)]
    assert late == [29, 57, 58]
    assert [theirs(s) for s in late] == [29, 57, 58]


def test_the_clamp_lifts_the_start_to_the_first_multiple() -> None:
    # peers.md (a): min 8 with 16 per step keeps nothing (PR 8529); min 10 with 8 keeps 8.
    ramp: dict[str, Any] = {"full": 64, "ramp_steps": 100}
    clamped = KeptLength(start=8, quantum=16, rounding="deepspeed-clamped", **ramp)
    assert [clamped(step) for step in (0, 42, 43, 72, 100)] == [16, 16, 32, 48, 64]
    undershot = KeptLength(start=10, quantum=8, rounding="deepspeed", **ramp)
    clamped = KeptLength(start=10, quantum=8, rounding="deepspeed-clamped", **ramp)
    assert (undershot(0), clamped(0)) == (8, 16)
    assert [s for s in range(120) if undershot(s) != clamped(s)] == list(range(12))
