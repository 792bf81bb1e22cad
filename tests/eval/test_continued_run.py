"""A run that was killed or stopped continues to the same numbers, to the last bit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval.checkpoint import latest_checkpoint
from eval.errors import UserError
from eval.runner import plan
from eval.train import Interrupted, TrainingRun
from tests.eval.experiments import (
    Stopped,
    arm,
    assert_same_weights,
    smoke_optimization,
    training,
    weights,
    without_clock,
)

pytestmark = pytest.mark.usefixtures("smoke")

STEPS = 12
# Attention dropout draws from torch's global generator, the rate runs on the layer-token clock.
LAYER_TOKENS = smoke_optimization(clock="layer_tokens", shape="cosine", minimum=0.1)
LR_CONTROL = replace(LAYER_TOKENS, clock_kept=arm("random_ltd").kept)
ARMS = {
    "baseline": (arm("baseline"), 0.0),
    "random_ltd": (arm("random_ltd"), 0.1),
    "layer_token_lr": (arm("random_ltd", optimization=LAYER_TOKENS), 0.1),
    "lr_control": (arm("baseline", optimization=LR_CONTROL), 0.1),
    "accumulating": (arm("random_ltd", accumulation=2), 0.1),
}
RANDOM_STEPS = sorted(random.Random(0).sample(range(2, STEPS), 3))


def result(run: TrainingRun) -> tuple[object, ...]:
    """Train to the end and return all that must not depend on interruptions."""
    trained = weights(run())
    counters = (run.ltd.state_dict(), run.journal.batches, run.journal.step)
    return trained, without_clock(run.journal), counters, torch.get_rng_state()


def assert_same(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert_same_weights(one[0], other[0])  # type: ignore[arg-type]
    assert one[1:3] == other[1:3]
    assert torch.equal(one[3], other[3])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("step", RANDOM_STEPS)
def test_a_run_that_crashed_at_a_random_step_equals_one_straight_through(
    tmp_path: Path, name: str, step: int
) -> None:
    experiment, dropout = ARMS[name]
    straight = result(training(experiment, tmp_path / "straight", dropout=dropout))
    folder = tmp_path / "crashed"
    crashing = {"crash_after": step, "checkpoint_every_s": 0.0, "dropout": dropout}
    with pytest.raises(Stopped):
        training(experiment, folder, **crashing)()
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.name == f"step-{step - 1:08d}"
    assert_same(result(training(experiment, folder, dropout=dropout)), straight)


@pytest.mark.parametrize("step", [0, 1, *RANDOM_STEPS, STEPS - 1])
def test_a_run_that_was_asked_to_stop_equals_one_straight_through(
    tmp_path: Path, step: int
) -> None:
    straight = result(training(arm(), tmp_path / "straight", dropout=0.1))
    with pytest.raises(Interrupted):
        training(arm(), tmp_path / "run", stop_before=step, dropout=0.1)()
    assert [p.name for p in (tmp_path / "run").iterdir()] == [f"step-{step:08d}"]
    assert_same(result(training(arm(), tmp_path / "run", dropout=0.1)), straight)


def test_a_run_stopped_again_and_again_equals_one_straight_through(tmp_path: Path) -> None:
    straight = result(training(arm(), tmp_path / "straight", dropout=0.1))
    for step in range(1, STEPS, 3):
        with pytest.raises(Interrupted):
            training(arm(), tmp_path / "run", stop_before=step, dropout=0.1)()
    assert_same(result(training(arm(), tmp_path / "run", dropout=0.1)), straight)


def test_a_crash_before_the_first_checkpoint_starts_again_from_the_first_step(
    tmp_path: Path,
) -> None:
    straight = result(training(arm(), tmp_path / "straight"))
    with pytest.raises(Stopped):
        training(arm(), tmp_path / "run", crash_after=5)()
    assert latest_checkpoint(tmp_path / "run") is None
    assert_same(result(training(arm(), tmp_path / "run")), straight)


def test_a_run_that_crashed_after_its_last_step_trains_no_further(tmp_path: Path) -> None:
    straight = result(training(arm(), tmp_path / "run", checkpoint_every_s=0.0))
    again = training(arm(), tmp_path / "run", crash_after=STEPS)
    assert_same(result(again), straight)


def test_a_run_that_other_processes_began_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        training(arm(), tmp_path / "run", stop_before=2)()
    monkeypatch.setattr("eval.processes.num_processes", lambda: 2)
    with pytest.raises(UserError, match=r"a run of 1 process\(es\), this one has 2"):
        training(arm(), tmp_path / "run")()


def test_a_recorded_run_is_continued_by_the_code_that_began_it(tmp_path: Path) -> None:
    straight = result(training(arm(), tmp_path / "straight"))
    with pytest.raises(Interrupted):
        training(arm(), tmp_path / "run", stop_before=2, commit="a1")()
    with pytest.raises(UserError, match="is of commit a1, this is b2"):
        training(arm(), tmp_path / "run", commit="b2")()
    assert_same(result(training(arm(), tmp_path / "run", commit="a1")), straight)


@pytest.mark.parametrize("kept_from", ["other", "same"])
def test_without_the_state_of_its_generators_a_run_with_dropout_would_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_from: str
) -> None:
    # Guards the tests above: they see a generator that is not restored.
    straight = result(training(arm(), tmp_path / "straight", dropout=0.1))
    with pytest.raises(Interrupted):
        training(arm(), tmp_path / "run", stop_before=6, dropout=0.1)()
    if kept_from == "other":
        monkeypatch.setattr("eval.checkpoint.restore_generators", lambda state: None)
    continued = result(training(arm(), tmp_path / "run", dropout=0.1))
    assert (continued[1] == straight[1]) == (kept_from == "same")


def test_the_wall_clock_of_a_continued_run_counts_both_parts(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        training(arm(), tmp_path / "run", stop_before=6)()
    state = json.loads((tmp_path / "run" / "step-00000006" / "state.json").read_text())
    half = state["journal"]["wall_s"]
    run = training(arm(), tmp_path / "run")
    run()
    assert 0 < half < run.journal.wall_s
    clock = [row["wall_s"] for row in run.journal.curve]
    assert clock == sorted(clock)  # type: ignore[type-var]


def test_a_longer_experiment_is_another_one_and_finds_no_checkpoint(out: Path) -> None:
    first, second = plan([arm(), arm(steps=STEPS + 1)], [0], out)
    assert first.folder != second.folder
