"""What each example says, against likelihoods summed token by token and plain loops.

Letters: V vocabulary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from eval.models.named import load_folder
from eval.record import Measurement
from eval.tasks.examples import answer_of, example_table, measure
from eval.tasks.zero_shot import ZeroShot
from tests.eval.task_rows import ROWS
from tests.eval.test_zero_shot import checkpoint, put, score

__all__ = ["checkpoint"]

POSITIONS = 512
TASKS = ("hellaswag", "winogrande", "copa", "lambada_openai", "wikitext", "webqs", "triviaqa")


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> tuple[Any, Any]:
    """Return model and tokenizer; in float64, so that sums in another order are the same."""
    model, tokenizer = load_folder(checkpoint)
    return model.double(), tokenizer


@pytest.fixture(scope="module")
def found(loaded: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> ZeroShot:
    """Evaluate the tasks once."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", str(folder / "cache"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        put(patch, {task: ROWS[task] for task in TASKS})
        return score(loaded, *TASKS)


def table_of(found: ZeroShot, task: str) -> pd.DataFrame:
    table = found.examples
    return table[table["task"] == task]


def measured(found: ZeroShot, task: str) -> dict[str, Measurement]:
    (one,) = [s for s in found.scores if s.task == task]
    return one.measurements


def log_probability(model: Any, context: Sequence[int], token: int) -> float:
    with torch.no_grad():
        logits_V = model(input_ids=torch.tensor([list(context)])).logits[0, -1]
    return float(logits_V[token] - logits_V.exp().sum().log())


def nats(loaded: Any, context: str, continuation: str) -> float:
    """Sum what each token of the continuation costs, each from its own forward."""
    model, tokenizer = loaded
    ids = tokenizer(context + continuation)["input_ids"]
    begin = len(tokenizer(context)["input_ids"])
    return -sum(log_probability(model, ids[:i], ids[i]) for i in range(begin, len(ids)))


def hellaswag(row: dict[str, Any]) -> tuple[list[tuple[str, str]], int]:
    context = "Singing: " + row["ctx_a"] + " He"
    endings = [end.replace(" [title]", ". ").replace("  ", " ") for end in row["endings"]]
    return [(context, " " + ending) for ending in endings], int(row["label"])


def winogrande(row: dict[str, Any]) -> tuple[list[tuple[str, str]], int]:
    before, after = row["sentence"].split("_")
    pairs = [(before + row[name], " " + after.strip()) for name in ("option1", "option2")]
    return pairs, int(row["answer"]) - 1


def copa(row: dict[str, Any]) -> tuple[list[tuple[str, str]], int]:
    word = {"cause": "because", "effect": "therefore"}[row["question"]]
    context = f"{row['premise'][:-1]} {word}"
    choices = [row[name][0].lower() + row[name][1:] for name in ("choice1", "choice2")]
    return [(context, "  " + choice) for choice in choices], row["label"]  # two spaces, as stock


def lambada_openai(row: dict[str, Any]) -> tuple[list[tuple[str, str]], int]:
    context, _, word = row["text"].rpartition(" ")
    return [(context, " " + word)], 0


def webqs(row: dict[str, Any]) -> tuple[list[tuple[str, str]], int | None]:
    return [
        (f"Question: {row['question']}\nAnswer:", " " + a) for a in sorted(row["answers"])
    ], None


@pytest.mark.parametrize("prompts", [hellaswag, winogrande, copa, lambada_openai, webqs])
def test_the_right_answer_costs_what_its_tokens_cost(
    loaded: Any, found: ZeroShot, prompts: Any
) -> None:
    table = table_of(found, prompts.__name__)
    for example, row in zip(table.to_dict("records"), ROWS[prompts.__name__], strict=True):
        pairs, right = prompts(row)
        costs = [nats(loaded, *pair) for pair in pairs]
        right = int(np.argmin(costs)) if right is None else right
        answer = pairs[right][1]
        assert example["answer_nats"] == pytest.approx(costs[right], rel=1e-9)
        assert example["answer_bytes"] == len(answer.encode())
        if len(pairs) > 1 and prompts is not webqs:
            assert example["acc"] == (np.argmin(costs) == right)
        if prompts is hellaswag:
            per_character = [cost / len(p[1][1:]) for cost, p in zip(costs, pairs, strict=True)]
            assert example["acc_norm"] == (np.argmin(per_character) == right)


def page_nats(loaded: Any, text: str) -> float:
    """Score a page in blocks of the model's positions; the last one sees as much as it can."""
    model, tokenizer = loaded
    ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
    total = 0.0
    for i in range(1, len(ids)):
        end = min((i - 1) // POSITIONS * POSITIONS + POSITIONS, len(ids) - 1)
        begin = 0 if end <= POSITIONS else end - POSITIONS
        total -= log_probability(model, ids[begin:i], ids[i])
    return total


def test_a_page_costs_what_its_tokens_cost_a_byte_of_the_original(
    loaded: Any, found: ZeroShot
) -> None:
    table = table_of(found, "wikitext").to_dict("records")
    for n in (0, 5):
        page = ROWS["wikitext"][n]["page"]
        text = page.replace(" . ", ". ").replace(" , ", ", ").replace("= =", "==")
        text = text.replace(" \n", "\n").replace("\n ", "\n")
        assert table[n]["answer_nats"] == pytest.approx(page_nats(loaded, text), rel=1e-9)
        assert table[n]["answer_bytes"] == len(page.encode())
        assert table[n]["words"] == len(page.replace("\n", " ").split()) + 1  # it begins blank
    assert len(loaded[1](ROWS["wikitext"][5]["page"])["input_ids"]) > POSITIONS // 4


def test_measurements_are_those_of_the_kind_of_task(found: ZeroShot) -> None:
    names = {s.task: set(s.measurements) for s in found.scores}
    assert names["hellaswag"] == {"acc", "acc_norm", "answer_bits_per_byte"}
    assert names["winogrande"] == names["copa"] == {"acc", "answer_bits_per_byte"}
    assert names["lambada_openai"] == {"acc", "perplexity", "answer_bits_per_byte"}
    assert names["wikitext"] == {"bits_per_byte", "word_perplexity"}
    assert names["triviaqa"] == {"exact_match"}
    flat = {f"{s.task}/{name}": m for s in found.scores for name, m in s.measurements.items()}
    assert found.measurements() == flat


def test_several_right_answers_are_answers_too(found: ZeroShot) -> None:
    assert set(measured(found, "webqs")) == {"exact_match", "answer_bits_per_byte"}


def test_a_generated_answer_has_no_likelihood(found: ZeroShot) -> None:
    table = table_of(found, "triviaqa")
    assert table["answer_nats"].isna().all()
    assert table["exact_match"].notna().all()
    sample = {"doc_id": 0, "exact_match": 1.0, "filtered_resps": ["Bo"], "arguments": [("q", {})]}
    made = example_table("triviaqa", [sample])
    assert set(made) == {"task", "doc_id", "exact_match"}


def multiple_choice(target: Any, *answers: str, **more: Any) -> dict[str, Any]:
    costs = [(-float(1 + (3 * i) % 5), False) for i in range(len(answers))]
    pairs = [("It is", f" {answer}") for answer in answers]
    return {"target": target, "arguments": pairs, "filtered_resps": costs, "doc": {}, **more}


@pytest.mark.parametrize(
    ("target", "right"), [(2, 2), (np.int64(1), 1), ("3", 3), (" b", 1), ("d", 3), ([0, 2, 3], 0)]
)
def test_the_right_answer_is_found_however_it_is_written(target: Any, right: int) -> None:
    assert answer_of(multiple_choice(target, "a", "b", "c", "d")) == right


def test_of_several_right_answers_it_is_the_likeliest() -> None:
    sample = multiple_choice([1, 2], "a", "b", "c")
    costs = [response[0] for response in sample["filtered_resps"]]
    assert costs == [-1, -4, -2]
    assert answer_of(sample) == 2
    assert answer_of(multiple_choice([1], "a", "b", "c")) == 1


def test_records_answers_are_all_the_entities_that_are_right() -> None:
    doc = {"entities": ["Ann", "Bo", "Jo"], "answers": ["Bo", "Jo"]}
    sample = multiple_choice("Bo ran", "Ann ran", "Bo ran", "Jo ran", doc=doc)
    assert [response[0] for response in sample["filtered_resps"]] == [-1, -4, -2]
    assert answer_of(sample) == 2  # lm-eval's target names the first one alone


def test_equal_answers_are_told_apart_by_their_number() -> None:
    assert answer_of(multiple_choice(1, "same", "same")) == 1
    doc = {"sentence": "_ ran", "option1": "Bo", "option2": "Jo", "answer": "2"}
    assert answer_of(multiple_choice("ran", "ran", "ran", doc=doc)) == 1


def made_up(num: int, seed: int = 0, **more: bool) -> pd.DataFrame:
    """Draw examples whose cost grows with their bytes."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(3, 40, num)
    costs = sizes * 1.5 + draw.normal(0, 4, num) + 5
    table = pd.DataFrame({"answer_nats": costs, "answer_bytes": sizes})
    if more.get("acc", True):
        table["acc"] = draw.integers(0, 2, num).astype(float)
    if more.get("words"):
        table["words"] = 1 if more.get("acc", True) else draw.integers(50, 100, num)
    return table


def test_means_and_their_errors_equal_plain_loops() -> None:
    table = made_up(50, words=True)
    found = measure(table, split="test")
    right = [float(x) for x in table["acc"]]
    assert found["acc"].value == pytest.approx(fmean(right), rel=1e-14)
    error = stdev(right) / math.sqrt(50)
    assert found["acc"].standard_error == pytest.approx(error, rel=1e-13)
    bits = sum(table["answer_nats"]) / sum(table["answer_bytes"]) / math.log(2)
    assert found["answer_bits_per_byte"].value == pytest.approx(bits, rel=1e-13)
    cost = fmean(table["answer_nats"])
    assert found["perplexity"].value == pytest.approx(math.exp(cost), rel=1e-12)
    error = math.exp(cost) * stdev(table["answer_nats"]) / math.sqrt(50)
    assert found["perplexity"].standard_error == pytest.approx(error, rel=1e-12)
    assert {(m.n, m.split) for m in found.values()} == {(50, "test")}


def resampled(table: pd.DataFrame, column: str, seed: int, times: int) -> float:
    """Return the spread of a ratio of sums over samples drawn with replacement."""
    draw, rows = random.Random(seed), table.to_dict("records")
    ratios = []
    for _ in range(times):
        drawn = draw.choices(rows, k=len(rows))
        ratios.append(sum(r["answer_nats"] for r in drawn) / sum(r[column] for r in drawn))
    return stdev(ratios)


def test_errors_of_ratios_agree_with_a_bootstrap() -> None:
    num, times = 400, 1000
    # The spread of the resamples is known to 1 / sqrt(2 times), three of those; the bootstrap
    # divides by n, not n - 1, and the ratio's bias is of order 1 / n.
    tolerance = 3 / math.sqrt(2 * times) + 2 / num
    answers = made_up(num)
    error = measure(answers, split="test")["answer_bits_per_byte"].standard_error
    spread = resampled(answers, "answer_bytes", 1, times) / math.log(2)
    assert error == pytest.approx(spread, rel=tolerance)
    whole = made_up(num, seed=2, acc=False, words=True)
    found = measure(whole, split="test")
    assert set(found) == {"bits_per_byte", "word_perplexity"}
    spread = resampled(whole, "answer_bytes", 3, times) / math.log(2)
    assert found["bits_per_byte"].standard_error == pytest.approx(spread, rel=tolerance)
    value = math.exp(sum(whole["answer_nats"]) / sum(whole["words"]))
    assert found["word_perplexity"].value == pytest.approx(value, rel=1e-12)
    spread = value * resampled(whole, "words", 4, times)  # the delta method on the exponential
    assert found["word_perplexity"].standard_error == pytest.approx(spread, rel=tolerance)
