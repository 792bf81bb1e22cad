"""Lay tasks' rows down under the names of the hub's repositories, for `datasets` to find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eval.data.fetch import publish
from eval.data.task_data import TaskData, task_data
from eval.paths import cache_dir

__all__ = ["TRAINING_TEXT", "lay_down"]

Row = dict[str, Any]

TRAINING_TEXT = "(no training data here: zero-shot only)"
"""What every text of the `train` split says."""


def lay_down(tables: Mapping[str, list[Row]]) -> tuple[Path, dict[str, str]]:
    """Return the folder with these tasks' rows, and the sha256 of every task's file of rows.

    The folder is named by its content, so that no preparation of other rows is ever read.

    Beside the evaluated split lies a `train` split of one row without content. lm-eval opens the
    training split of every definition, for examples that a zero-shot prompt does not have, and
    `datasets` opens no split without rows. Drawing two examples or more from it is an error.
    """
    entries = {task: task_data(task) for task in tables}
    files, hashes = {}, {}
    for task, rows in tables.items():
        content = _jsonl(rows)
        hashes[task] = _sha256(content)
        files[_place(entries[task], entries[task].split)] = content
        files[_place(entries[task], _training(entries[task]))] = _jsonl([_empty(rows[0])])
    return _published(files | _cards(entries.values())), hashes


def _config(entry: TaskData) -> str:
    return entry.config or "default"


def _training(entry: TaskData) -> str:
    """Return the definition's training split: of test_r1 it is train_r1."""
    return entry.split.replace("validation", "train").replace("test", "train")


def _place(entry: TaskData, split: str) -> str:
    return f"{entry.dataset}/{_config(entry)}/{split}.jsonl"


def _jsonl(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _empty(value: Any) -> Any:
    """Return a value of the same type that says nothing; numbers stay numbers, also as text."""
    if isinstance(value, dict):
        return {key: _empty(value[key]) for key in value}
    if isinstance(value, list):
        return [_empty(each) for each in value[:1]]
    if isinstance(value, str):
        return "0" if value.isdigit() else TRAINING_TEXT
    return type(value)()


def _cards(entries: Iterable[TaskData]) -> dict[str, bytes]:
    """Return a card for each repository, which tells `datasets` the configurations there are."""
    repositories: dict[str, dict[str, list[dict[str, str]]]] = {}
    for entry in sorted(entries, key=lambda e: e.task):
        files = repositories.setdefault(entry.dataset, {}).setdefault(_config(entry), [])
        # The evaluated rows come first: `datasets` takes the columns' types from the first split.
        for split in (entry.split, _training(entry)):
            files.append({"split": split, "path": f"{_config(entry)}/{split}.jsonl"})
    cards = {}
    for dataset, configs in repositories.items():
        listed = [{"config_name": name, "data_files": configs[name]} for name in sorted(configs)]
        cards[f"{dataset}/README.md"] = f"---\nconfigs: {json.dumps(listed)}\n---\n".encode()
    return cards


def _published(files: dict[str, bytes]) -> Path:
    listing = "".join(f"{name} {_sha256(files[name])}\n" for name in sorted(files))
    folder = cache_dir() / "tasks" / _sha256(listing.encode())[:16]
    sizes = {folder / name: len(content) for name, content in files.items()}
    if folder.is_dir() and all(p.is_file() and p.stat().st_size == sizes[p] for p in sizes):
        return folder
    with publish(folder) as partial:
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
    return folder


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
