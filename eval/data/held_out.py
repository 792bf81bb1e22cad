"""Which training examples are held out: for curves and for choosing settings."""

from __future__ import annotations

import numpy as np

from eval.seeding import stream

__all__ = ["held_out_places"]

_PART = 10
"""A tenth of the training examples is held out."""


def held_out_places(what: str, num: int, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the held-out examples and of those trained on, the same for all seeds.

    At most `most` are held out, in an order of chance that `what` names; the rest is in order.
    """
    count = min(most, num // _PART)
    order = stream(what, 0).permutation(num)
    return order[:count], np.sort(order[count:])
