"""One run over two processes: the numbers of one process, one record, one stop for all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from accelerate.state import AcceleratorState, GradientState

import tests.conftest  # noqa: F401, a spawned process imports this module without pytest
from eval import launched, runner, train
from eval.errors import UserError
from eval.execute import execute
from eval.paths import ROOT
from eval.processes import agree, from_main, is_main, join, num_processes, refuse_uneven
from eval.record import Record, load_records
from eval.spec import Experiment
from eval.worker import DONE, FAILED, INTERRUPTED
from tests.eval.experiments import arm, curve_rows, whole_run

RANKS = 2
SMOKE = ["gpt_finetune", "--tier", "smoke", "--seed", "0"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def as_rank(rank: int, port: int, do: Callable[[], Any]) -> Any:
    """Do something as one of two processes of a fresh launch."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    done = do()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return done


def stopped_at(step: int) -> int:
    """Carry out the random-LTD arm; a signal reaches this process alone, after a step."""
    one_step = train.TrainingRun._step

    def signalled(self: Any, batches: Any) -> None:
        one_step(self, batches)
        if self.journal.step == step and not is_main():
            os.kill(os.getpid(), signal.SIGTERM)

    train.TrainingRun._step = signalled  # type: ignore[method-assign]
    try:
        return launched.main([*SMOKE, "--arm", "random_ltd"])
    finally:
        train.TrainingRun._step = one_step  # type: ignore[method-assign]


def what_they_agree_on() -> dict[str, Any]:
    """Return what the helpers say in this process; the group is the caller's to end."""
    seen: dict[str, Any] = {"processes": num_processes(), "main": is_main()}
    seen["from main"] = from_main(lambda: 7 if is_main() else 1 // 0)
    for name, ask in (
        ("main's error", lambda: from_main(refused)),
        ("differing", lambda: agree("the port", os.environ["RANK"], remedy="give one port")),
    ):
        try:
            seen[name] = ask()
        except UserError as error:
            seen[name] = str(error)
    seen["agreed"] = agree("the port", 5, remedy="")
    return seen


def refused() -> None:
    raise UserError("the main process cannot")


def uneven() -> str:
    try:
        execute(
            arm("baseline", batch=3),
            0,
            store=Path(os.environ["RLTD_OUT"]),
            scratch=Path(os.environ["RLTD_OUT"]) / "scratch",
            on_step=lambda journal: None,
            should_stop=lambda: False,
        )
    except UserError as error:
        return str(error)
    return ""


def run_rank(rank: int, ports: list[int], folder: str) -> None:
    torch.set_num_threads(1)
    next_port = iter(ports)
    scenes = {
        "agreement": what_they_agree_on,
        "baseline": lambda: launched.main([*SMOKE, "--arm", "baseline"]),
        "again": lambda: launched.main([*SMOKE, "--arm", "baseline"]),
        "stopped": lambda: stopped_at(5),
        "waiting": lambda: [p.name for p in Path(folder).rglob("step-*")],
        "continued": lambda: launched.main([*SMOKE, "--arm", "random_ltd"]),
        "uneven": uneven,
    }
    seen = {name: as_rank(rank, next(next_port), scene) for name, scene in scenes.items()}
    torch.save(seen, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, smoke_cache: Path) -> Path:
    """Carry out all scenes in two processes."""
    folder = tmp_path_factory.mktemp("launched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", str(smoke_cache))
        patch.setenv("RLTD_OUT", str(folder / "out"))
        mp.spawn(run_rank, args=([free_port() for _ in range(7)], str(folder)), nprocs=RANKS)
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def record_of(folder: Path, name: str) -> Record:
    (found,) = [r for r in load_records(folder / "out", "gpt_finetune") if r.experiment.arm == name]
    return found


def test_the_main_process_speaks_for_all(ranks: list[dict[str, Any]]) -> None:
    for rank, seen in enumerate(ranks):
        agreed = seen["agreement"]
        assert agreed["processes"] == RANKS
        assert agreed["main"] == (rank == 0)
        assert agreed["from main"] == 7
        assert agreed["main's error"] == "the main process cannot"
        assert agreed["agreed"] == 5
        assert "the port differs between the processes" in agreed["differing"]


def test_both_processes_end_with_the_same_status(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        assert seen["baseline"] == DONE
        assert seen["again"] == FAILED  # its record exists
        assert seen["stopped"] == INTERRUPTED
        assert seen["continued"] == DONE


@pytest.mark.usefixtures("smoke")
def test_the_baseline_is_that_of_one_process(folder: Path, tmp_path: Path) -> None:
    shared, single = record_of(folder, "baseline"), whole_run(arm("baseline"), tmp_path)
    assert (shared.key, shared.hashes) == (single.key, single.hashes)
    assert shared.provenance["processes"] == RANKS
    assert single.provenance["processes"] == 1
    rows = curve_rows(folder / "out", shared), curve_rows(tmp_path / "store", single)
    for name in ("train_loss", "val_nll", "lr"):
        ours, theirs = ([float(r[name]) for r in some if r[name]] for some in rows)
        # The same sums in another order, as in the test of accumulation.
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert len(ours) == len(theirs)


def test_each_record_is_written_once_and_nothing_else_stays(folder: Path) -> None:
    left = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
    assert len(left) == 4  # two records and their curves
    assert {p.suffix for p in left} == {".json", ".gz"}


def test_a_stop_in_one_process_stops_all_at_the_same_step(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        assert seen["waiting"] == ["step-00000005"]


@pytest.mark.usefixtures("smoke")
def test_random_ltd_over_two_processes_has_the_layer_tokens_of_the_formula(
    folder: Path, tmp_path: Path
) -> None:
    record, experiment = record_of(folder, "random_ltd"), arm("random_ltd")
    expected = sum(4 * (2 * 32 + 3 * experiment.kept(step)) for step in range(experiment.steps))
    assert record.cost is not None
    assert (record.cost.layer_tokens, record.cost.tokens) == (expected, 12 * 4 * 32)
    rows = curve_rows(folder / "out", record)
    assert [int(row["step"]) for row in rows] == list(range(13))
    assert [float(row["kept"]) for row in rows[1:]] == [experiment.kept(n) for n in range(12)]
    # Two processes draw other tokens than one: the losses differ from the first step on.
    single = curve_rows(tmp_path / "store", whole_run(experiment, tmp_path))
    assert rows[1]["train_loss"] != single[1]["train_loss"]


def test_processes_that_cannot_share_a_forward_are_refused(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        assert "holds 3 sequences" in seen["uneven"]
    refuse_uneven(replace(arm(), accumulation=2), 2)
    with pytest.raises(UserError, match="holds 2 sequences"):
        refuse_uneven(replace(arm(), accumulation=2), 4)


def refuse(runs: list[tuple[Experiment, int]]) -> None:
    """Refuse to record, as of weights that are no record's."""
    assert runs == [(arm("shortened_baseline"), 0)]
    raise UserError("begins with other weights")


@pytest.mark.usefixtures("smoke")
def test_one_process_prepares_runs_and_is_alone_at_its_run(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launched, "OUT", out)
    monkeypatch.setattr(launched, "is_dirty", lambda: True)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    words = [*SMOKE, "--arm", "shortened_baseline"]
    assert launched.main([*words, "--prepare"]) == DONE
    assert not out.exists()
    assert launched.main([*words, "--record"]) == FAILED
    assert "--record needs a clean git checkout" in capsys.readouterr().err
    monkeypatch.setattr(launched, "is_dirty", lambda: False)
    monkeypatch.setattr(launched, "require_recorded", refuse)
    assert launched.main([*words, "--record"]) == FAILED
    assert "begins with other weights" in capsys.readouterr().err
    (job,) = runner.plan([arm("shortened_baseline")], [0], out)
    with launched._alone_at(job.folder):
        assert launched.main(words) == FAILED
    assert "another run is at" in capsys.readouterr().err
    assert launched.main(words) == DONE
    assert "shortened_baseline: step 10 of 10" in capsys.readouterr().err
    assert launched.main(words) == FAILED
    assert "gpt_finetune shortened_baseline seed 0 is done" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("smoke")
def test_without_cuda_a_run_computes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself, accelerate takes a Mac's GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("is_available", "is_built"):
        monkeypatch.setattr(f"torch.backends.mps.{name}", lambda: True)
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert str(join().device) == "cpu"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_torchrun_starts_a_run(out: Path) -> None:
    environment = {**os.environ, "PROCESSES": "2", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = ["bash", str(ROOT / "launch" / "torchrun.sh"), *SMOKE, "--arm", "random_ltd"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (record,) = load_records(out, "gpt_finetune")
    assert record.provenance["processes"] == 2
