"""Learning rates as a decay shape on a clock: steps, tokens, or the paper's layer tokens."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rltd_core.ltd import RandomLTD

__all__ = ["SHAPES", "ClockLR", "LayerTokenLR"]

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: (1.0 + math.cos(math.pi * progress)) / 2,
    "thirds": lambda progress: (1.0, 0.1, 0.01)[min(2, int(3 * progress))],
}
"""Decay shape: progress since warmup, in 0..1 -> fraction of the way from minimum to peak."""


_TWO_FORMS = (
    "give either warmup, total, batch and length (steps of the planned run; authors_form needs "
    "them), or warmup_layer_tokens and total_layer_tokens"
)


class ClockLR(LRScheduler):
    """Warm up linearly, then decay, by the reading of a clock instead of a count of calls.

    The rate of a step is read before the step is counted: 0 on the clock is the first step.
    `minimum` is a fraction of each parameter group's peak rate. Both `warmup` and `total` are in
    the clock's unit; the decay ends at `total`, and the rate stays where it is then: at the
    minimum, of `constant` at the peak, of `thirds` a hundredth of the way up from the minimum.

    Call `step()` once per optimizer step, after the clock has moved. Do not hand the scheduler to
    accelerate's `prepare`, which steps it once per process.

    Raises: ValueError for an unknown shape, a warmup outside 0..total, a total below 1, or a
        minimum outside 0..1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        clock: Callable[[], int],
        *,
        warmup: int,
        total: int,
        shape: str = "cosine",
        minimum: float = 0.0,
    ) -> None:
        if shape not in SHAPES:
            raise ValueError(f"unknown shape {shape!r}; known are {', '.join(SHAPES)}")
        if total < 1 or not 0 <= warmup <= total:
            raise ValueError(f"need 0 <= warmup <= total and total >= 1, got {warmup} and {total}")
        if not 0 <= minimum <= 1:
            raise ValueError(f"minimum is a fraction of the peak rate in 0..1, got {minimum}")
        self._clock = clock
        self.warmup, self.total, self.shape, self.minimum = warmup, total, shape, minimum
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group at the clock's present reading."""
        multiplier = self.multiplier(self._clock())
        return [base * multiplier for base in self.base_lrs]

    def multiplier(self, reading: int) -> float:
        """Return the fraction of the peak rate at a reading of the clock."""
        if reading < self.warmup:
            return reading / self.warmup
        # Whole numbers until here: readings in the same proportion give the same rate, exactly.
        decay = self.total - self.warmup
        progress = min(1.0, (reading - self.warmup) / decay) if decay else 1.0
        return self.minimum + (1.0 - self.minimum) * SHAPES[self.shape](progress)

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state without the clock, which keeps its own."""
        return {k: v for k, v in super().state_dict().items() if k not in {"_clock", "_ltd"}}


class LayerTokenLR(ClockLR):
    """Decay on the tokens that layers really processed, so that warmup and decay wait for them.

    `warmup` and `total` are optimizer steps of the planned run, converted to layer tokens by the
    schedule's exact sums at the planned `length` and `batch`: all sequences of an optimizer step,
    over all ranks and accumulated forwards; or give
    `warmup_layer_tokens` and `total_layer_tokens` outright. With nothing dropped this is the
    ordinary step-indexed schedule, to the last bit.

    With `authors_form` the warmup is converted at full length, so that it lasts more steps, the
    total is predicted without the staircase (`TransformerCost.authors_total`), and the decay
    ends one warmup before it.

    Paper: section 3; the authors' form is 3.2.
    Deviation: without `authors_form`, warmup and total are the planned steps' own sums.
    Warns if the first step had several times the tokens that were planned for one.
    Raises: ValueError if neither or both forms are given, `authors_form` without planned steps,
        and what `ClockLR` and `authors_total` raise.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        ltd: RandomLTD,
        *,
        warmup: int | None = None,
        total: int | None = None,
        batch: int | None = None,
        length: int | None = None,
        warmup_layer_tokens: int | None = None,
        total_layer_tokens: int | None = None,
        shape: str = "cosine",
        minimum: float = 0.0,
        authors_form: bool = False,
    ) -> None:
        planned = (warmup, total, batch, length)
        if warmup_layer_tokens is None and total_layer_tokens is None:
            if warmup is None or total is None or batch is None or length is None:
                raise ValueError(_TWO_FORMS)
            if not 0 <= warmup <= total or length > ltd.schedule.full:
                raise ValueError(
                    f"need 0 <= warmup <= total steps and length <= {ltd.schedule.full} (the "
                    f"schedule's full), got warmup={warmup}, total={total}, length={length}"
                )
            convert = _authors_form if authors_form else _planned_sums
            warmup_layer_tokens, total_layer_tokens = convert(ltd, warmup, total, batch, length)
        elif planned != (None, None, None, None) or authors_form:
            raise ValueError(_TWO_FORMS)
        if warmup_layer_tokens is None or total_layer_tokens is None:
            raise ValueError(_TWO_FORMS)
        super().__init__(
            optimizer,
            lambda: ltd.layer_tokens,
            warmup=warmup_layer_tokens,
            total=total_layer_tokens,
            shape=shape,
            minimum=minimum,
        )
        self._ltd = ltd
        self._planned_tokens = None if batch is None or length is None else batch * length

    def step(self, epoch: int | None = None) -> None:
        """Read the clock and set the rates; after `ltd.step()`, which moves the clock.

        Raises: RuntimeError if forwards still wait to be counted: the rate would stand still.
        """
        ltd = getattr(self, "_ltd", None)  # the constructor steps once before it is set
        if ltd is not None and ltd.pending_layer_tokens:
            raise RuntimeError("call ltd.step() before lr.step(): the clock has not moved")
        if ltd is not None and ltd.steps == 1:
            self._tell_other_batch(ltd.tokens)
        elif ltd is not None and ltd.tokens == self._planned_tokens:
            warnings.warn(
                f"ltd.step() was called {ltd.steps} times for the {ltd.tokens:,} tokens of one "
                "step (batch x length): the kept length would grow that much too fast; call it "
                "once after each optimizer step, not after each forward",
                stacklevel=2,
            )
        super().step(epoch)

    def _tell_other_batch(self, tokens: int) -> None:
        planned = self._planned_tokens
        if planned and tokens > planned and tokens % planned == 0:
            warnings.warn(
                f"the first step had {tokens:,} tokens, {tokens // planned} times the planned "
                f"{planned:,} (batch x length): the rate would decay that much too early; `batch` "
                "counts all sequences of an optimizer step, over ranks and accumulated forwards",
                stacklevel=3,
            )


def _planned_sums(
    ltd: RandomLTD, warmup: int, total: int, batch: int, length: int
) -> tuple[int, int]:
    run = partial(ltd.cost.run_layer_tokens, ltd.schedule, batch=batch, length=length)
    return run(num_steps=warmup), run(num_steps=total)


def _authors_form(
    ltd: RandomLTD, warmup: int, total: int, batch: int, length: int
) -> tuple[int, int]:
    at_full_length = ltd.cost.num_layers * warmup * batch * length
    predicted = ltd.cost.authors_total(ltd.schedule, num_steps=total, batch=batch, length=length)
    if 2 * at_full_length > predicted:
        raise ValueError(
            f"warmup={warmup} of total={total} steps is too long for the authors' form: at full "
            f"length it takes {at_full_length:,} of the {predicted:,} layer tokens predicted, and "
            "the decay ends as many before these"
        )
    return at_full_length, predicted - at_full_length
