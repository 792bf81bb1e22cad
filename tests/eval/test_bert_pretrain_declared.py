"""Masked pretraining and what follows it, as declared: the paper's budgets, arms that are what
they are called, and the path of the paper's settings at toy size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.models.encoders import SCRATCH_ENCODERS
from eval.spec import Experiment, Tier
from eval.suites import SUITES, suite
from eval.suites.bert_pretrain_large import ONE_SEED
from eval.suites.budget import layer_tokens
from rltd_core import KeptLength
from tests.eval.experiments import whole_run
from tests.eval.test_bert_declared import LAYERS, ROWS, assert_shortened, differing
from tests.eval.test_paper_tier import toy

TIERS = tuple(SUITES["bert_pretrain"].declared)
FINETUNINGS: list[tuple[str, Tier]] = [
    (name, tier)
    for name, entry in SUITES.items()
    for tier in entry.declared
    if name.startswith("bert_pretrain_") and name.removeprefix("bert_pretrain_") in ROWS
]
PAPER = suite("bert_pretrain", "paper")


def tokens(experiment: Experiment) -> int:
    return experiment.steps * experiment.batch * experiment.length


def saving(dropping: Experiment) -> float:
    """Return the layer tokens saved against the same steps at full length, in percent."""
    return 100 * (1 - layer_tokens(dropping, num_layers=24) / (24 * tokens(dropping)))


def test_the_number_of_layers_is_that_of_the_model() -> None:
    for experiment in (arm for tier in TIERS for arm in suite("bert_pretrain", tier).arms):
        assert SCRATCH_ENCODERS[experiment.model].num_layers == LAYERS[experiment.model]


def test_bert_large_is_pretrained_on_the_published_tokens_at_the_published_saving() -> None:
    # Paper: section 5.2; 31.1 % and 26.2 % are those of section 4.2.
    baseline, dropping = PAPER.arm("baseline"), PAPER.arm("random_ltd")
    assert (baseline.model, baseline.data, baseline.batch) == ("bert-large", "pile", 1024)
    assert (baseline.length, baseline.steps) == (512, 2_000_000)
    assert round(tokens(baseline) / 1e9) == 1049
    assert round(saving(dropping), 1) == 31.1
    other = KeptLength.from_interval(start=200, full=512, interval_tokens=48e9)
    assert round(saving(replace(dropping, kept=other)), 1) == 26.2
    plan = baseline.optimization
    assert (plan.peak_lr, plan.minimum * plan.peak_lr) == (1e-4, pytest.approx(1e-5))
    assert (plan.beta1, plan.beta2, plan.weight_decay, plan.clip) == (0.9, 0.999, 0.01, 1.0)
    assert (plan.warmup_steps, plan.shape, plan.clock) == (10_000, "linear", "steps")
    assert PAPER.arm("random_ltd").optimization.authors_form


@pytest.mark.parametrize("tier", TIERS)
def test_pretraining_arms_differ_in_exactly_what_their_names_say(tier: Tier) -> None:
    arms = {e.arm: e for e in suite("bert_pretrain", tier).arms}
    baseline, dropping, control = (arms[n] for n in ("baseline", "random_ltd", "lr_control"))
    on_layer_tokens = replace(
        baseline.optimization, clock="layer_tokens", authors_form=tier == "paper"
    )
    assert differing(dropping, baseline) - {"optimization"} == {"kept"}
    assert dropping.optimization == on_layer_tokens
    assert dropping.kept.start == baseline.length / 4
    assert differing(control, baseline) == {"optimization"}
    assert control.optimization.clock_kept == dropping.kept
    if tier != "paper":  # whose form has no clock of another run
        assert control.optimization == replace(on_layer_tokens, clock_kept=dropping.kept)
    assert_shortened(arms["shortened_baseline"], baseline, dropping)
    for name in ("baseline", "random_ltd"):
        assert differing(arms[f"{name}_dropout"], arms[name]) == {"dropout"}
        assert (arms[name].dropout, arms[f"{name}_dropout"].dropout) == (None, 0.1)
    by_steps = arms["random_ltd_step_lr"]
    assert differing(by_steps, dropping) == {"optimization"}
    assert by_steps.optimization == baseline.optimization
    for name in ("baseline", "random_ltd") if tier == "cpu" else ():
        higher = arms[f"{name}_higher_peak"]
        assert differing(higher, arms[name]) == {"optimization"}
        assert higher.optimization == replace(arms[name].optimization, peak_lr=2e-3)
    assert len(arms) == (9 if tier == "cpu" else 7)
    assert all(e.keep for e in arms.values())


def test_the_lr_control_warms_up_for_as_many_steps_as_random_ltd() -> None:
    dropping, control = PAPER.arm("random_ltd"), PAPER.arm("lr_control")
    assert dropping.optimization.authors_form
    assert not control.optimization.authors_form
    warmup = dropping.optimization.warmup_steps
    budget = 24 * warmup * dropping.batch * dropping.length  # the authors': at full length
    steps = control.optimization.warmup_steps
    for count, ended in ((steps, False), (steps + 1, True)):
        used = layer_tokens(replace(dropping, steps=count), num_layers=24)
        assert (used > budget) == ended


def test_pilots_of_pretraining_read_no_reported_text_and_keep_no_model() -> None:
    for ending in ("pilot", "pilot_2", "pilot_3", "spread", "spread_3"):
        declared = suite(f"bert_pretrain_{ending}")
        assert {(e.eval_split, e.keep) for e in declared.arms} == {("validation", False)}
        for tier in TIERS:
            assert not set(declared.seeds) & set(suite("bert_pretrain", tier).seeds)
            assert {e.eval_split for e in suite("bert_pretrain", tier).arms} == {"test"}


@pytest.mark.parametrize(("name", "tier"), FINETUNINGS)
def test_finetuned_arms_differ_in_what_they_begin_with_alone(name: str, tier: Tier) -> None:
    first, second = suite("bert_pretrain", tier), suite(name, tier)
    *pretrained, untrained = second.arms
    assert [(e.arm, e.pretrained) for e in pretrained] == [(e.arm, e) for e in first.arms]
    for e in second.arms:
        assert differing(e, second.arms[0]) <= {"pretrained"}
        assert (e.kept.start, e.kept.ramp, e.dropout) == (e.length, 0, 0.1)  # nothing is dropped
    assert untrained.arm == "no_pretraining"
    still, baseline = untrained.pretrained, first.arm("baseline")
    assert still is not None
    assert differing(still, baseline) == {"steps", "optimization"}
    assert (still.steps, still.optimization.peak_lr) == (1, 0)


@pytest.mark.parametrize(("name", "tier"), FINETUNINGS)
def test_seeds_of_finetuning_begin_with_a_seed_that_pretraining_has(name: str, tier: Tier) -> None:
    declared, pretraining = suite(name, tier), suite("bert_pretrain", tier)
    for e in declared.arms:
        first = declared.seeds if e.pretrained_seed is None else (e.pretrained_seed,)
        assert set(first) <= set(pretraining.seeds)
    if tier == "paper":  # Paper: one pretraining run, five seeds of finetuning
        assert {e.pretrained_seed for e in declared.arms} == {0}
        assert declared.seeds == (1234, 1235, 1236, 1237, 1238)


@pytest.mark.parametrize(("name", "tier"), FINETUNINGS)
def test_finetuning_says_of_what_its_caveats_are(name: str, tier: Tier) -> None:
    declared, pretraining = suite(name, tier), suite("bert_pretrain", tier)
    told = [note.removeprefix("Pretraining: ") for note in declared.caveats]
    about = [note for note in declared.caveats if note.startswith("Pretraining: ")]
    if tier == "paper":  # several seeds of finetuning, and so a verdict: of these weights
        assert any("a verdict is about these weights" in note for note in about)
        assert set(pretraining.caveats) - set(told) == {ONE_SEED}
    elif tier != "smoke":
        assert [f"Pretraining: {note}" for note in pretraining.caveats] == about


def test_the_papers_encoders_are_finetuned_as_the_published_ones() -> None:
    for task in ROWS:
        ours = suite(f"bert_pretrain_{task}", "paper").arm("baseline")
        published = suite(f"bert_glue_{task}", "paper").arm("baseline")
        assert differing(ours, published) - {"suite"} == {
            *("model", "dropout"),
            *("pretrained", "pretrained_seed"),
        }


@pytest.mark.parametrize("name", [e.arm for e in PAPER.arms])
def test_every_pretraining_arm_of_the_paper_runs_at_toy_size(
    name: str, cache: Path, tmp_path: Path
) -> None:
    experiment = replace(toy(PAPER.arm(name)), model="bert-toy")
    record = whole_run(experiment, tmp_path)
    assert record.cost is not None
    assert record.cost.layer_tokens == layer_tokens(experiment, num_layers=4)
    assert record.measurements["masked_nats"].value > 0
    assert "trained_weights" in record.hashes


@pytest.mark.parametrize("name", ["random_ltd", "no_pretraining"])
def test_finetuning_what_the_paper_pretrains_runs_at_toy_size(
    name: str, cache: Path, tmp_path: Path
) -> None:
    declared = suite("bert_pretrain_sst2", "paper").arm(name)
    assert declared.pretrained is not None
    first = replace(toy(declared.pretrained), model="bert-toy")
    if name == "no_pretraining":
        first = replace(first, steps=1)
    second = replace(toy(declared), model="bert-toy", data="sst2", pretrained=first)
    before = whole_run(first, tmp_path / "first", seed=0)
    after = whole_run(second, tmp_path / "second", seed=1234)
    assert after.hashes["pretrained_weights"] == before.hashes["trained_weights"]
    assert after.measurements["accuracy"].n == 4
