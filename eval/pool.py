"""A pool of processes, one a run, with one progress bar over all of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from eval.errors import UserError
from eval.paths import OUT, ROOT
from eval.spec import Experiment
from eval.worker import DONE, FAILED, INTERRUPTED

__all__ = ["Job", "Pool"]

_POLL_S = 0.5
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**10)}
"""glibc then keeps the memory that a step frees for the next one, instead of having the system
clear it anew; other allocators ignore it."""


@dataclass(slots=True)
class Job:
    """One run that is to be done, and its process once it is under way."""

    experiment: Experiment
    seed: int
    folder: Path
    """Checkpoints, progress and log of this run."""
    export: Path | None = None
    """Where the trained model is saved, if it is."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.experiment.arm} seed {self.seed}"

    def progress(self) -> tuple[int, float | None]:
        """Return (steps done, newest training loss)."""
        path = self.folder / "progress.json"
        if not path.exists():
            return 0, None
        content = json.loads(path.read_text())
        return content["step"], content["loss"]

    def log_tail(self) -> str:
        """Return the last line the run printed."""
        log = self.folder / "log.txt"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "it printed nothing"


class Pool:
    """Run jobs side by side and wait for them."""

    def __init__(
        self, jobs: list[Job], *, store: Path, workers: int | None, tensorboard: bool
    ) -> None:
        cores, gpu = os.cpu_count() or 1, torch.cuda.is_available()
        self._workers = workers or (1 if gpu else min(cores, len(jobs)))
        # More threads round otherwise: a run's numbers would depend on how many go beside it.
        self._threads = max(1, cores // self._workers) if gpu else 1
        self._waiting, self._active, self._done = list(jobs), list[Job](), list[Job]()
        self._failed: list[str] = []
        self._several = len({job.experiment.suite for job in jobs}) > 1
        self._store = store
        self._tensorboard = OUT / "tensorboard" if tensorboard else None

    def run(self, title: str) -> None:
        """Run all jobs; a failed one does not stop the others.

        Raises: UserError, at the end, with what became of the jobs that failed or were stopped.
        """
        total = sum(job.experiment.steps for job in self._waiting)
        stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr  # else a red box
        interval = 0 if stream.isatty() or stream is sys.stdout else 30
        with tqdm(
            total=total, desc=title, unit="step", smoothing=0.0, mininterval=interval, file=stream
        ) as bar:
            try:
                while self._waiting or self._active:
                    self._start_waiting()
                    time.sleep(_POLL_S)
                    self._collect()
                    self._show(bar)
            except BaseException:
                self._stop()
                raise
        if self._failed:
            raise UserError("; ".join(self._failed))

    def _start_waiting(self) -> None:
        while self._waiting and len(self._active) < self._workers:
            job = self._waiting.pop(0)
            job.process = self._start(job)
            self._active.append(job)

    def _start(self, job: Job) -> subprocess.Popen[bytes]:
        job.folder.mkdir(parents=True, exist_ok=True)
        description = {
            "experiment": job.experiment.to_dict(),
            "seed": job.seed,
            "store": str(self._store),
            "threads": self._threads,
            "parent": os.getpid(),
            "tensorboard": str(self._tensorboard) if self._tensorboard else None,
            "export": str(job.export) if job.export else None,
        }
        path = job.folder / "job.json"
        path.write_text(json.dumps(description))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self._threads))
        with (job.folder / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "eval.worker", str(path)],
                cwd=ROOT,
                env={**os.environ, **threads, **_KEEP_MEMORY, "TOKENIZERS_PARALLELISM": "false"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt reaches us alone; we ask them to stop
            )

    def _collect(self) -> None:
        for job in list(self._active):
            assert job.process is not None
            status = job.process.poll()
            if status is None:
                continue
            self._active.remove(job)
            self._done.append(job)
            if status == DONE:
                shutil.rmtree(job.folder)
            elif status == INTERRUPTED:
                self._failed.append(
                    f"{self._name(job)} was stopped from outside; run again to continue"
                )
            elif status != FAILED:
                log = job.folder / "log.txt"
                self._failed.append(f"{self._name(job)} died ({job.log_tail()}); see {log}")
            else:
                self._failed.append(f"{self._name(job)}: {job.log_tail()}")

    def _name(self, job: Job) -> str:
        """Return the run in a few words, with its suite where there are several."""
        return f"{job.experiment.suite} {job.title}" if self._several else job.title

    def _show(self, bar: tqdm) -> None:
        finished = sum(job.experiment.steps for job in self._done)
        states = [(job, *job.progress()) for job in self._active]
        bar.n = finished + sum(step for _, step, _ in states)
        shown = [
            f"{self._name(job)} {step}/{job.experiment.steps}"
            + (f" loss {loss:.2f}" if loss else "")
            for job, step, loss in states
        ]
        bar.set_postfix_str(", ".join(shown), refresh=False)
        bar.update(0)

    def _stop(self) -> None:
        """Ask every run to save its checkpoint and stop, and wait until all have."""
        for job in self._active:
            assert job.process is not None
            job.process.send_signal(signal.SIGTERM)
        for job in self._active:
            assert job.process is not None
            job.process.wait()
