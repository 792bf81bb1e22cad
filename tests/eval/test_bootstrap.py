"""The script `./rltd`: uses the active environment, or makes its own, whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.paths import ROOT
from eval.record import load_records

FAKE_PYTHON = """#!/bin/bash
echo "$(basename "$0") $*" >> "$LOG"
case "$*" in
    *metadata*) exit "${NOT_INSTALLED:-1}" ;;
    *version_info*) exit "${TOO_OLD:-0}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"-r "*) exit "${PIP_FAILS:-0}" ;;
    "-m eval "*) echo "ran ${*:3}" ;;
esac
"""
"""Stands in for every Python: logs what it is asked, and makes copies of itself."""
LOCK = "torch==2.13.0\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with the script, a lock, and a `bin` of nothing but a fake Python."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "basename", "cmp", "cp", "mkdir"):
        (tools / name).symlink_to(shutil.which(name) or "")
    (tools / "python3").write_text(FAKE_PYTHON)
    (tools / "python3").chmod(0o755)
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "rltd", folder)
    (folder / "requirements.lock").write_text(LOCK)
    return folder


def rltd(
    checkout: Path, *arguments: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script; return its result, and what Python was asked for."""
    log = checkout.parent / "log"
    log.write_text("")
    done = subprocess.run(
        [str(checkout / "rltd"), *arguments],
        env={"PATH": str(checkout.parent / "bin"), "LOG": str(log), **environment},
        cwd="/",
        capture_output=True,
        text=True,
    )
    return done, log.read_text().splitlines()


def installs(asked: list[str]) -> list[str]:
    return [line for line in asked if " -m pip " in line]


@pytest.mark.parametrize("script", ["rltd", ".ci/run"])
def test_the_scripts_parse_and_can_be_run(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
    assert os.access(ROOT / script, os.X_OK)
    assert (ROOT / script).read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in (ROOT / script).read_text()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec ./rltd test"


def test_without_an_environment_one_is_made_from_the_lock(checkout: Path) -> None:
    done, asked = rltd(checkout, "run", "a suite", "--tier", "smoke")
    assert (done.returncode, done.stdout) == (0, "ran run a suite --tier smoke\n")
    lock, project = installs(asked)
    assert lock.endswith(f"-r {checkout}/requirements.lock")
    assert project.endswith(f"--no-deps --no-build-isolation -e {checkout}")
    assert (checkout / ".venv" / "installed.lock").read_text() == LOCK


def test_a_made_environment_is_used_as_it_is(checkout: Path) -> None:
    rltd(checkout, "list")
    done, asked = rltd(checkout, "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran list\n", "")
    assert asked == ["python -m eval list"]


def test_a_changed_lock_is_installed_into_it(checkout: Path) -> None:
    rltd(checkout, "list")
    (checkout / "requirements.lock").write_text("torch==2.14.0\n")
    _, asked = rltd(checkout, "list")
    assert len(installs(asked)) == 2
    assert not [line for line in asked if "-m venv" in line]
    assert (checkout / ".venv" / "installed.lock").read_text() == "torch==2.14.0\n"


def test_an_install_that_failed_is_done_again(checkout: Path) -> None:
    done, _ = rltd(checkout, "list", PIP_FAILS="1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert not (checkout / ".venv" / "installed.lock").exists()
    done, asked = rltd(checkout, "list")
    assert (done.returncode, done.stdout) == (0, "ran list\n")
    assert len(installs(asked)) == 2


@pytest.mark.parametrize("case", ["none", "too old"])
def test_without_a_usable_python_it_says_what_to_install(checkout: Path, case: str) -> None:
    if case == "none":
        (checkout.parent / "bin" / "python3").unlink()
    done, _ = rltd(checkout, "list", TOO_OLD="1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("rltd: needs Python 3.11 or newer with venv")
    assert not (checkout / ".venv").exists()


def test_a_python_can_be_named(checkout: Path) -> None:
    (checkout.parent / "bin" / "python3").rename(checkout.parent / "mine")
    done, asked = rltd(checkout, "list", PYTHON=str(checkout.parent / "mine"))
    assert done.stdout == "ran list\n"
    assert asked[0].startswith("mine -c")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
@pytest.mark.parametrize("installed", [True, False])
def test_an_active_environment_is_used_if_it_has_the_project(
    checkout: Path, variable: str, installed: bool
) -> None:
    shutil.copy(checkout.parent / "bin" / "python3", checkout.parent / "bin" / "python")
    status = "0" if installed else "1"
    done, asked = rltd(checkout, "list", **{variable: "/active", "NOT_INSTALLED": status})
    assert done.stdout == "ran list\n"
    assert (checkout / ".venv").exists() is not installed
    assert bool(installs(asked)) is not installed


@pytest.fixture
def real(tmp_path: Path, out: Path, cache: Path) -> tuple[Path, dict[str, str]]:
    """Return a copy of the checkout without a `.venv`, and this Python's active environment."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("eval", "rltd_core"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("rltd", "requirements.lock", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    tools = tmp_path / "active" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").write_text(f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(tools.parent),
        "OMP_NUM_THREADS": "1",
    }
    return folder, environment


def test_inside_this_environment_a_copy_runs_without_installing(
    real: tuple[Path, dict[str, str]],
) -> None:
    folder, environment = real
    done = subprocess.run(
        [folder / "rltd", "assets"], env=environment, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"cache: {environment['RLTD_CACHE']}\n" in done.stdout
    assert done.stderr == ""
    assert not (folder / ".venv").exists()


@pytest.mark.slow
def test_an_interrupted_run_is_finished_by_the_same_command(
    real: tuple[Path, dict[str, str]], smoke: Path, out: Path
) -> None:
    folder, environment = real
    command = [str(folder / "rltd"), "run", "gpt_finetune", "--tier", "smoke"]
    command += ["--arms", "random_ltd"]
    # A shell starts background jobs with the interrupt ignored, and children inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, previous)
    while process.poll() is None and not list(out.rglob("job.json")):
        time.sleep(0.05)  # until the run is started
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    last = "rltd: interrupted; the same command continues where it stopped"
    assert errors.splitlines()[-1] == last
    assert "Traceback" not in errors
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("random_ltd ")
    assert [r.status for r in load_records(out, "gpt_finetune")] == ["ok"]
