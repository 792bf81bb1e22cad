"""What lm-eval needs or changes of the process around it; every change is put back."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import config as datasets_config

from eval.checkpoint import generators, restore_generators
from eval.paths import ROOT

__all__ = ["evaluation_mode", "generators_kept", "quiet", "working_in"]


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Put the model into evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work where the data sets lie under the names that the definitions give them.

    What `datasets` prepares of them is kept apart by their content: it goes by the name alone.
    lm-eval asks git for the commit of the place it works in; it gets this repository's.
    """
    before, git = Path.cwd(), os.environ.get("GIT_DIR")
    prepared = datasets_config.HF_DATASETS_CACHE
    os.chdir(folder)
    datasets_config.HF_DATASETS_CACHE = folder.parent / "prepared" / folder.name
    os.environ["GIT_DIR"] = git or str(ROOT / ".git")
    try:
        yield
    finally:
        os.chdir(before)
        datasets_config.HF_DATASETS_CACHE = prepared
        if git is None:
            del os.environ["GIT_DIR"]


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global random generators back, which lm-eval seeds."""
    state = generators()
    try:
        yield
    finally:
        restore_generators(state)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence lm-eval's notes on defaults; warnings about data stay."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
