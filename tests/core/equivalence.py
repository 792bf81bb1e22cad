"""Comparing a model that drops tokens with the slow reference: outputs and all gradients.

Letters: L dropping layers, B batch, S sequence, K kept, V vocabulary or classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.core.reference import masked_at_full_length
from tests.core.tiny import (
    DROPPING,
    LENGTH,
    attach,
    parameter_gradients,
    predict,
    token_ids,
)

Result = tuple[Tensor, dict[str, Tensor]]


def outputs_and_gradients(
    model: nn.Module,
    x: Tensor,
    padding_BS: Tensor | None = None,
    *,
    run: Callable[..., Tensor] = predict,
    **options: Any,
) -> Result:
    """Return the logits of the real tokens, and all gradients of a loss over them."""
    if padding_BS is not None:
        options["attention_mask"] = padding_BS
    x.grad = None
    logits_BSV = run(model, x, **options)
    real_BS = torch.ones(logits_BSV.shape[:2]).bool() if padding_BS is None else padding_BS.bool()
    labels_BS = token_ids(*logits_BSV.shape[:2], seed=2) % logits_BSV.shape[-1]
    cross_entropy(logits_BSV[real_BS], labels_BS[real_BS]).backward()
    gradients = parameter_gradients(model)
    if x.requires_grad:
        assert x.grad is not None
        gradients["input"] = x.grad.clone()
    return logits_BSV[real_BS].detach(), gradients


def assert_close(actual: Result, expected: Result) -> None:
    """Assert equality up to the rounding of float64, and that there is something to compare."""
    assert len(expected[1]) > 10
    assert len(expected[0]) >= 1
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def assert_equivalent(
    model: nn.Module,
    x: Tensor,
    kept: int = 10,
    padding_BS: Tensor | None = None,
    *,
    layers: Sequence[int] = DROPPING,
    ltd_options: dict[str, Any] | None = None,
    reference_options: dict[str, Any] | None = None,
    **options: Any,
) -> Tensor:
    """Compare with the reference, and return the draw that both used."""
    with attach(model, kept, layers=layers, **(ltd_options or {})) as ltd:
        actual = outputs_and_gradients(model, x, padding_BS, **options)
        kept_LBK = ltd.kept_LBK
    assert kept_LBK is not None
    assert kept_LBK.shape == (len(layers), len(x), kept)
    hidden = {"length": LENGTH, "padding_BS": padding_BS, **(reference_options or {})}
    with masked_at_full_length(model, layers, kept_LBK, **hidden):
        expected = outputs_and_gradients(model, x, padding_BS, **options)
    assert_close(actual, expected)
    return kept_LBK
