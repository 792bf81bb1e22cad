"""One run over many processes: `torchrun ... -m eval.launched SUITE --arm A`, in each of them.

Suites run side by side, one process a run, with `./rltd run`; this is for a run that needs more.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from eval.errors import UserError
from eval.execute import execute
from eval.identity import run_key
from eval.paths import OUT, RESULTS
from eval.processes import from_main, is_main, join
from eval.provenance import is_dirty
from eval.runner import job_folder, plan, require_recorded
from eval.spec import Experiment, from_source
from eval.suites import suite
from eval.tasks.of import prepare
from eval.train import Interrupted, Journal
from eval.worker import DONE, FAILED, INTERRUPTED

__all__ = ["main"]

_REPORT_EVERY_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one run together with the other processes; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        experiment = suite(options.suite, options.tier).arm(options.arm)
        if options.source:
            experiment = from_source(experiment, options.source)
        _prepare(experiment)
        if not options.prepare:
            _run(experiment, options.seed, RESULTS if options.record else OUT)
    except Interrupted:
        _say("interrupted; the same command continues from the checkpoint")
        return INTERRUPTED
    except UserError as error:
        _say(str(error))
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eval.launched", description=__doc__)
    add = parser.add_argument
    add("suite")
    add("--tier", default="paper", choices=["smoke", "cpu", "gpu", "paper"])
    add("--arm", default="random_ltd")
    add("--seed", type=int, default=0)
    add("--source", choices=["package", "hub", "local"], help="where model and data come from")
    add("--record", action="store_true", help="write into results/ (clean checkout)")
    add("--prepare", action="store_true", help="fetch and tokenise, and train nothing")
    return parser


def _prepare(experiment: Experiment) -> None:
    """Let the main process fetch and tokenise, then one of each machine with a cache of its own."""
    from_main(partial(prepare, experiment))
    with join().local_main_process_first():
        prepare(experiment)


def _run(experiment: Experiment, seed: int, store: Path) -> None:
    from_main(partial(_refuse, experiment, seed, store))
    folder = job_folder(store, experiment, seed, run_key(experiment, seed))
    with _alone_at(folder):
        stopping: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda n, frame: stopping.append(n))
        execute(
            experiment,
            seed,
            store=store,
            scratch=folder / "checkpoints",
            on_step=_Progress(experiment),
            should_stop=lambda: bool(stopping),
        )
    if is_main():
        shutil.rmtree(folder)


def _refuse(experiment: Experiment, seed: int, store: Path) -> None:
    if store == RESULTS:
        if is_dirty() is not False:
            raise UserError("--record needs a clean git checkout (results/ aside): commit first")
        require_recorded([(experiment, seed)])
    if not plan([experiment], [seed], store, retry_failed=True):
        run = f"{experiment.suite} {experiment.arm} seed {seed}"
        raise UserError(f"{run} is done; delete its record to run it again")


@contextmanager
def _alone_at(folder: Path) -> Iterator[None]:
    """Keep a second run of the same experiment and seed out."""
    held: list[IO[str]] = []

    def lock() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        held.append((folder / "lock").open("w"))
        try:
            fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is at {folder}; wait for it, or stop it") from None

    from_main(lock)
    yield
    for file in held:
        file.close()


class _Progress:
    """Print the newest step, from the main process, at most every half minute."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment, self._said = experiment, time.monotonic()

    def __call__(self, journal: Journal) -> None:
        now = time.monotonic()
        if now - self._said < _REPORT_EVERY_S and journal.step < self._experiment.steps:
            return
        self._said = now
        loss = journal.curve[-1]["train_loss"]
        _say(
            f"{self._experiment.suite} {self._experiment.arm}: step {journal.step:,} of "
            f"{self._experiment.steps:,}, loss {loss:.4f}"
        )


def _say(text: str) -> None:
    if is_main():
        print(f"rltd: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
