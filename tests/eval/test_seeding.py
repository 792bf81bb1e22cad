"""Named streams of randomness, and the order of the batches drawn from one of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from eval.order import batch_order
from eval.seeding import seed_everything, stream

NUM_WINDOWS = 23


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_stream_repeats_itself() -> None:
    first, second = (stream("batches", 3).random(5) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_streams_differ_by_name_and_by_seed() -> None:
    seen = {tuple(stream(n, s).random(3)) for n in ("a", "b", "batches") for s in range(20)}
    assert len(seen) == 60


def test_drawing_from_one_stream_does_not_shift_another() -> None:
    alone = stream("b", 0).random(3).tolist()
    other = stream("a", 0)
    other.random(100)
    second = stream("b", 0)
    other.random(100)
    assert second.random(3).tolist() == alone


def test_a_name_and_a_seed_are_not_confused() -> None:
    assert stream("a1", 0).random() != stream("a", 10).random()
    assert stream("a/1", 0).random() != stream("a", 1).random()


def test_streams_of_neighbouring_seeds_are_uncorrelated() -> None:
    samples = np.stack([stream("batches", seed).random(2000) for seed in range(8)])
    off_diagonal = np.corrcoef(samples) - np.eye(8)
    assert abs(off_diagonal).max() < 4.5 / np.sqrt(2000)  # 4.5 standard errors, 28 pairs


def test_a_stream_takes_nothing_from_the_global_generators() -> None:
    seed_everything(0)
    expected = draws()
    seed_everything(0)
    stream("batches", 0).random(10)
    batch_order(NUM_WINDOWS, 50, 0)
    assert draws() == expected


def test_seeding_covers_python_numpy_and_torch() -> None:
    seed_everything(1)
    first = draws()
    seed_everything(1)
    assert draws() == first
    seed_everything(2)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize("num_samples", [1, 22, 23, 24, 100])
def test_every_epoch_of_the_batch_order_is_a_permutation(num_samples: int) -> None:
    order = batch_order(NUM_WINDOWS, num_samples, seed=0)
    assert len(order) == num_samples
    for begin in range(0, num_samples, NUM_WINDOWS):
        epoch = order[begin : begin + NUM_WINDOWS].tolist()
        whole = len(epoch) == NUM_WINDOWS
        assert sorted(epoch) == list(range(NUM_WINDOWS)) if whole else len(set(epoch)) == len(epoch)


def test_epochs_are_shuffled_each_in_its_own_way() -> None:
    epochs = batch_order(NUM_WINDOWS, 4 * NUM_WINDOWS, seed=0).reshape(4, NUM_WINDOWS)
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4
    assert list(range(NUM_WINDOWS)) not in epochs.tolist()


@pytest.mark.parametrize("shorter", [1, 22, 23, 24, 70, 99])
def test_a_shorter_run_sees_the_beginning_of_a_longer_one(shorter: int) -> None:
    longer = batch_order(NUM_WINDOWS, 100, seed=5)
    assert batch_order(NUM_WINDOWS, shorter, seed=5).tolist() == longer[:shorter].tolist()


def test_the_batch_order_is_repeatable_and_differs_between_seeds() -> None:
    orders = [batch_order(NUM_WINDOWS, 50, seed).tolist() for seed in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
