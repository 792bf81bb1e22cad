"""A run that is saved, rebuilt and continued is the run that was never interrupted."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rltd_core import KeptLength, LayerTokenLR, RandomLTD
from tests.core.tiny import assert_same, tiny_model, token_ids

SCHEDULE = KeptLength(start=8, full=24, ramp_steps=7, quantum=4)
PARTS = ("model", "optimizer", "ltd", "lr")
Trace = list[tuple[float, Tensor | None, Tensor]]


class Run:
    """A tiny run with two forwards a step, built from scratch."""

    def __init__(self, *, seed: int = 5, shape: str = "cosine") -> None:
        self.model = tiny_model("llama", width=8)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.ltd = RandomLTD(self.model, SCHEDULE, seed=seed)
        self.lr = LayerTokenLR(
            self.optimizer, self.ltd, warmup=3, total=10, batch=4, length=24, shape=shape
        )

    def steps(self, first: int, last: int) -> Trace:
        """Train steps first..last - 1; return rate, draw and logits of each."""
        trace: Trace = []
        for step in range(first, last):
            rate = self.optimizer.param_groups[0]["lr"]
            for half in range(2):
                ids_BS = token_ids(2, 24, seed=2 * step + half)
                output = self.model(ids_BS, labels=ids_BS)
                output.loss.backward()
            trace.append((rate, self.ltd.kept_LBK, output.logits.detach()))
            self.optimizer.step()
            self.ltd.step()
            self.lr.step()
            self.optimizer.zero_grad()
        return trace

    def save(self) -> dict[str, Any]:
        """Return the state of all parts, as read back from a file without unpickling code."""
        file = io.BytesIO()
        torch.save({name: getattr(self, name).state_dict() for name in PARTS}, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    def load(self, state: dict[str, Any], order: Sequence[str] = PARTS) -> None:
        for name in order:
            getattr(self, name).load_state_dict(state[name])


@pytest.mark.parametrize("interruption", [0, 1, 2, 5, 9])
def test_a_resumed_run_continues_to_the_last_bit(interruption: int) -> None:
    expected = Run().steps(0, 12)
    first = Run()
    assert_same(first.steps(0, interruption), expected[:interruption])
    second = Run()
    second.load(first.save())
    assert_same(second.steps(interruption, 12), expected[interruption:])


@pytest.mark.parametrize("order", itertools.permutations(PARTS), ids="-".join)
def test_the_order_of_loading_does_not_matter(order: tuple[str, ...]) -> None:
    first = Run()
    first.steps(0, 4)
    state = first.save()
    second = Run()
    second.load(state, order)
    assert_same(second.steps(4, 6), first.steps(4, 6))


def test_forwards_that_were_not_stepped_yet_are_resumed() -> None:
    first, second = Run(), Run()
    first.model(token_ids(2, 24))
    second.load(first.save())
    for run in (first, second):
        run.model(token_ids(2, 24))
        run.ltd.step()
    assert second.ltd.state_dict() == first.ltd.state_dict()
    assert second.ltd.tokens == 4 * 24
    assert_same(second.ltd.kept_LBK, first.ltd.kept_LBK)


def test_the_state_is_plain_integers() -> None:
    run = Run()
    run.steps(0, 2)
    assert run.ltd.state_dict() == {
        "seed": 5,
        "steps": 2,
        "forwards": 4,
        "tokens": 2 * 4 * 24,
        "layer_tokens": 2 * 4 * (2 * 24 + 3 * 8),
        "effective_tokens": 2 * 4 * ((2 * 24 + 3 * 8) // 5),
        "pending_tokens": 0,
        "pending_layer_tokens": 0,
        "pending_effective_tokens": 0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, r"missing \['steps'\], unknown \[\]"),
        ({"kept": 3}, r"missing \[\], unknown \['kept'\]"),
        ({"seed": 6}, "made with seed 6, this object has seed 5; construct it with seed=6"),
    ],
)
def test_a_bad_state_is_refused_and_changes_nothing(
    change: dict[str, int | None], message: str
) -> None:
    run = Run()
    run.steps(0, 2)
    before = run.ltd.state_dict()
    changed = {**{name: value + 1 for name, value in before.items()}, "seed": 5, **change}
    bad = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        run.ltd.load_state_dict(bad)
    assert run.ltd.state_dict() == before


def test_a_state_whose_last_value_is_no_number_changes_nothing() -> None:
    run = Run()
    run.steps(0, 2)
    before = run.ltd.state_dict()
    bad: Any = {**before, "steps": 7, "pending_layer_tokens": None}
    with pytest.raises((TypeError, ValueError)):
        run.ltd.load_state_dict(bad)
    assert run.ltd.state_dict() == before
