"""How many tokens the middle layers keep: monotonic growth to the full length."""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self, get_args

from rltd_core.deepspeed import DeepSpeedConfig, read_deepspeed

__all__ = ["KeptLength", "Rounding"]

Rounding = Literal["exact", "interval", "deepspeed", "deepspeed-clamped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLength:
    """Grow the kept length linearly from `start` to `full`, in multiples of `quantum`.

    `schedule(position)` is the kept length after `position` optimizer steps, or, where the ramp
    is given in tokens, after that many raw tokens (batch times length, over all ranks). It is
    `start` at 0, never falls, and is `full` at the end of the ramp and ever after.

    Paper: section 2 (monotonic sequence length growth).
    Deviation: the authors' two forms, which reach `full` late where `quantum` does not divide
        the way to it, are other `rounding`s; `from_interval` and `from_deepspeed` make them.
    Raises: ValueError for start > full, start < 1, quantum < 1, a negative ramp, or not exactly
        one of ramp_steps and ramp_tokens.
    """

    start: int
    """Kept length at the first step, in tokens."""
    full: int
    """Length at which nothing is dropped any more: the model's training length, in tokens."""
    ramp_steps: int | None = None
    """Optimizer steps until `full`; 0 drops nothing at any step."""
    quantum: int = 8
    """The kept length is a multiple of this, except at `start` and `full`, in tokens."""
    ramp_tokens: int | None = None
    """Raw tokens until `full`, instead of `ramp_steps`."""
    rounding: Rounding = "exact"
    """How the linear ramp becomes a staircase.

    exact: down to a multiple of the quantum, but not below `start`; `full` at the ramp's end.
    interval: `start` plus multiples of the quantum, as in the authors' research scripts.
    deepspeed: down to a multiple of the quantum, below `start` too, in DeepSpeed's arithmetic.
    deepspeed-clamped: the same, never below the first multiple from `start` on.
    """

    def __post_init__(self) -> None:
        for field in ("start", "full", "quantum", "ramp_steps", "ramp_tokens"):
            value = getattr(self, field)
            try:
                plain = None if value is None else operator.index(value)  # NumPy's, too
            except TypeError:
                raise ValueError(f"{field} must be a whole number (int), got {value!r}") from None
            object.__setattr__(self, field, plain)
        if not 1 <= self.start <= self.full:
            raise ValueError(
                f"start must lie in 1..full, got start={self.start} and full={self.full}"
            )
        if self.quantum < 1:
            raise ValueError(f"quantum must be at least 1 token, got {self.quantum}")
        if (self.ramp_steps is None) == (self.ramp_tokens is None):
            raise ValueError("give either ramp_steps or ramp_tokens: the ramp has one unit")
        if self.ramp < 0:
            raise ValueError(f"ramp_{self.unit} must not be negative, got {self.ramp}")
        if self.rounding not in get_args(Rounding):
            raise ValueError(
                f"unknown rounding {self.rounding!r}; known are {', '.join(get_args(Rounding))}"
            )
        if self(0) < 1:
            raise ValueError(
                f"DeepSpeed's rounding keeps 0 tokens at first, as min_value={self.start} is below "
                f"seq_per_step={self.quantum}; raise min_value or clamp (clamp=True)"
            )

    @classmethod
    def from_interval(
        cls, *, start: int, full: int, interval_tokens: float, quantum: int = 16
    ) -> Self:
        """Return the research scripts' ramp: `quantum` more every `interval_tokens` raw tokens.

        Paper: section 2.1 (token-indexed form).
        Raises: ValueError if the ramp is not a whole number of tokens.
        """
        ramp = Fraction(interval_tokens) * (full - start) / max(1, quantum)
        if ramp.denominator != 1:
            raise ValueError(
                f"(full - start) * interval_tokens must be a multiple of the quantum {quantum}"
            )
        return cls(
            start=start, full=full, ramp_tokens=int(ramp), quantum=quantum, rounding="interval"
        )

    @classmethod
    def from_deepspeed(
        cls, config: DeepSpeedConfig | Mapping[str, Any] | str | Path, *, clamp: bool = False
    ) -> Self:
        """Return the schedule of DeepSpeed's whole JSON (a mapping, or its file's path).

        The same kept length at every step as DeepSpeed's, to the last digit. Where the innermost
        `enabled` is false, nothing is dropped. `clamp` never keeps fewer than min_value rounded
        up to a multiple of seq_per_step, as DeepSpeed's pull request 8529 proposes.

        Raises: ValueError for a malformed configuration; it names the entry.
        """
        read = read_deepspeed(config)
        return cls(
            start=read.start,
            full=read.full,
            ramp_steps=read.ramp_steps if read.enabled else 0,
            quantum=read.quantum,
            rounding="deepspeed-clamped" if clamp else "deepspeed",
        )

    @property
    def ramp(self) -> int:
        """The end of the ramp, in optimizer steps or raw tokens."""
        ramp = self.ramp_steps if self.ramp_tokens is None else self.ramp_tokens
        assert ramp is not None  # __post_init__ has seen to it
        return ramp

    @property
    def unit(self) -> Literal["steps", "tokens"]:
        """What the ramp is counted in."""
        return "steps" if self.ramp_tokens is None else "tokens"

    def __call__(self, position: int) -> int:
        """Return the kept length after `position` steps or raw tokens, in tokens."""
        if position < 0:
            raise ValueError(f"steps and tokens count from 0, got {position}")
        if self.ramp == 0 or self.start == self.full:
            return self.full
        if self.rounding == "exact":
            return self._exact(position)
        if self.rounding == "interval":
            grown = (self.full - self.start) * position // (self.quantum * self.ramp)
            return min(self.start + self.quantum * grown, self.full)
        return self._deepspeed(position)

    def at_step(self, step: int, tokens_per_step: int | None = None) -> int:
        """Return the kept length of optimizer step `step`, counted from 0, in tokens.

        Raises: ValueError for a ramp in tokens without `tokens_per_step` (batch times length).
        """
        if self.ramp_tokens is None:
            return self(step)
        if tokens_per_step is None:
            raise ValueError("this ramp counts tokens: give tokens_per_step (batch times length)")
        return self(step * tokens_per_step)

    def segments(
        self, num_steps: int, tokens_per_step: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield (kept length, number of steps at it) over the first `num_steps` steps.

        Takes time in the number of distinct kept lengths, not of steps; sums over a run (layer
        tokens, FLOPs) are exact sums over these segments.
        """
        begin = 0
        while begin < num_steps:
            kept = self.at_step(begin, tokens_per_step)
            end = num_steps
            if kept < self.full:
                end = bisect_right(
                    range(num_steps),
                    kept,
                    lo=begin,
                    key=lambda step: self.at_step(step, tokens_per_step),
                )
            yield kept, end - begin
            begin = end

    def _exact(self, position: int) -> int:
        if position >= self.ramp:
            return self.full
        line = self.start + (self.full - self.start) * position // self.ramp
        return max(self.start, line - line % self.quantum)

    def _deepspeed(self, step: int) -> int:
        # In floating point, as there: whole-number arithmetic differs at some steps.
        line = math.floor(step / self.ramp * (self.full - self.start) + self.start)
        kept = line - line % self.quantum
        if self.rounding == "deepspeed-clamped":
            kept = max(kept, math.ceil(self.start / self.quantum) * self.quantum)
        return min(kept, self.full)
