"""The kept length grows from `start` to `full` and its segments add up."""

from __future__ import annotations

from itertools import groupby, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltd_core import KeptLength


@st.composite
def schedules(draw: st.DrawFn) -> KeptLength:
    full = draw(st.integers(1, 300))
    return KeptLength(
        start=draw(st.integers(1, full)),
        full=full,
        ramp_steps=draw(st.one_of(st.integers(0, 3), st.integers(0, 400))),
        quantum=draw(st.integers(1, 40)),
    )


def kept_lengths(schedule: KeptLength, num_steps: int) -> list[int]:
    return [schedule(step) for step in range(num_steps)]


@given(schedules())
def test_it_starts_at_start_unless_the_ramp_is_empty(schedule: KeptLength) -> None:
    assert schedule(0) == (schedule.start if schedule.ramp_steps else schedule.full)


@given(schedules())
def test_it_never_falls_and_stays_between_start_and_full(schedule: KeptLength) -> None:
    lengths = kept_lengths(schedule, schedule.ramp_steps + 20)
    assert lengths == sorted(lengths)
    assert set(lengths) <= set(range(schedule.start, schedule.full + 1))


@given(schedules())
def test_it_is_a_multiple_of_quantum_between_start_and_full(schedule: KeptLength) -> None:
    between = set(kept_lengths(schedule, schedule.ramp_steps)) - {schedule.start, schedule.full}
    assert all(kept % schedule.quantum == 0 for kept in between)


@given(schedules())
def test_it_lies_less_than_one_quantum_below_the_straight_line(schedule: KeptLength) -> None:
    for step in range(schedule.ramp_steps):
        line = schedule.start + (schedule.full - schedule.start) * step / schedule.ramp_steps
        assert line - schedule.quantum < schedule(step) <= line


@given(schedules())
def test_it_is_full_from_ramp_steps_on_and_not_before(schedule: KeptLength) -> None:
    assert kept_lengths(schedule, schedule.ramp_steps + 20)[schedule.ramp_steps :] == (
        20 * [schedule.full]
    )
    if schedule.ramp_steps and schedule.start < schedule.full:
        assert schedule(schedule.ramp_steps - 1) < schedule.full


def test_197_tokens_are_reached_on_time_with_a_quantum_of_8() -> None:
    schedule = KeptLength(start=32, full=197, ramp_steps=3910, quantum=8)
    assert [schedule(step) for step in (0, 3909, 3910, 10**6)] == [32, 192, 197, 197]


def test_a_start_below_the_quantum_is_not_rounded_to_zero() -> None:
    schedule = KeptLength(start=8, full=64, ramp_steps=100, quantum=16)
    assert schedule(0) == 8


def test_a_ramp_shorter_than_its_increments_skips_some() -> None:
    schedule = KeptLength(start=8, full=64, ramp_steps=3, quantum=8)
    assert kept_lengths(schedule, 5) == [8, 24, 40, 64, 64]


def test_an_empty_ramp_drops_nothing() -> None:
    assert kept_lengths(KeptLength(start=8, full=64, ramp_steps=0), 3) == [64, 64, 64]


def test_a_ramp_of_one_step_drops_in_that_step_only() -> None:
    assert kept_lengths(KeptLength(start=8, full=64, ramp_steps=1), 3) == [8, 64, 64]


@given(schedules(), st.integers(0, 900))
def test_segments_are_the_run_lengths_of_a_simulation(schedule: KeptLength, num_steps: int) -> None:
    simulated = groupby(kept_lengths(schedule, num_steps))
    segments = list(islice(schedule.segments(num_steps), num_steps + 1))
    assert segments == [(kept, len(list(steps))) for kept, steps in simulated]


def test_segments_of_a_huge_run_take_no_time() -> None:
    schedule = KeptLength(start=128, full=2048, ramp_steps=10**12, quantum=16)
    assert sum(steps for _, steps in schedule.segments(10**15)) == 10**15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 65}, "start must lie in 1..full, got start=65 and full=64"),
        ({"start": 0}, "start must lie in 1..full, got start=0"),
        ({"start": -8}, "start must lie in 1..full, got start=-8"),
        ({"quantum": 0}, "quantum must be at least 1 token, got 0"),
        ({"ramp_steps": -1}, "ramp_steps must not be negative, got -1"),
    ],
)
def test_an_impossible_schedule_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeptLength(**{"start": 8, "full": 64, "ramp_steps": 10, **change})


def test_a_step_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="steps and tokens count from 0, got -1"):
        KeptLength(start=8, full=64, ramp_steps=10)(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ramp_steps": None}, "give either ramp_steps or ramp_tokens"),
        ({"ramp_tokens": 10}, "give either ramp_steps or ramp_tokens"),
        ({"ramp_tokens": 0}, "give either ramp_steps or ramp_tokens"),
        ({"ramp_steps": None, "ramp_tokens": -1}, "ramp_tokens must not be negative, got -1"),
        ({"rounding": "up"}, "unknown rounding 'up'; known are exact, interval, deepspeed, "),
        (
            {"rounding": "deepspeed", "quantum": 9},
            r"keeps 0 tokens at first, as min_value=8 is below seq_per_step=9; raise min_value",
        ),
    ],
)
def test_an_unclear_ramp_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeptLength(**{"start": 8, "full": 64, "ramp_steps": 10, **change})


def test_a_ramp_in_tokens_needs_the_tokens_of_a_step() -> None:
    schedule = KeptLength(start=8, full=64, ramp_tokens=10)
    for ask in (lambda: schedule.at_step(3), lambda: list(schedule.segments(3))):
        with pytest.raises(ValueError, match="this ramp counts tokens: give tokens_per_step"):
            ask()


@pytest.mark.parametrize(("start", "quantum"), [(65, 16), (0, 16), (8, 0)])
def test_an_impossible_interval_ramp_is_refused(start: int, quantum: int) -> None:
    with pytest.raises(ValueError, match=r"start must lie in|quantum must be at least 1"):
        KeptLength.from_interval(start=start, full=64, interval_tokens=16, quantum=quantum)


def test_an_interval_may_be_written_as_a_power_of_ten() -> None:
    whole = {"start": 128, "full": 2048}
    written = KeptLength.from_interval(**whole, interval_tokens=1.75e9)
    assert written == KeptLength.from_interval(**whole, interval_tokens=1_750_000_000)
    assert type(written(0)) is int


@pytest.mark.parametrize("name", ["start", "full", "quantum", "ramp_steps"])
def test_a_length_or_a_ramp_that_is_no_whole_number_is_refused(name: str) -> None:
    sizes: dict[str, Any] = {"start": 8, "full": 64, "quantum": 8, "ramp_steps": 10}
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        KeptLength(**{**sizes, name: float(sizes[name])})
