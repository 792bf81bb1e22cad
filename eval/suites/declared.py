"""A question, and the experiments about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eval.spec import Suite, Tier

__all__ = ["Declared"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A question, and the tiers at which there are experiments about it."""

    question: str
    declared: Mapping[Tier, Callable[[], Suite]]
