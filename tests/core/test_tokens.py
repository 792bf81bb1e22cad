"""Which tokens are drawn: how many, in what order, how often, and from whose random numbers."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from rltd_core import sample_kept

DRAWS = 20_000
SUBSETS = list(itertools.combinations(range(5), 2))
"""All ways to keep 2 of 5 positions; a draw without replacement makes them equally likely."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def draws(draw: st.DrawFn) -> dict[str, int]:
    length = draw(st.integers(1, 24))
    kept = draw(st.integers(1, length))
    return {
        "num_layers": draw(st.integers(1, 4)),
        "batch": draw(st.integers(1, 4)),
        "length": length,
        "kept": kept,
        "protected": draw(st.integers(0, kept)),
        "seed": draw(st.integers(0, 2**32)),
    }


def sample(case: dict[str, int], valid_BS: Tensor | None = None) -> Tensor:
    arguments = {name: value for name, value in case.items() if name != "seed"}
    return sample_kept(**arguments, generator=seeded(case["seed"]), valid_BS=valid_BS)


@given(draws())
def test_a_draw_keeps_exactly_that_many_different_positions_in_ascending_order(
    case: dict[str, int],
) -> None:
    kept_LBK = sample(case)
    assert kept_LBK.dtype == torch.int64
    assert kept_LBK.shape == (case["num_layers"], case["batch"], case["kept"])
    assert kept_LBK.min() >= 0
    assert kept_LBK.max() < case["length"]
    assert (kept_LBK.diff(dim=-1) > 0).all()


@given(draws())
def test_protected_positions_are_always_kept(case: dict[str, int]) -> None:
    protected = case["protected"]
    assert (sample(case)[..., :protected] == torch.arange(protected)).all()


@given(draws(), st.data())
def test_padding_is_kept_only_when_real_tokens_run_out(
    case: dict[str, int], data: st.DataObject
) -> None:
    row = st.lists(st.booleans(), min_size=case["length"], max_size=case["length"])
    rows = data.draw(st.lists(row, min_size=case["batch"], max_size=case["batch"]))
    for kept_BK in sample(case, torch.tensor(rows)).tolist():
        for real, kept in zip(rows, kept_BK, strict=True):
            chosen = kept[case["protected"] :]
            free = range(case["protected"], case["length"])
            num_real = sum(real[position] for position in free)
            assert sum(real[position] for position in chosen) == min(len(chosen), num_real)


@given(draws())
def test_equal_generators_draw_equally(case: dict[str, int]) -> None:
    assert torch.equal(sample(case), sample(case))


def test_one_generator_draws_anew_each_time() -> None:
    generator = seeded()
    first, second = (sample_kept(3, 4, 64, 32, generator=generator) for _ in range(2))
    assert not torch.equal(first, second)


def subset_numbers(kept: Tensor) -> Tensor:
    """Number the pairs along the last axis by their place in SUBSETS."""
    number = torch.full((5, 5), -1)
    for i, (first, second) in enumerate(SUBSETS):
        number[first, second] = i
    return number[kept[..., 0], kept[..., 1]]


def assert_uniform(numbers: Tensor, num_cells: int) -> None:
    counts = torch.bincount(numbers.flatten(), minlength=num_cells)
    assert len(counts) == num_cells
    assert chisquare(counts.numpy()).pvalue > 0.001


def test_all_subsets_are_equally_likely() -> None:
    assert_uniform(subset_numbers(sample_kept(1, DRAWS, 5, 2, generator=seeded())), 10)


def test_all_subsets_of_the_real_tokens_are_equally_likely() -> None:
    valid_BS = torch.tensor([True, False, True, True, False, True, True]).expand(DRAWS, -1)
    kept_LBK = sample_kept(1, DRAWS, 7, 2, generator=seeded(1), valid_BS=valid_BS)
    place = torch.tensor([0, -1, 1, 2, -1, 3, 4])
    assert_uniform(subset_numbers(place[kept_LBK]), 10)


def test_all_subsets_of_the_padding_are_equally_likely_when_real_tokens_run_out() -> None:
    valid_BS = torch.tensor([False, False, True, False, False, False]).expand(DRAWS, -1)
    kept_LBK = sample_kept(1, DRAWS, 6, 3, generator=seeded(2), valid_BS=valid_BS)
    padding = kept_LBK[kept_LBK != 2].view(DRAWS, 2)
    place = torch.tensor([0, 1, -1, 2, 3, 4])
    assert_uniform(subset_numbers(place[padding]), 10)


def test_all_subsets_behind_the_protected_prefix_are_equally_likely() -> None:
    kept_LBK = sample_kept(1, DRAWS, 7, 4, generator=seeded(3), protected=2)
    assert_uniform(subset_numbers(kept_LBK[..., 2:] - 2), 10)


def test_layers_draw_independently() -> None:
    numbers_LB = subset_numbers(sample_kept(2, DRAWS, 5, 2, generator=seeded(4)))
    assert_uniform(10 * numbers_LB[0] + numbers_LB[1], 100)


def test_samples_draw_independently() -> None:
    numbers_LB = subset_numbers(sample_kept(DRAWS, 2, 5, 2, generator=seeded(5)))
    assert_uniform(10 * numbers_LB[:, 0] + numbers_LB[:, 1], 100)


def test_a_draw_takes_nothing_from_the_global_generators() -> None:
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    sample_kept(3, 4, 16, 8, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]


@pytest.mark.parametrize("kept", [0, -1, 9])
def test_a_kept_length_outside_the_sequence_is_refused(kept: int) -> None:
    with pytest.raises(ValueError, match=rf"kept must lie in 1\.\.8 .*got {kept}"):
        sample_kept(1, 1, 8, kept, generator=seeded())


@pytest.mark.parametrize("protected", [-1, 5])
def test_more_protected_than_kept_tokens_are_refused(protected: int) -> None:
    with pytest.raises(ValueError, match=rf"protected must lie in 0\.\.4 .*got {protected}"):
        sample_kept(1, 1, 8, 4, generator=seeded(), protected=protected)


def test_a_validity_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"valid_BS must have shape \(2, 8\), got \(8, 2\)"):
        sample_kept(1, 2, 8, 4, generator=seeded(), valid_BS=torch.ones(8, 2).bool())
