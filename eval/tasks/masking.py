"""Dynamic masking: which tokens of a window are hidden, anew each time it is trained on.

Letters: S sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["IGNORED", "Masking"]

IGNORED = -100
"""Label of a position whose token is not asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Masking:
    """BERT's rule: of the chosen tokens most are hidden, some replaced, some shown.

    Source: section 3.1 of arXiv 1810.04805 (80, 10 and 10 %).
    """

    mask: int
    """Token that hides."""
    special: frozenset[int]
    """Tokens that are never chosen."""
    vocabulary: int
    chosen: float = 0.15
    hidden: float = 0.8
    replaced: float = 0.1

    def __call__(
        self, ids_S: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens that the model sees, and those that it is asked for.

        Exactly the same number of tokens is chosen in every window of as many ordinary tokens,
        rounded, and at least one.

        Raises: ValueError for a window without an ordinary token.
        """
        ordinary = np.flatnonzero(~np.isin(ids_S, list(self.special)))
        if not len(ordinary):
            raise ValueError("a window of nothing but special tokens has none to mask")
        count = max(1, round(self.chosen * len(ordinary)))
        places = generator.choice(ordinary, size=count, replace=False)
        draws = generator.random(count)
        seen_S = ids_S.copy()
        seen_S[places[draws < self.hidden]] = self.mask
        random = places[(draws >= self.hidden) & (draws < self.hidden + self.replaced)]
        seen_S[random] = generator.integers(self.vocabulary, size=len(random))
        labels_S = np.full_like(ids_S, IGNORED)
        labels_S[places] = ids_S[places]
        return seen_S, labels_S
