"""A run's checkpoint: a folder that exists only when it is complete, verified before it is read.

Weights are safetensors; optimizer and generators are tensors read with `weights_only=True`; the
rest is JSON.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model

from eval.data.fetch import publish, sha256_of
from eval.errors import UserError

__all__ = [
    "generators",
    "latest_checkpoint",
    "load_checkpoint",
    "restore_generators",
    "save_checkpoint",
]

_FILES = ("model.safetensors", "optimizer.pt", "generators.pt", "state.json")


def save_checkpoint(
    run_folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write a checkpoint, and only then remove the previous one."""
    folder = run_folder / f"step-{step:08d}"
    with publish(folder) as partial:
        save_model(model, str(partial / _FILES[0]))
        torch.save(optimizer.state_dict(), partial / _FILES[1])
        torch.save(generators(), partial / _FILES[2])
        (partial / _FILES[3]).write_text(json.dumps(state, allow_nan=False))
        hashes = {name: sha256_of(partial / name) for name in _FILES}
        (partial / "hashes.json").write_text(json.dumps(hashes))
    for other in run_folder.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def latest_checkpoint(run_folder: Path) -> Path | None:
    """Return the newest checkpoint of a run, or None if it has none."""
    return max(run_folder.glob("step-*"), default=None)


def load_checkpoint(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore weights, optimizer and global generators; return the state that was saved with them.

    Raises: UserError if a file is missing or differs from what was written; nothing is loaded.
    """
    try:
        hashes = json.loads((folder / "hashes.json").read_text())
        damaged = [name for name in _FILES if sha256_of(folder / name) != hashes[name]]
    except (OSError, ValueError, KeyError) as error:
        damaged = [str(error)]
    if damaged:
        raise UserError(
            f"the checkpoint {folder} is damaged ({', '.join(damaged)}); delete that folder to "
            "start the run again from its first step"
        )
    load_model(model, str(folder / _FILES[0]))
    optimizer.load_state_dict(torch.load(folder / _FILES[1], map_location="cpu", weights_only=True))
    restore_generators(torch.load(folder / _FILES[2], map_location="cpu", weights_only=True))
    return json.loads((folder / _FILES[3]).read_text())


def generators() -> dict[str, Any]:
    """Return the states of the global random generators of Python, NumPy and torch."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(state: dict[str, Any]) -> None:
    """Put the global random generators back to states that `generators` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
