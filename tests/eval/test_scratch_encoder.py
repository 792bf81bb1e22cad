"""Encoders from scratch: their first weights come from the seed, as wide as declared."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from eval.scratch_encoder import SCRATCH_ENCODERS, initialise_encoder

TOY = SCRATCH_ENCODERS["bert-toy"]
BEFORE = "scratch-encoder:32c0cc64d286313805fec56ab70548d6f2ef85c2ee7291325e36bea023aa25ee"
"""Of bert-2m in the records of `bert_pretrain_pilot`."""


def matrices(wanted: object) -> torch.Tensor:
    """Return all numbers of a model's matrices and embeddings, but the row of the padding."""
    model = initialise_encoder(wanted, 0, 0.0)  # type: ignore[arg-type]
    found = [p.detach() for p in model.parameters() if p.ndim > 1]
    return torch.cat([p[1:].flatten() for p in found])


@pytest.mark.parametrize("std", [0.02, 0.0566, 0.2])
def test_first_weights_are_as_wide_as_declared(std: float) -> None:
    numbers = matrices(replace(TOY, initial_std=std))
    error = std / (2 * len(numbers)) ** 0.5
    assert abs(float(numbers.std()) - std) < 4 * error
    assert abs(float(numbers.mean())) < 4 * std / len(numbers) ** 0.5


def test_the_seed_gives_the_weights_and_takes_nothing_from_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (initialise_encoder(TOY, seed, 0.0).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_dropout_is_the_arms_and_changes_no_weight() -> None:
    with_dropout = initialise_encoder(TOY, 1, 0.1)
    config = with_dropout.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.1, 0.1)
    for name, tensor in initialise_encoder(TOY, 1, 0.0).state_dict().items():
        assert torch.equal(with_dropout.state_dict()[name], tensor)


def test_the_width_of_the_first_weights_is_part_of_the_identity_where_it_is_not_berts() -> None:
    assert SCRATCH_ENCODERS["bert-2m"].identity == BEFORE
    assert replace(SCRATCH_ENCODERS["bert-2m"], initial_std=0.03).identity != BEFORE
    assert len({each.identity for each in SCRATCH_ENCODERS.values()}) == len(SCRATCH_ENCODERS)
