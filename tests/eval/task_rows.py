"""Made-up rows of the zero-shot tasks, in the schema of the hub's repositories."""

from __future__ import annotations

from typing import Any

__all__ = ["ROWS", "Row"]

Row = dict[str, Any]
N = range(6)
WORDS = ("rain", "a long song", "bread", "the na\u00efve cat", "an old town", "light")
NAMES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")
PAGE = " = {} = \n \n It was {} , he said . \n = = More = = \n "
SPAN = "{} gave {} to Tom because he asked ."


def _question(column: str, n: int, num: int) -> Row:
    texts = [f"{WORDS[(n + i) % 6]} {i}" for i in range(num)]
    choices = {"text": texts, "label": list("ABCDE"[:num])}
    return {"id": f"q{n}", column: f"Which is {WORDS[n]}?"} | {
        "choices": choices,
        "answerKey": "ABCDE"[n % num],
    }


def _hellaswag(n: int) -> Row:
    endings = [f"waits for {WORDS[n]}.", "is [title] here.", f"sings {WORDS[-n]}.", "falls."]
    row = {"ctx_a": f"{NAMES[n]} is here.", "ctx_b": "he", "endings": endings}
    return {**row, "label": str(n % 4), "ind": n, "activity_label": "Singing", "ctx": "x"}


def _anli(n: int) -> Row:
    return {"premise": f"{NAMES[n]} has {WORDS[n]}.", "hypothesis": "He has it.", "label": n % 3}


def _copa(n: int) -> Row:
    row = {"premise": f"{NAMES[n]} saw {WORDS[n]}.", "choice1": "He ate.", "choice2": "It fell."}
    return {**row, "question": ("cause", "effect")[n // 2 % 2], "idx": n, "label": n % 2}


def _wsc(n: int) -> Row:
    spans = {"span1_index": 0, "span1_text": NAMES[n], "span2_index": -3, "span2_text": "he"}
    return {"text": SPAN.format(NAMES[n], WORDS[n]), **spans, "idx": n, "label": n % 2}


def _record(n: int) -> Row:
    found = {"entities": [NAMES[n], "Jo", "the old Jo"], "answers": [("Jo", NAMES[n])[n % 2]]}
    return {"passage": f"It is {WORDS[n]}.\n@highlight\nOld", "query": "@placeholder ran"} | found


def _race(n: int) -> Row:
    problem = {"question": "He saw _ .", "answer": "ABCD"[n % 4], "options": list(WORDS[:4])}
    return {"article": f"{NAMES[n]} saw {WORDS[n]}.", "problems": str([problem, problem])}


ROWS: dict[str, list[Row]] = {
    "hellaswag": [_hellaswag(n) for n in N],
    "lambada_openai": [{"text": f"so {NAMES[n]} said it is {WORDS[n]}"} for n in N],
    "winogrande": [
        {"sentence": f"{NAMES[n]} saw Jo as _ had {WORDS[n]}."}
        | {"option1": NAMES[n], "option2": "Jo", "answer": str(1 + n % 2)}
        for n in N
    ],
    "piqa": [{"goal": f"Get {w}", "sol1": "Heat.", "sol2": f"See {w}.", "label": 1} for w in WORDS],
    "arc_easy": [_question("question", n, 3 + n % 3) for n in N],
    "arc_challenge": [_question("question", n, 4) for n in N],
    "openbookqa": [_question("question_stem", n, 4) for n in N],
    "boolq": [
        {"question": f"is it {w}", "passage": f"It -- {w}.", "idx": 0, "label": len(w) % 2}
        for w in WORDS
    ],
    "copa": [_copa(n) for n in N],
    "rte": [
        {"sentence1": f"It is {WORDS[n]}.", "sentence2": "It is.", "label": n % 2, "idx": n}
        for n in N
    ],
    "wsc": [_wsc(n) for n in N],
    "multirc": [
        {"paragraph": "Once.", "question": "What is it?", "answer": w, "label": len(w) % 2}
        | {"idx": {"paragraph": 0, "question": 0, "answer": 0}}
        for w in WORDS
    ],
    **{f"anli_r{n}": [_anli((n + i) % 6) for i in N] for n in (1, 2, 3)},
    "race": [_race(n) for n in N],
    "record": [_record(n) for n in N],
    "webqs": [{"question": f"is {WORDS[n]}?", "answers": list(NAMES[: 1 + n % 3])} for n in N],
    "triviaqa": [
        {"question": f"who is {n}", "answer": {"value": n, "aliases": [n, "x"]}} for n in NAMES
    ],
    "wikitext": [{"page": PAGE.format(NAMES[n], WORDS[n] + 25 * n * " a b") + "."} for n in N],
}
"""Made-up rows of the hub's schema, six of each task."""
