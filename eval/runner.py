"""Run a suite: skip what is done, resume what was interrupted, the rest side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from eval.errors import UserError
from eval.execute import run_key
from eval.paths import OUT, RESULTS
from eval.pool import Job, Pool
from eval.provenance import is_dirty
from eval.record import Record, failed_path, load_record, load_records, record_path
from eval.spec import Experiment, Suite
from eval.tasks.of import prepare

__all__ = ["job_folder", "plan", "run", "run_suite", "stored"]


def run(suite: Suite, *, seeds: Sequence[int] | None = None, retrain: bool = False) -> list[Record]:
    """Return a suite's records: the committed ones, or with `retrain` those of your own runs.

    This is what a notebook calls. With `retrain`, what `out/` does not hold yet is trained first.
    """
    wanted = suite.seeds if seeds is None else tuple(seeds)
    if retrain:
        return run_suite(suite, seeds=wanted)
    return stored(RESULTS, suite, wanted)


def stored(store: Path, suite: Suite, seeds: Sequence[int]) -> list[Record]:
    """Return the records that a store holds of exactly this suite's experiments and seeds."""
    records = load_records(store, suite.name)
    return [r for r in records if r.experiment in suite.arms and r.seed in seeds]


def run_suite(
    suite: Suite,
    *,
    seeds: Sequence[int],
    arms: Sequence[str] = (),
    store: Path = OUT,
    workers: int | None = None,
    retry_failed: bool = False,
    tensorboard: bool = False,
    export: bool = False,
) -> list[Record]:
    """Train each arm (all of them, or those named) with each seed that `store` has no record of.

    Runs go side by side, one thread each on a CPU, one run at a time on a GPU. With `export` the
    trained models are kept in `out/models`. Returns the records of all arms and seeds asked for.

    Raises: UserError if a run failed, once the others are done; KeyboardInterrupt once every run
        under way has saved its checkpoint.
    """
    if store == RESULTS and is_dirty() is not False:
        raise UserError("--record needs a clean git checkout (results/ aside): commit first")
    experiments = [suite.arm(name) for name in arms] if arms else list(suite.arms)
    jobs = plan(experiments, seeds, store, retry_failed=retry_failed)
    if export:
        jobs = [replace(job, export=_export_folder(job)) for job in jobs]
    if jobs:
        torch.set_num_threads(1)
        for experiment in experiments:
            prepare(experiment)
        Pool(jobs, store=store, workers=workers, tensorboard=tensorboard).run(suite.name)
    return [_finished(store, e, seed) for e in experiments for seed in seeds]


def plan(
    experiments: Sequence[Experiment],
    seeds: Sequence[int],
    store: Path,
    *,
    retry_failed: bool = False,
) -> list[Job]:
    """Return the runs that are still to be done, seed by seed, so that pairs finish together."""
    jobs = []
    for seed in seeds:
        for experiment in experiments:
            key = run_key(experiment, seed)
            path = record_path(store, experiment, seed, key)
            if path.exists() or (failed_path(path).exists() and not retry_failed):
                continue
            jobs.append(Job(experiment, seed, job_folder(store, experiment, seed, key)))
    return jobs


def job_folder(store: Path, experiment: Experiment, seed: int, key: str) -> Path:
    """Return where a run keeps checkpoints, progress and log until it is done.

    A run for the record never continues one that is not: that may come from uncommitted code.
    """
    work = OUT / ("work" if store == OUT else "recording")
    return work / experiment.suite / f"{experiment.arm}-seed{seed}-{key}"


def _export_folder(job: Job) -> Path:
    return OUT / "models" / job.experiment.suite / f"{job.experiment.arm}-seed{job.seed}"


def _finished(store: Path, experiment: Experiment, seed: int) -> Record:
    path = record_path(store, experiment, seed, run_key(experiment, seed))
    if path.exists():
        return load_record(path)
    failed = load_record(failed_path(path))
    assert failed.error is not None
    raise UserError(
        f"{experiment.suite} {experiment.arm} seed {seed} failed: "
        f"{failed.error.strip().splitlines()[-1]} (all of it in {failed_path(path)}; "
        "--retry-failed runs it again)"
    )
