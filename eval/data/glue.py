"""Labelled examples of the GLUE tasks, from a package, a local folder or the hub.

Letters: N examples.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from eval.data.assets import asset
from eval.data.glue_files import PACKAGED_GLUE, checkout_rows, package_rows, released_rows
from eval.data.glue_tasks import GlueTask, glue_task
from eval.data.held_out import held_out_places
from eval.data.hub import load_hub_split
from eval.errors import UserError
from eval.paths import local_dir

__all__ = [
    "Labelled",
    "glue_identity",
    "load_labelled",
    "without_leaks",
]

Row = dict[str, Any]

_HUB = ("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
_MOST_HELD_OUT = 1_000
_TELLING = 8
"""Letters from which on a sentence within another one is no chance: the package's SST-2 has the
sentences "bad" and "cool", which stand in 211 snippets that leak nothing."""
_PLAIN = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Sentences, or pairs of them, with their labels."""

    first: tuple[str, ...]
    second: tuple[str, ...] | None
    labels_N: np.ndarray
    """Class numbers (int64), or scores (float64)."""

    def __len__(self) -> int:
        return len(self.first)

    def at(self, places: np.ndarray) -> Labelled:
        """Return the examples at these places."""
        second = None if self.second is None else tuple(self.second[i] for i in places)
        first = tuple(self.first[i] for i in places)
        return Labelled(first=first, second=second, labels_N=self.labels_N[places])


def load_labelled(name: str, split: str, source: str) -> Labelled:
    """Return the examples of a task's split.

    `train` lacks the rows whose text is also in a reported split, and `held_out`: rows of the
    training set, the same for all seeds, for curves and for choosing settings, in an order of
    chance (files may have one label after the other); they may be like rows that are trained on, as
    the phrases of SST-2's release are. The other splits are the published ones.

    Raises: UserError for an unknown task or split, or a source that does not have it.
    """
    task = glue_task(name)
    if split in task.validation:
        return _labelled(task, _rows(task, split, source))
    if split not in {"train", "held_out"}:
        known = ", ".join(["train", "held_out", *task.validation])
        raise UserError(f"task {name} has no split {split!r}; it has {known}")
    reported = [_labelled(task, _rows(task, each, source)) for each in task.validation]
    parts = source == "package"  # its training sentences are whole snippets of reviews
    clean = without_leaks(_labelled(task, _rows(task, "train", source)), reported, parts=parts)
    held_out, rest = held_out_places(f"held-out rows of {name}", len(clean), most=_MOST_HELD_OUT)
    return clean.at(held_out if split == "held_out" else rest)


@cache
def glue_identity(name: str, source: str) -> str:
    """Return what identifies a task's data: pinned packages or a revision, else its sha256."""
    task = glue_task(name)
    if source == "package" and name in PACKAGED_GLUE:
        assets = sorted({asset(each).sha256 for each in PACKAGED_GLUE[name].values()})
        return f"package:{'+'.join(assets)}"
    if source == "hub":
        return f"hub:{_HUB[0]}/{name}@{_HUB[1]}"
    digest = hashlib.sha256()
    for split in ("train", *task.validation):
        rows = _rows(task, split, source)
        digest.update(json.dumps(_plain(_labelled(task, rows))).encode())
    return f"{source}:{digest.hexdigest()}"


def without_leaks(train: Labelled, reported: list[Labelled], *, parts: bool = False) -> Labelled:
    """Return the training examples whose text is in none of the reported ones.

    Texts are compared in lower case, letters and digits alone; of a pair, both sentences, in either
    order. With `parts`, an example whose sentence contains a reported one, or the other way round,
    goes, too, if the shorter one is long enough to be more than a word ("bad").
    """
    keys = _keys(train)
    there = {key for each in reported for key in _keys(each)}
    if parts and train.second is None:
        found = _overlapping([key[0] for key in keys], sorted(key[0] for key in there))
    else:
        found = {i for i, key in enumerate(keys) if key in there}
    return train.at(np.array([i for i in range(len(train)) if i not in found], dtype=np.int64))


def _overlapping(texts: list[str], others: list[str]) -> set[int]:
    """Return the places of the texts that are, contain or are part of one of the others."""
    known, everything = set(others), "\n".join(others)
    long = [other for other in others if len(other) >= _TELLING]

    def overlaps(text: str) -> bool:
        if text in known or any(other in text for other in long):
            return True
        return len(text) >= _TELLING and text in everything

    return {place for place, text in enumerate(texts) if overlaps(text)}


def _plain(examples: Labelled) -> list[Any]:
    return [examples.first, examples.second, examples.labels_N.tolist()]


def _keys(examples: Labelled) -> list[tuple[str, ...]]:
    columns = [examples.first] if examples.second is None else [examples.first, examples.second]
    return [tuple(sorted(_PLAIN.sub("", t.lower()) for t in texts)) for texts in zip(*columns)]


def _rows(task: GlueTask, split: str, source: str) -> list[Row]:
    if source == "checkout":
        return checkout_rows(task.name, split)
    if source == "package":
        return package_rows(task.name, split)
    if source == "local":
        folder = local_dir()
        try:
            return _from_hub(task, split, source)
        except UserError as of_copy:
            try:
                return released_rows(task.name, split, folder)
            except UserError as of_release:
                raise UserError(f"{of_copy}; {of_release}") from None
    return _from_hub(task, split, source)


def _from_hub(task: GlueTask, split: str, source: str) -> list[Row]:
    repository, revision = _HUB
    return load_hub_split(repository, task.name, revision, split=split, source=source).to_list()


def _labelled(task: GlueTask, rows: list[Row]) -> Labelled:
    kind = np.float64 if task.classes == 1 else np.int64
    return Labelled(
        first=tuple(row[task.first] for row in rows),
        second=None if task.second is None else tuple(row[task.second] for row in rows),
        labels_N=np.array([row["label"] for row in rows], dtype=kind),
    )
