"""How much of what whole runs saved in layer tokens arrived as CPU time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from eval.evidence.grid import finished, saves_itself
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, TREATMENT

__all__ = ["arrived_by_suite", "whole_runs_sentence"]


def arrived_by_suite(parts: Sequence[Part], tier: str) -> dict[str, float]:
    """Return the share of the saving that arrived, of each judged suite whose runs saved any."""
    judged = [part for part in parts if part.tier == tier and part.suite.margin is not None]
    found = {part.suite.name: _arrived(part) for part in judged}
    return {name: share for name, share in found.items() if share is not None}


def whole_runs_sentence(parts: Sequence[Part], tier: str) -> str:
    """Say the shares, suite by suite; nothing without any."""
    shares = arrived_by_suite(parts, tier)
    if not shares:
        return ""
    told = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items()))
    return (
        "Of whole runs, side by side on a shared machine, as CPU time over the saving in layer "
        f"tokens (medians over seeds): {told}.\n"
    )


def _arrived(part: Part) -> float | None:
    """Return the median over seeds of saved CPU time over saved layer tokens, both as fractions."""
    if not saves_itself(part.records):
        return None
    runs = finished(part.records)
    full = runs.get(BASELINE, {})
    pairs = [
        (ours.cost, full[seed].cost)
        for seed, ours in runs.get(TREATMENT, {}).items()
        if seed in full
    ]
    shares = [
        (1 - ours.train_cpu_s / theirs.train_cpu_s) / (1 - ours.layer_tokens / theirs.layer_tokens)
        for ours, theirs in pairs
        if ours is not None and theirs is not None and ours.layer_tokens < theirs.layer_tokens
    ]
    return median(shares) if shares else None
