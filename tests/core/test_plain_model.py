"""Whenever nothing is dropped, the model is the plain one: same bits, same operators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from rltd_core import RandomLTD
from tests.core.tiny import (
    ATTENTIONS,
    DECODERS,
    FAMILIES,
    HF,
    LENGTH,
    PADDINGS,
    TEXT,
    assert_same,
    attach,
    batch_for,
    padding_mask,
    parameter_gradients,
    predict,
    tiny_model,
    token_ids,
)


class OperatorRecorder(TorchDispatchMode):
    """Write down every operator that is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.operators.append(str(func))
        return func(*args, **(kwargs or {}))


def train_once(
    family: str, model: nn.Module, mask_BS: Tensor | None = None
) -> tuple[Any, list[str]]:
    """Return outputs and gradients, and the operators of forward and backward."""
    options = {} if mask_BS is None else {"attention_mask": mask_BS}
    with OperatorRecorder() as recorder:
        logits_BSV = predict(model, batch_for(family), **options)
        cross_entropy(logits_BSV.flatten(0, 1), token_ids(seed=2).flatten()).backward()
    return (logits_BSV, parameter_gradients(model)), recorder.operators


def hooks(model: nn.Module) -> list[Any]:
    return [
        (name, kind, hook)
        for name, module in model.named_modules()
        for kind, table in vars(module).items()
        if "hooks" in kind and isinstance(table, dict)
        for hook in table
    ]


@pytest.mark.parametrize("kept", [LENGTH, 64])
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("family", "padding"), [*product(HF, PADDINGS), ("timm_vit", "none")])
def test_full_length_is_bitwise_the_unpatched_model(
    family: str, attention: str, padding: str, kept: int
) -> None:
    model, mask_BS = tiny_model(family, attention=attention), padding_mask(padding)
    plain, plain_operators = train_once(family, model, mask_BS)
    attach(model, kept)
    attached, attached_operators = train_once(family, model, mask_BS)
    assert_same(attached, plain)
    assert attached_operators == plain_operators


@pytest.mark.parametrize("family", FAMILIES)
def test_evaluation_is_bitwise_the_unpatched_model(family: str) -> None:
    model = tiny_model(family).eval()
    plain, plain_operators = train_once(family, model)
    ltd = attach(model)
    attached, attached_operators = train_once(family, model)
    assert_same(attached, plain)
    assert attached_operators == plain_operators
    assert (ltd.forwards, ltd.pending_tokens, ltd.kept_LBK) == (0, 0, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_below_full_length_is_not_the_unpatched_model(family: str) -> None:
    model = tiny_model(family)
    (plain, *_), plain_operators = train_once(family, model)
    attach(model)
    (attached, *_), attached_operators = train_once(family, model)
    assert not torch.equal(attached, plain)
    assert attached_operators != plain_operators


@pytest.mark.parametrize("family", FAMILIES)
def test_attaching_changes_no_key_no_class_and_no_weight(family: str) -> None:
    model = tiny_model(family)
    weights = copy.deepcopy(model.state_dict())
    classes = [type(module) for module in model.modules()]
    attach(model)
    predict(model, batch_for(family))
    assert list(model.state_dict()) == list(weights)
    assert [type(module) for module in model.modules()] == classes
    assert_same(dict(model.state_dict()), dict(weights))


def leave_by_detach(family: str, model: nn.Module) -> None:
    ltd = attach(model)
    train_once(family, model)
    ltd.detach()
    ltd.detach()


def leave_by_context(family: str, model: nn.Module) -> None:
    with attach(model) as ltd:
        assert isinstance(ltd, RandomLTD)
        train_once(family, model)


def leave_by_error(family: str, model: nn.Module) -> None:
    wrong = token_ids() + 10**6 if family in TEXT else batch_for(family).flatten(1)
    error = pytest.raises((IndexError, ValueError), match=r"out of range|not enough values")
    with error, attach(model):
        model(wrong)


@pytest.mark.parametrize("leave", [leave_by_detach, leave_by_context, leave_by_error])
@pytest.mark.parametrize("family", FAMILIES)
def test_detaching_gives_the_model_back_as_it_was(
    family: str, leave: Callable[[str, nn.Module], None]
) -> None:
    model = tiny_model(family)
    before = hooks(model), train_once(family, model)
    leave(family, model)
    assert hooks(model) == before[0]
    after = train_once(family, model)
    assert_same(after[0], before[1][0])
    assert after[1] == before[1][1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_detached_model_can_be_attached_again(family: str) -> None:
    model = tiny_model(family)
    attach(model).detach()
    ltd = attach(model)
    predict(model, batch_for(family))
    assert ltd.kept_LBK is not None


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("family", DECODERS)
def test_generation_gives_the_tokens_of_the_unpatched_model(family: str, training: bool) -> None:
    model = tiny_model(family).train(training)
    prompt = token_ids(2, 20)

    def generate() -> Tensor:
        return model.generate(prompt, max_new_tokens=8, do_sample=False, pad_token_id=0)

    plain = generate()
    ltd = attach(model, 4)
    assert torch.equal(generate(), plain)
    assert (ltd.forwards, ltd.pending_tokens) == (0, 0)
    model.train()(prompt)
    assert ltd.kept_LBK is not None


@pytest.mark.parametrize("family", HF)
def test_all_hidden_states_have_full_length(family: str) -> None:
    model = tiny_model(family)
    attach(model)
    output = model(batch_for(family), output_hidden_states=True)
    assert [s.shape[1] for s in output.hidden_states] == 6 * [LENGTH]


@pytest.mark.parametrize("family", HF)
def test_a_model_saved_while_attached_loads_into_its_stock_class(
    family: str, tmp_path: Path
) -> None:
    model = tiny_model(family)
    plain = hooks(model)
    attach(model)
    predict(model, batch_for(family))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.float64)
    assert_same(dict(again.state_dict()), dict(model.state_dict()))
    assert hooks(again) == plain


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_of_an_attached_model_load_strictly_into_a_fresh_one(
    family: str, tmp_path: Path
) -> None:
    model, fresh = tiny_model(family), tiny_model(family, seed=1)
    attach(model)
    predict(model, batch_for(family))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)
    assert_same(train_once(family, fresh.eval())[0], train_once(family, model.eval())[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_attached_model_can_be_copied_and_trained_beside_its_copy(family: str) -> None:
    model = tiny_model(family)
    ltd = attach(model)
    predict(model, batch_for(family))
    twin = copy.deepcopy(model)
    counters = ltd.state_dict()
    twin_result, _ = train_once(family, twin)
    assert ltd.state_dict() == counters
    assert_same(train_once(family, model)[0], twin_result)
    ltd.detach()
    assert_same(train_once(family, twin.eval())[0], train_once(family, model.eval())[0])
