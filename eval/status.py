"""What is done, under way, failed or missing: suite by suite, or arm by arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.checkpoint import latest_checkpoint
from eval.errors import UserError
from eval.identity import run_key
from eval.paths import OUT, RESULTS
from eval.record import failed_path, record_path
from eval.runner import job_folder
from eval.spec import Experiment
from eval.suites import SUITES, suite, tiers_of

__all__ = ["arm_by_arm", "overview", "run_state"]


def overview() -> Iterator[str]:
    """Yield a line for every suite at each of its tiers."""
    for each in SUITES:
        for tier in tiers_of(each):
            declared = suite(each, tier)
            cannot = "cannot say: it reads released data (--folder DIR)"
            refused = _refusal(declared.arms[0])
            line = cannot if refused else _stores_line(declared.arms, declared.seeds)
            yield f"{f'{each} [{tier}]':46} {line}"


def arm_by_arm(name: str) -> Iterator[str]:
    """Yield a line for every arm of a suite, at each of its tiers.

    Raises: UserError if there is no such suite.
    """
    for tier in tiers_of(name):
        declared = suite(name, tier)
        yield f"{name} [{tier}]"
        if refusal := _refusal(declared.arms[0]):
            yield f"  {refusal}"
            continue
        for experiment in declared.arms:
            yield f"  {experiment.arm:30} {_stores_line([experiment], declared.seeds)}"


def run_state(store: Path, experiment: Experiment, seed: int) -> str:
    """Return "done", "failed", "at step N" (a checkpoint waits) or "-" for one run in a store."""
    key = run_key(experiment, seed)
    path = record_path(store, experiment, seed, key)
    if path.exists():
        return "done"
    if failed_path(path).exists():
        return "failed"
    checkpoint = latest_checkpoint(job_folder(store, experiment, seed, key) / "checkpoints")
    return f"at step {int(checkpoint.name.removeprefix('step-'))}" if checkpoint else "-"


def _refusal(experiment: Experiment) -> str:
    """Say why nothing can be told: only what lies in a user's folder identifies runs on it."""
    try:
        run_key(experiment, 0)
    except UserError as error:
        return f"cannot say ({experiment.model} on {experiment.data}): {error}"
    return ""


def _stores_line(arms: Sequence[Experiment], seeds: Sequence[int]) -> str:
    """Say how many runs are done, among the committed ones and yours, and which are begun."""
    parts = []
    for label, store in (("committed", RESULTS), ("yours", OUT)):
        states = {(e.arm, seed): run_state(store, e, seed) for e in arms for seed in seeds}
        done = list(states.values()).count("done")
        begun = {run: state for run, state in states.items() if state not in {"done", "-"}}
        named = [
            f", {f'{arm} ' if len(arms) > 1 else ''}seed {seed} {state}"
            for (arm, seed), state in begun.items()
        ]
        parts.append(f"{label} {done}/{len(states)}" + "".join(named))
    return "; ".join(parts)
