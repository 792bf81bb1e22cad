"""Whole runs of encoders, at toy size: repeated, continued, and equal where arms must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eval.execute import execute
from eval.record import Record
from eval.spec import Experiment
from eval.suites import suite
from eval.suites.budget import layer_tokens
from eval.train import Interrupted

SUITES = ("bert_glue_sst2", "bert_pretrain")
LAYERS = {"tiny-bert": 5, "bert-toy": 4}
RUNS = [
    pytest.param(experiment, id=f"{name}-{experiment.arm}")
    for name in SUITES
    for experiment in suite(name, "smoke").arms
]


def carried_out(experiment: Experiment, folder: Path, *, stop_after: int | None = None) -> Record:
    """Carry out a run; with `stop_after`, interrupt it there once and continue it."""
    steps: list[int] = []

    def once(stop: bool) -> Record | None:
        return execute(
            experiment,
            3,
            store=folder / "store",
            scratch=folder / "scratch",
            on_step=lambda journal: steps.append(journal.step),
            should_stop=lambda: stop and bool(steps) and steps[-1] == stop_after,
        )

    if stop_after is not None:
        with pytest.raises(Interrupted):
            once(stop=True)
    record = once(stop=False)
    assert record is not None
    assert steps == list(range(1, experiment.steps + 1))
    return record


def curve(folder: Path, record: Record) -> pd.DataFrame:
    return pd.read_csv(folder / "store" / str(record.curve)).drop(columns="wall_s")


@pytest.mark.parametrize("experiment", RUNS)
def test_a_run_is_the_same_when_it_was_interrupted(
    experiment: Experiment, cache: Any, tmp_path: Path
) -> None:
    straight = carried_out(experiment, tmp_path / "straight")
    stopped = carried_out(experiment, tmp_path / "stopped", stop_after=5)
    assert stopped.measurements == straight.measurements
    assert stopped.hashes == straight.hashes
    one, other = curve(tmp_path / "stopped", stopped), curve(tmp_path / "straight", straight)
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("name", SUITES)
def test_arms_of_a_seed_share_what_they_begin_with_and_are_measured_on(
    name: str, cache: Any, tmp_path: Path
) -> None:
    declared = suite(name, "smoke")
    records = {e.arm: carried_out(e, tmp_path / e.arm) for e in declared.arms}
    for what in ("initial_weights", "batch_order", "evaluated_text"):
        assert len({r.hashes[what] for r in records.values()}) == 1
    used, losses = {}, {}
    for arm, record in records.items():
        assert record.cost is not None
        used[arm] = record.cost.layer_tokens
        num_layers = LAYERS[record.experiment.model]
        assert used[arm] == layer_tokens(record.experiment, num_layers=num_layers)
        losses[arm] = tuple(curve(tmp_path / arm, record)["val_nll"].dropna())
    first = declared.arms[0]
    a_step = first.batch * first.length * LAYERS[first.model]
    assert used["random_ltd"] < used["baseline"]
    assert 0 <= used["shortened_baseline"] - used["random_ltd"] < a_step
    assert len(set(losses.values())) == len(records)  # no arm's difference is without effect


@pytest.mark.parametrize("experiment", RUNS)
def test_a_specification_survives_its_record(
    experiment: Experiment, cache: Any, tmp_path: Path
) -> None:
    assert Experiment.from_dict(experiment.to_dict()) == experiment
