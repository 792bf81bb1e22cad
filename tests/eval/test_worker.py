"""The process of a run: it stops when asked, dies without harm, and is alone at its run."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.checkpoint import latest_checkpoint
from eval.paths import ROOT
from eval.record import Record, load_records
from eval.spec import Experiment
from eval.worker import DONE, FAILED, INTERRUPTED, main
from tests.eval.experiments import arm, curve_rows, short, smoke_optimization, whole_run

pytestmark = pytest.mark.usefixtures("smoke")

SIGNALLED = """
import os, sys
from pathlib import Path
from eval import train, worker

job, number, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
one_step = train.TrainingRun._step

def signalled_step(self, batches):
    one_step(self, batches)
    if self.journal.step == step:
        os.kill(os.getpid(), number)

train.TrainingRun._step = signalled_step
train.TrainingRun.__init__.__kwdefaults__["checkpoint_every_s"] = 0.0
sys.exit(worker.main(job))
"""
"""The worker with checkpoints after every step, and a signal in the middle of one."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the handlers of the test's own process, which is its own parent here."""
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr("os.getppid", os.getpid)


def job(folder: Path, experiment: Experiment, **changes: object) -> Path:
    """Write the description of a run as the pool does."""
    folder.mkdir(exist_ok=True)
    description = {
        "experiment": experiment.to_dict(),
        "seed": 0,
        "store": str(folder.parent / "store"),
        "threads": 1,
        "parent": os.getpid(),
        "tensorboard": None,
        "export": None,
        **changes,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(description))
    return path


def records(folder: Path) -> list[Record]:
    return load_records(folder / "store", "gpt_finetune")


def signalled(path: Path, number: signal.Signals, step: int) -> int:
    """Carry out a job in a process of its own, with a signal; return its exit status."""
    command = [sys.executable, "-c", SIGNALLED, str(path), str(number.value), str(step)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).returncode


def curve(folder: Path, record: Record) -> list[dict[str, str]]:
    return [{**row, "wall_s": ""} for row in curve_rows(folder / "store", record)]


def test_a_worker_killed_stopped_and_started_again_equals_a_run_straight_through(
    tmp_path: Path,
) -> None:
    path = job(tmp_path / "job", arm())
    assert signalled(path, signal.SIGKILL, 5) == -signal.SIGKILL
    checkpoints = tmp_path / "job" / "checkpoints"
    assert latest_checkpoint(checkpoints) == checkpoints / "step-00000004"
    assert signalled(path, signal.SIGTERM, 8) == INTERRUPTED
    assert latest_checkpoint(checkpoints) == checkpoints / "step-00000008"
    assert records(tmp_path) == []
    assert main(path) == DONE
    (continued,) = records(tmp_path)
    straight = whole_run(arm(), tmp_path / "straight")
    assert continued.measurements == straight.measurements
    assert continued.hashes == straight.hashes
    assert curve(tmp_path, continued) == curve(tmp_path / "straight", straight)
    assert not checkpoints.exists()


def test_a_finished_worker_leaves_its_record_and_the_last_step(tmp_path: Path) -> None:
    path = job(tmp_path / "job", arm())
    assert main(path) == DONE
    assert [r.status for r in records(tmp_path)] == ["ok"]
    progress = json.loads((tmp_path / "job" / "progress.json").read_text())
    assert progress["step"] == 12
    assert progress["loss"] > 0


def test_a_worker_whose_parent_is_gone_saves_a_checkpoint_and_stops(tmp_path: Path) -> None:
    path = job(tmp_path / "job", arm(), parent=-1)
    assert main(path) == INTERRUPTED
    checkpoints = tmp_path / "job" / "checkpoints"
    assert latest_checkpoint(checkpoints) == checkpoints / "step-00000000"
    assert records(tmp_path) == []
    assert main(job(tmp_path / "job", arm())) == DONE


def test_a_second_worker_at_the_same_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job(tmp_path / "job", arm())
    with (tmp_path / "job" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(path) == FAILED
    assert "another process is at this very run" in capsys.readouterr().err
    assert records(tmp_path) == []
    assert sorted(p.name for p in (tmp_path / "job").iterdir()) == ["job.json", "lock"]
    assert main(path) == DONE


def test_a_diverging_worker_says_so_in_its_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = arm("baseline", optimization=smoke_optimization(peak_lr=1e30))
    assert main(job(tmp_path / "job", diverging)) == FAILED
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("the loss is nan at step")
    assert [r.status for r in records(tmp_path)] == ["failed"]


def test_a_damaged_checkpoint_stops_the_worker_without_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(job(tmp_path / "job", arm(), parent=-1)) == INTERRUPTED
    weights = tmp_path / "job" / "checkpoints" / "step-00000000" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert main(job(tmp_path / "job", arm())) == FAILED
    assert "is damaged (model.safetensors); delete that folder" in capsys.readouterr().err
    assert records(tmp_path) == []


@pytest.mark.parametrize("export", [True, False])
def test_a_worker_keeps_the_trained_model_where_it_is_told_to(tmp_path: Path, export: bool) -> None:
    folder = tmp_path / "models" / "one"
    path = job(tmp_path / "job", arm(**short()), export=str(folder) if export else None)
    assert main(path) == DONE
    assert (folder / "model.safetensors").exists() == export
    assert (folder / "tokenizer.json").exists() == export


def test_a_tracked_worker_writes_events_for_tensorboard(tmp_path: Path) -> None:
    path = job(tmp_path / "job", arm(), tensorboard=str(tmp_path / "tensorboard"))
    assert main(path) == DONE
    (events,) = (tmp_path / "tensorboard").rglob("events.out.tfevents.*")
    assert events.parent.name == "gpt_finetune-smoke-random_ltd-seed0"
    assert "random_ltd-seed0" in str(events)
    tracked, plain = records(tmp_path)[0], whole_run(arm(), tmp_path / "plain")
    assert tracked.measurements == plain.measurements
