"""Follow a model's training forwards, so that a recomputed layer repeats its forward's draw.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rltd_core.stack import Stack
from rltd_core.surgery import by_name, hidden_states

__all__ = ["Forwards", "TrainingForward", "draw_generator", "in_backward"]

_MODEL = "model"
"""The owner's name among the addresses; its layers go by their number."""


@dataclass(slots=True)
class TrainingForward:
    """What the layers of one forward share."""

    number: int
    """Counted from 1 over the life of the RandomLTD object; part of the draw's key."""
    attention_mask: Tensor | None = None
    """The model's own argument."""
    addresses: dict[str | int, int] = field(default_factory=dict)
    """Where the inputs of the model and of its dropping layers lie. A recomputation is handed
    the very tensors that were saved, so it tells this forward from an older one."""
    kept_LBK: Tensor | None = None
    """The draw, or None if this forward drops nothing."""
    shape: tuple[int, int] = (0, 0)
    """Batch and length of the hidden states."""
    tokens: int = 0
    layer_tokens: int = 0
    effective_tokens: int = 0
    begun: bool = False
    """Whether the first layer has been reached."""
    passed: bool = False
    """Whether the last layer has returned."""
    ended: bool = False
    """Whether the forward came to its end without an error."""
    recomputed: bool = False
    """Whether the whole model has been recomputed for this forward."""
    ambiguous: bool = False
    """Whether the forward before read the same input and may yet be recomputed."""
    by_part: bool = False
    """Whether a method of the owner ran the layers, such as `forward_features`, not its call."""

    def recognise(self, name: str | int, x: Tensor) -> None:
        """Remember where a module's input lies, or recognise it while recomputing.

        Raises: RuntimeError if the module is being recomputed for an older forward.
        """
        if torch.compiler.is_compiling():
            return
        address = x.data_ptr()
        other = self.addresses.setdefault(name, address) != address
        if in_backward() and (other or (self.ambiguous and name == _MODEL)):
            raise RuntimeError(
                "activation checkpointing recomputes a layer after a newer forward has begun (or "
                "from an input that was moved, or cast by FSDP or a hook, or within a part of the "
                "model that is checkpointed as a whole), so its draw is gone; call backward() "
                "before the next training forward, and checkpoint single layers or the model"
            )


class Forwards:
    """The training forwards of the module that owns the layers.

    `begin(forward, hidden_BSD)` is called once a forward, at the first layer, where the shape and
    device of the hidden states are known; `end(forward)` once, when the owner returns (or, where
    one of its methods was called instead of itself, the last layer). Neither is called in
    evaluation, for a forward that is handed a cache, or while recomputing.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        begin: Callable[[TrainingForward, Tensor], None],
        end: Callable[[TrainingForward], None],
    ) -> None:
        self.count = 0
        self.current: TrainingForward | None = None
        owner, layers = stack.owner, stack.layers
        self._owner, self._family = owner, stack.family
        self._begin, self._end = begin, end
        self._cached = self._called = False
        self._plain_inputs: dict[str | int, int] = {}
        self._steps_since_drop = 2
        self._handles = [
            owner.register_forward_pre_hook(self._on_call, with_kwargs=True),
            owner.register_forward_hook(self._on_return),
            owner.register_forward_hook(self._on_exit, always_call=True),
            layers[0].register_forward_pre_hook(self._on_first_layer, with_kwargs=True),
            layers[-1].register_forward_hook(self._on_last_layer),
        ]

    def kept_BK(self, ordinal: int, hidden_BSD: Tensor) -> Tensor | None:
        """Return what dropping layer `ordinal` keeps, the same at every recomputation."""
        forward = self.current
        if self._plain():
            self._note_plain(ordinal, hidden_BSD)
            return None
        if forward is None or self._steps_since_drop > 1 or self._was_plain(ordinal, hidden_BSD):
            return None
        stray = forward.ended and not in_backward()
        if stray or forward.shape != tuple(hidden_BSD.shape[:2]):
            raise RuntimeError(
                f"a dropping layer runs outside a forward of {type(self._owner).__name__}: call "
                "the model, or eval() or detach() to run single layers"
            )
        forward.recognise(ordinal, hidden_BSD)
        return None if forward.kept_LBK is None else forward.kept_LBK[ordinal]

    def stepped(self) -> None:
        """Note an optimizer step: forwards of two steps ago are not recomputed any more."""
        self._steps_since_drop += 1
        self._cached = self._called = False  # also after a forward that Ctrl-C ended

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _plain(self) -> bool:
        return self._cached or not (self._owner.training or in_backward())

    def _note_plain(self, name: str | int, x: Tensor) -> None:
        """Remember the input of a plain forward, which checkpointing may run again in backward.

        If the training forward's lay at the same place, that one is gone; but a model may well be
        handed the same input twice, and then it is the training forward that is followed.
        """
        if torch.compiler.is_compiling():
            return
        address, of_training = x.data_ptr(), self.current.addresses if self.current else {}
        if name != _MODEL:
            self._plain_inputs[name] = address
            if of_training.get(name) == address:
                del of_training[name]
        elif torch.is_grad_enabled() and of_training.get(name) != address:
            self._plain_inputs[name] = address

    def _was_plain(self, name: str | int, x: Tensor) -> bool:
        """Whether it is a plain forward that is being recomputed, and not the current one."""
        if not in_backward() or torch.compiler.is_compiling():
            return False
        of_training = self.current.addresses if self.current else {}
        address = x.data_ptr()
        return self._plain_inputs.get(name) == address != of_training.get(name)

    def _on_call(self, owner: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if getattr(owner, "_is_replica", False):
            raise RuntimeError(
                "nn.DataParallel runs copies of the model in threads, which cannot share a draw; "
                "use one process per device (torchrun, DistributedDataParallel)"
            )
        named = by_name(owner, args, kwargs)
        self._called = True
        self._cached = named.get(self._family.cache) is not None
        source = next((v for v in named.values() if isinstance(v, Tensor)), None)
        if self._plain():
            if source is not None:
                self._note_plain(_MODEL, source)
            return
        if source is not None and self._was_plain(_MODEL, source):
            self._cached = True  # as it ran the first time, until it returns
            return
        if in_backward() and self.current is not None:
            self._recompute(self.current, source)
        else:
            self._start(source, named.get(self._family.mask))

    def _start(self, source: Tensor | None, attention_mask: Tensor | None) -> TrainingForward:
        before, self.count = self.current, self.count + 1
        self.current = forward = TrainingForward(self.count, attention_mask)
        if source is not None:
            forward.recognise(_MODEL, source)
            forward.ambiguous = (
                before is not None
                and not before.recomputed
                and before.addresses.get(_MODEL) == forward.addresses.get(_MODEL, -1)
            )
        return forward

    def _recompute(self, forward: TrainingForward, source: Tensor | None) -> None:
        """Go on with the forward that whole-model checkpointing runs a second time."""
        if source is not None and self._steps_since_drop <= 1:
            forward.recognise(_MODEL, source)
        forward.recomputed = True
        forward.addresses = {k: v for k, v in forward.addresses.items() if k == _MODEL}

    def _on_first_layer(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self._plain():
            return
        hidden_BSD = hidden_states(layer, args, kwargs)
        if not in_backward():
            self._find_start()
        forward = self.current
        if forward is None or forward.begun:
            return
        batch, length = hidden_BSD.shape[:2]
        forward.shape = batch, length
        self._begin(forward, hidden_BSD)
        forward.begun = True
        if forward.kept_LBK is not None:
            self._steps_since_drop = 0

    def _find_start(self) -> None:
        """Start a forward where the first layer runs and none has been started for it."""
        # The first layer runs once a forward, so that after Ctrl-C, too, a new one is seen.
        forward = self.current if self._called else None
        if forward is not None and forward.passed and not forward.by_part:
            raise RuntimeError(
                f"{type(self._owner).__name__} runs its layers more than once in a call, and "
                "random-LTD counts and draws once: layers that a model shares cannot drop tokens"
            )
        if not self._called or (forward is not None and forward.begun):
            self._start(None, None).by_part = True

    def _on_return(self, owner: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        forward = self.current
        if self._plain() or forward is None:
            return None
        if not forward.ended:
            forward.ended = True
            self._end(forward)
        return None if forward.kept_LBK is None else self._without_cache(output)

    def _without_cache(self, output: Any) -> Any:
        """Return a model's output without the cache that dropping layers wrote nothing into."""
        cache = self._family.cache
        if not isinstance(output, dict) or output.get(cache) is None:
            return output
        return type(output)(**{name: v for name, v in output.items() if name != cache})

    def _on_last_layer(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.current is not None:
            self.current.passed = True
            if self.current.by_part:
                self._on_return(self._owner, args, output)

    def _on_exit(self, owner: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._cached = self._called = False


def draw_generator(device: torch.device, *, seed: int, rank: int, forward: int) -> torch.Generator:
    """Return a generator keyed by (seed, rank, forward): equal keys, equal draws on one device."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{forward}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest) >> 1)


def in_backward() -> bool:
    """Whether autograd is running a backward pass in this thread, as it is when recomputing."""
    return torch._C._current_graph_task_id() != -1
