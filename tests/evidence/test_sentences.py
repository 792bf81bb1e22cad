"""Sentences and labels about a suite's runs, for every kind of task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.evidence.part import part_of
from eval.evidence.sentences import loss_name, size_sentence, time_sentence
from eval.suites import suite
from tests.evidence.synthetic import make_experiment, make_records, make_suite


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt_pretrain", "validation loss (nats per token)"),
        ("bert_pretrain", "validation loss\n(nats per masked token)"),
        ("bert_glue_sst2", "held-out cross-entropy (nats)"),
        ("bert_glue_stsb", "held-out squared error"),
    ],
)
def test_the_loss_of_a_curve_is_named_by_what_is_learned(name: str, said: str) -> None:
    assert loss_name(suite(name, "cpu")) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt_pretrain", "8 x 256 tokens, bfloat16"),
        ("gpt_pretrain", "random-LTD keeps 64 to 256 over 280 steps; measured on 512 windows"),
        ("bert_glue_sst2", "32 x 56 tokens, padding included, bfloat16"),
        ("bert_glue_sst2", "keeps 14 to 56 over 316 steps; measured on all rows of the validation"),
        ("bert_pretrain_pilot_3", "learning rate 0.001 or 0.0014 or 0.002 or 0.0028 after 80"),
        ("gpt_pretrain", "learning rate 0.0014 after 80"),  # an arm with another one is a caveat
        ("bert_pretrain_sst2", "then linear decay; measured on all rows of the validation split."),
    ],
)
def test_the_size_of_the_runs_is_what_the_suite_declares(name: str, said: str) -> None:
    assert said in size_sentence(suite(name, "cpu"))


def test_time_saved_is_told_of_runs_that_differ_in_more_than_what_they_begin_with() -> None:
    declared = make_suite()
    assert "random-LTD" in time_sentence("cpu", make_records(declared))
    first = make_experiment("random_ltd", objective="masked")
    begun = [replace(e, objective="labels", pretrained=first) for e in declared.arms]
    assert "random-LTD" in time_sentence("cpu", make_records(replace(declared, arms=tuple(begun))))
    firsts = [make_experiment(e.arm, objective="masked") for e in declared.arms]
    begun = [replace(e, pretrained=first) for e, first in zip(begun, firsts)]
    assert time_sentence("cpu", make_records(replace(declared, arms=tuple(begun)))) == ""


def test_a_suite_without_a_margin_has_no_verdict_and_says_why() -> None:
    declared = replace(make_suite(), margin=None)
    said = part_of(declared, make_records(declared)).conclusion
    assert said == "A pilot: it chose settings for another suite and has no verdict."
    one = replace(declared, arms=declared.arms[:1])
    assert "nothing is compared" in part_of(one, make_records(one)).conclusion
