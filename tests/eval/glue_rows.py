"""Made-up rows of the GLUE tasks, laid down as a user's folder has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.data.glue_files import RELEASED_GLUE
from eval.data.glue_tasks import GLUE

__all__ = ["NLI", "SPLITS", "N", "Row", "put_copy", "put_release", "rows_of"]

Row = dict[str, Any]
N = 24
NLI = ("entailment", "neutral", "contradiction")
ENTAILED = ("entailment", "not_entailment")
SPLITS = {name: ("train", *task.validation) for name, task in GLUE.items() if name != "snli"}


def rows_of(name: str, split: str) -> list[Row]:
    """Return made-up rows in the hub's schema; no sentence is in two splits."""
    task = GLUE[name]
    rows = []
    for n in range(N if split == "train" else 6):
        label = n % task.classes if task.classes > 1 else round(n % 26 / 5, 1)
        row = {task.first: f'{split} {n}: "quoted", it \'s', "label": label}
        rows.append(
            row if task.second is None else {**row, task.second: f"Second {n} of {split} ?"}
        )
    return rows


def put_copy(folder: Path, name: str) -> None:
    """Lay a task down in the layout of the hub's repository."""
    data = folder / "nyu-mll" / "glue"
    (data / name).mkdir(parents=True)
    files = []
    for split in SPLITS[name]:
        lines = "".join(json.dumps(row) + "\n" for row in rows_of(name, split))
        (data / name / f"{split}.jsonl").write_text(lines)
        files.append({"split": split, "path": f"{name}/{split}.jsonl"})
    configs = json.dumps([{"config_name": name, "data_files": files}])
    (data / "README.md").write_text(f"---\nconfigs: {configs}\n---\n")


def put_release(folder: Path, name: str) -> None:
    """Lay a task down as the original release: tab-separated, unquoted, with columns of its own."""
    place = folder / "glue" / RELEASED_GLUE[name][0]
    place.mkdir(parents=True)
    for split in SPLITS[name]:
        lines = [_line(name, n, row) for n, row in enumerate(rows_of(name, split))]
        header = [] if name == "cola" else [_HEADERS[name]]
        text = "".join(f"{line}\n" for line in [*header, *lines])
        start = "\ufeff" if name == "mrpc" else ""
        ending = "\r\n" if name == "qqp" else "\n"
        file = place / f"{split.replace('validation', 'dev')}.tsv"
        file.write_bytes((start + text).replace("\n", ending).encode())


_HEADERS = {
    "sst2": "sentence\tlabel",
    "mrpc": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "stsb": "index\tgenre\tsentence1\tsentence2\tscore",
    "qqp": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "qnli": "index\tquestion\tsentence\tlabel",
    "rte": "index\tsentence1\tsentence2\tlabel",
    "mnli": "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label",
}


def _line(name: str, n: int, row: Row) -> str:
    task, label = GLUE[name], row["label"]
    texts = [row[task.first]] if task.second is None else [row[task.first], row[task.second]]
    cells = {
        "cola": ["gj04", label, "", *texts],
        "sst2": [*texts, label],
        "mrpc": [label, n, n, *texts],
        "stsb": [n, "news", *texts, f"{label:.3f}"],
        "qqp": [n, n, n, *texts, label],
        "qnli": [n, *texts, ENTAILED[int(label) % 2]],
        "rte": [n, *texts, ENTAILED[int(label) % 2]],
        "mnli": [n, "fiction", *texts, "neutral", NLI[int(label) % 3]],
    }[name]
    return "\t".join(map(str, cells))
