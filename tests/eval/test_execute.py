"""One run from its spec to its record: what is measured, what it cost, how it fails."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.bfloat16 import has_bfloat16
from eval.errors import RunFailed, UserError
from eval.execute import execute
from eval.identity import run_key
from eval.models.named import load_causal_model, load_tokenizer
from eval.order import batch_order
from eval.record import Record, load_records
from eval.spec import Experiment
from eval.tasks.perplexity import WindowScores, score_windows
from eval.train import Interrupted
from rltd_core import KeptLength, RandomLTD
from tests.eval.experiments import (
    ARMS,
    arm,
    curve_rows,
    short,
    smoke_optimization,
    whole_run,
    windows,
)

pytestmark = pytest.mark.usefixtures("smoke")

COLUMNS = ["step", "tokens", "layer_tokens", "wall_s", "lr", "kept", "train_loss", "val_nll"]
DIVERGING = smoke_optimization(peak_lr=1e30)


@pytest.fixture
def records(tmp_path: Path) -> dict[str, Record]:
    """Carry out every arm with seed 0."""
    return {name: whole_run(arm(name), tmp_path) for name in ARMS}


def curve(folder: Path, record: Record) -> list[dict[str, str]]:
    return curve_rows(folder / "store", record)


def store_files(folder: Path) -> set[str]:
    return {p.name for p in (folder / "store").rglob("*") if p.is_file()}


def test_the_arms_of_a_seed_share_weights_batches_and_evaluated_text(
    records: dict[str, Record],
) -> None:
    for name in ("initial_weights", "batch_order", "evaluated_text"):
        assert len({r.hashes[name] for r in records.values()}) == 1, name
    assert records["baseline"].hashes["batches"] == records["random_ltd"].hashes["batches"]
    start = {r.measurements["start_bits_per_byte"] for r in records.values()}
    assert len(start) == 1


def test_the_hashes_are_of_what_they_name(records: dict[str, Record]) -> None:
    hashes = records["random_ltd"].hashes
    text = windows("test")[:8]
    assert hashes["evaluated_text"] == hashlib.sha256(text.astype(np.int32).tobytes()).hexdigest()
    order = batch_order(len(windows()), len(windows()), 0)
    assert hashes["batch_order"] == hashlib.sha256(order.tobytes()).hexdigest()
    weights = hashlib.sha256()
    for name, tensor in sorted(load_causal_model("tiny-llama", "checkout").state_dict().items()):
        weights.update(name.encode() + tensor.numpy().tobytes())
    assert hashes["initial_weights"] == weights.hexdigest()


def test_another_seed_has_another_batch_order_and_the_same_text(tmp_path: Path) -> None:
    first, second = (whole_run(arm(**short()), tmp_path, seed=seed) for seed in (0, 1))
    assert first.hashes["batch_order"] != second.hashes["batch_order"]
    assert first.hashes["evaluated_text"] == second.hashes["evaluated_text"]


def test_layer_tokens_and_flops_of_the_record_are_the_closed_forms(
    records: dict[str, Record],
) -> None:
    for name, record in records.items():
        experiment = arm(name)
        model = load_causal_model("tiny-llama", "checkout")
        with RandomLTD(model, experiment.kept) as ltd:
            size = {"batch": experiment.batch, "length": experiment.length}
            closed = {"num_steps": experiment.steps, **size}
            assert record.cost is not None
            tokens = ltd.cost.run_layer_tokens(experiment.kept, **closed)
            assert record.cost.layer_tokens == tokens
            assert record.cost.flops == ltd.cost.run_flops(experiment.kept, **closed)
        assert record.cost.tokens == experiment.steps * 4 * 32
        assert record.cost.steps == experiment.steps


def test_the_shortened_baseline_costs_no_more_layer_tokens_than_it_should(
    records: dict[str, Record],
) -> None:
    used = {n: r.cost.layer_tokens for n, r in records.items() if r.cost is not None}
    per_step = 4 * 32 * 5
    assert used["baseline"] == 12 * per_step
    assert used["random_ltd"] < used["baseline"]
    assert abs(used["shortened_baseline"] - used["random_ltd"]) < per_step


def test_the_curve_has_a_row_for_every_step_and_its_columns_in_order(
    tmp_path: Path, records: dict[str, Record]
) -> None:
    rows = curve(tmp_path, records["random_ltd"])
    assert list(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == list(range(13))
    assert [row["step"] for row in rows if row["val_nll"]] == ["0", "4", "8", "12"]
    assert [row["kept"] for row in rows[1:]] == [str(arm().kept(step)) for step in range(12)]
    assert (rows[0]["lr"], rows[0]["kept"], rows[0]["train_loss"]) == ("", "", "")
    assert records["random_ltd"].cost is not None
    assert int(rows[-1]["layer_tokens"]) == records["random_ltd"].cost.layer_tokens


def test_the_measurements_before_and_after_agree_with_the_curve(
    tmp_path: Path, records: dict[str, Record]
) -> None:
    record = records["baseline"]
    tokenizer = load_tokenizer("tiny-llama", "checkout")
    scored = windows("validation")[:8][:, 1:].reshape(-1).tolist()
    per_token = math.log(2) * len(tokenizer.decode(scored).encode()) / len(scored)
    rows = curve(tmp_path, record)
    for when, row in (("start", rows[0]), ("validation", rows[-1])):
        bits, perplexity = (
            record.measurements[f"{when}_{name}"] for name in ("bits_per_byte", "perplexity")
        )
        nll = float(row["val_nll"])  # of six digits
        assert bits.value * per_token == pytest.approx(nll, rel=1e-5)
        assert perplexity.value == pytest.approx(math.exp(nll), rel=1e-5)
        assert {bits.split, perplexity.split} == {"validation"}
    assert record.measurements["bits_per_byte"].split == "test"
    assert record.measurements["bits_per_byte"].n == arm().eval_windows


def test_the_record_says_where_it_comes_from(records: dict[str, Record]) -> None:
    origin = records["baseline"].provenance
    assert origin["packages"]["torch"] == torch.__version__
    assert origin["assets"].keys() == {"model", "data"}
    assert all(value.startswith("checkout:") for value in origin["assets"].values())
    assert origin["hardware"]["threads"] == 1
    assert origin["hardware"]["bfloat16"] is has_bfloat16()
    assert origin["commit"] is None or len(origin["commit"]) == 40


def test_a_finished_run_leaves_record_and_curve_and_nothing_else(tmp_path: Path) -> None:
    record = whole_run(arm(**short()), tmp_path)
    name = f"random_ltd-seed0-{run_key(arm(**short()), 0)}"
    assert store_files(tmp_path) == {f"{name}.json", f"{name}.csv.gz"}
    assert load_records(tmp_path / "store", "gpt_finetune") == [record]
    assert not (tmp_path / "scratch").exists()


def test_a_second_writer_of_a_record_is_refused(tmp_path: Path) -> None:
    whole_run(arm(**short()), tmp_path)
    before = {p: p.read_bytes() for p in (tmp_path / "store").rglob("*.json")}
    with pytest.raises(UserError, match="exists already"):
        whole_run(arm(**short()), tmp_path)
    assert {p: p.read_bytes() for p in (tmp_path / "store").rglob("*.json")} == before


def test_a_refused_second_writer_leaves_the_first_ones_curve(tmp_path: Path) -> None:
    record = whole_run(arm(**short()), tmp_path)
    assert record.curve is not None
    path = tmp_path / "store" / record.curve
    path.write_text("the first writer's")
    with pytest.raises(UserError):
        whole_run(arm(**short()), tmp_path)
    assert path.read_text() == "the first writer's"


def failure(experiment: Experiment, folder: Path) -> tuple[BaseException, list[Record]]:
    """Return what a run raises and the records it leaves."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        whole_run(experiment, folder)
    return caught.value, load_records(folder / "store", experiment.suite)


def test_a_diverging_run_is_recorded_as_failed(tmp_path: Path) -> None:
    error, records = failure(arm("baseline", optimization=DIVERGING), tmp_path)
    assert isinstance(error, RunFailed)
    assert "lower peak_lr" in str(error)
    assert [r.status for r in records] == ["failed"]
    assert records[0].error is not None
    assert records[0].error.strip().splitlines()[-1].endswith(str(error))
    assert (records[0].cost, records[0].measurements, records[0].curve) == (None, {}, None)


def test_a_run_whose_final_measurement_is_no_number_is_recorded_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when the last update diverges: every training loss is finite, the trained model is not.
    def score(model: Any, ids_NS: np.ndarray, *rest: Any, **options: Any) -> WindowScores:
        scores = score_windows(model, ids_NS, *rest, **options)
        return replace(scores, nll_N=scores.nll_N * np.nan) if len(ids_NS) == 5 else scores

    monkeypatch.setattr("eval.tasks.language.score_windows", score)
    _, records = failure(arm(eval_windows=5), tmp_path)
    assert [r.status for r in records] == ["failed"]
    assert records[0].error is not None
    assert "not a finite number" in records[0].error


def test_an_error_in_the_code_is_recorded_as_failed_and_raised_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("in the middle of it")

    monkeypatch.setattr("eval.tasks.language.score_windows", broken)
    error, records = failure(arm(), tmp_path)
    assert isinstance(error, ZeroDivisionError)
    assert [r.status for r in records] == ["failed"]
    assert records[0].error is not None
    assert "ZeroDivisionError: in the middle of it" in records[0].error


def test_a_run_that_fails_again_says_why_it_failed(tmp_path: Path) -> None:
    experiment = arm("baseline", optimization=DIVERGING)
    failure(experiment, tmp_path)
    error, records = failure(experiment, tmp_path)  # as --retry-failed does it
    assert "the loss is nan" in str(error)
    assert [r.status for r in records] == ["failed"]


def test_what_the_user_can_mend_leaves_no_record(tmp_path: Path) -> None:
    error, records = failure(
        arm(length=10**5, kept=KeptLength(start=8, full=10**5, ramp_steps=8)), tmp_path
    )
    assert isinstance(error, UserError)
    assert "fewer than one window" in str(error)
    assert records == []


def test_an_interrupted_run_leaves_a_checkpoint_and_no_record(tmp_path: Path) -> None:
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) == 4

    with pytest.raises(Interrupted):
        execute(
            arm(),
            0,
            store=tmp_path / "store",
            scratch=tmp_path / "scratch",
            on_step=lambda journal: None,
            should_stop=stop,
        )
    assert load_records(tmp_path / "store", "gpt_finetune") == []
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == ["step-00000003"]
    continued = whole_run(arm(), tmp_path)
    assert not (tmp_path / "scratch").exists()
    straight = whole_run(arm(), tmp_path / "straight")
    assert continued.measurements == straight.measurements
    assert continued.hashes == straight.hashes
