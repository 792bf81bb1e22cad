"""The authors' numbers: each with its locator and how well it was read."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.errors import UserError
from eval.evidence.paper.published import EVIDENCE, load_claims, load_reported
from eval.paths import RESULTS

PAPER = RESULTS / "paper"


def test_each_published_number_has_a_locator_and_a_grade():
    rows = load_reported()
    assert rows
    for row in rows:
        assert "http" in row.locator or "section" in row.locator
        assert row.evidence in EVIDENCE


def test_each_claim_has_a_locator_and_a_grade():
    claims = load_claims()
    assert claims
    assert all(claim.locator and claim.evidence in EVIDENCE for claim in claims)


def test_the_gpt_finetuning_row_is_the_published_one():
    values = {row.arm: row.value for row in load_reported() if row.suite == "gpt_finetune"}
    assert values == {"baseline": 16.11, "random_ltd": 15.9}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",per token,", ",,", "has no unit"),
        ("16.11", "about 16", "no number"),
        ("16.11", "nan", "no number"),
        ("authors' documentation", "memory", "is none of"),
        ("ptb-gpt2-350m-random-ltd", "ptb-gpt2-350m-baseline", "occurs twice"),
        ("gpt-finetuning-quality", "another-claim", "names the claim"),
        ("locator", "place", "columns must be"),
    ],
)
def test_a_bad_row_is_refused(tmp_path: Path, old: str, new: str, message: str):
    text = (PAPER / "reported.csv").read_text()
    assert old in text
    (tmp_path / "claims.csv").write_text((PAPER / "claims.csv").read_text())
    (tmp_path / "reported.csv").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_reported(tmp_path / "reported.csv")
