"""What this machine has, what is missing, and the remedy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import torch

from eval.bfloat16 import has_bfloat16
from eval.data.assets import ASSETS
from eval.data.fetch import is_fetched
from eval.paths import OUT, ROOT, cache_dir
from eval.torchvision_repair import ensure_torchvision

__all__ = ["Finding", "examine"]

_DISK_BYTES, _MEMORY_BYTES = 8 * 10**9, 6 * 10**9
"""Two runs side by side: 1.6 GB of checkpoint and 3 GB of memory each, and the cache."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `remedy` is empty if it is well."""

    name: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        mark = "MISSING" if self.remedy else "ok"
        line = f"{mark:8}{self.name:14}{self.found}"
        return f"{line}\n{'':22}-> {self.remedy}" if self.remedy else line


def examine() -> list[Finding]:
    """Look at everything that the commands need."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _packages,
        _torchvision,
        _accelerator,
        _bfloat16,
        _memory,
        lambda: _disk("disk (cache)", cache_dir()),
        lambda: _disk("disk (out)", OUT),
        _tool("git", "install git: records name the commit they were made at"),
        _tool("npm", "install Node.js: some packages come from the npm registry"),
        _assets,
    )
    return [check() for check in checks]


def _python() -> Finding:
    return Finding("python", f"{sys.version.split()[0]} at {sys.executable}")


def _packages() -> Finding:
    pins = dict(
        line.split("==", 1)
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    differing = []
    for name, pin in pins.items():
        try:
            version = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            version = "absent"
        if version != pin:
            differing.append(f"{name} {version} instead of {pin}")
    remedy = "delete .venv and run ./rltd again, or pip install -r requirements.lock"
    found = "; ".join(differing) or f"all {len(pins)} as in requirements.lock"
    return Finding("packages", found, remedy if differing else "")


def _torchvision() -> Finding:
    state = ensure_torchvision()
    meaning = {
        "ok": "ok",
        "repaired": "built for CUDA beside CPU torch; repaired by ./rltd, see README",
    }
    if state in meaning:
        return Finding("torchvision", meaning[state])
    return Finding("torchvision", "absent", "pip install -r requirements.lock")


def _accelerator() -> Finding:
    if torch.cuda.is_available():
        return Finding("accelerator", torch.cuda.get_device_name())
    return Finding("accelerator", f"none; {os.cpu_count()} cores (enough for smoke and cpu)")


def _bfloat16() -> Finding:
    if has_bfloat16():
        return Finding("bfloat16", "by instructions")
    return Finding("bfloat16", "none here: suites in bfloat16 multiply in float32, which is slower")


def _memory() -> Finding:
    total = psutil.virtual_memory().available
    remedy = "run fewer at once: ./rltd run SUITE --workers 1" if total < _MEMORY_BYTES else ""
    return Finding("memory", f"{total / 1e9:.1f} GB available", remedy)


def _disk(name: str, folder: Path) -> Finding:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    variable = "RLTD_OUT" if folder == OUT else "RLTD_CACHE"
    remedy = f"free some, or set {variable} to another disk" if free < _DISK_BYTES else ""
    return Finding(name, f"{free / 1e9:.0f} GB free at {existing}", remedy)


def _tool(name: str, remedy: str) -> Callable[[], Finding]:
    def check() -> Finding:
        path = shutil.which(name)
        return Finding(name, path or "absent", "" if path else remedy)

    return check


def _assets() -> Finding:
    absent = [entry for entry in ASSETS.values() if not is_fetched(entry)]
    if not absent:
        return Finding("assets", f"all {len(ASSETS)} in {cache_dir()}")
    size = sum(entry.size_bytes for entry in absent) / 1e6
    names = ", ".join(entry.name for entry in absent)
    return Finding("assets", f"not fetched: {names}", f"./rltd assets --fetch all ({size:.0f} MB)")
