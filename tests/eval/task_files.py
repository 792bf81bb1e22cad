"""A few rows of each packaged task, and the packages and releases that would carry them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from eval.data.assets import ASSETS
from tests.eval.packages import declare, put_by_hand, zip_bytes

Row = dict[str, Any]

_ENDINGS = ["waits .", "is [title] here.", "sings.", "falls."]


def _copa(number: int) -> Row:
    row = {"premise": f"It rained {number}.", "choice1": "He got wet.", "choice2": "He ate."}
    return {**row, "question": ("cause", "effect")[number], "idx": number, "label": number}


def _question(column: str, number: int, answers: list[str], key: str) -> Row:
    labels = list("ABCDE"[: len(answers)])
    row = {"id": f"q{number}", column: f"Which is {number}?\nAnswer: it"}
    return {**row, "choices": {"text": answers, "label": labels}, "answerKey": key}


HUB: dict[str, list[Row]] = {
    "hellaswag": [
        {"ctx_a": f"Man {n}.", "ctx_b": "he", "endings": _ENDINGS, "label": str(n + 2)}
        | {"ind": n, "activity_label": "Singing", "ctx": f"Man {n}. he"}
        for n in range(2)
    ],
    "piqa": [{"goal": f"Boil {n}", "sol1": "Heat.", "sol2": "Cool.", "label": n} for n in range(2)],
    "winogrande": [
        {"sentence": "Ann saw Bo as _ sat.", "option1": "Ann", "option2": "Bo", "answer": answer}
        for answer in ("2", "1")
    ],
    "copa": [_copa(0), _copa(1)],
    "rte": [
        {"sentence1": f'A "{n}" na\u00efve.', "sentence2": "B.", "label": n, "idx": n}
        for n in range(2)
    ],
    "lambada_openai": [{"text": "I say so , he said"}, {"text": "\u201cNo\u201d said the cat"}],
    "arc_easy": [
        _question("question", 0, ["a", "b", "c"], "C"),
        _question("question", 1, ["a", "b", "c", "d", "e"], "E"),
    ],
    "arc_challenge": [
        _question("question", 2, ["w", "x", "y", "z"], "A"),
        _question("question", 3, ["w", "x", "y", "z"], "D"),
    ],
    "openbookqa": [
        _question("question_stem", 4, ["1950", "1960", "1970", "1980"], "B"),
        _question("question_stem", 5, ["1950", "1960", "1970", "1980"], "A"),
    ],
    "boolq": [
        {"question": f"is it {n}", "passage": f"T -- x {n}\nQuestion: y.", "idx": n, "label": n}
        for n in range(2)
    ],
    "wikitext": [
        {"page": " = A = \n \n Text . \n = = B = = \n More . "},
        {"page": " = C = = D = \n Text = not a title = here \n "},
    ],
}
"""What the hub serves of each packaged task."""

_TEMPLATE = {"boolq": "{passage}\nQuestion: {question}?\nAnswer:"}
_FOLDERS = {
    "lambada_openai": "lambada/bpb_0shot",
    "arc_easy": "arc_easy/test_rc_5shot",
    "arc_challenge": "arc_challenge/test_rc_5shot",
    "openbookqa": "openbookqa/test_rc_5shot",
    "boolq": "boolq/rc_0shot",
}


def _doc(task: str, row: Row) -> Row:
    """Return the package's form of a row: a ready question and its answers."""
    if task == "lambada_openai":
        return {"choices": [row["text"].split()[-1]]}
    if task == "boolq":
        choices = ["yes", "no"]
        query = _TEMPLATE["boolq"].format(**row)
        return {"idx": row["idx"], "query": query, "choices": choices, "gold": 1 - row["label"]}
    question = row.get("question") or row["question_stem"]
    gold = row["choices"]["label"].index(row["answerKey"])
    query = f"Question: {question}\nAnswer:"
    return {"id": row["id"], "query": query, "choices": row["choices"]["text"], "gold": gold}


def requests(task: str, rows: list[Row]) -> bytes:
    """Return requests as the package has them: one an answer, then again without the question."""
    lines = []
    for offset in (0, 1_000_000):
        for number, row in enumerate(rows):
            doc = _doc(task, row)
            context = "Answer:" if offset else row.get("text", "x").rpartition(" ")[0]
            for answer in doc["choices"]:
                request = {"context": context, "continuation": f" {answer}"}
                lines.append({"doc": doc, "request": request, "doc_id": number + offset})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return gzip.compress(text.encode())


def arrow(rows: list[Row]) -> bytes:
    """Return a table in arrow's stream format."""
    made, buffer = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_stream(buffer, made.schema) as stream:
        stream.write_table(made)
    return buffer.getvalue()


def put_packages(patch: pytest.MonkeyPatch, cache: Path, hub: dict[str, list[Row]] = HUB) -> None:
    """Put both packages by hand, with these rows under the members that the assets name."""
    pages = " \n" + "\n".join(row["page"] for row in hub["wikitext"])
    text = gzip.compress(pages.encode())
    for name in ("zero-shot-tasks", "wikitext-2-raw"):
        members = ASSETS[name].members
        files = {}
        for member, target in members.items():
            task = target.partition(".")[0]
            if target.endswith(".raw.gz"):
                files[member] = text
            elif target.endswith(".arrow"):
                assert "/validation/" in member
                files[member] = arrow(hub.get(task, [{"sentence": "good", "label": 1}]))
            else:
                assert _FOLDERS[task] in member
                files[member] = requests(task, hub[task])
        wheel = zip_bytes(files)
        put_by_hand(cache, declare(patch, wheel, name=name, members=members), wheel)


WSC_TEXT = "The pie Tom ate was bad . He cried because it hurt"
WSC: list[tuple[str, int, str]] = [
    ("the pie", 0, "The pie"),  # the case of the text
    ("Tom", 2, "Tom"),  # as it is
    ("He cried.", 7, "He cried"),  # the dot is not the text's
    ("the pie\nTom", 0, "The pie Tom"),
]
"""Released span, its index, and the span of wsc.fixed."""


def _write(file: Path, rows: list[Row]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def put_releases(folder: Path) -> None:
    """Write the files of the original releases."""
    superglue = folder / "superglue"
    for name, task in (("BoolQ", "boolq"), ("COPA", "copa")):
        rows = [{"label": bool(r["label"]), **r, "idx": r["idx"]} for r in HUB[task]]
        rows = [{**r, "label": bool(r["label"]) if name == "BoolQ" else r["label"]} for r in rows]
        _write(superglue / name / "val.jsonl", rows)
    words = ("entailment", "not_entailment")
    rte = [(r["sentence1"], r["sentence2"], words[r["label"]], r["idx"]) for r in HUB["rte"]]
    keys = ("premise", "hypothesis", "label", "idx")
    _write(superglue / "RTE/val.jsonl", [dict(zip(keys, row, strict=True)) for row in rte])
    _write(
        superglue / "WSC/val.jsonl",
        [
            {
                "text": WSC_TEXT,
                "target": {"span1_text": s, "span1_index": i, "span2_text": "it", "span2_index": 9},
                "idx": n,
                "label": n % 2 == 0,
            }
            for n, (s, i, _) in enumerate(WSC)
        ],
    )
    answers = [{"text": "it's", "idx": 5, "label": 1}, {"text": 'a "b"', "idx": 6, "label": 0}]
    questions = [{"question": "Q?", "idx": 3, "answers": answers}]
    questions.append({"question": "R?", "idx": 4, "answers": [{**answers[0], "idx": 7}]})
    passages = [{"idx": 2, "passage": {"text": "Once .", "questions": questions}}]
    _write(superglue / "MultiRC/val.jsonl", passages)
    _write(folder / "lambada/lambada_test.jsonl", [{"text": "Line\n\nbreaks stay as they are"}])
