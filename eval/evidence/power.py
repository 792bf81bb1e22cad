"""How often n seeds find non-inferiority where nothing is lost, by the non-central t distribution.

The rule of `non_inferiority` asks whether (mean + margin) / (sd / sqrt(n)) exceeds a quantile of
Student's t. If the true difference is zero, that ratio has a non-central t distribution.
"""

from __future__ import annotations

import itertools
import math

from scipy.stats import nct, norm
from scipy.stats import t as student_t

__all__ = ["power", "seeds_needed"]

_FAR = 1e6
"""In standard errors: a margin so wide is never missed. Far beyond it, SciPy has no answer."""


def power(n: int, margin: float, sd: float, confidence: float = 0.90) -> float:
    """Return the probability that the interval of n paired differences shows non-inferiority.

    The true difference is zero; the differences are normal with the true standard deviation `sd`.

    Raises: ValueError for fewer than two seeds, no margin, or what is no deviation or confidence.
    """
    _require(margin, sd, confidence)
    if n < 2:
        raise ValueError(f"an interval needs at least two seeds, got {n}")
    if sd == 0:
        return 1.0
    quantile = student_t.ppf(0.5 + confidence / 2, n - 1)
    return float(nct.sf(quantile, n - 1, min(margin * math.sqrt(n) / sd, _FAR)))


def seeds_needed(margin: float, sd: float, wanted: float = 0.90, confidence: float = 0.90) -> int:
    """Return the fewest seeds whose power is `wanted` or more.

    Raises: ValueError as `power`, or if `wanted` is not between 0 and 1.
    """
    _require(margin, sd, confidence)
    if not 0 < wanted < 1:
        raise ValueError(f"a power lies between 0 and 1, got {wanted}")
    # With a known deviation, the normal distribution says how many: never more than here.
    fewest = (norm.ppf(0.5 + confidence / 2) + norm.ppf(wanted)) * sd / margin
    start = max(2, math.floor(max(0.0, float(fewest)) ** 2))
    return next(n for n in itertools.count(start) if power(n, margin, sd, confidence) >= wanted)


def _require(margin: float, sd: float, confidence: float) -> None:
    if not (0 < margin < math.inf and 0 <= sd < math.inf and 0 < confidence < 1):
        raise ValueError(
            "a power needs a margin above 0, a deviation of 0 or more, and a confidence between 0 "
            f"and 1, got {margin}, {sd} and {confidence}"
        )
