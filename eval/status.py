"""What is done, under way, failed or missing, suite by suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.checkpoint import latest_checkpoint
from eval.errors import UserError
from eval.identity import run_key
from eval.paths import OUT, RESULTS
from eval.record import failed_path, record_path
from eval.runner import job_folder
from eval.spec import Experiment, Suite
from eval.suites import SUITES, suite, tiers_of

__all__ = ["overview", "run_state"]


def overview(name: str | None = None) -> Iterator[str]:
    """Yield lines for every suite, or the named one, at each of its tiers.

    Raises: UserError if there is no such suite.
    """
    for each in SUITES if name is None else [name]:
        for tier in tiers_of(each):
            declared = suite(each, tier)
            yield f"{each} [{tier}]"
            if refusal := _refusal(declared.arms[0]):
                yield f"  {refusal}"
                continue
            for experiment in declared.arms:
                yield f"  {experiment.arm:30} {_arm_line(declared, experiment)}"


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


def _arm_line(declared: Suite, experiment: Experiment) -> str:
    parts = []
    for label, store in (("committed", RESULTS), ("yours", OUT)):
        states = {seed: run_state(store, experiment, seed) for seed in declared.seeds}
        done = list(states.values()).count("done")
        open_runs = [f"seed {n} {s}" for n, s in states.items() if s not in {"done", "-"}]
        parts.append(f"{label} {done}/{len(states)}" + "".join(f", {text}" for text in open_runs))
    return "; ".join(parts)
