"""The README's main job, run once at its smallest tier for all who look at what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import MAIN_JOB, run_command


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the main job leaves its runs in."""
    folder = tmp_path_factory.mktemp("reproduced")
    run_command(f"{MAIN_JOB} --tier smoke", folder)
    return folder / "out"
