"""The GLUE average: of which columns, by seed, and when there is none."""

from __future__ import annotations

import dataclasses
from statistics import fmean

import pytest

from eval.evidence.glue.differences import Average, glue_average, glue_data, glue_parts
from eval.evidence.glue.page import glue_headline, glue_markdown, glue_page
from eval.evidence.intervals import interval
from eval.evidence.part import Part
from eval.spec import Tier
from tests.evidence.glue_records import (
    AVERAGED,
    EVERY,
    MISMATCHED,
    NINE,
    TITLES,
    by_seed,
    part,
)


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return glue_parts([part(name) for name in reversed(EVERY)])


def test_the_average_is_of_five_columns_by_seed(parts: list[Part]) -> None:
    found = glue_average(parts)
    assert isinstance(found, Average)
    assert (found.columns, found.seeds) == (5, (0, 1, 2, 3, 4))
    averaged = [p for p in parts if p.suite.name.removeprefix("bert_glue_") in AVERAGED]
    means = {
        arm: [fmean(by_seed(p, arm)[seed] for p in averaged) for seed in range(5)]
        for arm in ("baseline", "random_ltd", "shortened_baseline")
    }
    assert found.baseline == pytest.approx(fmean(means["baseline"]), abs=1e-9)
    for arm, of in found.differences.items():
        expected = interval([a - b for a, b in zip(means[arm], means["baseline"], strict=True)])
        assert (of.mean, of.low, of.high) == pytest.approx(
            (expected.mean, expected.low, expected.high), abs=1e-9
        )


def test_the_papers_average_counts_both_splits_of_mnli() -> None:
    parts = glue_parts([part(name, "paper") for name in NINE])
    found = glue_average(parts)
    assert isinstance(found, Average)
    assert found.columns == 9
    mnli = next(p for p in parts if p.suite.name == "bert_glue_mnli")
    columns = [by_seed(p, "baseline") for p in parts]
    columns.append(by_seed(mnli, "baseline", MISMATCHED))
    expected = fmean(fmean(c[seed] for c in columns) for seed in found.seeds)
    assert found.baseline == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("tier", "names", "columns"),
    [("paper", NINE, 9), ("gpu", NINE[:5], 5)],
)
def test_encoders_pretrained_with_random_ltd_have_an_average_of_their_own(
    tier: Tier, names: tuple[str, ...], columns: int
) -> None:
    pretrained = glue_parts([part(name, tier, "bert_pretrain_") for name in names])
    found = glue_average(pretrained)
    assert isinstance(found, Average)
    assert found.columns == columns
    scores = [by_seed(p, "random_ltd") for p in pretrained]
    if tier == "paper":
        mnli = next(p for p in pretrained if p.suite.name == "bert_pretrain_mnli")
        scores.append(by_seed(mnli, "random_ltd", MISMATCHED))
    expected = fmean(fmean(c[seed] for c in scores) for seed in found.seeds)
    difference = found.differences["random_ltd"].mean
    assert found.baseline + difference == pytest.approx(expected, abs=1e-9)
    assert "layer tokens saved" not in glue_markdown(pretrained)


def test_the_page_keeps_finetuning_and_pretraining_apart(parts: list[Part]) -> None:
    lone = part("sst2", family="bert_pretrain_")
    both = glue_parts([lone, *parts])
    assert both == [*parts, lone]
    page = glue_page(both)
    first, second = page.split("## random-LTD while pretraining, then ordinary finetuning")
    assert glue_markdown(parts) in first
    assert glue_markdown([lone]) in second
    assert "too few of GLUE's own training rows" in second
    assert glue_headline(both) == glue_headline(parts)
    assert set(glue_data([lone])["arm"]) == {"random_ltd", "shortened_baseline"}


@pytest.mark.parametrize(("lost", "title"), [*zip(AVERAGED, TITLES, strict=True)])
def test_there_is_no_average_without_one_of_its_columns(
    parts: list[Part], lost: str, title: str
) -> None:
    rest = [p for p in parts if p.suite.name != f"bert_glue_{lost}"]
    told = f"No average: there are no records with GLUE's own training rows of {title} yet."
    assert glue_average(rest) == told
    assert told in glue_markdown(rest)
    assert "average of" not in glue_markdown(rest)


def test_a_seed_that_is_missing_somewhere_is_left_out_of_the_average(parts: list[Part]) -> None:
    rte = parts[-1]
    records = [r for r in rte.records if (r.experiment.arm, r.seed) != ("shortened_baseline", 2)]
    found = glue_average([*parts[:-1], dataclasses.replace(rte, records=tuple(records))])
    assert isinstance(found, Average)
    assert found.seeds == (0, 1, 3, 4)
