"""Experiments by name. A suite is a function from a tier to its arms; see the modules here."""

from __future__ import annotations

from collections.abc import Callable

from eval.errors import UserError
from eval.spec import Suite, Tier
from eval.suites.gpt import gpt_finetune, gpt_finetune_pilot

__all__ = ["HEADLINE", "SUITES", "suite"]

SUITES: dict[str, Callable[[Tier], Suite]] = {
    "gpt_finetune": gpt_finetune,
    "gpt_finetune_pilot": gpt_finetune_pilot,
}
HEADLINE = ("gpt_finetune",)
"""The suites that `./rltd reproduce` runs."""


def suite(name: str, tier: Tier = "cpu") -> Suite:
    """Return a suite at a tier.

    Raises: UserError for an unknown suite, or a tier it is not declared at.
    """
    if name not in SUITES:
        raise UserError(f"unknown suite {name!r}; known are {', '.join(SUITES)}")
    return SUITES[name](tier)
