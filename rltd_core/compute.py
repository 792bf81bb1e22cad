"""What a schedule costs: layer tokens and FLOPs, exactly, without running anything.

A layer token is one token processed by one layer. Sums run over the segments of the schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rltd_core.schedule import KeptLength

__all__ = ["TransformerCost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerCost:
    """The cost of one sequence in a transformer of equal blocks, some of which drop tokens.

    FLOPs count matrix products, two per multiply-add, with attention over all token pairs (a
    causal mask saves nothing here), the head and the patch embedding; training counts the
    backward as twice the forward, but for the patch embedding, whose images need no gradient.

    Paper: section 4.1. The published "theoretical saving" is `layer_token_saving`; attention's
        quadratic part, embeddings and head are left out there and counted in `flops`.
    """

    num_layers: int
    """All blocks of the model."""
    num_dropping: int
    """Blocks that see only the kept tokens."""
    block_weights: int
    """Matrix weights of one block that every token passes through."""
    attention_width: int
    """Heads times head width of one block."""
    head_weights: int
    """Matrix weights outside the blocks that every token passes through."""
    pooled_weights: int = 0
    """Matrix weights that are used once per sequence, as by a classifier of the first token."""
    patch_weights: int = 0
    """Weights of the convolution that makes tokens of an image's patches."""
    prefix: int = 0
    """Tokens that are no patches, such as the class token."""

    def layer_tokens(self, kept: int, length: int) -> int:
        """Return the layer tokens of one sequence of `length` tokens."""
        full = self.num_layers - self.num_dropping
        return full * length + self.num_dropping * min(kept, length)

    def effective_tokens(self, kept: int, length: int) -> int:
        """Return the layer tokens of one sequence per layer, rounded down.

        What the authors' training scripts count as consumed tokens. Paper: section 3.3.
        """
        return self.layer_tokens(kept, length) // self.num_layers

    def flops(self, kept: int, length: int) -> int:
        """Return the training FLOPs (forward and backward) of one sequence."""
        full = self.num_layers - self.num_dropping
        blocks = full * self._block(length) + self.num_dropping * self._block(min(kept, length))
        heads = 2 * (self.head_weights * length + self.pooled_weights)
        patches = 2 * self.patch_weights * (length - self.prefix)
        return 3 * (blocks + heads) + 2 * patches

    def run_layer_tokens(
        self, schedule: KeptLength, *, num_steps: int, batch: int, length: int
    ) -> int:
        """Return the layer tokens of the first `num_steps` steps of a run, padding included."""
        return self._run(self.layer_tokens, schedule, num_steps, batch, length)

    def run_effective_tokens(
        self, schedule: KeptLength, *, num_steps: int, batch: int, length: int
    ) -> int:
        """Return the effective tokens of the first `num_steps` steps of a run."""
        return self._run(self.effective_tokens, schedule, num_steps, batch, length)

    def run_flops(self, schedule: KeptLength, *, num_steps: int, batch: int, length: int) -> int:
        """Return the training FLOPs of the first `num_steps` steps of a run."""
        return self._run(self.flops, schedule, num_steps, batch, length)

    def layer_token_saving(
        self, schedule: KeptLength, *, num_steps: int, length: int, batch: int = 1
    ) -> float:
        """Return the fraction of layer tokens saved against a run that drops nothing.

        Raises: ValueError for a run of no steps.
        """
        return self._saving(self.layer_tokens, schedule, num_steps, batch, length)

    def flop_saving(
        self, schedule: KeptLength, *, num_steps: int, length: int, batch: int = 1
    ) -> float:
        """Return the fraction of training FLOPs saved against a run that drops nothing.

        Raises: ValueError for a run of no steps.
        """
        return self._saving(self.flops, schedule, num_steps, batch, length)

    def authors_total(
        self, schedule: KeptLength, *, num_steps: int, batch: int, length: int
    ) -> int:
        """Return the authors' prediction of a run's layer tokens: a straight ramp, no staircase.

        Paper: section 3.2. The true count is 0.98 to 0.999 of it for the authors' token-indexed
            ramps, whose staircase it leaves out.
        Raises: ValueError if the ramp does not end within the run, or `length` is not `full`.
        """
        tokens = num_steps * batch * length
        ramp = schedule.ramp * (batch * length if schedule.ramp_tokens is None else 1)
        if ramp > tokens or length != schedule.full:
            raise ValueError(
                f"the authors' form needs a ramp that ends within the run and length = full; got "
                f"a ramp of {ramp:,} in {tokens:,} tokens and length {length} of {schedule.full}"
            )
        dropped = ramp * self.num_dropping * (length - schedule.start) // (2 * length)
        return tokens * self.num_layers - dropped

    def _run(
        self,
        cost: Callable[[int, int], int],
        schedule: KeptLength,
        num_steps: int,
        batch: int,
        length: int,
    ) -> int:
        segments = schedule.segments(num_steps, batch * length)
        return batch * sum(n * cost(kept, length) for kept, n in segments)

    def _saving(
        self,
        cost: Callable[[int, int], int],
        schedule: KeptLength,
        num_steps: int,
        batch: int,
        length: int,
    ) -> float:
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        used = self._run(cost, schedule, num_steps, batch, length)
        return 1 - used / (batch * num_steps * cost(length, length))

    def _block(self, length: int) -> int:
        # Two products of (length x width) by (width x length) matrices: scores and values.
        return 2 * self.block_weights * length + 4 * self.attention_width * length**2
