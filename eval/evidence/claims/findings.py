"""What the records say of one claim: judged by the verdict of its suite, or by two of its arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eval.evidence.arms import arm_looks
from eval.evidence.contrasts import differences, unit_of, written
from eval.evidence.intervals import Interval, interval, non_inferiority
from eval.evidence.paper.published import Claim
from eval.evidence.part import Part
from eval.evidence.stats import ENOUGH_SEEDS, JUDGED, judge

__all__ = ["Finding", "finding", "sentence"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the records of one tier say of a claim."""

    outcome: str
    n: int = 0
    interval: Interval | None = None
    """Over seeds, oriented: positive speaks for the claim's arm."""
    arms: tuple[str, ...] = ()
    """The arms that were compared; their runs are what the finding cost."""
    shown: str = ""
    """The interval as it is written, or what stands in its place."""


def finding(claim: Claim, part: Part) -> Finding:
    """Judge a claim about arms by its rule.

    `quality`: the verdict over three arms. `better`: the interval of the paired difference lies
    above zero. `as good`: it lies above minus the margin. Fewer than five seeds are no evidence.
    """
    return _RULES[claim.rule](claim, part)


def sentence(claim: Claim, part: Part) -> str:
    """Say the finding, with what was compared where it is a pair of arms."""
    found = finding(claim, part)
    if claim.rule == "quality":
        return f"{found.outcome}, n = {found.n}"
    if not found.n:
        return "no evidence: no seed has finished in both arms"
    looks = arm_looks([claim.arm, claim.against])
    which = f"{looks[claim.arm].label} against {looks[claim.against].label}"
    few = f" (n < {ENOUGH_SEEDS})" if found.n < ENOUGH_SEEDS else ""
    unit = unit_of(part.suite, part.records)
    return f"{found.outcome}{few}; {which}, n = {found.n}: {found.shown} {unit}"


def _quality(claim: Claim, part: Part) -> Finding:
    verdict = judge(part.suite, part.records)
    of = verdict.quality_interval
    return Finding(
        outcome=verdict.outcome,
        n=verdict.n,
        interval=of,
        arms=JUDGED,
        shown="" if of is None else str(of),
    )


def _better(claim: Claim, part: Part) -> Finding:
    return _pair(claim, part, margin=0.0, inferior="contradicted")


def _as_good(claim: Claim, part: Part) -> Finding:
    assert part.suite.margin is not None
    return _pair(claim, part, margin=part.suite.margin, inferior="not supported")


def _pair(claim: Claim, part: Part, *, margin: float, inferior: str) -> Finding:
    found = differences(part.suite, part.records, claim.arm, claim.against)
    of = interval(found.values()) if len(found) > 1 else None
    outcome = "no evidence"
    if of is not None and len(found) >= ENOUGH_SEEDS:
        words = {"non-inferior": "supported in direction", "inferior": inferior}
        outcome = words.get(non_inferiority(of, margin), "undecided")
    return Finding(
        outcome=outcome,
        n=len(found),
        interval=of,
        arms=(claim.arm, claim.against),
        shown=written(found) if found else "",
    )


_RULES: dict[str, Callable[[Claim, Part], Finding]] = {
    "quality": _quality,
    "better": _better,
    "as good": _as_good,
}
