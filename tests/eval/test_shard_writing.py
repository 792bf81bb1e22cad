"""Shards are cut from a stream: little is held, and the work grows with the tokens alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from eval.data import windows

TOKEN_BYTES = 8
"""Of the ids while they are held: int64."""


class Counted(np.ndarray):
    """An array that counts how often its length is asked for."""

    asked = 0

    def __len__(self) -> int:
        Counted.asked += 1
        return super().__len__()


def test_at_most_a_shard_and_a_piece_of_the_stream_wait_for_the_disk() -> None:
    pulled = 0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal pulled
        for number in range(200):
            pulled += number % 17
            yield np.full(number % 17, number)

    cut = 0
    for shard in windows._cut(pieces(), 50):
        assert pulled - cut < 50 + 16
        cut += len(shard)
    assert cut == pulled


def test_the_memory_is_that_of_a_shard_and_a_piece_and_of_their_join() -> None:
    shard, piece = 2**17, 2**13 + 1
    tracemalloc.start()
    for _ in windows._cut((np.zeros(piece, dtype=np.int64) for _ in range(60)), shard):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * (shard + piece) * TOKEN_BYTES + 2**16


def test_the_work_grows_with_the_pieces_and_not_with_their_square() -> None:
    # A corpus of rows has millions of pieces in a shard.
    num, Counted.asked = 1000, 0
    pieces = (np.zeros(3, dtype=np.int64).view(Counted) for _ in range(num))
    assert sum(map(len, windows._cut(pieces, 10**6))) == 3 * num
    assert Counted.asked < 10 * num


@pytest.mark.parametrize("sizes", [[], [0], [0, 0, 0], [7], [3, 0, 4], [20], [1] * 21, [6, 1, 13]])
def test_all_shards_but_the_last_are_full_and_none_is_empty(sizes: list[int]) -> None:
    whole = np.arange(sum(sizes))
    pieces = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
    shards = list(windows._cut(iter(pieces), 7))
    assert all(len(shard) == 7 for shard in shards[:-1])
    assert all(1 <= len(shard) <= 7 for shard in shards[-1:])
    assert [token for shard in shards for token in shard.tolist()] == whole.tolist()
