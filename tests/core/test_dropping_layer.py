"""One hooked layer by itself: what it is handed, and what becomes of what it returns.

Letters: B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rltd_core.families import FAMILIES, Family
from rltd_core.surgery import DroppingLayer
from tests.core.reference import gather_loop, scatter_loop

KEPT_BK = torch.tensor([[0, 2, 5], [1, 3, 4]])
BATCH, LENGTH, WIDTH = 2, 6, 4


class Spy(nn.Module):
    """A layer that remembers its arguments and returns what it is told to make of its input."""

    def __init__(self, result: Any = lambda hidden: hidden + 1) -> None:
        super().__init__()
        self.result = result

    def forward(self, hidden: Tensor, attention_mask: Any = None, **kwargs: Any) -> Any:
        self.seen = {"hidden": hidden, "attention_mask": attention_mask, **kwargs}
        return self.result(hidden)


class TimmSpy(nn.Module):
    """A layer that names its mask as timm does."""

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        self.seen = {"attn_mask": attn_mask}
        return x


def llama_layer(layer: nn.Module, kept_BK: Tensor | None = KEPT_BK) -> DroppingLayer:
    return DroppingLayer(layer, family("llama"), lambda hidden_BSD: kept_BK)


def family(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def hidden_states() -> Tensor:
    return torch.randn(BATCH, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))


def numbered(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape)


@pytest.mark.parametrize("by_name", [False, True])
def test_the_layer_sees_the_kept_rows_and_its_output_is_put_back(by_name: bool) -> None:
    layer, x_BSD = Spy(), hidden_states()
    llama_layer(layer)
    out_BSD = layer(hidden=x_BSD) if by_name else layer(x_BSD)
    short_BKD = gather_loop(x_BSD, KEPT_BK, 1)
    assert torch.equal(layer.seen["hidden"], short_BKD)
    assert torch.equal(out_BSD, scatter_loop(x_BSD, short_BKD + 1, KEPT_BK))


def test_a_tuple_keeps_its_other_entries() -> None:
    layer, x_BSD = Spy(lambda hidden: (2 * hidden, "weights", None)), hidden_states()
    llama_layer(layer)
    out_BSD, *rest = layer(x_BSD)
    assert torch.equal(out_BSD, scatter_loop(x_BSD, 2 * gather_loop(x_BSD, KEPT_BK, 1), KEPT_BK))
    assert rest == ["weights", None]


@pytest.mark.parametrize("result", [{"hidden": 1}, None, (), ("text",)])
def test_an_output_without_hidden_states_is_refused(result: Any) -> None:
    layer = Spy(lambda hidden: result)
    llama_layer(layer)
    with pytest.raises(TypeError, match=f"Spy returned {type(result).__name__}; a dropping layer"):
        layer(hidden_states())


def test_a_layer_that_keeps_everything_is_handed_its_very_arguments() -> None:
    layer, x_BSD, mask = Spy(lambda hidden: hidden), hidden_states(), numbered(BATCH, 1, 6, 6)
    llama_layer(layer, None)
    assert layer(x_BSD, attention_mask=mask) is x_BSD
    assert layer.seen["attention_mask"] is mask


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_square_mask_is_cut_along_queries_and_keys(batch: int, heads: int, by_name: bool) -> None:
    layer, mask = Spy(), numbered(batch, heads, LENGTH, LENGTH)
    llama_layer(layer)
    layer(hidden_states(), attention_mask=mask) if by_name else layer(hidden_states(), mask)
    short = layer.seen["attention_mask"]
    assert short.shape == (BATCH, heads, 3, 3)
    for b in range(BATCH):
        for head in range(heads):
            for i, query in enumerate(KEPT_BK[b]):
                for j, key in enumerate(KEPT_BK[b]):
                    assert short[b, head, i, j] == mask[b % batch, head, query, key]


@pytest.mark.parametrize(("shape", "dim"), [((BATCH, 1, 1, LENGTH), 3), ((BATCH, LENGTH), 1)])
def test_a_mask_over_keys_alone_is_cut_once(shape: tuple[int, ...], dim: int) -> None:
    layer, mask = Spy(), numbered(*shape)
    llama_layer(layer)
    layer(hidden_states(), attention_mask=mask)
    assert torch.equal(layer.seen["attention_mask"], gather_loop(mask, KEPT_BK, dim))


def test_a_mask_of_another_length_is_refused() -> None:
    layer = Spy()
    llama_layer(layer)
    with pytest.raises(ValueError, match=r"'attention_mask' has shape \(2, 1, 6, 9\), expected 6"):
        layer(hidden_states(), attention_mask=numbered(BATCH, 1, LENGTH, 9))


def test_a_mask_that_is_no_tensor_is_refused() -> None:
    layer = Spy()
    llama_layer(layer)
    with pytest.raises(ValueError, match=r"'attention_mask' is a str, .* use the sdpa or eager"):
        layer(hidden_states(), attention_mask="block mask")


@pytest.mark.parametrize("batch", [1, BATCH])
def test_rotary_tables_are_cut_for_every_sample(batch: int) -> None:
    layer, tables = Spy(), (numbered(batch, LENGTH, 8), -numbered(batch, LENGTH, 8))
    llama_layer(layer)
    layer(hidden_states(), position_embeddings=tables)
    short = layer.seen["position_embeddings"]
    assert isinstance(short, tuple)
    for cut, table in zip(short, tables, strict=True):
        assert torch.equal(cut, gather_loop(table, KEPT_BK, 1))


@pytest.mark.parametrize("shape", [(6, 6), (1, 6, 6), (2, 6, 6), (3, 6, 6)])
def test_a_mask_without_a_batch_is_cut_for_every_sample(shape: tuple[int, ...]) -> None:
    layer, mask = TimmSpy(), numbered(*shape)
    DroppingLayer(layer, family("timm_vit"), lambda hidden_BSD: KEPT_BK)
    layer(hidden_states(), attn_mask=mask)
    short = layer.seen["attn_mask"]
    assert short.shape == (BATCH, *(shape[:-2] or (1,)), 3, 3)
    for b, positions in enumerate(KEPT_BK):
        expected = mask[..., positions[:, None], positions[None, :]]
        assert torch.equal(short[b], expected.view(short[b].shape))


@pytest.mark.parametrize("name", ["past_key_values", "position_ids"])
def test_what_describes_the_full_sequence_is_withheld(name: str) -> None:
    layer = Spy()
    llama_layer(layer)
    layer(hidden_states(), **{name: numbered(1, LENGTH)})
    assert layer.seen[name] is None


def test_a_detached_layer_is_untouched() -> None:
    layer, x_BSD = Spy(lambda hidden: hidden), hidden_states()
    llama_layer(layer).detach()
    assert layer(x_BSD) is x_BSD


def test_a_hook_that_was_there_before_sees_the_full_length() -> None:
    layer, lengths = Spy(), []
    layer.register_forward_hook(lambda layer, args, output: lengths.append(output.shape[1]))
    llama_layer(layer)
    layer(hidden_states())
    assert lengths == [LENGTH]
