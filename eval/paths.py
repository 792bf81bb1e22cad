"""Where everything lies. No other module builds these paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.errors import UserError

__all__ = [
    "NOTEBOOKS",
    "OUT",
    "RESULTS",
    "ROOT",
    "WEIGHTS",
    "cache_dir",
    "lengths_file",
    "local_copies",
    "local_dir",
    "shown",
]

for _name in ("RLTD_OUT", "RLTD_CACHE", "RLTD_LOCAL"):
    if os.environ.get(_name):  # kernels and workers have other working directories
        os.environ[_name] = str(Path(os.environ[_name]).absolute())

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
"""Committed records, curves, tables and figures."""
OUT = Path(os.environ.get("RLTD_OUT") or ROOT / "out")
"""What a user's own runs produce; git-ignored. RLTD_OUT moves it."""
NOTEBOOKS = ROOT / "notebooks"
WEIGHTS = ROOT / "weights"
"""Trained models that recorded runs begin with, each under the name of its record."""


def cache_dir() -> Path:
    """Return the folder for fetched packages and what is made from them; RLTD_CACHE moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RLTD_CACHE") or Path(base) / "rltd")


def local_dir() -> Path:
    """Return the folder of `--source local`: copies of hub repositories, under their hub names.

    Raises: UserError if RLTD_LOCAL does not name a folder.
    """
    named = os.environ.get("RLTD_LOCAL", "")
    if not named or not Path(named).is_dir():
        lost = f"there is no folder {named}: " if named else ""
        raise UserError(
            f"{lost}the source 'local' needs a folder with released data or copies of hub "
            "repositories: give it with --folder PATH (or RLTD_LOCAL)"
        )
    return Path(named)


@contextmanager
def local_copies(folder: str | None) -> Iterator[None]:
    """Make a folder that of the source `local`, also in processes started meanwhile."""
    before = os.environ.get("RLTD_LOCAL")
    if folder:
        os.environ["RLTD_LOCAL"] = str(Path(folder).absolute())
    try:
        yield
    finally:
        os.environ.pop("RLTD_LOCAL", None)
        os.environ |= {} if before is None else {"RLTD_LOCAL": before}


def shown(path: Path) -> str:
    """Return a path as messages show it: from the checkout's root if it lies in it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def lengths_file(name: str, tier: str, store: Path = RESULTS) -> Path:
    """Return where the lengths of a suite's training rows are kept."""
    return store / "lengths" / f"{name}-{tier}.csv"
