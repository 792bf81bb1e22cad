"""Where things lie, however the user names the places."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.paths import ROOT, cache_dir


@pytest.mark.parametrize("name", ["RLTD_OUT", "RLTD_CACHE", "RLTD_LOCAL"])
def test_a_place_named_from_here_is_the_same_one_from_other_folders(
    tmp_path: Path, name: str
) -> None:
    script = f"import eval.paths, os; print(os.environ['{name}'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, name: "place", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "place")


def test_an_empty_name_is_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RLTD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    assert cache_dir() == tmp_path / ".cache" / "rltd"
