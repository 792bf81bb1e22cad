"""The process of one run: `python -m eval.worker JOB.json`. The runner starts it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from eval.errors import UserError
from eval.execute import execute
from eval.spec import Experiment
from eval.train import Interrupted, Journal

__all__ = ["DONE", "FAILED", "INTERRUPTED", "main"]

DONE, FAILED, INTERRUPTED = 0, 1, 3
"""Exit statuses."""


def main(job_path: Path) -> int:
    """Carry out the job, report progress beside it, stop at the next step when asked to."""
    job = json.loads(job_path.read_text())
    torch.set_num_threads(job["threads"])
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, frame: stopping.append(n))
    experiment = Experiment.from_dict(job["experiment"])
    lock = (job_path.parent / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another process is at this very run; wait for it, or stop it", file=sys.stderr)
        return FAILED
    report = _Reporter(job_path.with_name("progress.json"), experiment.steps)
    try:
        execute(
            experiment,
            job["seed"],
            store=Path(job["store"]),
            scratch=job_path.parent / "checkpoints",
            on_step=report,
            should_stop=lambda: bool(stopping) or os.getppid() != job["parent"],
            tensorboard=Path(job["tensorboard"]) if job["tensorboard"] else None,
            export=Path(job["export"]) if job["export"] else None,
        )
    except Interrupted:
        return INTERRUPTED
    except UserError as error:
        print(error, file=sys.stderr)
        return FAILED
    return DONE


class _Reporter:
    """Write the newest step to a small file, at most once a second."""

    def __init__(self, path: Path, steps: int) -> None:
        self._path, self._steps, self._written = path, steps, 0.0

    def __call__(self, journal: Journal) -> None:
        now = time.monotonic()
        if now - self._written < 1 and journal.step < self._steps:
            return
        self._written = now
        content = {"step": journal.step, "loss": journal.curve[-1]["train_loss"]}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        os.replace(temporary, self._path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
