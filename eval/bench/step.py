"""Time training steps with and without dropping, interleaved, so that drift hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from tqdm.auto import tqdm

from eval.bench.shapes import Shape
from eval.errors import UserError
from eval.seeding import stream
from rltd_core import KeptLength, RandomLTD, TransformerCost

__all__ = [
    "AGAIN",
    "ATTACHED",
    "BASELINE",
    "DROPPING",
    "Precision",
    "StepTime",
    "Timing",
    "measure",
]

BASELINE, AGAIN, ATTACHED, DROPPING = "baseline", "again", "attached", "dropping"
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTime:
    """One training step."""

    round: int
    arm: str
    """baseline: no hooks; again: the same once more, which shows the noise; attached: hooks,
    nothing dropped; dropping: `kept` of the tokens."""
    kept: int
    forward_s: float
    backward_s: float
    optimizer_s: float
    peak_bytes: int | None
    """Largest memory that torch held on a GPU during the step; None elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """All steps of one shape on one machine."""

    shape: str
    length: int
    batch: int
    parameters: int
    device: str
    precision: Precision
    threads: int
    cost: TransformerCost
    steps: tuple[StepTime, ...]


def measure(
    shape: Shape,
    kept: Sequence[int],
    *,
    rounds: int,
    device: str = "cpu",
    precision: Precision = "float32",
) -> Timing:
    """Time forward, backward and AdamW step of every arm once a round, in a new random order.

    One model serves all arms: RandomLTD is attached and detached between steps, outside the
    clock. The first round warms up and is thrown away.

    Raises: UserError for a kept length outside 1..length - 1, or without a GPU for cuda.
    """
    if not all(1 <= k < shape.length for k in kept):
        raise UserError(f"kept lengths must lie in 1..{shape.length - 1}, got {list(kept)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU here; use --device cpu")
    bench = _Bench(shape, device, precision)
    full = ((arm, shape.length) for arm in (BASELINE, AGAIN, ATTACHED))
    arms = [*full, *((DROPPING, k) for k in kept)]
    steps = []
    for index in tqdm(range(rounds + 1), desc=shape.name, unit="round", leave=False):
        order = stream(f"bench/{shape.name}", index).permutation(len(arms))
        timed = [bench.step(index, *arms[place]) for place in order]
        steps += timed if index else []
    return Timing(
        shape=shape.name,
        length=shape.length,
        batch=shape.batch,
        parameters=sum(p.numel() for p in bench.model.parameters()),
        device=device,
        precision=precision,
        threads=torch.get_num_threads(),
        cost=bench.cost,
        steps=tuple(steps),
    )


class _Bench:
    def __init__(self, shape: Shape, device: str, precision: Precision) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model: nn.Module = shape.make(shape.length).to(device)
        batch = shape.inputs(self.model, torch.Generator().manual_seed(0))
        self.batch = {name: x.to(device) for name, x in batch.items()}
        # Weights hardly move, so that no arm computes on other magnitudes than another.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-7, fused=True)
        self.shape, self.device, self.precision = shape, device, precision
        with self._attached(ATTACHED, shape.length, 0) as ltd:
            assert ltd is not None
            self.cost = ltd.cost

    def step(self, index: int, arm: str, kept: int) -> StepTime:
        """Time one step of one arm."""
        cuda = self.device == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        with self._attached(arm, kept, index):
            clock = _laps(torch.cuda.synchronize if cuda else lambda: None)
            next(clock)
            with self._autocast():
                loss = self.shape.loss(self.model, self.batch)
            forward_s = next(clock)
            loss.backward()
            backward_s = next(clock)
            self.optimizer.step()
            self.optimizer.zero_grad()
            optimizer_s = next(clock)
        return StepTime(
            round=index,
            arm=arm,
            kept=kept,
            forward_s=forward_s,
            backward_s=backward_s,
            optimizer_s=optimizer_s,
            peak_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        )

    def _attached(self, arm: str, kept: int, seed: int) -> RandomLTD | nullcontext[None]:
        if arm in (BASELINE, AGAIN):
            return nullcontext()
        far = 10**9 if kept < self.shape.length else 0
        schedule = KeptLength(start=kept, full=self.shape.length, ramp_steps=far, quantum=1)
        return RandomLTD(self.model, schedule, seed=seed)

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device, torch.bfloat16)


def _laps(synchronize: Callable[[], None]) -> Iterator[float]:
    """Yield the seconds since the value before."""
    synchronize()
    before = time.perf_counter()
    while True:
        synchronize()
        now = time.perf_counter()
        yield now - before
        before = now
