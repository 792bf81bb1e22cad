"""torchvision beside another build of torch: repaired where that helps, left alone elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eval.paths import ROOT
from eval.torchvision_repair import ensure_torchvision

NEWS = "import sys; import eval.torchvision_repair as repair; "


def answer(folder: Path, torchvision: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process where `torchvision` is this module."""
    folder.joinpath("torchvision.py").write_text(torchvision)
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.path.append({str(ROOT)!r})\n"
    start += "from eval import torchvision_repair as repair\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, cwd=folder
    )
