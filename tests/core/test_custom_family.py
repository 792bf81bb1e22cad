"""A model of one's own: described in a few lines, it is held to what the known families are.

Letters: B batch, S sequence, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rltd_core import Family, random_shared, register_family
from rltd_core.families import FAMILIES as KNOWN
from rltd_core.stack import find_stack
from tests.core.equivalence import assert_equivalent, outputs_and_gradients
from tests.core.tiny import (
    BATCH,
    DROPPING,
    HEADS,
    LAYERS,
    LENGTH,
    VOCAB,
    WIDTH,
    assert_same,
    attach,
    leaf_for,
    padding_mask,
    tiny_model,
)

POCKET = Family(
    name="pocket",
    owner="PocketEncoder",
    layers="blocks",
    token_axes={"mask": (-2, -1), "distance": (-1,)},
    attention_output="out",
)


class PocketBlock(nn.Module):
    """Attention that is told of a mask, and of something about each token."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, distance: Tensor | None = None
    ) -> tuple[Tensor, str]:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scale = 1 if distance is None else distance[..., None]
        return x + scale * self.out(attended.transpose(1, 2).flatten(2)).tanh(), "weights"


class PocketEncoder(nn.Module):
    """The user's own model: a list of blocks, and a 2-D padding mask."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PocketBlock() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(
        self, x: Tensor, attention_mask: Tensor | None = None, distance: Tensor | None = None
    ) -> Tensor:
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        for block in self.blocks:
            x, _ = block(x, mask=mask, distance=distance)
        return self.head(x)


@pytest.fixture(autouse=True)
def families() -> Iterator[list[Family]]:
    """Forget afterwards what a test has registered."""
    before = list(KNOWN)
    yield KNOWN
    KNOWN[:] = before


def pocket() -> PocketEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PocketEncoder()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
    return model.double().train()


def call(model: nn.Module, x: Tensor, **options: Any) -> Tensor:
    return model(x, **options)


SIDES = pytest.mark.parametrize("side", ["none", "right", "left"])


@SIDES
@pytest.mark.parametrize(
    "options", [{}, {"policy": random_shared}, {"protected": 2}], ids=["plain", "shared", "prefix"]
)
def test_a_registered_model_drops_as_hiding_does(side: str, options: dict[str, Any]) -> None:
    register_family(POCKET)
    model, padding_BS = pocket(), padding_mask(side)
    distance_BS = (torch.arange(BATCH * LENGTH).view(BATCH, LENGTH) % 7 + 1.0) / 7
    assert_equivalent(
        model,
        leaf_for("pocket"),
        padding_BS=padding_BS,
        run=call,
        ltd_options=options,
        distance=distance_BS.double(),
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_registered_model_can_mind_its_padding(side: str) -> None:
    register_family(POCKET)
    padding_BS, options = padding_mask(side), {"padding_aware": True}
    kept_LBK = assert_equivalent(
        pocket(), leaf_for("pocket"), 12, padding_BS, run=call, ltd_options=options
    )
    assert padding_BS is not None
    assert padding_BS.expand(len(DROPPING), -1, -1).gather(-1, kept_LBK).all()


def test_a_registered_model_is_the_plain_one_at_full_length_and_in_evaluation() -> None:
    register_family(POCKET)
    model, x_BSD = pocket(), leaf_for("pocket")
    plain = outputs_and_gradients(model, x_BSD, run=call)
    with attach(model, LENGTH):
        assert_same(outputs_and_gradients(model, x_BSD, run=call), plain)
    attach(model)
    assert_same(outputs_and_gradients(model.eval(), x_BSD, run=call), plain)


def test_a_registered_model_has_its_cost_read_off() -> None:
    register_family(POCKET)
    cost = attach(pocket()).cost
    assert (cost.block_weights, cost.attention_width) == (4 * WIDTH**2, WIDTH)
    assert (cost.head_weights, cost.pooled_weights, cost.patch_weights) == (VOCAB * WIDTH, 0, 0)


def test_an_argument_that_a_family_does_not_describe_is_refused() -> None:
    register_family(replace(POCKET, token_axes={"mask": (-2, -1)}))
    model = pocket()
    attach(model)
    with pytest.raises(ValueError, match=r"'distance' has shape .*family 'pocket' does not say"):
        model(leaf_for("pocket"), distance=torch.ones(BATCH, LENGTH).double())


def test_a_model_is_unknown_until_it_is_registered() -> None:
    with pytest.raises(ValueError, match=r"PocketEncoder has no layer list .* register_family"):
        attach(pocket())
    register_family(POCKET)
    attach(pocket())


@pytest.mark.parametrize("change", [{"name": "bert"}, {"owner": "BertModel"}])
def test_a_taken_name_or_owner_is_refused(change: dict[str, str], families: list[Family]) -> None:
    before = list(families)
    with pytest.raises(ValueError, match="family 'bert' already describes BertModel"):
        register_family(replace(POCKET, **change))
    assert families == before


def test_registering_twice_is_refused() -> None:
    register_family(POCKET)
    with pytest.raises(ValueError, match="family 'pocket' already describes PocketEncoder"):
        register_family(POCKET)
    assert find_stack(pocket()).family is POCKET


def test_a_family_is_described_anew_where_that_is_asked_for(families: list[Family]) -> None:
    register_family(replace(POCKET, token_axes={}))
    register_family(POCKET, replace=True)
    assert find_stack(pocket()).family is POCKET
    assert sum(family.owner == POCKET.owner for family in families) == 1


def test_a_class_of_another_library_with_a_known_name_is_not_mistaken_for_it() -> None:
    other = torchvision.models.VisionTransformer(
        image_size=8, patch_size=4, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    with pytest.raises(ValueError, match="VisionTransformer has no layer list of a known family"):
        attach(other)
    assert find_stack(nn.ModuleList([other, tiny_model("timm_vit")])).family.name == "timm_vit"
