"""Every mistake is one clear error, and leaves a model that can be used and detached."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from rltd_core import KeptLength, RandomLTD, replay
from tests.core.reference import layer_list
from tests.core.tiny import (
    BATCH,
    FAMILIES,
    HF,
    LENGTH,
    TEXT,
    WIDTH,
    assert_same,
    attach,
    batch_for,
    predict,
    tiny_model,
    token_ids,
)

PACKED = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")


def assert_still_works(family: str, model: torch.nn.Module, ltd: RandomLTD) -> None:
    """Train, detach, and compare with a model that never failed."""
    x = batch_for(family)
    predict(model, x).sum().backward()
    assert ltd.kept_LBK is not None
    ltd.detach()
    assert_same(predict(model, x), predict(tiny_model(family), x))


@pytest.mark.parametrize("family", FAMILIES)
def test_attaching_twice_is_refused(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    for part in (model, getattr(model, "base_model", model)):
        with pytest.raises(ValueError, match=r"already attached to this \w+; call detach\(\)"):
            attach(part)
    assert_still_works(family, model, ltd)


@pytest.mark.parametrize("family", HF)
def test_attaching_twice_through_the_body_first_is_refused(family: str) -> None:
    model = tiny_model(family)
    attach(model.base_model)
    with pytest.raises(ValueError, match="already attached"):
        attach(model)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_middle_layers_is_refused(family: str, layers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 3 layers; this model has {layers}"):
        attach(tiny_model(family, layers=layers))


@pytest.mark.parametrize("layers", [(5,), (-1, 2), ()])
def test_layers_outside_the_model_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"layers must name some of 0\.\.4, got"):
        attach(tiny_model(), layers=layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_refused_attachment_leaves_nothing_behind(family: str) -> None:
    model = tiny_model(family)
    with pytest.raises(ValueError, match="layers must name"):
        attach(model, layers=[9])
    assert_still_works(family, model, attach(model))


@pytest.mark.parametrize("shape", [(1, LENGTH), (BATCH, LENGTH, 1), (LENGTH,)])
@pytest.mark.parametrize("family", HF)
def test_an_unlisted_argument_as_long_as_the_sequence_is_refused_by_name(
    family: str, shape: tuple[int, ...]
) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    with pytest.raises(ValueError, match=f"'token_weights' has shape .*family '{family}' does not"):
        predict(model, batch_for(family), token_weights=torch.ones(shape))
    assert_still_works(family, model, ltd)


@pytest.mark.parametrize("family", HF)
def test_an_unlisted_argument_of_another_size_is_passed_on(family: str) -> None:
    model, seen = tiny_model(family), []
    attach(model, 10)
    layer_list(model)[1].register_forward_pre_hook(
        lambda layer, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    scale = torch.ones(5)
    logits_BSV = predict(model, batch_for(family), scale=scale, flag=True, name="x")
    assert logits_BSV.shape[:2] == (BATCH, LENGTH)
    assert (seen[0]["scale"] is scale, seen[0]["flag"], seen[0]["name"]) == (True, True, "x")


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("family", HF)
def test_packed_sequences_are_refused_by_name(family: str, name: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    value: Any = LENGTH if name.startswith("max") else torch.tensor([0, 9, LENGTH])
    with pytest.raises(ValueError, match=f"'{name}' describes packed sequences"):
        predict(model, batch_for(family), **{name: value})
    assert_still_works(family, model, ltd)


@pytest.mark.parametrize("family", TEXT)
def test_a_batch_longer_than_the_full_length_is_refused(family: str) -> None:
    model = tiny_model(family)
    ltd = RandomLTD(model, KeptLength(start=8, full=LENGTH, ramp_steps=10))
    with pytest.raises(ValueError, match="batch is 25 tokens long, but the schedule is full at 24"):
        model(token_ids(2, LENGTH + 1))
    assert ltd.pending_tokens == 0
    assert_still_works(family, model, ltd)


@pytest.mark.parametrize("shape", [(2, BATCH, 10), (3, BATCH + 1, 10), (3, BATCH, 9)])
def test_replaying_a_draw_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    model = tiny_model()
    recorded_LBK = torch.arange(shape[-1]).expand(shape)
    attach(model, policy=replay(recorded_LBK))
    with pytest.raises(ValueError, match="recorded draw has shape"):
        model(token_ids())


@pytest.mark.parametrize("place", ["inside", "behind"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_forward_that_fails_inside_a_layer_or_behind_the_last_can_be_repeated(
    family: str, place: str
) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    failures = [MemoryError()]

    def fail_once(*_: Any) -> None:
        if failures:
            raise failures.pop()

    inside = list(layer_list(model)[2].modules())[-1]
    (inside if place == "inside" else layer_list(model)[-1]).register_forward_hook(fail_once)
    with pytest.raises(MemoryError):
        predict(model, batch_for(family))
    predict(model.eval(), batch_for(family))
    assert (ltd.pending_tokens, ltd.pending_layer_tokens) == (0, 0)
    assert_still_works(family, model.train(), ltd)
    assert ltd.pending_tokens == BATCH * LENGTH


@pytest.mark.parametrize("family", HF)
def test_a_forward_that_failed_is_not_counted(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    with pytest.raises(ValueError, match="token_weights"):
        predict(model, batch_for(family), token_weights=torch.ones(1, LENGTH))
    assert (ltd.pending_tokens, ltd.pending_layer_tokens) == (0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dropping_layer_run_by_itself_after_a_forward_is_refused(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    predict(model, batch_for(family))
    layer, x_BSD = layer_list(model)[2], torch.zeros(BATCH, LENGTH, WIDTH).double()
    with pytest.raises(RuntimeError, match=r"outside a forward of \w+: call the model, or eval"):
        layer(x_BSD)
    model.eval()
    assert ltd.forwards == 1
    predict(model, batch_for(family))
    assert_still_works(family, model.train(), ltd)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": None}, TypeError, r"model must be a torch\.nn\.Module, got None"),
        ({"schedule": 64}, TypeError, "schedule must be a KeptLength, got 64"),
        ({"policy": "random"}, TypeError, "policy must be a function"),
        ({"protected": "cls"}, TypeError, "protected must be a number of tokens"),
        ({"protected": -1}, ValueError, "protected must not be negative, got -1"),
        ({"protected": 9}, ValueError, "must start at 9 or more of them, not at 8"),
    ],
)
def test_an_argument_of_another_kind_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    schedule = KeptLength(start=8, full=64, ramp_steps=4)
    with pytest.raises(error, match=message):
        RandomLTD(**{"model": tiny_model(), "schedule": schedule, **arguments})


def test_a_forgotten_step_is_told_once() -> None:
    model = tiny_model(width=8)
    ltd = attach(model, 1)
    ids_BS = token_ids(1, 2)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(255):
            predict(model, ids_BS)
        assert not seen
        for _ in range(3):
            predict(model, ids_BS)
        assert ["256 training forwards without ltd.step()" in str(w.message) for w in seen] == [
            True
        ]
        ltd.step()
        for _ in range(200):
            predict(model, ids_BS)
        assert len(seen) == 1


@pytest.mark.parametrize("rows", [BATCH - 1, BATCH + 1])
def test_a_dropping_layer_handed_another_batch_than_the_first_layer_is_refused(rows: int) -> None:
    model = tiny_model()
    attach(model)
    layers, x_BSD = layer_list(model), torch.zeros(BATCH, LENGTH, WIDTH).double()
    layers[0](x_BSD)
    with pytest.raises(RuntimeError, match="outside a forward of GPT2Model"):
        layers[1](torch.zeros(rows, LENGTH, WIDTH).double())
    with pytest.raises(RuntimeError, match="outside a forward of GPT2Model"):
        layers[1](x_BSD[:, 1:])


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("family", FAMILIES)
def test_copies_made_by_data_parallel_are_refused(family: str, training: bool) -> None:
    model = tiny_model(family).train(training)
    ltd = attach(model)
    owner: Any = getattr(model, "base_model", model)
    with pytest.raises(
        RuntimeError, match=r"nn\.DataParallel runs copies .* one process per device"
    ):
        owner._replicate_for_data_parallel()(batch_for(family))
    assert (ltd.forwards, ltd.pending_tokens) == (0, 0)
    assert_still_works(family, model.train(), ltd)
