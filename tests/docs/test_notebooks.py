"""The notebooks keep to their budget and run at the smoke tier."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from eval import notebooks
from eval.errors import UserError
from eval.notebooks import execute, parameter_names, suites_shown
from eval.paths import NOTEBOOKS
from eval.suites import HEADLINE, LONG

SOURCES = sorted(NOTEBOOKS.glob("*.ipynb"))
ON_RECORDS = [
    source
    for source in SOURCES
    if "retrain" in parameter_names(nbformat.read(source, as_version=4))[1]
]
SMOKE = {"tier": "smoke", "seeds": [0], "retrain": True}


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    """Return a notebook's code cells."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_is_short_defines_nothing_and_holds_no_outputs(source: Path) -> None:
    cells = code_cells(source)
    assert len(cells) <= 15
    for cell in cells:
        assert not cell.outputs
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 15
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For)
        assert not [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, defined)]


def check_outputs(copy: Path) -> None:
    """Check that an executed notebook shows figures and texts, and no missing value in them."""
    outputs = [o for c in code_cells(copy) for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 3
    texts = [
        value
        for output in outputs
        for mime, value in {"text/plain": output.get("text", ""), **output.get("data", {})}.items()
        if mime.startswith("text/")  # an image's base64 may spell anything
    ]
    assert texts
    assert not [text for text in texts if re.search(r"\bnan\b", text, re.IGNORECASE)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_the_main_job_executes_a_notebook(source: Path, reproduced: Path) -> None:
    check_outputs(reproduced / "notebooks" / source.name)


@pytest.mark.parametrize("source", ON_RECORDS, ids=lambda p: p.stem)
def test_a_notebook_opens_on_the_committed_records(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_outputs(execute(source, tmp_path, {}))
    assert "WARNING" not in capfd.readouterr().err  # the kernel's own, in the user's terminal


@pytest.mark.parametrize(
    ("name", "known"), [("10_gpt", SMOKE), ("03_your_own_model", {"tier": "smoke"})]
)
def test_a_notebook_is_given_those_of_the_parameters_that_it_has(
    name: str, known: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(notebooks, "execute", lambda path, _, p: given.append(p))
    notebooks.execute_with_known(NOTEBOOKS / f"{name}.ipynb", tmp_path, SMOKE)
    assert given == [known]


def test_a_notebook_shows_the_suites_that_its_code_names() -> None:
    assert suites_shown(NOTEBOOKS / "10_gpt.ipynb") == {"gpt_pretrain", "gpt_finetune"}
    assert suites_shown(NOTEBOOKS / "01_random_ltd.ipynb") == set()


def test_every_notebook_on_records_is_of_suites_that_the_main_job_runs() -> None:
    for source in ON_RECORDS:
        assert suites_shown(source) <= {*HEADLINE, *LONG}


def test_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no parameter sedes"):
        execute(SOURCES[0], tmp_path, {"sedes": [0]})


def test_a_notebook_that_fails_names_cell_error_and_copy(tmp_path: Path) -> None:
    broken = nbformat.read(SOURCES[0], as_version=4)
    place, _ = parameter_names(broken)
    broken.cells[place].source += "\nraise KeyError('on purpose')"
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(UserError, match=r"KeyError.*on purpose.*see"):
        execute(tmp_path / "broken.ipynb", tmp_path / "executed", {})
    assert (tmp_path / "executed" / "broken.ipynb").exists()
