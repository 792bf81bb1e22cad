"""Rows of the zero-shot tasks in the hub's schema, from the files of the original releases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.errors import UserError

__all__ = ["RELEASED", "released_rows"]

Row = dict[str, Any]
_Reader = Callable[[Path], list[Row]]


def released_rows(task: str, folder: Path) -> list[Row]:
    """Return a task's rows from the files of its original release, if the folder has them.

    Raises: UserError if there is no such file, or it is not as it was released.
    """
    for name, read in RELEASED.get(task, ()):
        if (folder / name).is_file():
            return _read_released(folder / name, read)
    names = " or ".join(name for name, _ in RELEASED.get(task, ()))
    raise UserError(f"no {names} in {folder}" if names else "no release file is read for it")


def _read_released(path: Path, read: _Reader) -> list[Row]:
    try:
        rows = read(path)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is not as it was released: {error!r}") from error
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _lines(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file if line.strip()]


def _labelled(path: Path) -> list[Row]:
    rows = [(row, int(row.pop("label"))) for row in _lines(path)]
    return [{**row, "label": label} for row, label in rows]  # last, as on the hub


def _released_rte(path: Path) -> list[Row]:
    return [_rte(r["premise"], r["hypothesis"], r["label"], r["idx"]) for r in _lines(path)]


def _glue_rte(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").split("\n")[1:]
    cells = [line.split("\t") for line in lines if line]
    return [_rte(first, second, label, int(idx)) for idx, first, second, label in cells]


def _rte(first: str, second: str, label: str, idx: int) -> Row:
    number = ("entailment", "not_entailment").index(label)
    return {"sentence1": first, "sentence2": second, "label": number, "idx": idx}


def _multirc(path: Path) -> list[Row]:
    return [
        {
            "paragraph": row["passage"]["text"],
            "question": question["question"],
            "answer": answer["text"],
            "idx": {"paragraph": row["idx"], "question": question["idx"], "answer": answer["idx"]},
            "label": int(answer["label"]),
        }
        for row in _lines(path)
        for question in row["passage"]["questions"]
        for answer in question["answers"]
    ]


def _wsc(path: Path) -> list[Row]:
    """Read WSC as the hub's `wsc.fixed`: spans read as in the text, indices stay as released."""
    rows = []
    for row in _lines(path):
        fixed = {"text": row["text"]}
        for span in ("span1", "span2"):
            index, words = row["target"][f"{span}_index"], row["target"][f"{span}_text"]
            fixed[f"{span}_index"] = index
            fixed[f"{span}_text"] = _as_in_text(words, row["text"], index)
        rows.append({**fixed, "idx": row["idx"], "label": int(row["label"])})
    return rows


def _as_in_text(words: str, text: str, index: int) -> str:
    """Give a span that the text does not contain the case of the text's word at its index."""
    if words in text:
        return words
    lower = text.split()[index][0].islower()
    first = words[0].lower() if lower else words[0].upper()
    return (first + words[1:]).rstrip(".").replace("\n", " ")


RELEASED: dict[str, tuple[tuple[str, _Reader], ...]] = {
    "lambada_openai": (("lambada/lambada_test.jsonl", _lines),),
    "boolq": (("superglue/BoolQ/val.jsonl", _labelled),),
    "copa": (("superglue/COPA/val.jsonl", _labelled),),
    # SuperGLUE's RTE is GLUE's without the quotation marks of six rows, so GLUE's goes first.
    "rte": (("glue/RTE/dev.tsv", _glue_rte), ("superglue/RTE/val.jsonl", _released_rte)),
    "wsc": (("superglue/WSC/val.jsonl", _wsc),),
    "multirc": (("superglue/MultiRC/val.jsonl", _multirc),),
}
"""Task -> files of the original release, the preferred one first, and how its rows are read."""
