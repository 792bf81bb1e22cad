"""Activation checkpointing recomputes layers in backward; they must drop the same tokens again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest
import torch
from timm.layers import set_reentrant_ckpt, use_reentrant_ckpt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from rltd_core import KeptLength, RandomLTD
from tests.core.reference import is_causal, layer_list
from tests.core.tiny import (
    DECODERS,
    FAMILIES,
    assert_same,
    attach,
    leaf_for,
    parameter_gradients,
    predict,
    tiny_model,
    token_ids,
)

REENTRANT = pytest.mark.parametrize("reentrant", [False, True], ids=["plain", "reentrant"])


def checkpoint_inside_hooks(model: Any, *, reentrant: bool) -> None:
    """Recompute what lies between the hooks, as transformers 5.23 does."""
    for layer in layer_list(model):

        @wraps(layer.forward)
        def run(*args: Any, plain: Any = layer.forward, **kwargs: Any) -> Tensor:
            return checkpoint(partial(plain, **kwargs), *args, use_reentrant=reentrant)

        layer.forward = run


def checkpoint_by_library(model: Any, *, reentrant: bool) -> None:
    """Recompute where timm or the installed transformers does; the method was renamed."""
    if hasattr(model, "set_grad_checkpointing"):
        set_reentrant_ckpt(reentrant)
        model.set_grad_checkpointing(True)
        return
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(model, name) for name in names if hasattr(model, name))
    enable({"use_reentrant": reentrant})


def checkpoint_around_hooks(model: nn.Module, *, reentrant: bool) -> None:
    """Recompute the module call, hooks included, as timm, accelerate and transformers 5.17 do."""
    for layer in layer_list(model):
        plain = type(layer)

        def call(self: nn.Module, *args: Any, plain: type = plain, **kwargs: Any) -> Tensor:
            run = partial(plain.__call__, self, **kwargs)
            return checkpoint(run, *args, use_reentrant=reentrant)

        layer.__class__ = type(plain.__name__, (plain,), {"__call__": call})


EVERYWHERE = [checkpoint_inside_hooks, checkpoint_around_hooks, checkpoint_by_library]


def no_checkpoint(model: nn.Module, *, reentrant: bool) -> None:
    """Keep everything."""


@pytest.fixture(autouse=True)
def the_switch_of_timm_as_it_was() -> Iterator[None]:
    """Put back timm's global choice of checkpointing."""
    before = use_reentrant_ckpt()
    yield
    set_reentrant_ckpt(before)


def forward(model: nn.Module, x: Tensor) -> Tensor:
    return predict(model, x, **({"use_cache": False} if is_causal(model) else {}))


def scalar(logits_BSV: Tensor) -> Tensor:
    return (logits_BSV**2).mean()


def steps(
    family: str, use: Callable[..., None], *, reentrant: bool = False
) -> tuple[RandomLTD, list[Any]]:
    """Return the counters and all gradients of three steps of two forwards each."""
    model = tiny_model(family)
    use(model, reentrant=reentrant)
    ltd, results = attach(model), []
    for _ in range(3):
        x = leaf_for(family)
        for _ in range(2):
            scalar(forward(model, x)).backward()
        results.append((parameter_gradients(model), x.grad, ltd.kept_LBK))
        ltd.step()
    return ltd, results


@REENTRANT
@pytest.mark.parametrize("use", EVERYWHERE)
@pytest.mark.parametrize("family", FAMILIES)
def test_checkpointed_layers_give_the_same_gradients_and_counts(
    family: str, use: Callable[..., None], reentrant: bool
) -> None:
    plain_ltd, plain = steps(family, no_checkpoint)
    ltd, results = steps(family, use, reentrant=reentrant)
    assert_same(results, plain)
    assert ltd.state_dict() == plain_ltd.state_dict()
    assert ltd.forwards == 6


@REENTRANT
@pytest.mark.parametrize("use", [no_checkpoint, *EVERYWHERE])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_is_really_recomputed(
    family: str, use: Callable[..., None], reentrant: bool
) -> None:
    model = tiny_model(family)
    use(model, reentrant=reentrant)
    attach(model)
    calls: list[nn.Module] = []
    for layer in layer_list(model):
        # Its first part that has no parts; recomputing may stop early.
        first = next(part for part in layer.modules() if not list(part.children()))
        first.register_forward_hook(lambda part, args, output: calls.append(part))
    scalar(forward(model, leaf_for(family))).backward()
    assert len(calls) == (5 if use is no_checkpoint else 10)


@REENTRANT
@pytest.mark.parametrize("kept", [10, 24])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpointed_model_repeats_its_draw(family: str, kept: int, reentrant: bool) -> None:
    model, other = tiny_model(family), tiny_model(family)
    ltd, other_ltd = attach(model, kept), attach(other, kept)
    for _ in range(2):
        x, other_x = leaf_for(family), leaf_for(family)
        scalar(forward(model, x)).backward()
        logits = checkpoint(partial(forward, other), other_x, use_reentrant=reentrant)
        scalar(logits).backward()
        assert_same(parameter_gradients(other), parameter_gradients(model))
        assert_same(other_x.grad, x.grad)
    assert other_ltd.state_dict() == ltd.state_dict()
    assert ltd.forwards == 2


@REENTRANT
@pytest.mark.parametrize("family", FAMILIES)
def test_recomputing_a_layer_after_a_newer_forward_is_an_error(
    family: str, reentrant: bool
) -> None:
    model = tiny_model(family)
    checkpoint_around_hooks(model, reentrant=reentrant)
    attach(model)
    first = scalar(forward(model, leaf_for(family)))
    second = scalar(forward(model, leaf_for(family)))
    with pytest.raises(RuntimeError, match="recomputes a layer after a newer forward has begun"):
        (first + second).backward()
    model.zero_grad()
    scalar(forward(model, leaf_for(family))).backward()


@REENTRANT
@pytest.mark.parametrize("same_input", [False, True], ids=["other-input", "same-input"])
@pytest.mark.parametrize("family", FAMILIES)
def test_recomputing_the_model_after_a_newer_forward_is_an_error(
    family: str, same_input: bool, reentrant: bool
) -> None:
    model = tiny_model(family)
    attach(model)
    run = partial(checkpoint, partial(forward, model), use_reentrant=reentrant)
    x = leaf_for(family)
    first = scalar(run(x))
    scalar(run(x if same_input else leaf_for(family)))
    with pytest.raises(RuntimeError, match="newer forward has begun"):
        first.backward()


@REENTRANT
@pytest.mark.parametrize("family", FAMILIES)
def test_where_nothing_is_dropped_a_layer_may_be_recomputed_after_a_newer_forward(
    family: str, reentrant: bool
) -> None:
    model = tiny_model(family)
    checkpoint_around_hooks(model, reentrant=reentrant)
    attach(model, 24)
    first, second = (scalar(forward(model, leaf_for(family))) for _ in range(2))
    (first + second).backward()


@REENTRANT
@pytest.mark.parametrize("family", FAMILIES)
def test_two_forwards_before_their_backward_work_where_hooks_do_not_run_again(
    family: str, reentrant: bool
) -> None:
    gradients = []
    for use in (no_checkpoint, checkpoint_inside_hooks):
        model = tiny_model(family)
        use(model, reentrant=reentrant)
        attach(model)
        first, second = (scalar(forward(model, leaf_for(family))) for _ in range(2))
        (first + 2 * second).backward()
        gradients.append(parameter_gradients(model))
    assert_same(gradients[1], gradients[0])


@REENTRANT
@pytest.mark.parametrize("use", EVERYWHERE)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_evaluation_between_forward_and_backward_does_no_harm(
    family: str, use: Callable[..., None], reentrant: bool
) -> None:
    gradients = []
    for evaluates in (False, True):
        model = tiny_model(family)
        use(model, reentrant=reentrant)
        attach(model)
        loss = scalar(forward(model, leaf_for(family)))
        if evaluates:
            with torch.no_grad():
                forward(model.eval(), leaf_for(family))
            model.train()
        loss.backward()
        gradients.append(parameter_gradients(model))
    assert_same(gradients[1], gradients[0])


@REENTRANT
@pytest.mark.parametrize("family", DECODERS)
def test_a_cached_forward_that_fails_before_a_backward_does_no_harm(
    family: str, reentrant: bool
) -> None:
    gradients = []
    for fails in (False, True):
        model = tiny_model(family)
        checkpoint_around_hooks(model, reentrant=reentrant)
        attach(model)
        loss = scalar(forward(model, leaf_for(family)))
        if fails:
            with pytest.raises(IndexError):
                model(token_ids() + 10**6, past_key_values=DynamicCache(config=model.config))
        loss.backward()
        gradients.append(parameter_gradients(model))
    assert_same(gradients[1], gradients[0])


@REENTRANT
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_that_changes_the_kept_length_before_backward_does_no_harm(
    family: str, reentrant: bool
) -> None:
    gradients, draws = [], []
    for steps_early in (False, True):
        model = tiny_model(family)
        checkpoint_around_hooks(model, reentrant=reentrant)
        ltd = RandomLTD(model, KeptLength(start=10, full=24, ramp_steps=2, quantum=1))
        loss = scalar(forward(model, leaf_for(family)))
        if steps_early:
            ltd.step()
            assert ltd.kept == 17
        loss.backward()
        gradients.append(parameter_gradients(model))
        draws.append(ltd.kept_LBK)
    assert_same(gradients[1], gradients[0])
    assert_same(draws[1], draws[0])
