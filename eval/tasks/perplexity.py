"""Perplexity and bits per byte of a causal language model on windows of tokens.

Letters: B batch, S sequence, N windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from eval.record import Measurement

__all__ = ["WindowScores", "score_windows", "token_bytes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowScores:
    """Summed negative log-likelihood and bytes of each window; its first token is context only."""

    nll_N: np.ndarray
    """Nats."""
    bytes_N: np.ndarray
    tokens_per_window: int

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood, in nats per token."""
        return float(self.nll_N.mean() / self.tokens_per_window)

    def measurements(self, split: str) -> dict[str, Measurement]:
        """Return bits per byte and perplexity with standard errors over windows.

        Bits per byte is the ratio of two sums over the same windows, its error the ratio
        estimator's (delta method); perplexity's is the delta method's on exp.
        """
        n = len(self.nll_N)
        ratio = self.nll_N.sum() / self.bytes_N.sum()
        residual_N = self.nll_N - ratio * self.bytes_N
        ratio_error = residual_N.std(ddof=1) / math.sqrt(n) / self.bytes_N.mean()
        nll_error = self.nll_N.std(ddof=1) / math.sqrt(n) / self.tokens_per_window
        perplexity = math.exp(self.nll)
        shared = {"split": split, "n": n}
        return {
            "bits_per_byte": Measurement(
                value=float(ratio / math.log(2)),
                unit="bits/byte",
                standard_error=float(ratio_error / math.log(2)),
                **shared,
            ),
            "perplexity": Measurement(
                value=perplexity,
                unit="per token",
                standard_error=float(perplexity * nll_error),
                **shared,
            ),
        }


@torch.no_grad()
def score_windows(
    model: Any, ids_NS: np.ndarray, byte_lengths: np.ndarray, *, batch: int, precision: str
) -> WindowScores:
    """Score every window by itself, with the model in evaluation mode; the mode is put back.

    Raises: ValueError for fewer than two windows, from which no standard error follows.
    """
    if len(ids_NS) < 2:
        raise ValueError(f"need at least 2 windows for a standard error, got {len(ids_NS)}")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    nll = []
    for begin in range(0, len(ids_NS), batch):
        ids_BS = torch.tensor(ids_NS[begin : begin + batch], dtype=torch.int64, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits_BSV = model(input_ids=ids_BS, use_cache=False).logits
        nll_BS = cross_entropy(
            logits_BSV[:, :-1].float().transpose(1, 2), ids_BS[:, 1:], reduction="none"
        )
        nll.append(nll_BS.double().sum(1).cpu().numpy())
    model.train(was_training)
    return WindowScores(
        nll_N=np.concatenate(nll),
        bytes_N=byte_lengths[ids_NS[:, 1:]].sum(1),
        tokens_per_window=ids_NS.shape[1] - 1,
    )


def token_bytes(tokenizer: Any, size: int) -> np.ndarray:
    """Return the UTF-8 bytes that each token id of a byte-level tokenizer stands for.

    Byte-level vocabularies write each byte as one character, so a token's length is its bytes.
    """
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    lengths = [0 if i in special or t is None else len(t) for i, t in enumerate(tokens)]
    return np.asarray(lengths + [0] * (size - len(lengths)), dtype=np.int64)
