"""The processes of one run, which torchrun or Slurm started: what they agree on, and who writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from eval.errors import UserError
from eval.spec import Experiment

__all__ = [
    "agree",
    "from_main",
    "is_main",
    "join",
    "num_processes",
    "refuse_other_number",
    "refuse_uneven",
]

T = TypeVar("T")


def join() -> PartialState:
    """Return this process's place among those of the run; the first call waits for all of them.

    Without a launcher it is alone. Without a CUDA device it computes on the CPU: nothing here is
    tested on another accelerator, such as a Mac's.
    """
    # Told nothing, accelerate takes launched processes without a GPU for so many single ones.
    return PartialState(cpu=not torch.cuda.is_available())


def is_main() -> bool:
    """Whether this process writes records, curves, checkpoints and exports."""
    return join().is_main_process


def num_processes() -> int:
    """Return the number of processes of the run."""
    return join().num_processes


def refuse_other_number(before: int | None) -> None:
    """Refuse to go on with a run that other processes began: what they draw differs.

    `before` is their number, None where an older checkpoint does not say.

    Raises: UserError if this run has another number.
    """
    if before is not None and before != num_processes():
        raise UserError(
            f"the checkpoint is of a run of {before} process(es), this one has {num_processes()}: "
            "they would draw other tokens; start as many, or remove the run's folder in out/"
        )


def from_main(make: Callable[[], T]) -> T:
    """Return, in every process, what the main process makes; the others wait for it.

    Raises: in every process, the UserError that the main one meets.
    """
    answer: list[Any] = [None]
    if is_main():
        try:
            answer = [make()]
        except UserError as error:
            answer = [error]
    (made,) = broadcast_object_list(answer)
    if isinstance(made, UserError):
        raise made
    return made


def agree(what: str, value: T, *, remedy: str) -> T:
    """Return a value that every process must have come to by itself.

    Raises: UserError in every process if they differ.
    """
    join()
    if len(set(gather_object([value]))) > 1:
        raise UserError(f"{what} differs between the processes of this run; {remedy}")
    return value


def refuse_uneven(experiment: Experiment, processes: int) -> None:
    """Refuse processes that cannot share every forward evenly.

    Raises: UserError if they do not divide its sequences.
    """
    sequences = experiment.batch // experiment.accumulation
    if sequences % processes:
        raise UserError(
            f"a forward of {experiment.suite} holds {sequences} sequences (batch "
            f"{experiment.batch}, accumulation {experiment.accumulation}), which {processes} "
            "processes cannot share evenly; start a number of processes that divides it"
        )
