"""The shape of the code: imports go one way, modules and functions stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.paths import ROOT

LINES, FUNCTION_LINES, COLUMNS = 300, 50, 100
SOURCES = sorted(p for folder in ("rltd_core", "eval") for p in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN = {"rltd_core": {"eval", "notebooks", "tests"}, "eval": {"notebooks", "tests"}}
BANNED_STEMS = {"utils", "helpers", "misc", "common", "manager"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports, absolute as our style wants them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        yield from imported(node)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_from_eval_to_the_method_and_never_back(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN[package]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_the_builtin_eval_is_never_hidden(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert (alias.asname or alias.name).split(".")[0] != "eval", node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_are_absolute(path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith(".")]


def test_the_method_imports_torch_and_the_standard_library_alone() -> None:
    allowed = {*sys.stdlib_module_names, "torch", "rltd_core"}
    for path in (ROOT / "rltd_core").glob("*.py"):
        lazily = {"transformers"} if path.name == "hf.py" else set()
        found = {name.split(".")[0] for name in imports(path)}
        assert found <= allowed | lazily, path.name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_small_and_begins_with_a_docstring(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines), default=0) <= COLUMNS
    if lines:  # an empty `__init__.py` says nothing
        assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_module_is_small_too(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in (n for n in ast.walk(tree(path)) if isinstance(n, kinds)):
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_names_its_public_parts_and_only_what_it_has(path: Path) -> None:
    module = tree(path)
    defined = {
        node.name for node in module.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    assigned = {n.id for n in ast.walk(module) if isinstance(n, ast.Name)}
    brought = {
        a.asname or a.name for n in module.body if isinstance(n, ast.ImportFrom) for a in n.names
    }
    listed = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    if any(not name.startswith("_") for name in defined):
        assert len(listed) == 1
    for names in listed:
        assert len(set(names)) == len(names)
        assert set(names) <= defined | assigned | brought


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_functions_and_classes_say_what_they_do(path: Path) -> None:
    for node in tree(path).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_sources_are_ascii_and_named_for_what_they_hold(path: Path) -> None:
    assert path.read_bytes().isascii()
    assert path.stem not in BANNED_STEMS


def test_the_method_is_imported_without_what_the_experiments_need() -> None:
    code = (
        "import sys, rltd_core; "
        "print([m for m in ('transformers', 'accelerate', 'datasets', 'eval', 'pandas') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_method_works_where_transformers_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "import rltd_core, torch\n"
        "model = torch.nn.Linear(2, 2)\n"
        "try: rltd_core.RandomLTD(model, rltd_core.KeptLength(start=1, full=2, ramp_steps=1))\n"
        "except ValueError as error: print(error)\n"
        "try: import rltd_core.hf\n"
        "except ImportError as error: print(error.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    unknown, missing = done.stdout.splitlines()
    assert "Linear" in unknown
    assert missing == "transformers"
