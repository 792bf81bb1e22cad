"""Taking rows out and putting them back: the same as loops, and exact gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks

from rltd_core import gather_tokens, sample_kept, scatter_tokens
from rltd_core.tokens import gather_axis
from tests.core.reference import gather_loop, scatter_loop

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool)


def draw_kept(batch: int, length: int, kept: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return sample_kept(1, batch, length, kept, generator=generator)[0]


def random_tensor(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x > 0 if dtype is torch.bool else (10 * x).to(dtype)


@contextmanager
def saved_for_backward() -> Iterator[list[Tensor]]:
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Draw x, kept_BK and the token axis of x."""
    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    before = draw(st.lists(st.integers(1, 3), max_size=2))
    after = draw(st.lists(st.integers(1, 3), max_size=2))
    shape = (draw(st.sampled_from([1, batch])), *before, length, *after)
    x = random_tensor(*shape, dtype=draw(st.sampled_from(DTYPES)))
    kept_BK = draw_kept(batch, length, draw(st.integers(1, length)), draw(st.integers(0, 99)))
    return x, kept_BK, 1 + len(before)


@given(cases())
def test_gathering_is_a_loop_over_the_kept_rows(case: tuple[Tensor, Tensor, int]) -> None:
    x, kept_BK, dim = case
    assert torch.equal(gather_axis(x, kept_BK, dim), gather_loop(x, kept_BK, dim))
    x_BSD = x.transpose(1, dim).expand(len(kept_BK), *x.transpose(1, dim).shape[1:])
    assert torch.equal(gather_tokens(x_BSD, kept_BK), gather_loop(x_BSD, kept_BK, 1))


@given(cases())
def test_scattering_is_a_loop_over_the_kept_rows(case: tuple[Tensor, Tensor, int]) -> None:
    x, kept_BK, dim = case
    x_BSD = x.transpose(1, dim).expand(len(kept_BK), *x.transpose(1, dim).shape[1:])
    shape = (len(kept_BK), kept_BK.shape[1], *x_BSD.shape[2:])
    new_BKD = random_tensor(*shape, dtype=x.dtype, seed=1)
    expected = scatter_loop(x_BSD, new_BKD, kept_BK)
    assert torch.equal(scatter_tokens(x_BSD, new_BKD, kept_BK), expected)


@given(cases())
def test_putting_back_what_was_taken_changes_no_bit(case: tuple[Tensor, Tensor, int]) -> None:
    x, kept_BK, dim = case
    x_BSD = x.transpose(1, dim).expand(len(kept_BK), *x.transpose(1, dim).shape[1:])
    again_BSD = scatter_tokens(x_BSD, gather_tokens(x_BSD, kept_BK), kept_BK)
    assert torch.equal(again_BSD, x_BSD)


def test_new_rows_of_a_lower_precision_take_the_precision_of_the_sequence() -> None:
    x_BSD, kept_BK = random_tensor(2, 6, 3, dtype=torch.float32), draw_kept(2, 6, 4)
    new_BKD = random_tensor(2, 4, 3, dtype=torch.bfloat16)
    out_BSD = scatter_tokens(x_BSD, new_BKD, kept_BK)
    assert out_BSD.dtype == torch.float32
    assert torch.equal(out_BSD, scatter_loop(x_BSD, new_BKD.float(), kept_BK))


def test_scattering_leaves_its_arguments_alone() -> None:
    x_BSD, new_BKD = random_tensor(2, 6, 3), random_tensor(2, 4, 3, seed=1)
    before = x_BSD.clone(), new_BKD.clone()
    scatter_tokens(x_BSD, new_BKD, draw_kept(2, 6, 4))
    assert torch.equal(x_BSD, before[0])
    assert torch.equal(new_BKD, before[1])


def test_first_and_second_derivatives_of_gathering_are_right() -> None:
    x_BSD, kept_BK = random_tensor(2, 5, 3).requires_grad_(), draw_kept(2, 5, 3)
    table = random_tensor(1, 2, 5, 3).requires_grad_()

    def squares(x: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        return gather_tokens(x, kept_BK) ** 2, gather_axis(shared, kept_BK, 2) ** 2

    assert gradcheck(squares, (x_BSD, table))
    assert gradgradcheck(squares, (x_BSD, table))


def test_first_and_second_derivatives_of_scattering_are_right() -> None:
    kept_BK = draw_kept(2, 5, 3)
    x_BSD, new_BKD = (random_tensor(2, s, 3, seed=s).requires_grad_() for s in (5, 3))

    def squares(x: Tensor, new: Tensor) -> Tensor:
        return scatter_tokens(x, new, kept_BK) ** 2

    assert gradcheck(squares, (x_BSD, new_BKD))
    assert gradgradcheck(squares, (x_BSD, new_BKD))


def test_the_gradient_of_a_dropped_row_passes_unchanged() -> None:
    x_BSD, kept_BK = random_tensor(3, 8, 4).requires_grad_(), draw_kept(3, 8, 5)
    out_BSD = scatter_tokens(x_BSD, gather_tokens(x_BSD, kept_BK).sin(), kept_BK)
    gradient_BSD = random_tensor(3, 8, 4, seed=7)
    out_BSD.backward(gradient_BSD)
    dropped_BS = torch.ones(3, 8, dtype=torch.bool).scatter_(1, kept_BK, False)
    assert x_BSD.grad is not None
    assert torch.equal(x_BSD.grad[dropped_BS], gradient_BSD[dropped_BS])
    assert not torch.equal(x_BSD.grad[~dropped_BS], gradient_BSD[~dropped_BS])


def test_gathering_saves_only_indices_for_backward() -> None:
    x_BSD, kept_BK = random_tensor(2, 6, 3).requires_grad_(), draw_kept(2, 6, 4)
    with saved_for_backward() as saved:
        gather_tokens(x_BSD, kept_BK)
    assert [t.dtype for t in saved] == [torch.int64]


def test_scattering_saves_only_indices_for_backward() -> None:
    x_BSD, kept_BK = random_tensor(2, 6, 3).requires_grad_(), draw_kept(2, 6, 4)
    new_BKD = random_tensor(2, 4, 3).requires_grad_()
    with saved_for_backward() as saved:
        scatter_tokens(x_BSD, new_BKD, kept_BK)
    assert [t.dtype for t in saved] == [torch.int64]
