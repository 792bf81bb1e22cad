"""Every code block of the README runs, and what it names exists."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.__main__ import VERBS
from eval.evidence.report import DOCUMENTS
from eval.paths import ROOT
from eval.suites import HEADLINE
from eval.torchvision_repair import ensure_torchvision
from tests.docs.commands import MAIN_JOB, run_command

ensure_torchvision()

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
# The tests without running themselves again; pip into a folder.
AT_TEST_SIZE = {
    "./rltd test": "./rltd test --collect-only tests/core/test_tokens.py",
    "pip install .": "{python} -m pip install --no-deps --no-build-isolation --target {tmp}/site .",
}


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return [text for name, text in BLOCKS if name == language]


COMMANDS = [command for block in blocks("bash") for command in block.strip().splitlines()]


def test_the_readme_has_only_blocks_that_are_run() -> None:
    assert {language for language, _ in BLOCKS} == {"bash", "python"}


def test_the_main_job_leaves_notebooks_and_a_report(reproduced: Path) -> None:
    assert MAIN_JOB in COMMANDS
    assert (reproduced / "notebooks" / "10_gpt.ipynb").exists()
    assert list((reproduced / "report").glob("*.svg"))


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != MAIN_JOB])
def test_each_other_command_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    run_command(AT_TEST_SIZE[command].format(python=sys.executable, tmp=tmp_path), tmp_path)


@pytest.mark.parametrize("code", blocks("python"))
def test_each_python_block_of_the_readme_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(code.strip().splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    assert names["ltd"].kept == names["schedule"].full
    if "trainer" in names:
        assert names["trainer"].state.log_history[0]["ltd_kept"] > names["schedule"].start


def test_every_verb_is_in_the_readme_and_every_link_leads_somewhere() -> None:
    commands = README[README.index("## Commands") :]
    assert set(VERBS) <= set(re.findall(r"`(?:\./rltd )?([a-z-]+)", commands))
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", document.read_text()):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_heading_has_one(document: Path) -> None:
    found = 0
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        text = (ROOT / target).read_text() if target else document.read_text()
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
        found += 1
    assert found


def test_the_readme_names_every_folder_of_the_repository() -> None:
    made = {"out", "__pycache__"}
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name.isidentifier()} - made
    here = README[README.index("## What is here") : README.index("## Where this differs")]
    assert folders == set(re.findall(r"\[`(\w+)/`\]", here))


def test_the_readme_names_the_suites_of_the_main_job() -> None:
    told = README[README.index("## Two commands") : README.index("./rltd test")]
    assert set(HEADLINE) == set(re.findall(r"`(\w+)`", told))


def test_the_costs_that_the_readme_states_are_the_recorded_ones() -> None:
    with (ROOT / "results" / "fresh_machine.csv").open() as file:
        for row in csv.DictReader(file):
            for unit, value in (("minutes", row["minutes"]), ("MB", row["megabytes"])):
                if value not in {"", "0"}:
                    shown = f"{float(value):,.0f}" if unit == "MB" else value
                    assert re.search(rf"\b{re.escape(shown)}\s+{unit}", README), row
