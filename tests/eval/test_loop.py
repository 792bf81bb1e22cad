"""The training loop: repeatable, paired between arms, and equal to a loop written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from eval.errors import RunFailed
from eval.models.named import load_causal_model
from eval.order import batch_order
from rltd_core import KeptLength
from tests.eval.experiments import (
    ARMS,
    arm,
    assert_same_weights,
    column,
    smoke_optimization,
    train_losses,
    training,
    weights,
    windows,
    without_clock,
)

pytestmark = pytest.mark.usefixtures("smoke")

LEARNING = smoke_optimization(weight_decay=0.1, clip=0.5, beta2=0.95, warmup_steps=3)


def by_hand(experiment: Any, seed: int) -> tuple[list[float], list[float], torch.nn.Module]:
    """Train a model without random-LTD by the plainest loop; return losses, rates and the model."""
    plan, train_NS = experiment.optimization, windows(length=experiment.length)
    order = batch_order(len(train_NS), experiment.steps * experiment.batch, seed)
    model = load_causal_model("tiny-llama", "checkout")
    groups = [
        {"params": [p], "weight_decay": plan.weight_decay if p.ndim == 2 else 0.0}
        for p in model.parameters()
    ]
    optimizer = torch.optim.AdamW(groups, betas=(plan.beta1, plan.beta2))
    losses, rates = [], []
    for step in range(experiment.steps):
        rate = plan.peak_lr * min(1.0, step / plan.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = order[step * experiment.batch : (step + 1) * experiment.batch]
        ids_BS = torch.from_numpy(train_NS[chosen].astype(np.int64))
        loss = model(input_ids=ids_BS, labels=ids_BS, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        rates.append(rate)
    return losses, rates, model


def test_the_baseline_is_bitwise_a_plain_loop_written_by_hand(tmp_path: Path) -> None:
    baseline = arm("baseline", optimization=LEARNING)
    losses, rates, plain = by_hand(baseline, seed=3)
    run = training(baseline, tmp_path, seed=3)
    trained = run()
    assert train_losses(run.journal) == losses
    assert column(run.journal, "lr")[1:] == rates
    assert_same_weights(weights(trained), weights(plain))


@pytest.mark.parametrize("name", ARMS)
def test_two_runs_of_one_spec_and_seed_are_identical(tmp_path: Path, name: str) -> None:
    first, second = (training(arm(name), tmp_path / which) for which in "ab")
    assert_same_weights(weights(first()), weights(second()))
    assert without_clock(first.journal) == without_clock(second.journal)
    assert first.journal.batches == second.journal.batches


def test_two_seeds_differ_in_losses_and_batches(tmp_path: Path) -> None:
    first, second = (training(arm(), tmp_path / str(seed), seed=seed) for seed in (0, 1))
    first()
    second()
    assert first.journal.batches != second.journal.batches
    assert all(a != b for a, b in zip(train_losses(first.journal), train_losses(second.journal)))


def test_random_ltd_changes_the_losses_from_the_first_step(tmp_path: Path) -> None:
    # Same weights and same batch at the first step: only the dropped tokens can differ.
    first, second = (training(arm(name), tmp_path / name) for name in ("baseline", "random_ltd"))
    first()
    second()
    assert train_losses(first.journal)[0] != train_losses(second.journal)[0]


def test_all_arms_of_a_seed_consume_the_same_batches(tmp_path: Path) -> None:
    runs = {}
    for name in ARMS:
        runs[name] = training(arm(name, steps=10), tmp_path / name)
        runs[name]()
    assert len({run.journal.batches for run in runs.values()}) == 1
    assert len(runs["baseline"].journal.batches) == 64  # a sha256


def test_accumulated_forwards_give_the_losses_of_one_forward(tmp_path: Path) -> None:
    plain = training(arm("baseline"), tmp_path / "1")
    plain()
    split = training(arm("baseline", accumulation=2), tmp_path / "2")
    split()
    # The same sums in another order: 12 steps of Adam amplify float32 rounding (1e-7) mildly.
    assert train_losses(split.journal) == pytest.approx(train_losses(plain.journal), rel=1e-5)
    assert split.journal.step == plain.journal.step == 12
    assert split.journal.batches == plain.journal.batches


@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_accumulation_does_not_change_layer_tokens_or_kept_lengths(
    tmp_path: Path, accumulation: int
) -> None:
    run = training(arm(accumulation=accumulation), tmp_path)
    run()
    assert column(run.journal, "kept")[1:] == [arm().kept(step) for step in range(12)]
    # Two of five layers see all 32 tokens, three see the kept ones.
    per_step = [4 * (2 * 32 + 3 * arm().kept(step)) for step in range(12)]
    assert column(run.journal, "layer_tokens") == [sum(per_step[:n]) for n in range(13)]
    assert column(run.journal, "tokens") == [4 * 32 * n for n in range(13)]


def test_evaluating_does_not_disturb_training(tmp_path: Path) -> None:
    often, usual = training(arm(curve_every=1), tmp_path / "1"), training(arm(), tmp_path / "2")
    seldom = training(arm(curve_every=100), tmp_path / "3")
    trained = [weights(run()) for run in (often, usual, seldom)]
    assert train_losses(often.journal) == train_losses(usual.journal)
    assert train_losses(often.journal) == train_losses(seldom.journal)
    assert_same_weights(trained[0], trained[1])
    assert_same_weights(trained[0], trained[2])


def test_the_curve_is_evaluated_at_the_start_at_every_nth_step_and_at_the_end(
    tmp_path: Path,
) -> None:
    run = training(arm(curve_every=5), tmp_path)
    run()
    evaluated = [row["step"] for row in run.journal.curve if row["val_nll"] is not None]
    assert evaluated == [0, 5, 10, 12]
    assert column(run.journal, "step") == list(range(13))


def test_the_trained_model_has_random_ltd_detached(tmp_path: Path) -> None:
    trained = training(arm(kept=KeptLength(start=8, full=32, ramp_steps=10**6)), tmp_path)()
    ids_BS = torch.from_numpy(windows()[:2].astype(np.int64))
    fresh = load_causal_model("tiny-llama", "checkout")
    fresh.load_state_dict(trained.state_dict())
    assert trained.training
    assert torch.equal(trained(input_ids=ids_BS).logits, fresh(input_ids=ids_BS).logits)


def test_the_layer_token_clock_reaches_the_minimum_with_the_run(tmp_path: Path) -> None:
    plan = smoke_optimization(shape="linear", clock="layer_tokens", minimum=0.1, warmup_steps=0)
    experiment = arm(optimization=plan)
    run = training(experiment, tmp_path)
    run()
    used = column(run.journal, "layer_tokens")
    expected = [plan.peak_lr * (0.1 + 0.9 * (1 - used[n] / used[-1])) for n in range(12)]
    assert column(run.journal, "lr")[1:] == pytest.approx(expected, rel=1e-12)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    diverging = arm("baseline", optimization=smoke_optimization(peak_lr=1e30))
    run = training(diverging, tmp_path)
    with pytest.raises(RunFailed, match=r"the loss is nan at step \d+ of baseline, seed 0"):
        run()
    losses = train_losses(run.journal)
    assert all(np.isfinite(loss) for loss in losses)
    assert len(losses) < diverging.steps


def test_the_bf16_forward_leaves_weights_in_float32(tmp_path: Path) -> None:
    full = training(arm(), tmp_path / "full")
    full()
    AcceleratorState._reset_state(reset_partial_state=True)  # one process has one precision
    run = training(replace(arm(), precision="bf16"), tmp_path)
    assert {w.dtype for w in weights(run()).values()} == {torch.float32}
    # bfloat16 has 8 bits: losses near 5.8 agree to a few of its roundings, yet not exactly.
    assert train_losses(run.journal) != train_losses(full.journal)
    assert train_losses(run.journal) == pytest.approx(train_losses(full.journal), rel=4 * 2**-8)
