"""bfloat16 by float32 products: the numbers of the instructions, where there are none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from eval import bfloat16
from eval.bfloat16 import InFloat32
from eval.evidence.series import read_curve
from eval.suites import suite
from tests.eval.experiments import whole_run

SIZES = st.integers(1, 9)


class Watch(TorchDispatchMode):
    """See which bfloat16 products reach PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if any(isinstance(a, Tensor) and a.dtype == torch.bfloat16 for a in args):
            self.seen |= set(re.findall(r"\w*(?:mm|mv|dot|linear|attention|conv)\w*", str(func)))
        return func(*args, **(kwargs or {}))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).bfloat16()


def assert_rounded(found: Tensor, exact: Tensor) -> None:
    """Assert bfloat16 numbers to be the nearest ones, or by a float32 sum's error the next."""
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-6)
    assert (found == exact.bfloat16()).float().mean() > 0.95


@given(rows=SIZES, inner=SIZES, columns=SIZES)
def test_products_are_the_exact_ones_rounded_once(rows: int, inner: int, columns: int) -> None:
    left, right, bias = drawn(rows, inner), drawn(inner, columns, seed=1), drawn(columns, seed=2)
    with Watch() as watch, InFloat32():
        product, shifted = left @ right, torch.addmm(bias, left, right)
        many = torch.bmm(left[None], right[None])
        more = torch.baddbmm(bias.expand(1, rows, columns), left[None], right[None], beta=0.5)
    assert not watch.seen
    exact = left.double() @ right.double()
    for found, expected in (
        (product, exact),
        (shifted, exact + bias.double()),
        (many[0], exact),
        (more[0], exact + 0.5 * bias.double()),
    ):
        torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=1e-5)
        assert found.dtype == torch.bfloat16


def test_a_layer_under_autocast_has_rounded_outputs_and_gradients() -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(96, 64), torch.randn(32, 96, requires_grad=True)
    upstream = drawn(32, 64)
    with InFloat32():
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
        found.backward(upstream)
    weight, bias, given_x = (t.detach().bfloat16().double() for t in (layer.weight, layer.bias, x))
    assert_rounded(found, given_x @ weight.T + bias)
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert_rounded(x.grad.bfloat16(), upstream.double() @ weight)
    assert_rounded(layer.weight.grad.bfloat16(), upstream.double().T @ given_x)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_the_rounded_inputs(causal: bool) -> None:
    query, key, value = (drawn(2, 3, 12, 8, seed=n).requires_grad_() for n in range(3))
    upstream = drawn(2, 3, 12, 8, seed=3)
    with InFloat32():
        found = scaled_dot_product_attention(query, key, value, is_causal=causal)
        found.backward(upstream)
    exact = [t.detach().double().requires_grad_() for t in (query, key, value)]
    scores = exact[0] @ exact[1].transpose(-1, -2) / 8**0.5
    if causal:
        scores = scores.masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf)
    expected = scores.softmax(-1) @ exact[2]
    expected.backward(upstream.double())
    assert_rounded(found.detach(), expected.detach())
    for t, e in zip((query, key, value), exact, strict=True):
        assert t.grad is not None
        assert e.grad is not None
        # The backward reads the rounded output.
        torch.testing.assert_close(t.grad.double(), e.grad, rtol=2**-6, atol=2**-6)


def test_other_precisions_are_left_alone() -> None:
    left, right = drawn(5, 7).float(), drawn(7, 3, seed=1).float()
    with InFloat32():
        assert torch.equal(left @ right, torch.mm(left, right))
        assert (left.double() @ right.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["gpt_pretrain", "bert_pretrain", "bert_glue_sst2"])
def test_no_product_of_a_run_is_left_to_the_loop_and_the_loss_is_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = replace(suite(name, "smoke").arm("random_ltd"), precision="bf16")
    found = []
    for native in (False, True):
        monkeypatch.setattr(bfloat16, "has_bfloat16", lambda native=native: native)
        with Watch() as watch:
            record = whole_run(arm, tmp_path / str(native))
        assert bool(watch.seen) == native, watch.seen
        curve = read_curve(tmp_path / str(native) / "store", record)
        found.append(curve["train_loss"].dropna().to_numpy())
    assert found[0] == pytest.approx(found[1], rel=2**-6)
