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
from eval.train import Interrupted

RUNS = [
    pytest.param(experiment, id=f"{name}-{experiment.arm}")
    for name in ("bert_glue_sst2", "bert_pretrain")
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


@pytest.mark.parametrize("name", ["bert_glue_sst2", "bert_pretrain"])
def test_arms_of_a_seed_share_weights_order_and_evaluation(
    name: str, cache: Any, tmp_path: Path
) -> None:
    arms = suite(name, "smoke").arms
    records = [carried_out(e, tmp_path / e.arm) for e in arms]
    for what in ("initial_weights", "batch_order", "evaluated_text"):
        assert len({r.hashes[what] for r in records}) == 1
    costs = {r.experiment.arm: r.cost for r in records}
    dropping, short = costs["random_ltd"], costs["shortened_baseline"]
    assert dropping is not None
    assert short is not None
    a_step = arms[0].batch * arms[0].length * 5
    assert 0 <= short.layer_tokens - dropping.layer_tokens < a_step


@pytest.mark.parametrize("experiment", RUNS)
def test_a_specification_survives_its_record(
    experiment: Experiment, cache: Any, tmp_path: Path
) -> None:
    assert Experiment.from_dict(experiment.to_dict()) == experiment
