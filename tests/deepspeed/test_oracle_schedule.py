"""DeepSpeed's scheduler, step by step, and our reading of the same configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from deepspeed.runtime.data_pipeline.config import get_data_efficiency_config
from deepspeed.runtime.data_pipeline.data_routing.scheduler import RandomLTDScheduler

from rltd_core import KeptLength, TransformerCost
from tests.deepspeed.oracle import config

STARTS, WAYS, STEPS, QUANTA = (1, 8, 10, 32, 66), (0, 1, 55, 100, 165), (1, 7, 100, 391), (1, 7, 8)


def scheduler(configuration: dict[str, Any], *, batch: int = 1) -> RandomLTDScheduler:
    """Return DeepSpeed's scheduler of a whole configuration, as its engine makes it."""
    read = get_data_efficiency_config(configuration)["data_routing"]["random_ltd"]
    return RandomLTDScheduler({**read, "global_batch_size": batch})


def their_lengths(configuration: dict[str, Any], steps: int) -> list[int]:
    theirs, kept = scheduler(configuration), []
    for step in range(steps):
        theirs.update_seq(step)
        kept.append(theirs.get_current_seq())
    return kept


def our_lengths(configuration: dict[str, Any], steps: int) -> list[int]:
    schedule = KeptLength.from_deepspeed(configuration)
    return [schedule(step) for step in range(steps)]


def settings() -> Iterator[tuple[int, int, int, int]]:
    """Yield (min, max, steps, quantum), without those where DeepSpeed keeps nothing at first."""
    for start, way, steps, quantum in itertools.product(STARTS, WAYS, STEPS, QUANTA):
        if start >= quantum:
            yield start, start + way, steps, quantum


def in_whole_numbers(setting: tuple[int, int, int, int], step: int) -> int:
    start, full, steps, quantum = setting
    line = start + (full - start) * step // steps
    return min(line - line % quantum, full)


def test_the_kept_length_is_the_same_at_every_step_of_many_ramps() -> None:
    checked = differ = 0
    for setting in settings():
        steps = 2 * setting[2] + 30
        theirs = their_lengths(config(*setting), steps)
        assert our_lengths(config(*setting), steps) == theirs, setting
        checked += 1
        differ += any(in_whole_numbers(setting, s) != theirs[s] for s in range(steps))
    assert checked > 200
    assert differ > 10  # so that floating point matters here


@pytest.mark.parametrize(
    "setting",
    [
        (32, 197, 3910, 8),
        (128, 1024, 400, 8),
        (128, 1024, 393, 8),
        (128, 2048, 133_333, 16),
        (128, 512, 100_000, 16),
        (200, 512, 180_000, 16),
    ],
    ids=str,
)
def test_the_kept_length_is_the_same_over_the_ramps_of_shipped_recipes(
    setting: tuple[int, int, int, int],
) -> None:
    steps = setting[2] + 200
    theirs = their_lengths(config(*setting), steps)
    assert our_lengths(config(*setting), steps) == theirs
    start, full, _, quantum = setting
    assert (theirs[0], theirs[-1]) == (start - start % quantum, full)


def test_a_minimum_below_the_quantum_keeps_nothing_there_and_is_refused_here() -> None:
    configuration = config(8, 64, 100, 16)
    assert their_lengths(configuration, 1) == [0]
    with pytest.raises(ValueError, match="keeps 0 tokens at first, as min_value=8"):
        KeptLength.from_deepspeed(configuration)


@pytest.mark.parametrize(
    ("setting", "layers", "batch", "steps"),
    [
        ((32, 197, 3910, 8), 12, 32, 5474),
        ((128, 1024, 400, 8), 24, 4, 524),
        ((256, 1024, 400, 8), 12, 4, 524),
    ],
)
def test_the_layer_tokens_of_the_logs_are_the_schedulers_and_ours(
    setting: tuple[int, int, int, int], layers: int, batch: int, steps: int
) -> None:
    configuration = config(*setting, layers=layers, ids=tuple(range(1, layers - 1)))
    theirs = scheduler(configuration, batch=batch).get_total_layer_tokens(steps)
    unused: dict[str, int] = {"block_weights": 1, "attention_width": 1, "head_weights": 0}
    ours = TransformerCost(num_layers=layers, num_dropping=layers - 2, **unused).run_layer_tokens(
        KeptLength.from_deepspeed(configuration), num_steps=steps, batch=batch, length=setting[1]
    )
    assert ours == theirs
    assert theirs in (305_784_192, 35_567_104, 19_534_848)
