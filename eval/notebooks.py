"""Execute notebooks with parameters, each in its own folder as working directory."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell
from traitlets.config import Config

from eval.errors import UserError
from eval.paths import NOTEBOOKS
from eval.suites import SUITES

__all__ = ["all_notebooks", "execute", "execute_with_known", "parameter_names", "suites_shown"]

_TIMEOUT_S = 24 * 3600
_ENCRYPTED = Config(KernelManager={"transport_encryption": "auto"})  # a kernel warns without it
_WIDGET = "application/vnd.jupyter.widget-view+json"


def all_notebooks() -> list[Path]:
    """Return the notebooks in the order of their names."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def suites_shown(source: Path) -> set[str]:
    """Return the suites that a notebook's code names: it shows their runs, or trains them."""
    cells = nbformat.read(source, as_version=4).cells
    trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    constants = [n.value for t in trees for n in ast.walk(t) if isinstance(n, ast.Constant)]
    return {value for value in constants if isinstance(value, str)} & set(SUITES)


def execute_with_known(source: Path, target: Path, parameters: Mapping[str, Any]) -> Path:
    """Execute a notebook as `execute` does, given those of the parameters that it has."""
    known = parameter_names(nbformat.read(source, as_version=4))[1]
    return execute(source, target, {k: v for k, v in parameters.items() if k in known})


def execute(source: Path, target: Path, parameters: Mapping[str, Any]) -> Path:
    """Execute one notebook with some of its parameters set otherwise.

    A cell with the given values follows the one tagged `parameters`, as papermill does it.

    Raises: UserError for a parameter that the notebook does not have, or a cell that fails; the
        copy up to that cell is written all the same.
    """
    notebook = nbformat.read(source, as_version=4)
    place, known = parameter_names(notebook)
    unknown = set(parameters) - known
    if unknown:
        raise UserError(f"{source.name} has no parameter {', '.join(sorted(unknown))}")
    if parameters:
        code = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(place + 1, new_code_cell(code, id="injected-parameters"))
    target.mkdir(parents=True, exist_ok=True)
    copy = target / source.name
    client = NotebookClient(
        notebook,
        timeout=_TIMEOUT_S,
        startup_timeout=300,  # a busy machine takes its time to start a kernel
        kernel_name="python3",
        config=_ENCRYPTED,
        resources={"metadata": {"path": str(source.parent)}},
    )
    try:
        client.execute(env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    except CellExecutionError as error:
        raise UserError(
            f"{source.name} failed: {error.ename}: {error.evalue}; see {copy}"
        ) from None
    finally:
        _tidy(notebook)
        nbformat.write(notebook, copy)
    return copy


def parameter_names(notebook: nbformat.NotebookNode) -> tuple[int, set[str]]:
    """Return the place of the cell tagged `parameters`, and the names it assigns."""
    for place, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            assigned = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assign)]
            names = {t.id for n in assigned for t in n.targets if isinstance(t, ast.Name)}
            return place, names
    raise UserError("the notebook has no cell tagged `parameters`")


def _tidy(notebook: nbformat.NotebookNode) -> None:
    """Remove when each cell ran, which differs every time, and progress bars that have ended."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _WIDGET not in o.get("data", {})]
