"""Encoders from scratch: the seed gives their first weights, and nothing else does."""

from __future__ import annotations

import torch

from eval.models.encoders import SCRATCH_ENCODERS, initialise_encoder

TOY = SCRATCH_ENCODERS["bert-toy"]


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


def test_no_two_encoders_have_the_same_identity() -> None:
    assert len({each.identity for each in SCRATCH_ENCODERS.values()}) == len(SCRATCH_ENCODERS)
