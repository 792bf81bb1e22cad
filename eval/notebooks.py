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

from eval.errors import UserError
from eval.paths import NOTEBOOKS

__all__ = ["execute", "execute_all", "parameter_names"]

_TIMEOUT_S = 24 * 3600
_WIDGET = "application/vnd.jupyter.widget-view+json"


def execute_all(target: Path, parameters: Mapping[str, Any]) -> list[Path]:
    """Execute every notebook into the folder `target`; return the executed copies.

    Each is given those of the parameters that it has.
    """
    return [
        execute(path, target, {k: v for k, v in parameters.items() if k in _known(path)})
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
    ]


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


def _known(path: Path) -> set[str]:
    return parameter_names(nbformat.read(path, as_version=4))[1]


def _tidy(notebook: nbformat.NotebookNode) -> None:
    """Remove when each cell ran, which differs every time, and progress bars that have ended."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _WIDGET not in o.get("data", {})]
