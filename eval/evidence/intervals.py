"""Means, intervals and margins: the arithmetic of the verdicts, without records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import t as student_t

from eval.evidence.formatting import signed

__all__ = ["Interval", "Quality", "interval", "non_inferiority", "oriented"]

Quality = Literal["non-inferior", "inferior", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and its two-sided interval: Student-t over seeds, or a bootstrap over rows."""

    mean: float
    low: float
    high: float
    n: int
    sd: float
    confidence: float

    def __str__(self) -> str:
        return f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"


def oriented(value: float, against: float, *, higher_is_better: bool) -> float:
    """Return the difference to `against`, positive where `value` is the better one."""
    return value - against if higher_is_better else against - value


def interval(differences: Iterable[float], confidence: float = 0.90) -> Interval:
    """Return the Student-t interval of the mean.

    Raises: ValueError for fewer than two differences: one difference has no interval.
    """
    values = sorted(differences)
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs at least two differences, got {n}")
    mean, sd = fmean(values), stdev(values)
    half = float(student_t.ppf(0.5 + confidence / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n, sd=sd, confidence=confidence)


def non_inferiority(of: Interval, margin: float) -> Quality:
    """Return where the interval lies against the largest tolerated loss."""
    if of.low > -margin:
        return "non-inferior"
    return "inferior" if of.high < -margin else "undecided"
