"""Two processes: each rank draws for itself, and all count the layer tokens of all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import tests.conftest  # noqa: F401, a spawned process imports this module without pytest
from rltd_core import KeptLength, RandomLTD
from tests.core.tiny import tiny_model, token_ids

SCHEDULE = KeptLength(start=8, full=24, ramp_steps=9, quantum=4)
RANKS = 2
STEP = 2 * 24 + 3 * 8
"""Layer tokens of one sequence in the first step."""


def train_two_steps(batch: int, process_group: dist.ProcessGroup | None = None) -> dict[str, Any]:
    """Train two steps and return what a rank sees."""
    model = tiny_model(width=8)
    ltd = RandomLTD(model, SCHEDULE, process_group=process_group)
    model(token_ids(batch, 24))
    pending = ltd.pending_layer_tokens
    assert ltd.kept_LBK is not None
    draw = ltd.kept_LBK[:, :2].clone()
    ltd.step()
    model(token_ids(batch, 24))
    ltd.step()
    return {"draw": draw, "pending": pending, **ltd.state_dict()}


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", RANKS)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )
    # As under tensor parallelism: each rank is alone in its data-parallel group.
    alone = [dist.new_group([r]) for r in range(RANKS)][rank]
    seen = {
        "data parallel": train_two_steps(2 + rank),
        "tensor parallel": train_two_steps(2, alone),
    }
    torch.save(seen, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    mp.spawn(run_rank, args=(str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def test_ranks_draw_differently(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["data parallel"]["draw"] for rank in ranks)
    assert not (first == second).all(dim=-1).any()


def test_layer_tokens_are_summed_over_the_ranks(ranks: list[dict[str, Any]]) -> None:
    for rank, batch in zip(ranks, (2, 3), strict=True):
        seen = rank["data parallel"]
        assert seen["pending"] == batch * STEP
        assert seen["tokens"] == 2 * 5 * 24
        assert seen["layer_tokens"] == 5 * STEP + 5 * (2 * 24 + 3 * SCHEDULE(1))
        assert (seen["steps"], seen["forwards"]) == (2, 2)
        assert (seen["pending_tokens"], seen["pending_layer_tokens"]) == (0, 0)


def test_ranks_alone_in_their_group_draw_alike_and_count_once(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["tensor parallel"] for rank in ranks)
    assert torch.equal(first["draw"], second["draw"])
    assert [seen["tokens"] for seen in (first, second)] == 2 * [2 * 2 * 24]
