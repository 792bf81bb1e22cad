"""Rows of the zero-shot tasks in the hub's schema, from the files that packages carry."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["PACKAGED", "package_rows", "wikitext_pages"]

Row = dict[str, Any]
_Reader = Callable[[Path], list[Row]]

_FIRST_UNCONDITIONAL = 1_000_000
"""Requests from this document number on score the answers without their question."""
_LETTERS = "ABCDE"
_TITLE = re.compile(r"= (?!=).*(?<!=) =$")


def package_rows(task: str, folder: Path) -> list[Row]:
    """Return a packaged task's rows, from the folder with its asset."""
    _, name, read = PACKAGED[task]
    return read(folder / name)


def wikitext_pages(text: str) -> list[str]:
    """Split a raw WikiText split into the documents of EleutherAI/wikitext_document_level.

    A document begins at a level-1 heading. As on the hub, two lines of a formula in the test split
    that look like headings begin one, too: 60 articles give 62 documents.
    """
    pages, lines = [], []
    for line in text.split("\n"):
        if _TITLE.match(line.strip()):
            pages.append(lines)
            lines = []
        lines.append(line)
    joined = ["\n".join(page) for page in [*pages, lines]]
    return [page for page in joined if page.strip()]


def _wikitext(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [{"page": page} for page in wikitext_pages(file.read())]


def _arrow(path: Path) -> list[Row]:
    from datasets import Dataset

    return Dataset.from_file(str(path), in_memory=True).to_list()


def _requests(path: Path) -> list[Row]:
    """Return the first request of every document; there is one for each answer."""
    first: dict[int, Row] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            request = json.loads(line)
            if request["doc_id"] < _FIRST_UNCONDITIONAL:
                first.setdefault(request["doc_id"], request)
    return [first[number] for number in sorted(first)]


def _lambada(path: Path) -> list[Row]:
    requests = [r["request"] for r in _requests(path)]
    return [{"text": r["context"] + r["continuation"]} for r in requests]


def _questions(path: Path, *, column: str) -> list[Row]:
    """Read ARC's and OpenBookQA's questions; `column` holds the question.

    Deviation: answers are lettered, also where the hub numbers them. The definitions only compare.
    """
    rows = []
    for doc in (r["doc"] for r in _requests(path)):
        question = _between("Question: ", doc["query"], "\nAnswer:")
        choices = {"text": doc["choices"], "label": list(_LETTERS[: len(doc["choices"])])}
        answer = {"choices": choices, "answerKey": _LETTERS[doc["gold"]]}
        rows.append({"id": doc["id"], column: question, **answer})
    return rows


def _boolq(path: Path) -> list[Row]:
    # The package's BoolQ table is the original one, whose passages lack SuperGLUE's titles.
    rows = []
    for doc in (r["doc"] for r in _requests(path)):
        passage, _, question = doc["query"].rpartition("\nQuestion: ")
        question = _between("", question, "?\nAnswer:")
        label = int(doc["choices"][doc["gold"]] == "yes")
        rows.append({"question": question, "passage": passage, "idx": doc["idx"], "label": label})
    return rows


def _between(start: str, text: str, end: str) -> str:
    assert text.startswith(start) and text.endswith(end), text  # noqa: PT018
    return text[len(start) : len(text) - len(end)]


_ITEMS = "zero-shot-tasks"
_arc = partial(_questions, column="question")
PACKAGED: dict[str, tuple[str, str, _Reader]] = {
    "hellaswag": (_ITEMS, "hellaswag.arrow", _arrow),
    "lambada_openai": (_ITEMS, "lambada_openai.jsonl.gz", _lambada),
    "winogrande": (_ITEMS, "winogrande.arrow", _arrow),
    "piqa": (_ITEMS, "piqa.arrow", _arrow),
    "arc_challenge": (_ITEMS, "arc_challenge.jsonl.gz", _arc),
    "arc_easy": (_ITEMS, "arc_easy.jsonl.gz", _arc),
    "openbookqa": (_ITEMS, "openbookqa.jsonl.gz", partial(_questions, column="question_stem")),
    "boolq": (_ITEMS, "boolq.jsonl.gz", _boolq),
    "copa": (_ITEMS, "copa.arrow", _arrow),
    "rte": (_ITEMS, "rte.arrow", _arrow),
    "wikitext": ("wikitext-2-raw", "test.raw.gz", _wikitext),
}
"""Task -> asset, file of the asset, and how its rows are read."""
