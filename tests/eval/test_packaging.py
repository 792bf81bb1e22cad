"""What is shipped, and that every list of versions says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eval.paths import ROOT
from eval.provenance import _PACKAGES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LOCK_LINES}
EXTRAS = PROJECT["project"]["optional-dependencies"]
DIRECT = [
    Requirement(text)
    for text in (
        *PROJECT["project"]["dependencies"],
        *EXTRAS["eval"],
        *EXTRAS["dev"],
        *PROJECT["build-system"]["requires"],
    )
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy of the checkout, with what must stay out of it."""
    copy = tmp_path_factory.mktemp("build") / "copy"
    copy.mkdir()
    for name in ("rltd_core", "eval", "tests", "results", "notebooks"):
        (copy / name).mkdir()
        (copy / name / "stays_out.py").write_text("")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.rmtree(copy / "rltd_core")
    shutil.copytree(ROOT / "rltd_core", copy / "rltd_core", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", *options, "--wheel-dir", "dist", "."],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (file,) = (copy / "dist").iterdir()
    return zipfile.ZipFile(file)


def test_the_wheel_holds_the_method_alone(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    expected = {f"rltd_core/{path.name}" for path in (ROOT / "rltd_core").glob("*.py")}
    assert set(names) - {"rltd_core/py.typed", "rltd_core/README.md"} == expected


def test_the_wheel_requires_torch_alone(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(wheel.read(name))
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert [r.name for r in needed if r.marker is None] == ["torch"]
    assert metadata["Name"] == "rltd-core"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())


def test_the_lock_is_plain_pins_sorted_and_once_each() -> None:
    for line in LOCK_LINES:
        # No local label (+cpu), no URL, no marker: it holds on every index and machine.
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
    names = [line.split("==")[0] for line in LOCK_LINES]
    assert names == sorted(names, key=str.lower)
    assert len(LOCK) == len(LOCK_LINES)


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_the_lock_satisfies_the_projects_ranges(requirement: Requirement) -> None:
    assert requirement.specifier.contains(LOCK[canonicalize_name(requirement.name)])


def test_the_project_is_not_in_its_own_lock() -> None:
    assert "rltd-core" not in LOCK
    assert "pip" not in LOCK


def conda_pip_lines() -> list[str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return pip


def test_the_conda_environment_names_what_the_project_names_at_the_locks_versions() -> None:
    first, *pins, last = conda_pip_lines()
    assert first == "-c requirements.lock"
    assert last == "-e ."
    found = {}
    for line in pins:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert str(requirement.specifier) == f"=={LOCK[name]}", line
        found[name] = requirement.extras
    assert len(found) == len(pins)
    assert found == {canonicalize_name(r.name): r.extras for r in DIRECT}


def test_the_conda_environment_has_python_pip_and_node_and_the_projects_name() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert {re.split(r"[=<> ]", entry)[0] for entry in plain} == {"python", "nodejs", "pip"}
    (python,) = [entry for entry in plain if entry.startswith("python")]
    version = python.partition("=")[2]
    assert Requirement(f"x{PROJECT['project']['requires-python']}").specifier.contains(version)
    assert environment["name"] == "rltd"


def test_records_name_versions_of_packages_that_are_pinned() -> None:
    assert {canonicalize_name(name) for name in _PACKAGES} <= LOCK.keys()


def test_what_a_run_produces_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".venv/", "out/", "__pycache__/"} <= set(ignored)


def test_the_licence_is_the_one_that_the_project_declares() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in Path(ROOT / "LICENSE").read_text()[:300]
