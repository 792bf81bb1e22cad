"""The README's commands, run as a reader would, but in folders of the test."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from eval.paths import ROOT

MAIN_JOB = "./rltd reproduce"


def run_command(command: str, folder: Path) -> None:
    """Run a command in the checkout with this Python, its cache and runs in `folder`."""
    here = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix,
        "RLTD_CACHE": str(folder / "cache"),
        "RLTD_OUT": str(folder / "out"),
    }
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
