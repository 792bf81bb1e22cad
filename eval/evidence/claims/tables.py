"""The tables of claims: what became of each, at what cost, and the page that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.bench.records import BenchRecord
from eval.evidence.bench_page import arrived
from eval.evidence.claims.findings import Finding, finding
from eval.evidence.claims.recovery import RECOVERY_SUITE, recovered
from eval.evidence.contrasts import CONTROL, STEP_LR, UNTRAINED, differences, unit_of, written
from eval.evidence.formatting import percent, words
from eval.evidence.grid import common, saves_itself
from eval.evidence.paper.published import Claim
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, TREATMENT
from eval.evidence.tables import suite_table
from eval.evidence.whole_runs import arrived_by_suite
from eval.evidence.zero_shot.scores import has_tasks, mean_of_tasks
from eval.explain.savings import CLAIMED_SAVING, claimed_ramp, savings
from eval.paths import RESULTS

__all__ = ["NOT_EXAMINED", "claim_table", "in_order", "question_table"]

NOT_EXAMINED = "not examined"
_PAPERS_RATIO = 25.6 / 33.3
"""Wall-clock to compute saved. Source: abstract of arXiv 2211.11586."""
_SAVED = "layer_token_saving_frac"
_PAIRS = (
    (
        "bert_glue_sst2",
        "random_ltd_padding_aware",
        "Dropping padding first is better than dropping it like any token",
    ),
)
"""Suite, the arm that random-LTD is compared with, and what would be so."""


def claim_table(
    claims: Sequence[Claim],
    parts: Sequence[Part],
    timings: Sequence[BenchRecord],
    store: Path = RESULTS,
) -> pd.DataFrame:
    """Return one row a claim and tier; a claim that nothing here examines has a row, too."""
    newest = {record.tier: record for record in timings}
    rows = []
    for claim in claims:
        if claim.rule == "saving":
            found = [_row(claim, _recomputed()) | {"shown_in": "paper.md"}]
        elif claim.rule == "time":
            found = [
                _row(claim, _timed(record, parts)) | {"tier": tier, "shown_in": "bench_step.md"}
                for tier, record in newest.items()
            ]
        elif claim.rule == "recovery":
            here = [p for p in parts if p.suite.name == RECOVERY_SUITE and p.has_runs]
            found = [_on_the_way(claim, part, store) for part in here]
        else:
            here = [p for p in parts if p.suite.name == claim.suite and p.has_runs]
            found = [_examined(claim, part, parts) for part in here]
        nothing = NOT_EXAMINED if claim.rule == "none" else "not run yet"
        rows += found or [_row(claim, Finding(outcome=nothing))]
    return pd.DataFrame(rows)


def in_order(claims: Sequence[Claim], parts: Sequence[Part]) -> list[Part]:
    """Return the parts in the order of the claims that they are about; others follow."""
    places = {claim.suite: place for place, claim in reversed(list(enumerate(claims)))}
    return sorted(parts, key=lambda p: (places.get(p.suite.name, len(claims)), p.suite.name))


def question_table(claims: Sequence[Claim], parts: Sequence[Part]) -> pd.DataFrame:
    """Return the verdicts of suites that ask what the authors do not claim, a row each."""
    claimed = {claim.suite for claim in claims if claim.rule == "quality"}
    rows = []
    for part in (p for p in parts if p.has_runs):
        name, measured = part.suite.name, words(part.suite.primary)
        if part.suite.margin is not None and name not in claimed:
            rows.append(_examined(_own(name, part.suite.question, measured), part, parts))
        for suite, arm, short in _PAIRS:
            if suite == name and differences(part.suite, part.records, arm, TREATMENT):
                judged = f"{measured}; asked after the runs"
                rows.append(_examined(_own(name, short, judged, arm), part, parts))
    return pd.DataFrame(rows)


def _own(suite: str, short: str, judged: str, arm: str = "") -> Claim:
    """Return a question of ours in the shape of a claim: a suite's, or whether an arm is better."""
    return Claim(
        id=f"{suite}-{arm}" if arm else suite,
        suite=suite,
        rule="better" if arm else "quality",
        arm=arm or TREATMENT,
        against=TREATMENT if arm else BASELINE,
        short=short,
        judged=judged,
        paper="none",
        claim=short,
        locator="none",
        evidence="none",
    )


def _recomputed() -> Finding:
    table = savings()
    scripts = [
        row["layer_token_saving_frac"]
        for row in table.to_dict("records")
        if row["setting"].startswith("GPT-3 1.3B") and row["equal_steps"]
    ]
    return Finding(
        outcome="recomputed, not trained at",
        shown=(
            f"{percent(CLAIMED_SAVING)} = 1 - 200 B / 300 B, the published layer tokens a layer; "
            f"at equal steps the authors' scripts save {percent(min(scripts))} to "
            f"{percent(max(scripts))}, and {percent(CLAIMED_SAVING)} would need a ramp over "
            f"{100 * claimed_ramp():.0f} % of the run"
        ),
    )


def _timed(record: BenchRecord, parts: Sequence[Part]) -> Finding:
    low, high = arrived(record)
    shown = (
        f"{low:.2f} to {high:.2f} of the layer tokens' saving arrive as time in "
        f"single steps; the paper's ratio is {_PAPERS_RATIO:.2f}"
    )
    if in_runs := arrived_by_suite(parts, record.tier).values():
        shown += f"; as CPU time in whole runs {min(in_runs):.2f} to {max(in_runs):.2f}"
    return Finding(outcome="measured", shown=shown)


def _row(claim: Claim, found: Finding) -> dict[str, Any]:
    row: dict[str, Any] = {
        "claim": claim.id,
        "short": claim.short,
        "judged": claim.judged,
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


def _on_the_way(claim: Claim, part: Part, store: Path) -> dict[str, Any]:
    found = recovered(part, store)
    cost = {"hours": part.hours(found.arms)} if found.arms else {}
    return _row(claim, found) | cost | {"tier": part.tier, "shown_in": f"{part.suite.name}.md"}


def _examined(claim: Claim, part: Part, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the row of a finding with its tier, saving, cost and page."""
    found = finding(claim, part)
    row = _row(claim, found) | {
        "tier": part.tier,
        "unit": unit_of(part.suite, part.records),
        "hours": part.hours(found.arms),
        "shown_in": f"{part.suite.name}.md",
    }
    if claim.against == STEP_LR:
        return row | _control(part)
    if claim.rule != "quality":
        return row
    saved = _saving(part, parts)
    return row | ({} if saved is None else {_SAVED: saved}) | _beside(part)


def _beside(part: Part) -> dict[str, str]:
    """Return what belongs beside a verdict: zero-shot scores, and what pretraining itself gave."""
    said = []
    if has_tasks(part.records) and len(common(part.records, TREATMENT, BASELINE)) > 2:
        mean = mean_of_tasks(part.suite, part.records)
        said.append(f"zero-shot, bits per byte of the right answer, mean of tasks: {mean}")
    if itself := differences(part.suite, part.records, BASELINE, UNTRAINED):
        said.append(f"the baseline's pretraining itself: {written(itself)}")
    return {"beside": "; ".join(said)} if said else {}


def _control(part: Part) -> dict[str, str]:
    """Return what the same learning-rate curve changes where nothing is dropped, and the rest."""
    while_dropping = differences(part.suite, part.records, TREATMENT, STEP_LR)
    alone = differences(part.suite, part.records, CONTROL, BASELINE)
    both = {n: while_dropping[n] - alone[n] for n in while_dropping if n in alone}
    if not both:
        return {}
    said = f"the same curve with nothing dropped: {written(alone)}; difference of the two:"
    return {"beside": f"{said} {written(both)}"}


def _saving(part: Part, parts: Sequence[Part]) -> float | None:
    """Return the layer tokens that random-LTD saved, in the pretraining if that is what saved."""
    before = part.suite.arms[0].pretrained
    if before is not None and not saves_itself(part.records):
        earlier = [p for p in parts if (p.suite.name, p.tier) == (before.suite, before.tier)]
        part = earlier[0] if earlier and earlier[0].has_runs else part
    table = suite_table(part.suite, part.records).set_index("arm")
    if TREATMENT not in table.index or _SAVED not in table:
        return None
    return float(table.to_dict("index")[TREATMENT][_SAVED])
