"""What would train wrongly without a word: wrapped layers, layouts, caches, stray positions."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from rltd_core import Family, KeptLength, LayerTokenLR, RandomLTD, register_family, replay
from rltd_core.families import FAMILIES as KNOWN
from tests.core.reference import layer_list
from tests.core.tiny import (
    BATCH,
    DECODERS,
    LENGTH,
    WIDTH,
    assert_same,
    attach,
    predict,
    tiny_model,
    token_ids,
)

LAYERS = 4
Pair = namedtuple("Pair", "scale flag")


class Layer(nn.Module):
    """Takes whatever else it is handed, and adds a line to a list."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x_BSD: Tensor, extra: Any = None, *more: Any, seen: Any = None) -> Tensor:
        if isinstance(seen, list):
            seen.append(type(extra).__name__)
        return x_BSD + self.out(x_BSD)


class Encoder(nn.Module):
    """Runs its layers `loops` times and hands them what it is handed."""

    def __init__(self, layers: nn.Module, loops: int = 1) -> None:
        super().__init__()
        self.blocks, self.loops = layers, loops

    def forward(self, x_BSD: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        for _ in range(self.loops):
            for block in self.blocks.children():
                x_BSD = block(x_BSD, *args, **kwargs)
        return x_BSD


@pytest.fixture(autouse=True)
def family() -> Iterator[Family]:
    """Describe the encoder, for the test alone."""
    before = list(KNOWN)
    described = Family(
        name="mine",
        owner="Encoder",
        layers="blocks",
        token_axes={"extra": (-2,), "rope": (-2,)},
        attention_output="out",
    )
    register_family(described)
    yield described
    KNOWN[:] = before


def encoder(loops: int = 1) -> Encoder:
    return Encoder(nn.ModuleList(Layer() for _ in range(LAYERS)), loops).train()


def states(batch: int = BATCH) -> Tensor:
    return torch.randn(batch, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))


def test_wrapped_layers_are_refused_as_their_arguments_have_no_names() -> None:
    model = tiny_model("gpt2")
    layers, plain = layer_list(model), list(layer_list(model))
    for number in range(len(layers)):
        layers[number] = checkpoint_wrapper(layers[number])
    with pytest.raises(ValueError, match=r"wrapped in CheckpointWrapper.*attach random-LTD before"):
        attach(model)
    for number in range(len(layers)):
        layers[number] = plain[number]
    attach(model)  # the refused attachment left nothing behind


def test_layers_may_be_wrapped_once_random_ltd_is_attached() -> None:
    draw_LBK = torch.arange(10).expand(3, BATCH, 10)
    logits = []
    for wrapped in (False, True):
        model = tiny_model("gpt2")
        attach(model, policy=replay(draw_LBK))
        layers = layer_list(model)
        for number in range(len(layers) if wrapped else 0):
            layers[number] = checkpoint_wrapper(layers[number])
        logits.append(predict(model, token_ids()))
    assert_same(*logits)


def test_an_argument_without_a_place_and_a_name_is_refused() -> None:
    model = encoder()
    attach(model)
    with pytest.raises(ValueError, match="handed 3 arguments by place and names only 2"):
        model(states(), torch.ones(1, LENGTH, 1), 5)


@pytest.mark.parametrize(
    "shape", [(LENGTH, WIDTH), (LENGTH,), (2, LENGTH, WIDTH), (2, BATCH, LENGTH, WIDTH)]
)
def test_a_described_argument_without_a_batch_axis_is_refused_by_name(
    shape: tuple[int, ...],
) -> None:
    model = encoder()
    attach(model)
    with pytest.raises(ValueError, match=r"'extra' has shape .*first axis must be the batch \(3\)"):
        model(states(), torch.ones(shape))


@pytest.mark.parametrize("batch", [BATCH, LENGTH])
@pytest.mark.parametrize("shape", [(64, WIDTH), (BATCH, 8)])
def test_an_undescribed_table_is_refused_whatever_its_size(
    shape: tuple[int, ...], batch: int
) -> None:
    model = encoder()
    attach(model)
    with pytest.raises(ValueError, match=r"'seen' has shape .*does not say which of its axes"):
        model(states(batch), seen=torch.ones(shape))


def test_what_a_layer_adds_to_a_list_stays_and_tuples_with_names_keep_them() -> None:
    model, lines = encoder(), []
    attach(model)
    rows = torch.arange(LENGTH).view(1, LENGTH, 1)
    model(states(), Pair(rows, None), seen=lines)
    assert lines == ["Pair"] * LAYERS


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stack_of_torch_is_taken_if_it_is_batch_first(batch_first: bool) -> None:
    layers = [nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=batch_first) for _ in range(4)]
    mine = Family(
        name="torch",
        owner="TransformerEncoder",
        layers="layers",
        token_axes={"src_key_padding_mask": (-1,)},
        unbatched=frozenset(),
        attention_output="self_attn.out_proj",
    )
    register_family(mine)
    model = nn.TransformerEncoder(layers[0], 4, enable_nested_tensor=False)
    if not batch_first:
        with pytest.raises(ValueError, match="must be batch-first"):
            attach(model)
        return
    attach(model)
    assert model(states()).shape == (BATCH, LENGTH, WIDTH)


def test_layers_that_run_twice_in_a_call_are_refused() -> None:
    model = encoder(loops=2)
    attach(model)
    with pytest.raises(RuntimeError, match="runs its layers more than once in a call"):
        model(states())
    model.loops = 1
    assert model(states()).shape == (BATCH, LENGTH, WIDTH)


def test_layers_elsewhere_than_described_are_told_of_by_the_familys_name() -> None:
    layers = nn.ModuleDict({str(n): Layer() for n in range(LAYERS)})
    with pytest.raises(
        ValueError, match=r"Family 'mine' names Encoder, but here blocks of it is no"
    ):
        attach(Encoder(layers))


@pytest.mark.parametrize("name", DECODERS)
def test_a_forward_that_dropped_returns_no_cache(name: str) -> None:
    model: Any = tiny_model(name)
    plain = model(token_ids(), use_cache=True).past_key_values
    ltd = attach(model)
    output = model(token_ids(), use_cache=True)
    assert output.past_key_values is None
    assert "past_key_values" not in output
    ltd.detach()
    again = model(token_ids(), use_cache=True).past_key_values
    assert again.get_seq_length() == plain.get_seq_length() == LENGTH
    short = RandomLTD(model, KeptLength(start=LENGTH, full=64, ramp_steps=10**9), seed=0)
    assert model(token_ids(), use_cache=True).past_key_values is not None  # nothing was dropped
    short.detach()


def test_a_recorded_draw_of_longer_sequences_is_refused() -> None:
    draw_LBK = torch.arange(LENGTH + 2 - 10, LENGTH + 2).expand(3, BATCH, 10)
    model = tiny_model()
    attach(model, policy=replay(draw_LBK))
    with pytest.raises(ValueError, match=f"keeps position {LENGTH + 1}, this forward has {LENGTH}"):
        predict(model, token_ids())


@pytest.mark.parametrize("fault", ["outside", "negative", "twice", "descending"])
def test_positions_of_a_policy_ascend_within_the_sequence(fault: str) -> None:
    row = list(range(10))
    row = {
        "outside": [*row[:-1], LENGTH],
        "negative": [-1, *row[1:]],
        "twice": [0, *row[:-1]],
        "descending": row[::-1],
    }[fault]

    def mine(num_layers: int, batch: int, length: int, kept: int, **_: Any) -> Tensor:
        return torch.tensor(row).expand(num_layers, batch, kept)

    model = tiny_model()
    attach(model, policy=mine)
    with pytest.raises(ValueError, match="the policy mine returned positions that do not ascend"):
        predict(model, token_ids())


def test_the_owners_mask_and_cache_may_have_other_names() -> None:
    class Owner(Encoder):
        def forward(self, x_BSD: Tensor, pad: Any = None, kv: Any = None) -> Tensor:
            return super().forward(x_BSD)

    described = Family(
        name="owner",
        owner="Owner",
        layers="blocks",
        token_axes={},
        attention_output="out",
        mask="pad",
        cache="kv",
    )
    register_family(described)
    model = Owner(nn.ModuleList(Layer() for _ in range(LAYERS))).train()
    ltd = attach(model, padding_aware=True)
    real_BS = torch.arange(LENGTH).expand(BATCH, LENGTH) < 12
    model(states(), real_BS)
    assert ltd.kept_LBK is not None
    assert int(ltd.kept_LBK.max()) < 12
    assert ltd.forwards == 1
    model(states(), real_BS, kv=object())
    assert ltd.forwards == 1
    ltd.detach()
    with pytest.raises(ValueError, match=r"attention_mask that Encoder .*`mask` of the family"):
        attach(encoder(), padding_aware=True)


FORGOT, TWICE = "2 times the planned", "ltd.step() was called 2 times"
CASES = [(BATCH, 1, FORGOT), (2 * BATCH, 1, None), (4, 1, None), (2 * BATCH, 2, TWICE)]


@pytest.mark.parametrize(("batch", "calls", "told"), CASES)
def test_accumulation_that_the_plan_or_the_clock_forgot_is_told(
    batch: int, calls: int, told: str | None
) -> None:
    model = tiny_model()
    ltd = attach(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lr = LayerTokenLR(optimizer, ltd, warmup=1, total=9, batch=batch, length=LENGTH)
    for step in range(2):
        for forward in range(2):
            predict(model, token_ids())
            if calls == 2 or forward == 1:
                ltd.step()
        optimizer.step()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lr.step()
        texts = [str(w.message) for w in caught]
        assert [(told or "") in t for t in texts] == [True] * bool(told and step == 0)


def test_lengths_may_be_numpys() -> None:
    schedule = KeptLength(start=np.int64(8), full=np.int32(64), ramp_steps=np.int64(4))
    assert schedule == KeptLength(start=8, full=64, ramp_steps=4)
    assert type(schedule(2)) is int
    model = tiny_model()
    ltd = RandomLTD(model, schedule, protected=np.int64(1))  # type: ignore[arg-type]
    predict(model, token_ids())
    assert ltd.kept_LBK is not None
    assert (ltd.kept_LBK[..., 0] == 0).all()
