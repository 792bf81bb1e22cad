"""The README's main job, run once at its smallest tier for all who look at what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.paths import ROOT


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which the commands use this Python, and folders of the test."""
    here = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix,
        "RLTD_CACHE": str(folder / "cache"),
        "RLTD_OUT": str(folder / "out"),
    }


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `./rltd reproduce --tier smoke` leaves its runs in."""
    folder = tmp_path_factory.mktemp("reproduced")
    done = subprocess.run(
        ["./rltd", "reproduce", "--tier", "smoke"],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "out"
