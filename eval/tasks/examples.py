"""What lm-eval's samples say of each example, and the measurements that follow from them.

Columns: task, doc_id, lm-eval's own metrics, and of the right answer `answer_nats` (its negative
log-likelihood) and `answer_bytes`; for a text scored whole, and for one last word, also `words`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from eval.record import Measurement

__all__ = ["METRICS", "answer_of", "example_table", "measure"]

METRICS = ("acc", "acc_norm", "exact_match", "f1", "em")
"""lm-eval's metrics that are means over examples."""


def example_table(task: str, samples: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row an example."""
    return pd.DataFrame([{"task": task, "doc_id": s["doc_id"], **_row(s)} for s in samples])


def answer_of(sample: dict[str, Any]) -> int:
    """Return which of the requests of a multiple-choice sample holds the right answer.

    Of several right answers it is the likeliest.
    """
    likelihoods = [response[0] for response in sample["filtered_resps"]]
    return max(_right_answers(sample), key=lambda i: likelihoods[i])


def _right_answers(sample: dict[str, Any]) -> list[int]:
    target, doc = sample["target"], sample["doc"]
    if {"entities", "answers"} <= doc.keys():  # ReCoRD's target is the first of several answers
        return [i for i, entity in enumerate(doc["entities"]) if entity in doc["answers"]]
    if {"option1", "option2", "answer"} <= doc.keys():  # WinoGrande's contexts differ, not answers
        return [int(doc["answer"]) - 1]
    if isinstance(target, list):
        return [int(i) for i in target]
    if isinstance(target, int | np.integer) or str(target).isdigit():
        return [int(target)]
    answers = [tuple(a)[1].strip() for a in sample["arguments"]]
    return [answers.index(str(target).strip())]


def measure(table: pd.DataFrame, *, split: str) -> dict[str, Measurement]:
    """Return means of lm-eval's metrics, and the likelihood of the right answers.

    Standard errors are over the examples: of a mean for the metrics, of a ratio of two sums for
    bits per byte and perplexities.
    """
    shared: dict[str, Any] = {"split": split, "n": len(table)}
    found = {name: table[name].to_numpy(float) for name in METRICS if name in table}
    measurements = {
        name: Measurement.of_mean(values, unit="fraction", split=split)
        for name, values in found.items()
    }
    if "answer_nats" not in table:
        return measurements
    nats, counts = table["answer_nats"].to_numpy(), table["answer_bytes"].to_numpy()
    bits, error = (x / math.log(2) for x in _ratio(nats, counts))
    whole = not found  # a text scored whole, not answers
    name = "bits_per_byte" if whole else "answer_bits_per_byte"
    measurements[name] = Measurement(value=bits, unit="bits/byte", standard_error=error, **shared)
    if "words" in table:
        mean, error = _ratio(nats, table["words"].to_numpy())
        measurements["word_perplexity" if whole else "perplexity"] = Measurement(
            value=math.exp(mean),
            unit="per word",
            standard_error=math.exp(mean) * error,
            **shared,
        )
    return measurements


def _row(sample: dict[str, Any]) -> dict[str, Any]:
    row = {name: float(sample[name]) for name in METRICS if name in sample}
    if "word_perplexity" in sample:
        likelihood, words = sample["word_perplexity"]
        answer = {"answer_nats": -likelihood, "answer_bytes": sample["bits_per_byte"][1]}
        return {**row, **answer, "words": words}
    if isinstance(sample["filtered_resps"][0], str):  # a generated answer has no likelihood
        return row
    place = answer_of(sample) if len(sample["arguments"]) > 1 else 0
    likelihood, continuation = sample["filtered_resps"][place][0], sample["arguments"][place][1]
    row |= {"answer_nats": -likelihood, "answer_bytes": len(continuation.encode())}
    return {**row, "words": 1} if "perplexity" in sample else row


def _ratio(of: np.ndarray, to: np.ndarray) -> tuple[float, float]:
    """Return the ratio of two sums and its standard error (delta method)."""
    ratio = of.sum() / to.sum()
    residual = of - ratio * to
    return float(ratio), float(residual.std(ddof=1) / math.sqrt(len(of)) / to.mean())
