"""The paper's own settings for GPT: the budgets they declare, and their path at toy size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.record import Record
from eval.spec import Experiment
from eval.suites import SUITES, suite
from eval.suites.budget import (
    at_warmup_fraction,
    layer_tokens,
    shortened_steps,
    steps_to_effective_tokens,
    steps_within_layer_tokens,
    three_arms,
)
from eval.suites.gpt_finetune_paper import FINETUNE_PAPER
from rltd_core import KeptLength
from tests.eval.experiments import arm, whole_run

PRETRAIN = {"gpt_pretrain": 512, "gpt_pretrain_350m": 256}
LAYERS = {"gpt3-1.3b": 24, "gpt3-350m": 24, "gpt2": 12, "gpt2-medium": 24}
TOY_STEPS = 10
ARMS = [
    (name, e.arm)
    for name, entry in SUITES.items()
    if "paper" in entry.declared
    for e in entry.declared["paper"]().arms
    if e.objective == "language"
]
"""Encoders have a module of their own: test_bert_declared."""


def paper(name: str, arm_name: str) -> Experiment:
    return suite(name, "paper").arm(arm_name)


def billions_a_layer(experiment: Experiment) -> float:
    used = layer_tokens(experiment, num_layers=LAYERS[experiment.model])
    return round(used / LAYERS[experiment.model] / 1e9, 1)


def saving(experiment: Experiment, num_layers: int) -> float:
    """Return the layer tokens saved against the same steps at full length, in percent."""
    full = num_layers * experiment.steps * experiment.batch * experiment.length
    return 100 * (1 - layer_tokens(experiment, num_layers=num_layers) / full)


@pytest.mark.parametrize("name", PRETRAIN)
def test_300_b_raw_tokens_cost_209_b_layer_tokens_a_layer(name: str) -> None:
    # Paper: section 4.3, first row.
    dropping = paper(name, "random_ltd")
    assert dropping.batch == PRETRAIN[name]
    assert round(dropping.steps * dropping.batch * 2048 / 1e9, 1) == 300.0
    assert billions_a_layer(dropping) == 209.0
    assert round(saving(dropping, 24), 1) == 30.3
    per_step = dropping.batch * 2048
    full_at = dropping.kept.ramp / per_step / dropping.steps
    assert round(100 * full_at, 1) == 70.0


@pytest.mark.parametrize(
    ("raw", "interval", "expected", "saved"),
    [
        (180, 1.0, 128.0, 28.9),
        (360, 2.0, 256.0, 28.9),
        (500, 3.85, 299.8, 40.0),
        (400, 1.75, 309.0, 22.8),
    ],
)
def test_the_other_published_runs_have_their_layer_tokens(
    raw: int, interval: float, expected: float, saved: float
) -> None:
    kept = KeptLength.from_interval(start=128, full=2048, interval_tokens=round(interval * 1e9))
    steps = round(raw * 1e9 / (512 * 2048))
    run = replace(paper("gpt_pretrain", "random_ltd"), kept=kept, steps=steps)
    assert billions_a_layer(run) == expected
    of_rounded = 100 * (1 - expected / raw)  # as the sheet has it: 22.75 for the last one
    assert round(of_rounded + 1e-9, 1) == saved
    assert saving(run, 24) == pytest.approx(of_rounded, abs=100 * 0.05 / raw + 1e-3)


def test_at_equal_layer_tokens_random_ltd_reads_the_authors_raw_tokens() -> None:
    # Paper: section 4.3: 372.8k iterations, 390.9 B raw tokens; ours ends a few steps later, as
    # 300 B tokens are rounded up to steps and the staircase is the research scripts'.
    longer = paper("gpt_pretrain", "random_ltd_equal_layer_tokens")
    assert longer.steps == pytest.approx(372_800, rel=5e-4)
    assert longer.steps * 512 * 2048 == pytest.approx(390.9e9, rel=5e-4)
    budget = layer_tokens(paper("gpt_pretrain", "baseline"), num_layers=24)
    used = layer_tokens(longer, num_layers=24)
    assert budget - 24 * 512 * 2048 < used <= budget


def test_gpt2_mediums_logged_run_has_its_layer_tokens() -> None:
    # Paper: section 4.2; both DeepSpeed's staircase and 524 steps, 400 of them on the ramp.
    logged = paper("gpt_finetune_ptb_tutorial_gpt2_medium", "random_ltd")
    assert (logged.steps, logged.kept.ramp_steps) == (524, 400)
    assert layer_tokens(logged, num_layers=24) == 35_567_104
    baseline = paper("gpt_finetune_ptb_tutorial_gpt2_medium", "baseline")
    assert layer_tokens(baseline, num_layers=24) == 51_511_296
    assert round(saving(logged, 24), 2) == 30.95


@pytest.mark.parametrize(("model", "steps"), [("gpt2", 672), ("gpt2_medium", 687)])
def test_the_tutorials_run_ends_at_the_effective_tokens_of_the_baseline(
    model: str, steps: int
) -> None:
    # Paper: section 5.4; the log of gpt2 says 2,148,032. That of gpt2-medium, 2,147,024, ends
    # after the first forward of step 687, which is half of it: 2,048 tokens.
    name = f"gpt_finetune_ptb_tutorial_{model}"
    run, num_layers = paper(name, "random_ltd_equal_layer_tokens"), {"gpt2": 12}.get(model, 24)
    target = paper(name, "baseline").steps * 4 * 1024
    assert target == 2_146_304
    assert run.steps == steps == steps_to_effective_tokens(run, target, num_layers=num_layers)
    assert steps_to_effective_tokens(run, target + 4096, num_layers=num_layers) == steps + 1


@pytest.mark.parametrize(("name", "arm_name"), ARMS)
def test_shortened_baselines_have_random_ltds_layer_tokens_and_the_warmup_fraction(
    name: str, arm_name: str
) -> None:
    baseline, short = paper(name, "baseline"), paper(name, "shortened_baseline")
    layers = LAYERS[baseline.model]
    a_step = layers * baseline.batch * baseline.length
    used = layer_tokens(paper(name, "random_ltd"), num_layers=layers)
    assert 0 <= layer_tokens(short, num_layers=layers) - used < a_step
    warmup = [e.optimization.warmup_steps / e.steps for e in (baseline, short)]
    assert warmup[1] == pytest.approx(warmup[0], abs=0.5 / short.steps)


def test_arms_differ_in_what_their_names_say() -> None:
    for name in PRETRAIN:
        baseline, dropping = paper(name, "baseline"), paper(name, "random_ltd")
        assert replace(dropping, arm="baseline", kept=baseline.kept) == baseline
        step_lr = paper(name, "random_ltd_step_lr")
        assert (step_lr.kept, step_lr.optimization.clock) == (dropping.kept, "steps")
        control = paper(name, "lr_control")
        assert control.kept == baseline.kept
        assert control.optimization.clock_kept == dropping.kept
        rate = baseline.optimization
        assert rate.peak_lr * rate.minimum == pytest.approx(1e-6, rel=1e-12)
    for name in FINETUNE_PAPER:
        baseline, dropping = paper(name, "baseline"), paper(name, "random_ltd")
        assert replace(dropping, arm="baseline", kept=baseline.kept) == baseline


def test_the_lr_control_warms_up_for_as_many_steps_as_random_ltd() -> None:
    dropping = paper("gpt_pretrain", "random_ltd")
    steps = paper("gpt_pretrain", "lr_control").optimization.warmup_steps
    warmup = 24 * dropping.optimization.warmup_steps * 512 * 2048  # the authors': at full length
    for count, ended in ((steps, False), (steps + 1, True)):
        used = layer_tokens(replace(dropping, steps=count), num_layers=24)
        assert (used > warmup) == ended


def test_steps_within_a_budget_are_the_most_that_fit() -> None:
    dropping = arm("random_ltd")
    used = [layer_tokens(replace(dropping, steps=n), num_layers=5) for n in range(1, 40)]
    for budget in (used[0], used[6], used[20] - 1, used[20], used[30] + 1):
        expected = sum(u <= budget for u in used)
        assert steps_within_layer_tokens(dropping, budget, num_layers=5) == expected


def test_three_arms_leave_the_baseline_and_its_warmup_as_they_are() -> None:
    baseline, dropping, short = three_arms(arm("baseline"), arm("random_ltd").kept, num_layers=5)
    assert (baseline, dropping) == (arm("baseline"), arm("random_ltd"))
    assert short == arm("shortened_baseline")
    assert short.steps == shortened_steps(dropping, num_layers=5)
    halved = at_warmup_fraction(baseline, steps=6)
    assert (halved.steps, halved.optimization.warmup_steps) == (6, 1)


@pytest.mark.usefixtures("smoke")
def test_activation_checkpointing_changes_no_number(tmp_path: Path) -> None:
    plain, again = (
        whole_run(arm("random_ltd", checkpointing=on), tmp_path / str(on)) for on in (False, True)
    )
    assert again.measurements == plain.measurements
    assert again.cost is not None
    assert plain.cost is not None
    assert again.cost.layer_tokens == plain.cost.layer_tokens
    assert again.key != plain.key


def toy(experiment: Experiment) -> Experiment:
    """Return the experiment on a toy model and text, with its ramp and warmup scaled."""
    e, length = experiment, 32
    scale = TOY_STEPS / e.steps
    plan = e.optimization
    ramps = {"kept": e.kept, "clock_kept": plan.clock_kept}
    small = {name: None if k is None else toy_kept(k, e, scale) for name, k in ramps.items()}
    optimization = replace(
        plan, clock_kept=small["clock_kept"], warmup_steps=round(plan.warmup_steps * scale)
    )
    return replace(
        e,
        model="gpt2-toy",
        data="repository-prose",
        source="checkout",
        length=length,
        batch=2 * e.accumulation,
        steps=TOY_STEPS,
        kept=small["kept"],
        optimization=optimization,
        eval_windows=4,
        curve_windows=4,
        curve_every=5,
        tasks=(),
    )


def toy_kept(kept: KeptLength, experiment: Experiment, scale: float) -> KeptLength:
    """Return the ramp from a quarter of the toy's length on, at the same fraction of the run."""
    start = kept.start * 32 // kept.full if kept.start == kept.full else 8
    if kept.ramp_tokens is None:
        ramp = round(kept.ramp * scale)
        return replace(kept, start=start, full=32, quantum=4, ramp_steps=ramp)
    toy_step, step = 2 * experiment.accumulation * 32, experiment.batch * experiment.length
    ramp = round(kept.ramp / step * scale) * toy_step
    return replace(kept, start=start, full=32, quantum=4, ramp_tokens=ramp)


@pytest.mark.parametrize(("name", "arm_name"), [a for a in ARMS if "wikitext" not in a[0]])
def test_every_gpt_arm_of_the_paper_runs_at_toy_size(
    name: str, arm_name: str, tmp_path: Path, cache: Path
) -> None:
    experiment = toy(paper(name, arm_name))
    record = whole_run(experiment, tmp_path)
    assert isinstance(record, Record)
    assert record.cost is not None
    assert record.cost.layer_tokens == layer_tokens(experiment, num_layers=4)
    assert record.measurements[suite(name, "paper").primary].value > 0
    assert record.provenance["processes"] == 1
