"""Every claim is judged by its own rule, and none is left out of the table."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from eval.bench.records import load_bench
from eval.errors import UserError
from eval.evidence.arms import ARMS
from eval.evidence.canvas import save
from eval.evidence.claims.findings import finding, sentence
from eval.evidence.claims.page import claims_headline, claims_page, published_beside_ours
from eval.evidence.claims.plot import claims_data, plot_claims
from eval.evidence.claims.tables import claim_table, in_order, question_table
from eval.evidence.contrasts import CONTROL, STEP_LR
from eval.evidence.intervals import interval
from eval.evidence.paper.published import Claim, load_claims
from eval.evidence.part import Part
from eval.evidence.stats import judge
from eval.paths import RESULTS
from eval.suites import SUITES, suite
from tests.evidence.synthetic import make_failed, make_records, make_suite
from tests.evidence.test_contrasts import differences, evidence

QUALITY = next(c for c in load_claims() if c.suite == "gpt_finetune")
RATE = dataclasses.replace(QUALITY, id="rate", rule="better", against=STEP_LR, short="The rate")
AS_GOOD = dataclasses.replace(RATE, rule="as good")


def part(**changes: object) -> Part:
    suite, records = evidence()
    return Part(suite=dataclasses.replace(suite, **changes), records=tuple(records), left_out=())


def only(of: Part, keep) -> Part:
    return dataclasses.replace(of, records=tuple(r for r in of.records if keep(r)))


def test_quality_is_the_verdict_of_the_suite() -> None:
    of = part()
    verdict = judge(of.suite, of.records)
    found = finding(QUALITY, of)
    assert (found.outcome, found.n) == (verdict.outcome, 5)
    assert found.interval == verdict.quality_interval
    assert sentence(QUALITY, of) == f"{verdict.outcome}, n = 5"


def test_better_asks_for_an_interval_above_zero() -> None:
    found = interval(differences(part().records, "random_ltd", STEP_LR))
    assert found.low > 0
    told = f"random-LTD against random-LTD, LR by steps, n = 5: {found} bits/byte"
    assert sentence(RATE, part()) == f"supported in direction; {told}"
    assert finding(RATE, part(higher_is_better=True)).outcome == "contradicted"


@pytest.mark.parametrize(
    ("margin", "outcome"),
    [
        (0.0, "not supported"),
        (None, "undecided"),
        (1.0, "supported in direction"),
    ],
)
def test_as_good_asks_for_an_interval_above_minus_the_margin(
    margin: float | None, outcome: str
) -> None:
    found = interval(differences(part().records, "random_ltd", STEP_LR))
    between = abs(found.mean)  # of the losses that the interval holds
    of = part(higher_is_better=True, margin=between if margin is None else margin)
    assert finding(AS_GOOD, of).outcome == outcome


@pytest.mark.parametrize("claim", [RATE, AS_GOOD])
def test_fewer_than_five_seeds_are_no_evidence(claim: Claim) -> None:
    few = only(part(), lambda r: r.seed < 3)
    assert sentence(claim, few).startswith("no evidence (n < 5); random-LTD against ")
    one = only(part(), lambda r: r.seed < 1)
    assert "(no interval)" in sentence(claim, one)
    assert finding(claim, one).interval is None
    without = only(part(), lambda r: r.experiment.arm != STEP_LR)
    assert sentence(claim, without) == "no evidence: no seed has finished in both arms"


def test_the_table_has_a_row_for_every_claim_with_its_cost_and_its_page() -> None:
    of = part()
    rows = {r["claim"]: r for r in claim_table(load_claims(), [of], []).to_dict("records")}
    assert list(rows) == [claim.id for claim in load_claims()]
    ours = rows[QUALITY.id]
    judged = [r for r in of.records if r.experiment.arm in ("baseline", "random_ltd")]
    judged += [r for r in of.records if r.experiment.arm == "shortened_baseline"]
    assert ours["hours"] == pytest.approx(sum(r.cost.train_cpu_s for r in judged if r.cost) / 3600)
    assert (ours["tier"], ours["shown_in"], ours["unit"]) == ("cpu", "gpt_finetune.md", "bits/byte")
    assert 0 < ours["layer_token_saving_frac"] < 0.5
    for claim in load_claims():
        nothing = {"none": "not examined", "saving": "recomputed, not trained at"}
        if claim.id != QUALITY.id:
            assert rows[claim.id]["verdict"] == nothing.get(claim.rule, "not run yet")


def test_the_rate_stands_beside_its_curve_where_nothing_is_dropped() -> None:
    (row,) = claim_table([RATE], [part()], []).to_dict("records")
    dropping = differences(part().records, "random_ltd", STEP_LR)
    alone = differences(part().records, CONTROL, "baseline")
    both = interval(a - b for a, b in zip(dropping, alone, strict=True))
    assert row["beside"].startswith(f"the same curve with nothing dropped: {interval(alone)};")
    assert row["beside"].endswith(str(both))
    without = only(part(), lambda r: r.experiment.arm != CONTROL)
    assert "beside" not in claim_table([RATE], [without], [])


def test_each_tier_has_a_row_of_its_own() -> None:
    parts = []
    for tier in ("cpu", "gpu"):
        suite = make_suite(tier=tier)
        parts.append(Part(suite=suite, records=tuple(make_records(suite)), left_out=()))
    table = claim_table([QUALITY], parts, [])
    assert list(table["tier"]) == ["cpu", "gpu"]
    cpu, gpu = (p.records[0].cost for p in parts)
    assert cpu
    assert gpu
    assert table["hours"][1] / table["hours"][0] == pytest.approx(
        gpu.train_wall_s / cpu.train_cpu_s
    )  # of a GPU, the clock; of a core, its time


def test_a_suite_that_only_failed_says_nothing() -> None:
    suite = make_suite()
    failed = Part(suite=suite, records=(make_failed(suite.arms[0], 0),), left_out=())
    assert list(claim_table([QUALITY], [failed], [])["verdict"]) == ["not run yet"]
    assert question_table([], [failed]).empty
    assert claims_data([failed]).empty


def test_what_the_authors_do_not_claim_has_a_table_of_its_own() -> None:
    of = part()
    assert question_table([QUALITY], [of]).empty
    (row,) = question_table([RATE], [of]).to_dict("records")
    assert row["short"] == of.suite.question
    pilot = part(margin=None)
    assert question_table([], [pilot]).empty


def test_the_figure_holds_both_differences_in_margins() -> None:
    of = part()
    verdict = judge(of.suite, of.records)
    data = claims_data([of]).set_index("against")
    for arm, found in (
        ("baseline", verdict.quality_interval),
        ("shortened_baseline", verdict.shortened_interval),
    ):
        assert found is not None
        assert data["margins"][arm] == pytest.approx(found.mean / of.suite.margin)
        assert data["low"][arm] == pytest.approx(found.low / of.suite.margin)
        assert data["high"][arm] == pytest.approx(found.high / of.suite.margin)
    axes = plot_claims([of]).axes[0]
    drawn = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in drawn] == list(data["margins"])
    assert [line.get_color() for line in drawn] == [ARMS[arm].color for arm in data.index]
    assert verdict.outcome in [text.get_text() for text in axes.texts]


def test_the_figure_is_repeated_byte_for_byte(tmp_path: Path) -> None:
    made = [save(plot_claims([part()]), tmp_path / n, claims_data([part()]))[0] for n in "ab"]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_claimed_suites_come_first_in_the_order_of_the_claims() -> None:
    names = ("zeta", "gpt_finetune", "bert_pretrain", "gpt_pretrain", "alpha")
    parts = [part(name=name) for name in names]
    found = [p.suite.name for p in in_order(load_claims(), parts)]
    assert found == ["gpt_pretrain", "bert_pretrain", "gpt_finetune", "alpha", "zeta"]


def test_the_page_has_every_claim_with_its_source_and_verdict() -> None:
    of = part()
    table = claim_table(load_claims(), [of], load_bench(RESULTS))
    page = claims_page(table, question_table(load_claims(), [of]), load_claims())
    block = claims_headline(table, question_table(load_claims(), [of]), (), "What it cost.")
    for claim in load_claims():
        assert page.count(f"**{claim.short}.** {claim.claim}") == 1
        assert claim.locator in page
        assert claim.short in block
    assert "](gpt_finetune.md)" in page
    assert f"[{judge(of.suite, of.records).outcome}](results/summary/gpt_finetune.md)" in block
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_missing_runs_are_named_before_the_first_table() -> None:
    of = only(part(), lambda r: (r.experiment.arm, r.seed) != ("random_ltd", 2))
    (gap,) = of.gaps
    table = claim_table(load_claims(), [of], [])
    page = claims_page(table, question_table([], [of]), load_claims(), of.gaps)
    block = claims_headline(table, question_table([], [of]), of.gaps)
    for text in (page, block):
        assert text.index(f"Incomplete: {gap}.") < text.index("| ---")
    assert "random_ltd seed 2" in gap


def test_published_numbers_stand_beside_ours_where_there_are_any() -> None:
    said = published_beside_ours([part(), part(name="nothing_published")])
    assert said.startswith("### gpt_finetune, ours at tier cpu")
    assert "16.11" in said
    assert "nothing_published" not in said


def test_every_claim_about_arms_names_arms_that_its_suite_has() -> None:
    for claim in load_claims():
        if claim.rule not in ("quality", "better", "as good"):
            continue
        declared = [suite(claim.suite, tier) for tier in SUITES[claim.suite].declared]
        full = [s for s in declared if {claim.arm, claim.against} <= {e.arm for e in s.arms}]
        assert full, claim.id
        assert claim.rule != "as good" or all(s.margin is not None for s in full)


def test_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    table = pd.read_csv(RESULTS / "paper" / "claims.csv")
    table.loc[0, "rule"] = "hearsay"
    table.to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(UserError, match="'hearsay', none of"):
        load_claims(tmp_path / "claims.csv")
