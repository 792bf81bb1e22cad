"""What decays, and the LR control: a baseline under the rates of a random-LTD run.

Letters: B batch, S sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from eval.optimization import make_optimizer, make_scheduler
from eval.spec import Experiment, Optimization
from eval.starts import model_of
from rltd_core import ClockLR, KeptLength, RandomLTD
from rltd_core.lr import SHAPES
from tests.eval.experiments import arm, assert_same_weights, weights

LENGTH, BATCH = 8, 2
FULL = KeptLength(start=LENGTH, full=LENGTH, ramp_steps=0)
TOY = {"model": "gpt2-toy"}


def plan(**changes: Any) -> Optimization:
    """Return an optimization on the layer-token clock with some fields changed."""
    fields = {"peak_lr": 0.01, "shape": "cosine", "clock": "layer_tokens", "warmup_steps": 2}
    return Optimization(**{**fields, **changes})


def experiment(kept: KeptLength, optimization: Optimization, steps: int) -> Experiment:
    """Return an experiment of the tiny model below."""
    size = {"length": LENGTH, "batch": BATCH, "steps": steps}
    return arm("baseline", kept=kept, optimization=optimization, **size)


@cache
def tiny() -> GPT2LMHeadModel:
    """Return a model of four layers, two of which drop."""
    size = {"n_layer": 4, "n_embd": 4, "n_head": 1, "n_positions": LENGTH, "vocab_size": 5}
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0)).train()


class Steps:
    """The steps of an experiment with a real model and RandomLTD, but no backward."""

    def __init__(self, wanted: Experiment) -> None:
        self.model = tiny()
        self.ltd = RandomLTD(self.model, wanted.kept, seed=0)
        self.optimizer = make_optimizer(self.model, wanted.optimization)
        self.lr = make_scheduler(wanted, self.optimizer, self.ltd)
        self.wanted = wanted

    def rates(self, num_steps: int | None = None) -> Iterator[float]:
        """Yield the rate of every step, and that after the last."""
        ids_BS = torch.zeros(BATCH, LENGTH, dtype=torch.int64)
        for _ in range(self.wanted.steps if num_steps is None else num_steps):
            yield self.optimizer.param_groups[0]["lr"]
            with torch.no_grad():
                self.model(input_ids=ids_BS)
            self.optimizer.step()  # no gradients: only torch's count of calls
            self.ltd.step()
            self.lr.step()
        yield self.optimizer.param_groups[0]["lr"]


def rates(wanted: Experiment) -> list[float]:
    run = Steps(wanted)
    with run.ltd:
        return list(run.rates())


@st.composite
def schedules(draw: st.DrawFn) -> KeptLength:
    """Draw a ramp in steps or in tokens, in any rounding."""
    start, quantum = draw(st.integers(1, LENGTH)), draw(st.integers(1, 3))
    rounding = draw(st.sampled_from(["exact", "interval"]))
    unit, longest = draw(st.sampled_from([("ramp_steps", 14), ("ramp_tokens", 14 * 16)]))
    ramp = {unit: draw(st.integers(0, longest))}
    return KeptLength(start=start, full=LENGTH, quantum=quantum, rounding=rounding, **ramp)


@st.composite
def curves(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Draw a learning-rate curve and the steps of its run."""
    steps = draw(st.integers(1, 12))
    curve = {
        "shape": draw(st.sampled_from(sorted(SHAPES))),
        "minimum": draw(st.sampled_from([0.0, 0.1, 1.0])),
        "warmup_steps": draw(st.integers(0, steps)),
    }
    return curve, steps


@settings(max_examples=30, deadline=None, derandomize=True)
@given(schedules(), curves())
def test_the_lr_control_has_the_rates_of_the_random_ltd_run_to_the_last_bit(
    kept: KeptLength, curve: tuple[dict[str, Any], int]
) -> None:
    changes, steps = curve
    dropping = experiment(kept, plan(**changes), steps)
    control = experiment(FULL, plan(**changes, clock_kept=kept), steps)
    assert rates(control) == rates(dropping)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(schedules(), curves())
def test_the_lr_control_reads_the_layer_tokens_that_a_loop_counts(
    kept: KeptLength, curve: tuple[dict[str, Any], int]
) -> None:
    changes, steps = curve
    used = [0]
    for step in range(steps):
        kept_now = min(kept.at_step(step, BATCH * LENGTH), LENGTH)
        used.append(used[-1] + BATCH * (2 * LENGTH + 2 * kept_now))
    reading = iter(used[1:])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    now = [0]
    total = {"warmup": used[changes["warmup_steps"]], "total": used[-1]}
    slow = ClockLR(
        optimizer, lambda: now[0], shape=changes["shape"], minimum=changes["minimum"], **total
    )
    expected = [optimizer.param_groups[0]["lr"]]
    for now[0] in reading:
        optimizer.step()
        slow.step()
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(experiment(FULL, plan(**changes, clock_kept=kept), steps)) == expected


def test_the_lr_control_is_neither_the_baselines_rate_nor_at_its_layer_tokens() -> None:
    # Guards the tests above: the ramp makes a difference.
    kept = KeptLength(start=2, full=LENGTH, ramp_steps=8, quantum=1)
    control = rates(experiment(FULL, plan(clock_kept=kept), 12))
    assert control != rates(experiment(FULL, plan(), 12))
    assert control != rates(experiment(FULL, plan(clock="steps"), 12))
    run = Steps(experiment(FULL, plan(clock_kept=kept), 12))
    with run.ltd:
        list(run.rates())
    assert run.ltd.layer_tokens == 12 * BATCH * 4 * LENGTH


def test_with_nothing_dropped_in_the_other_run_the_control_is_the_baseline() -> None:
    control = rates(experiment(FULL, plan(clock_kept=FULL), 12))
    assert control == rates(experiment(FULL, plan(clock="steps"), 12))


@pytest.mark.parametrize("stopped", [0, 1, 5, 9])
def test_a_control_that_was_stopped_goes_on_with_the_same_rates(stopped: int) -> None:
    kept = KeptLength(start=2, full=LENGTH, ramp_steps=8, quantum=1)
    wanted = experiment(FULL, plan(clock_kept=kept), 12)
    before = Steps(wanted)
    with before.ltd:
        first = list(before.rates(stopped))
    after = Steps(wanted)
    after.ltd.load_state_dict(before.ltd.state_dict())
    after.optimizer.load_state_dict(before.optimizer.state_dict())
    after.lr.load_state_dict(before.lr.state_dict())
    with after.ltd:
        second = list(after.rates(12 - stopped))
    assert [*first[:-1], *second] == rates(wanted)


def test_the_authors_form_reaches_the_scheduler() -> None:
    kept = KeptLength(start=2, full=LENGTH, ramp_steps=8, quantum=1)
    with (theirs := Steps(experiment(kept, plan(authors_form=True), 12))).ltd:
        assert theirs.lr.warmup == 2 * BATCH * 4 * LENGTH  # at full length
    with (ours := Steps(experiment(kept, plan(), 12))).ltd:
        assert ours.lr.warmup < theirs.lr.warmup


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clock": "steps", "clock_kept": FULL}, "are for the clock layer_tokens"),
        ({"clock": "steps", "authors_form": True}, "are for the clock layer_tokens"),
        ({"clock_kept": FULL, "authors_form": True}, "not both"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_the_clock_of_a_run_of_another_length_is_refused() -> None:
    # No run of this experiment could have that schedule.
    other = KeptLength(start=2, full=LENGTH * 2, ramp_steps=8)
    with pytest.raises(ValueError, match="clock_kept"):
        experiment(FULL, plan(clock_kept=other), 12)


@pytest.mark.parametrize("model", ["gpt2-toy", "tiny-llama"])
@pytest.mark.usefixtures("smoke")
def test_matrices_decay_and_vectors_do_not_and_each_is_in_one_group(model: str) -> None:
    found = model_of(arm(model=model), 0)
    groups = make_optimizer(found, plan(weight_decay=0.1)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == sum(len(group["params"]) for group in groups)
    assert decay.keys() == {id(p) for p in found.parameters()}
    for name, parameter in found.named_parameters():
        vector = name.endswith(("bias", "norm.weight")) or ".ln_" in name or "layernorm" in name
        assert decay[id(parameter)] == (0.0 if vector else 0.1), name


def test_the_plan_reaches_every_group() -> None:
    wanted = plan(peak_lr=0.25, beta1=0.8, beta2=0.7, weight_decay=0.1)
    for group in make_optimizer(model_of(arm(**TOY), 0), wanted).param_groups:
        assert (group["lr"], group["betas"]) == (0.25, (0.8, 0.7))


def trained(weight_decay: float, *, groups: bool) -> dict[str, torch.Tensor]:
    """Return the weights after a few steps, by our optimizer or by one group of AdamW's own."""
    model, wanted = model_of(arm(**TOY), 0), plan(weight_decay=weight_decay)
    plain = {"lr": wanted.peak_lr, "betas": (wanted.beta1, wanted.beta2)}
    optimizer = (
        make_optimizer(model, wanted)
        if groups
        else torch.optim.AdamW(model.parameters(), weight_decay=weight_decay, **plain)
    )
    ids_BS = torch.arange(64).reshape(4, 16)
    for step in range(4):
        model(input_ids=ids_BS + step, labels=ids_BS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights(model)


def test_without_decay_two_groups_are_one_to_the_last_bit() -> None:
    assert_same_weights(trained(0.0, groups=True), trained(0.0, groups=False))


def test_with_decay_two_groups_are_not_one() -> None:
    one, other = (trained(0.1, groups=groups) for groups in (True, False))
    assert not torch.equal(one["transformer.ln_f.weight"], other["transformer.ln_f.weight"])
