"""Run a suite: skip what is done, resume what was interrupted, the rest side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from eval.errors import UserError
from eval.identity import run_key, trained_folder
from eval.paths import OUT, RESULTS, shown
from eval.pool import Job, Pool
from eval.provenance import is_dirty
from eval.record import Record, failed_path, load_record, load_records, record_path
from eval.spec import Experiment, Suite
from eval.starts import is_trained, pretrained_sha256, pretraining
from eval.tasks.of import prepare

__all__ = [
    "job_folder",
    "plan",
    "require_recorded",
    "run",
    "run_suite",
    "run_suites",
    "stored",
]

_AGAIN = OUT / "pretraining"
"""Store of the runs that were only needed for their trained models."""


def run(
    suite: Suite,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    retrain: bool = False,
) -> list[Record]:
    """Return a suite's records: the committed ones, or with `retrain` those of your own runs.

    This is what a notebook calls; all arms, unless named. With `retrain`, what `out/` does not hold
    yet is trained first.
    """
    wanted = suite.seeds if seeds is None else tuple(seeds)
    if retrain:
        return run_suite(suite, seeds=wanted, arms=arms)
    return stored(RESULTS, suite.with_arms(arms) if arms else suite, wanted)


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

    Raises: UserError if a run failed, once the others are done, or with `export`, at once, if one
        is done and its model was not kept; KeyboardInterrupt once every run under way has saved
        its checkpoint.
    """
    if store == RESULTS and is_dirty() is not False:
        raise UserError("--record needs a clean git checkout (results/ aside): commit first")
    experiments = [suite.arm(name) for name in dict.fromkeys(arms)] if arms else list(suite.arms)
    seeds = tuple(dict.fromkeys(seeds))
    jobs = plan(experiments, seeds, store, retry_failed=retry_failed)
    if export:
        _refuse_done(experiments, seeds, store)
        jobs = [replace(job, export=_export_folder(job.experiment, job.seed)) for job in jobs]
    _carry_out(jobs, store, suite.name, workers=workers, tensorboard=tensorboard)
    return [_finished(store, e, seed) for e in experiments for seed in seeds]


def run_suites(
    suites: Sequence[Suite],
    *,
    seeds: Mapping[str, Sequence[int]],
    title: str,
    retry_failed: bool = False,
) -> None:
    """Train what `out/` lacks of several suites, side by side, begun in the order they are in.

    So no core waits for the last run of each suite. `seeds` are by the suites' names.

    Raises: as `run_suite`.
    """
    jobs = [plan(s.arms, seeds[s.name], OUT, retry_failed=retry_failed) for s in suites]
    _carry_out([job for of_suite in jobs for job in of_suite], OUT, title)
    for each in suites:
        for experiment in each.arms:
            for seed in seeds[each.name]:
                _finished(OUT, experiment, seed)


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


def _carry_out(
    jobs: list[Job],
    store: Path,
    title: str,
    *,
    workers: int | None = None,
    tensorboard: bool = False,
) -> None:
    """Do the jobs, and first what they begin with."""
    if jobs:
        torch.set_num_threads(1)
    lost = _pretrain(_pretraining(jobs), workers)
    if jobs := [job for job in jobs if _can_begin(job)]:
        if store == RESULTS:
            require_recorded([(job.experiment, job.seed) for job in jobs])
        _prepare(jobs)
        Pool(jobs, store=store, workers=workers, tensorboard=tensorboard).run(title)
    if lost:
        raise UserError(f"what begins with these could not run: {lost}")


def _pretraining(jobs: Sequence[Job]) -> list[Job]:
    """Return the runs whose trained models the jobs begin with and the cache lacks.

    Those with a record were trained elsewhere, or the cache was emptied: they are trained again,
    and what they measure is left out of every report.
    """
    found: dict[str, Job] = {}
    for job in jobs:
        begins = pretraining(job.experiment, job.seed)
        if begins is None or is_trained(*begins):
            continue
        first, seed = begins
        key = run_key(first, seed)
        path = record_path(_AGAIN, first, seed, key)
        for old in (path, failed_path(path)):
            old.unlink(missing_ok=True)
        found[key] = Job(first, seed, job_folder(_AGAIN, first, seed, key))
    return list(found.values())


def _pretrain(jobs: list[Job], workers: int | None) -> str:
    """Train what others begin with; return what went wrong, which does not stop the others."""
    if not jobs:
        return ""
    _prepare(jobs)
    try:
        Pool(jobs, store=_AGAIN, workers=workers, tensorboard=False).run("pretraining")
    except UserError as error:
        return str(error)
    return ""


def _can_begin(job: Job) -> bool:
    begins = pretraining(job.experiment, job.seed)
    return begins is None or is_trained(*begins)


def require_recorded(runs: Sequence[tuple[Experiment, int]]) -> None:
    """Check that recorded runs begin with the weights of records, where there are such.

    Raises: UserError if the cache holds others, such as those of code that was not committed.
    """
    for experiment, seed in runs:
        if (begins := pretraining(experiment, seed)) is None:
            continue
        path = record_path(RESULTS, *begins, run_key(*begins))
        found = pretrained_sha256(experiment, seed)
        if path.exists() and load_record(path).hashes["trained_weights"] != found:
            raise UserError(
                f"the weights in {trained_folder(*begins)} are not those of {path}; delete the "
                "folder, and they are trained again"
            )


def _prepare(jobs: Sequence[Job]) -> None:
    for experiment in dict.fromkeys(job.experiment for job in jobs):
        prepare(experiment)


def job_folder(store: Path, experiment: Experiment, seed: int, key: str) -> Path:
    """Return where a run keeps checkpoints, progress and log until it is done.

    A run for the record never continues one that is not: that may come from uncommitted code.
    """
    work = OUT / {OUT: "work", _AGAIN: "again"}.get(store, "recording")
    return work / experiment.suite / f"{experiment.arm}-seed{seed}-{key}"


def _export_folder(experiment: Experiment, seed: int) -> Path:
    name = f"{experiment.tier}-{experiment.arm}-seed{seed}"
    return OUT / "models" / experiment.suite / name


def _refuse_done(experiments: Sequence[Experiment], seeds: Sequence[int], store: Path) -> None:
    """Check that no run is done already without its model having been kept."""
    paths = {
        record_path(store, e, seed, run_key(e, seed)): _export_folder(e, seed)
        for e in experiments
        for seed in seeds
    }
    if lost := [shown(p) for p, folder in paths.items() if p.exists() and not folder.exists()]:
        raise UserError(
            f"--export keeps models of runs to come, and these are done: {', '.join(lost)}; delete "
            "the records to train again"
        )


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
