"""What a schedule costs: layer tokens and FLOPs, exactly, without running anything.

A layer token is one token processed by one layer. Sums run over the segments of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

from rltd_core.schedule import KeptLength

__all__ = ["TransformerCost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerCost:
    """The cost of one sequence in a transformer of equal blocks, some of which drop tokens.

    FLOPs count matrix products, two per multiply-add, with attention over all token pairs (a
    causal mask saves nothing here) and the output head; training counts the backward as twice
    the forward.

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

    def layer_tokens(self, kept: int, length: int) -> int:
        """Return the layer tokens of one sequence of `length` tokens."""
        full = self.num_layers - self.num_dropping
        return full * length + self.num_dropping * min(kept, length)

    def flops(self, kept: int, length: int) -> int:
        """Return the training FLOPs (forward and backward) of one sequence."""
        full = self.num_layers - self.num_dropping
        forward = full * self._block(length) + self.num_dropping * self._block(min(kept, length))
        return 3 * (forward + 2 * self.head_weights * length)

    def run_layer_tokens(
        self, schedule: KeptLength, *, num_steps: int, batch: int, length: int
    ) -> int:
        """Return the layer tokens of the first `num_steps` steps of a run, padding included."""
        segments = schedule.segments(num_steps)
        return batch * sum(n * self.layer_tokens(kept, length) for kept, n in segments)

    def run_flops(self, schedule: KeptLength, *, num_steps: int, batch: int, length: int) -> int:
        """Return the training FLOPs of the first `num_steps` steps of a run."""
        segments = schedule.segments(num_steps)
        return batch * sum(n * self.flops(kept, length) for kept, n in segments)

    def layer_token_saving(self, schedule: KeptLength, *, num_steps: int, length: int) -> float:
        """Return the fraction of layer tokens saved against a run that drops nothing.

        Raises: ValueError for a run of no steps.
        """
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        used = self.run_layer_tokens(schedule, num_steps=num_steps, batch=1, length=length)
        return 1 - used / (self.num_layers * length * num_steps)

    def _block(self, length: int) -> int:
        # Two products of (length x width) by (width x length) matrices: scores and values.
        return 2 * self.block_weights * length + 4 * self.attention_width * length**2
