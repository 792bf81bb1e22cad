"""Where a run's numbers come from: code, packages, machine, data and weights."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from eval.bfloat16 import has_bfloat16
from eval.identity import asset_hashes
from eval.paths import ROOT
from eval.spec import Experiment

__all__ = ["is_dirty", "now", "origin", "provenance"]

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
        "created": now(),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": is_dirty(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "hardware": _hardware(),
    }


def now() -> str:
    """Return the time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_dirty() -> bool | None:
    """Whether files differ from the commit, or are new; None outside git.

    `results/` and what git ignores do not count.
    """
    status = _git("status", "--porcelain", "--", ".", ":(exclude)results")
    return None if status is None else bool(status)


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
        "bfloat16": has_bfloat16(),  # if not, runs multiply in float32 and round
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
