"""How many tokens the middle layers keep at each step: monotonic growth to the full length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["KeptLength"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLength:
    """Grow the kept length linearly from `start` to `full`, in multiples of `quantum`.

    `schedule(step)` is the kept length at optimizer step `step`, counted from 0. It is `start` at
    step 0, never falls, and is `full` at `ramp_steps` and ever after.

    Paper: section 2 (monotonic sequence length growth).
    Deviation: DeepSpeed's `fixed_linear` starts below `start` where `quantum` does not divide it,
        and reaches `full` late where `quantum` does not divide that (197 with a quantum of 8).
    Raises: ValueError for start > full, start < 1, quantum < 1 or ramp_steps < 0.
    """

    start: int
    """Kept length at the first step, in tokens."""
    full: int
    """Length at which nothing is dropped any more: the model's training length, in tokens."""
    ramp_steps: int
    """Optimizer steps until `full`; 0 drops nothing at any step."""
    quantum: int = 8
    """The kept length is a multiple of this, except at `start` and `full`, in tokens."""

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.full:
            raise ValueError(
                f"start must lie in 1..full, got start={self.start} and full={self.full}"
            )
        if self.quantum < 1:
            raise ValueError(f"quantum must be at least 1 token, got {self.quantum}")
        if self.ramp_steps < 0:
            raise ValueError(f"ramp_steps must not be negative, got {self.ramp_steps}")

    def __call__(self, step: int) -> int:
        """Return the kept length at `step`, in tokens."""
        if step < 0:
            raise ValueError(f"steps count from 0, got {step}")
        if step >= self.ramp_steps:
            return self.full
        line = self.start + (self.full - self.start) * step // self.ramp_steps
        return max(self.start, line - line % self.quantum)

    def segments(self, num_steps: int) -> Iterator[tuple[int, int]]:
        """Yield (kept length, number of steps at it) over the first `num_steps` steps.

        Takes time in the number of distinct kept lengths, not of steps; sums over a run (layer
        tokens, FLOPs) are exact sums over these segments.
        """
        begin, kept = 0, self(0)
        while kept < self.full and begin < num_steps:
            end = self._first_step_above(kept)
            yield kept, min(end, num_steps) - begin
            begin, kept = end, self(end)
        if begin < num_steps:
            yield self.full, num_steps - begin

    def _first_step_above(self, kept: int) -> int:
        level = kept - kept % self.quantum + self.quantum
        if level >= self.full:
            return self.ramp_steps
        # Smallest step with start + (full - start) * step / ramp_steps >= level: a ceiling.
        return -((self.start - level) * self.ramp_steps // (self.full - self.start))
