"""What the specification of the method needs: repeatable examples, and exact attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor

settings.register_profile("core", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("core")


@pytest.fixture(autouse=True)
def softmax_in_the_precision_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop Llama's eager attention from taking its softmax in float32 in a float64 model."""
    softmax = torch.nn.functional.softmax

    def same_precision(input: Tensor, dim: int | None = None, **options: Any) -> Tensor:
        return softmax(input, dim=dim)

    monkeypatch.setattr(torch.nn.functional, "softmax", same_precision)
