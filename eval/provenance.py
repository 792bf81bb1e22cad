"""Where a run's numbers come from: code, packages, machine, data and weights."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from eval.data.assets import asset
from eval.data.text import corpus, load_split
from eval.errors import UserError
from eval.models import MODELS, weights_sha256
from eval.paths import ROOT
from eval.spec import Experiment

__all__ = ["asset_hashes", "is_dirty", "origin", "provenance"]

_PACKAGES = (
    "torch",
    "transformers",
    "timm",
    "accelerate",
    "datasets",
    "gguf",
    "numpy",
    "tokenizers",
)


def provenance(experiment: Experiment) -> dict[str, Any]:
    """Return what a run's record says about its origin."""
    return {**origin(), "assets": asset_hashes(experiment)}


def origin() -> dict[str, Any]:
    """Return when, from which code, with which packages and on which machine."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": is_dirty(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "hardware": _hardware(),
    }


def asset_hashes(experiment: Experiment) -> dict[str, str]:
    """Return what identifies a run's model and data, as far as it is known without a download.

    A package asset is its pinned sha256, a hub repository its name and revision, anything local
    the sha256 of its content.
    """
    return {
        "model": _model_identity(experiment.model, experiment.source),
        "data": _data_identity(experiment.data, experiment.source),
    }


def is_dirty() -> bool | None:
    """Whether tracked files differ from the commit; `results/` does not count. None outside git."""
    status = _git("status", "--porcelain", "--", ".", ":(exclude)results")
    return None if status is None else bool(status)


@cache
def _model_identity(name: str, source: str) -> str:
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    model = MODELS[name]
    if source == "package" and model.asset is not None:
        return f"package:{asset(model.asset).sha256}"
    if source == "hub" and model.hub is not None:
        return "hub:{}@{}".format(*model.hub)
    return f"{source}:{weights_sha256(name, source)}"


@cache
def _data_identity(name: str, source: str) -> str:
    wanted = corpus(name)
    if source == "package" and wanted.asset is not None:
        return f"package:{asset(wanted.asset).sha256}"
    if source == "hub" and wanted.hub is not None:
        return "hub:{}/{}@{}".format(*wanted.hub)
    splits = (load_split(name, split, source) for split in ("train", "validation", "test"))
    return f"{source}:{hashlib.sha256(chr(0).join(splits).encode()).hexdigest()}"


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _hardware() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
