"""A pretrained encoder with a new head: what is finetuned on labelled text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from eval.seeding import stream

__all__ = ["load_classifier"]


def load_classifier(folder: Path, classes: int, seed: int, dropout: float | None) -> Any:
    """Return the encoder in float32 with a classifier on [CLS], in training mode.

    The head's first weights come from the seed. `classes` 1 predicts a score (mean squared error).
    `dropout` replaces the checkpoint's own, of hidden states and attention alike.
    """
    changes: dict[str, Any] = {}
    if dropout is not None:
        changes = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout)
    transformers_logging.disable_progress_bar()
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the head is new, and it warns of that
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream("head", seed).integers(2**62)))
            return AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=classes,
                problem_type="regression" if classes == 1 else "single_label_classification",
                attn_implementation="sdpa",
                dtype=torch.float32,
                **changes,
            ).train()
    finally:
        transformers_logging.set_verbosity(before)
