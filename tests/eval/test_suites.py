"""What a suite declares: its arms, its tiers, and a progress that its margin can judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.errors import UserError
from eval.paths import RESULTS
from eval.record import load_record
from eval.runner import plan
from eval.suites import SUITES, suite
from tests.eval.experiments import ARMS, arm, short, whole_run


def test_an_unknown_arm_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match=r"'nonsense'.*baseline.*random_ltd.*shortened_baseline"):
        suite("gpt_finetune", "smoke").arm("nonsense")


def test_a_suite_can_be_narrowed_to_some_of_its_arms() -> None:
    declared = suite("gpt_finetune", "smoke")
    narrow = declared.with_arms(["random_ltd", "baseline"])
    assert narrow.arms == (declared.arm("random_ltd"), declared.arm("baseline"))
    assert replace(narrow, arms=declared.arms) == declared
    with pytest.raises(UserError, match="no arm 'nonsense'"):
        declared.with_arms(["baseline", "nonsense"])


def test_an_unknown_suite_or_tier_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown suite 'gpt'; did you mean gpt_finetune or "):
        suite("gpt")
    with pytest.raises(UserError, match=r"gpt_finetune is declared at smoke.* not at gpu"):
        suite("gpt_finetune", "gpu")


@pytest.mark.parametrize(
    ("name", "tier"), [(name, tier) for name, entry in SUITES.items() for tier in entry.declared]
)
def test_every_declared_suite_is_valid(name: str, tier: Any) -> None:
    declared = suite(name, tier)
    assert declared.name == name
    assert declared.seeds
    assert len({e.arm for e in declared.arms}) == len(declared.arms)
    for experiment in declared.arms:
        assert (experiment.suite, experiment.tier) == (name, tier)


@pytest.mark.usefixtures("smoke")
def test_what_was_learned_has_the_unit_of_the_margin_in_every_suite(tmp_path: Path) -> None:
    measured = dict(whole_run(arm("baseline", **short()), tmp_path).measurements)
    for path in (RESULTS / "runs").rglob("*.json"):
        measured |= load_record(path).measurements
    for name, entry in SUITES.items():
        for tier in entry.declared:
            declared = suite(name, tier)
            units = {measured[m].unit for m in (declared.primary, *declared.progress)}
            assert len(units) == 1, (name, tier)


def test_a_suite_whose_progress_is_another_measurement_is_refused() -> None:
    declared = suite("gpt_finetune", "smoke")
    with pytest.raises(ValueError, match="held against the margin of perplexity"):
        replace(declared, primary="perplexity")
    for after in ("validation_perplexity", "bits_per_byte"):
        with pytest.raises(ValueError, match="gpt_finetune, start_bits_per_byte to"):
            replace(declared, progress=("start_bits_per_byte", after))


def test_arms_of_the_headline_suite_differ_in_the_fields_that_name_them() -> None:
    baseline, dropping, shortened = (arm(name) for name in ARMS)
    assert replace(dropping, arm="baseline", kept=baseline.kept) == baseline
    assert replace(shortened, arm="baseline", steps=baseline.steps) == baseline


@pytest.mark.usefixtures("smoke")
def test_every_run_has_a_folder_of_its_own(out: Path) -> None:
    jobs = plan([arm(name) for name in ARMS], [0, 1], out)
    assert len({job.folder for job in jobs}) == len(jobs) == 6
