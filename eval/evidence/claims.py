"""What became of each claim of the authors: verdict, n, cost, and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.bench.ratios import ratios
from eval.bench.records import BenchRecord
from eval.bench.step import DROPPING
from eval.evidence.arms import Arm, arm_looks
from eval.evidence.contrasts import differences, unit_of, written
from eval.evidence.formatting import percent
from eval.evidence.grid import finished
from eval.evidence.intervals import Interval, interval, non_inferiority
from eval.evidence.paper import Claim
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, ENOUGH_SEEDS, JUDGED, TREATMENT, judge
from eval.evidence.tables import suite_table
from eval.explain.savings import CLAIMED_SAVING, claimed_ramp, savings
from eval.spec import Suite

__all__ = ["Finding", "claim_table", "finding", "in_order", "question_table", "sentence"]

_PAPERS_RATIO = 25.6 / 33.3
"""Wall-clock to compute saved. Source: abstract of arXiv 2211.11586."""
_SAVED = "layer_token_saving_frac"
_OUTCOMES = {
    "non-inferior": "supported in direction",
    "inferior": "contradicted",
    "undecided": "undecided",
}


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
    which = " against ".join(look.label for look in _looks(claim))
    few = f" (n < {ENOUGH_SEEDS})" if found.n < ENOUGH_SEEDS else ""
    unit = unit_of(part.suite, part.records)
    return f"{found.outcome}{few}; {which}, n = {found.n}: {found.shown} {unit}"


def claim_table(
    claims: Sequence[Claim], parts: Sequence[Part], timings: Sequence[BenchRecord]
) -> pd.DataFrame:
    """Return one row a claim and tier; a claim that nothing here examines has a row, too."""
    newest = {record.tier: record for record in timings}
    rows = []
    for claim in claims:
        if claim.rule == "saving":
            found = [_row(claim, _recomputed()) | {"shown_in": "paper.md"}]
        elif claim.rule == "time":
            found = [
                _row(claim, _timed(record)) | {"tier": tier, "shown_in": "bench_step.md"}
                for tier, record in newest.items()
            ]
        else:
            here = [p for p in parts if p.suite.name == claim.suite and _finished(p)]
            found = [_examined(claim, part) for part in here]
        nothing = "not examined" if claim.rule == "none" else "not run yet"
        rows += found or [_row(claim, Finding(outcome=nothing))]
    return pd.DataFrame(rows)


def in_order(claims: Sequence[Claim], parts: Sequence[Part]) -> list[Part]:
    """Return the parts in the order of the claims that they are about; others follow."""
    places = {claim.suite: place for place, claim in reversed(list(enumerate(claims)))}
    return sorted(parts, key=lambda p: (places.get(p.suite.name, len(claims)), p.suite.name))


def question_table(claims: Sequence[Claim], parts: Sequence[Part]) -> pd.DataFrame:
    """Return the verdicts of suites that ask what the authors do not claim, a row each."""
    claimed = {claim.suite for claim in claims if claim.rule == "quality"}
    asked = [p for p in parts if p.suite.margin is not None and p.suite.name not in claimed]
    return pd.DataFrame([_examined(_own(p.suite), p) for p in asked if _finished(p)])


def _own(suite: Suite) -> Claim:
    """Return a suite's question in the shape of a claim."""
    return Claim(
        id=suite.name,
        suite=suite.name,
        rule="quality",
        arm=TREATMENT,
        against=BASELINE,
        short=suite.question,
        paper="none",
        claim=suite.question,
        locator="none",
        evidence="none",
    )


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
    return _pair(claim, part, margin=0.0)


def _as_good(claim: Claim, part: Part) -> Finding:
    assert part.suite.margin is not None
    return _pair(claim, part, margin=part.suite.margin)


def _pair(claim: Claim, part: Part, *, margin: float) -> Finding:
    found = differences(part.suite, part.records, claim.arm, claim.against)
    of = interval(found.values()) if len(found) > 1 else None
    outcome = "no evidence"
    if of is not None and len(found) >= ENOUGH_SEEDS:
        outcome = _OUTCOMES[non_inferiority(of, margin)]
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


def _recomputed() -> Finding:
    table = savings()
    scripts = [
        row["layer_token_saving_frac"]
        for row in table.to_dict("records")
        if row["setting"].startswith("GPT-3 1.3B")
    ]
    return Finding(
        outcome="setting not published",
        shown=(
            f"the authors' scripts save {percent(min(scripts))} to {percent(max(scripts))}; "
            f"{percent(CLAIMED_SAVING)} need a ramp over {100 * claimed_ramp():.0f} % of the run"
        ),
    )


def _timed(record: BenchRecord) -> Finding:
    table = ratios(record.timings).query(f"arm == {DROPPING!r}")
    arrived = (1 - table["step_ratio"]) / (1 - table["layer_token_ratio"])
    return Finding(
        outcome="measured on single steps",
        shown=(
            f"{arrived.min():.2f} to {arrived.max():.2f} of the layer tokens' saving arrive as "
            f"time; the paper's ratio is {_PAPERS_RATIO:.2f}"
        ),
    )


def _row(claim: Claim, found: Finding) -> dict[str, Any]:
    row: dict[str, Any] = {
        "claim": claim.id,
        "short": claim.short,
        "evidence": claim.evidence,
        "suite": claim.suite,
        "verdict": found.outcome,
    }
    if found.n:
        row["n"] = found.n
    if found.interval:
        of = found.interval
        row |= {"difference": of.mean, "low": of.low, "high": of.high}
    return row | ({"shown": found.shown} if found.shown else {})


def _examined(claim: Claim, part: Part) -> dict[str, Any]:
    """Return the row of a finding with its tier, saving, cost and page."""
    found = finding(claim, part)
    row = _row(claim, found) | {
        "tier": part.tier,
        "unit": unit_of(part.suite, part.records),
        "hours": _hours(part, found.arms),
        "shown_in": f"{part.suite.name}.md",
    }
    table = suite_table(part.suite, part.records).set_index("arm")
    if claim.rule == "quality" and TREATMENT in table.index and _SAVED in table:
        row[_SAVED] = table[_SAVED][TREATMENT]
    return row


def _hours(part: Part, arms: Sequence[str]) -> float:
    """Return what the arms' runs cost: hours of one core at the small tiers, of a GPU else."""
    done = finished(part.records)
    costs = [r.cost for arm in arms for r in done.get(arm, {}).values() if r.cost is not None]
    on_cpu = part.tier in ("smoke", "cpu")
    return sum(c.train_cpu_s if on_cpu else c.train_wall_s for c in costs) / 3600


def _finished(part: Part) -> bool:
    return any(record.status == "ok" for record in part.records)


def _looks(claim: Claim) -> list[Arm]:
    looks = arm_looks([claim.arm, claim.against])
    return [looks[claim.arm], looks[claim.against]]
