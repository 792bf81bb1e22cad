"""Whether accuracy stays poor until most tokens are kept is told from the curves, seed by seed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.evidence.claims.recovery import recovered
from eval.evidence.claims.tables import claim_table
from eval.evidence.intervals import interval
from eval.evidence.paper.published import load_claims
from eval.evidence.part import Part
from eval.suites import suite as declared_suite
from tests.evidence.test_vit_plots import record

CLAIM = next(claim for claim in load_claims() if claim.rule == "recovery")
KEPT = (11, 30, 51, 53, 65, 65)
"""Of 65 tokens: 51 are under four fifths, 53 are not."""


def evidence(store: Path, shares: list[float]) -> Part:
    """Return runs that end at an accuracy of 0.8 and have a share of it when 51 are kept."""
    suite = declared_suite("vit_finetune")
    records = [record(suite.arm("random_ltd"), seed) for seed in range(len(shares))]
    for made, share in zip(records, shares, strict=True):
        scores = (0.2, 0.1, 0.8 * share, 0.75, 0.78, 0.8)
        rows = {"step": range(6), "kept": KEPT, "val_nll": 1.0, "val_accuracy": scores}
        path = store / str(made.curve)
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
    return Part(suite=suite, records=tuple(records), left_out=())


@pytest.mark.parametrize(
    ("shares", "outcome"),
    [
        ([0.2, 0.25, 0.22, 0.3, 0.2], "seen"),
        ([0.9, 0.95, 0.92, 0.99, 0.9], "not seen"),
        ([0.2, 0.9, 0.5, 0.4, 0.6], "undecided"),
        ([0.2, 0.25, 0.22, 0.3], "no evidence"),
        ([0.2], "no evidence"),
    ],
)
def test_poor_is_less_than_half_of_the_final_accuracy(
    tmp_path: Path, shares: list[float], outcome: str
) -> None:
    found = recovered(evidence(tmp_path, shares), tmp_path)
    assert (found.outcome, found.n) == (outcome, len(shares))
    if outcome != "no evidence":
        of = interval(shares)
        ours = f"{100 * of.mean:.1f} % [{100 * of.low:.1f} %, {100 * of.high:.1f} %]"
        theirs = f"{100 * 21.8 / 97.97:.1f} %"  # the log: at 144 of 197 tokens, and at the end
        assert ours in found.shown
        assert found.shown.endswith(f"in the authors' run {theirs}")


def test_the_claim_stands_in_the_table_with_its_tier_and_cost(tmp_path: Path) -> None:
    of = evidence(tmp_path, [0.9, 0.95, 0.92, 0.99, 0.9])
    (row,) = claim_table([CLAIM], [of], [], tmp_path).to_dict("records")
    assert (row["verdict"], row["tier"], row["n"]) == ("not seen", "cpu", 5)
    assert row["hours"] == pytest.approx(of.hours(["random_ltd"]))
    assert row["shown_in"] == "vit_finetune.md"
    assert list(claim_table([CLAIM], [], [], tmp_path)["verdict"]) == ["not run yet"]
