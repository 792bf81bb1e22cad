"""A real model and a sentence for it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from eval.models.named import load_causal_model, load_tokenizer

__all__ = ["SENTENCE", "real_model"]

SENTENCE = (
    "In every middle layer only a random subset of the tokens is computed; the others pass the "
    "layer unchanged, and the next layer draws again, so that hardly any token is left behind."
)
_MODELS = {"smoke": ("tiny-llama", "checkout"), "cpu": ("smollm2-135m-instruct", "package")}


def real_model(tier: str, text: str = SENTENCE) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
    """Return a pretrained decoder in training mode, `text` as its input, and the text's tokens.

    At tier `smoke` the decoder is an untrained one that needs no download, and the text is cut
    to 24 tokens.
    """
    name, source = _MODELS[tier]
    tokenizer: Any = load_tokenizer(name, source)
    ids = tokenizer(text, return_tensors="pt").input_ids[:, : 24 if tier == "smoke" else None]
    words = [tokenizer.decode(token).strip() for token in ids[0]]
    return load_causal_model(name, source), {"input_ids": ids}, words
